"""Write notices down once, and show them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import sqlalchemy as sa

from wattledger import registry
from wattledger.kernel import stable_id
from wattledger.notices._kinds import kind_named, worded
from wattledger.notices._tables import delivery, notice, told
from wattledger.store import Transaction

DeliveryState: TypeAlias = Literal["queued", "sent", "delivered", "failed", "given_up"]

# Nobody is told the same thing twice in an hour.
_REPEAT_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a notice fares on one channel.

    ``state``    queued: it waits for its time; sent: the channel took it; delivered: it arrived, says the channel;
                 failed: it is tried again at ``next_at``; given_up: ``detail`` says why
    ``next_at``  when it is looked at again; ``None``: it rests
    """

    notice_id: str
    channel: str
    address: str
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    changed_at: datetime
    detail: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A message as it was written: ``text`` by language. ``sent_at`` is when the first channel took it."""

    id: str
    contract_id: str
    kind: str
    at: datetime
    text: Mapping[str, str]
    sent_at: datetime | None


def notify(
    tx: Transaction,
    *,
    contract_id: str,
    kind: str,
    values: Mapping[str, str],
    about: str,
    now: datetime,
    until: datetime | None = None,
) -> bool:
    """Write a notice to a contract's customer, to be sent after the commit; returns whether it was new.

    ``about`` names what the notice is about (a recharge, a bill, a cut-off): one notice per kind and thing, and, as the
    kind says, none of the same wording within an hour. After ``until`` it is of no use and not sent any more; without
    it the kind says for how long it is of use. Raises :class:`UnknownKind`, and ``KeyError`` when a value is missing.
    """
    notice_id = stable_id("ntc", contract_id, kind, about)
    treated, text = kind_named(kind), worded(kind, values)
    if tx.rows(sa.select(notice.c.id).where(notice.c.id == notice_id)):
        return False
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    if treated.once != "thing":
        whom = contract.account_id if treated.once == "person" else contract_id
        if not _unheard(tx, whom=whom, kind=kind, words=text["en"], now=now):
            return False
    new = tx.insert_new(
        notice,
        [
            {
                "id": notice_id,
                "account_id": contract.account_id,
                "contract_id": contract_id,
                "kind": kind,
                "at": now,
                "language": contract.language,
                "zone": contract.zone,
                "text": text,
                "until": until or now + treated.useful,
                "planned_at": None,
                "sent_at": None,
            }
        ],
    )
    if new and treated.overtakes:
        _overtake(tx, contract_id=contract_id, by=notice_id, kinds=sorted(treated.overtakes), kind=kind, now=now)
    return bool(new)


def _unheard(tx: Transaction, *, whom: str, kind: str, words: str, now: datetime) -> bool:
    # A row for what was said in the last hour: of two that say the same at once, the key lets one through.
    tx.execute(sa.delete(told).where(told.c.whom == whom, told.c.at <= now - _REPEAT_AFTER))
    said = hashlib.sha256(words.encode()).hexdigest()
    return bool(tx.insert_new(told, [{"whom": whom, "kind": kind, "words": said, "at": now}]))


def _overtake(tx: Transaction, *, contract_id: str, by: str, kinds: Sequence[str], kind: str, now: datetime) -> None:
    """Do not send any more what is not true any more; what is being sent at this moment goes its way."""
    older = (notice.c.contract_id == contract_id, notice.c.kind.in_(kinds), notice.c.id != by, notice.c.at <= now)
    tx.execute(notice.update().where(*older, notice.c.planned_at.is_(None)).values(planned_at=now))
    tx.execute(
        delivery.update()
        .where(
            delivery.c.notice_id.in_(sa.select(notice.c.id).where(*older)),
            delivery.c.state.in_(("queued", "failed")),
            delivery.c.leased_until.is_(None),
        )
        .values(state="given_up", next_at=None, changed_at=now, detail=f"overtaken by {kind}")
    )


def notices_of(tx: Transaction, *, contract_id: str, limit: int) -> list[Notice]:
    """A contract's newest notices, newest first."""
    rows = tx.rows(
        sa.select(notice)
        .where(notice.c.contract_id == contract_id)
        .order_by(notice.c.at.desc(), notice.c.id)
        .limit(limit)
    )
    return [Notice(row.id, row.contract_id, row.kind, row.at, row.text, row.sent_at) for row in rows]


def deliveries_of(tx: Transaction, *, contract_id: str, limit: int) -> list[Delivery]:
    """How a contract's newest notices fare, newest notice first, by channel."""
    select = _deliveries.where(notice.c.contract_id == contract_id).order_by(notice.c.at.desc(), *delivery.primary_key)
    return [Delivery(**row) for row in tx.execute(select.limit(limit)).mappings()]


def deliveries_in(tx: Transaction, *, state: DeliveryState, limit: int) -> list[Delivery]:
    """The deliveries in a state, those changed last first: an operator's list of what failed or was given up."""
    select = _deliveries.where(delivery.c.state == state).order_by(delivery.c.changed_at.desc(), *delivery.primary_key)
    return [Delivery(**row) for row in tx.execute(select.limit(limit)).mappings()]


_deliveries = sa.select(*(delivery.c[each.name] for each in fields(Delivery))).join(
    notice, notice.c.id == delivery.c.notice_id
)
