"""Write notices down, send them, show them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from wattledger import registry
from wattledger.kernel import stable_id
from wattledger.notices._tables import notice
from wattledger.notices._wording import worded
from wattledger.notices.ports import Channel, Message
from wattledger.store import Row, Store, Transaction

_log = logging.getLogger(__name__)

# Nobody is told the same thing twice in an hour.
_REPEAT_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message as it was written: ``text`` by language."""

    id: str
    contract_id: str
    kind: str
    at: datetime
    text: Mapping[str, str]
    sent_at: datetime | None


def notify(
    tx: Transaction, *, contract_id: str, kind: str, values: Mapping[str, str], about: str, now: datetime
) -> bool:
    """Write a notice to a contract's customer, to be sent after the commit; returns whether it was new.

    ``about`` names what the notice is about (a recharge, a bill, a cut-off): one notice per kind and thing, and none of
    the same wording within an hour.
    """
    notice_id = stable_id("ntc", contract_id, kind, about)
    text = worded(kind, values)
    recent = tx.rows(
        sa.select(notice.c.id, notice.c.text, notice.c.at).where(
            notice.c.contract_id == contract_id,
            notice.c.kind == kind,
            sa.or_(notice.c.at > now - _REPEAT_AFTER, notice.c.id == notice_id),
        )
    )
    if any(row.id == notice_id or row.text == text for row in recent):
        return False
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    account = registry.account(tx, account_id=contract.account_id)
    tx.insert_new(
        notice,
        [
            {
                "id": notice_id,
                "account_id": account.id,
                "contract_id": contract_id,
                "kind": kind,
                "at": now,
                "to": account.phone or account.name,
                "language": account.language,
                "text": text,
                "sent_at": None,
                "attempts": 0,
            }
        ],
    )
    return True


def deliver_due(store: Store, *, channel: Channel, now: datetime, limit: int = 200) -> int:
    """Send the notices that have not gone out; returns how many went. One that fails stays and is tried again."""
    with store.read() as tx:
        due = tx.rows(sa.select(notice).where(notice.c.sent_at.is_(None)).order_by(notice.c.at).limit(limit))
    sent, failed = [], []
    for row in due:
        message = Message(row.id, row.to, row.language, row.kind, row.text.get(row.language, row.text["en"]))
        try:
            channel.send(message)
        except Exception:  # noqa: BLE001 - whatever a channel raises, the message is tried again
            _log.exception("notice %s could not be sent by %s", row.id, channel.name)
            failed.append(row.id)
        else:
            sent.append(row.id)
    if due:
        with store.write() as tx:
            tx.execute(notice.update().where(notice.c.id.in_(sent)).values(sent_at=now))
            tx.execute(notice.update().where(notice.c.id.in_(sent + failed)).values(attempts=notice.c.attempts + 1))
    return len(sent)


def notices_of(tx: Transaction, *, contract_id: str, limit: int) -> list[Notice]:
    """A contract's newest notices, newest first."""
    rows: list[Row] = list(
        tx.rows(
            sa.select(notice)
            .where(notice.c.contract_id == contract_id)
            .order_by(notice.c.at.desc(), notice.c.id)
            .limit(limit)
        )
    )
    return [Notice(row.id, row.contract_id, row.kind, row.at, row.text, row.sent_at) for row in rows]
