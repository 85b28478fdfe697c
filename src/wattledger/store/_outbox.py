"""Telling facts to those who act on them, each exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from wattledger.store._engine import Row, Store, Transaction
from wattledger.store._facts import Fact, RecordedFact
from wattledger.store._tables import outbox

_log = logging.getLogger(__name__)
_BACK_OFF_MAX = timedelta(minutes=5)
_TOGETHER_MAX = 50  # facts in one transaction: a commit costs more than most handlers


_Calls = tuple[Callable[[Transaction, Any], None], ...]
Handlers = Mapping[type[Fact], _Calls]
_ByKind = Mapping[str, tuple[type[Fact], _Calls]]


def dispatch_outbox(store: Store, *, handlers: Handlers, now: datetime, limit: int = 500) -> int:
    """Tell each undelivered fact to its handlers, in order; returns how many.

    The handlers' effects and the mark that the fact is delivered commit together: a fact takes effect exactly once,
    whatever is killed when. A handler that fails is tried again later with growing patience, and the facts behind it
    go on; its error stays beside the fact for an operator to see.
    """
    by_kind = {kind.__name__: (kind, calls) for kind, calls in handlers.items()}
    with store.read() as tx:
        due = [
            row.seq
            for row in tx.rows(
                sa.select(outbox.c.seq)
                .where(outbox.c.delivered.is_(False), sa.or_(outbox.c.retry_at.is_(None), outbox.c.retry_at <= now))
                .order_by(outbox.c.seq)
                .limit(limit)
            )
        ]
    delivered = 0
    for start in range(0, len(due), _TOGETHER_MAX):
        together = due[start : start + _TOGETHER_MAX]
        try:
            delivered += _tell(store, together, by_kind)
        except Exception:  # noqa: BLE001 - one of them failed and undid them all: each for itself, then
            delivered += sum(_tell_alone(store, seq, by_kind, now) for seq in together)
    return delivered


def _tell(store: Store, seqs: Sequence[int], by_kind: _ByKind) -> int:
    """Tell these facts in one transaction; returns how many no other process had told meanwhile."""
    with store.write() as tx:
        rows = tx.rows(
            tx.locked(
                sa.select(outbox).where(outbox.c.seq.in_(seqs), outbox.c.delivered.is_(False)).order_by(outbox.c.seq)
            )
        )
        for row in rows:
            kind, calls = by_kind.get(row.kind, (Fact, ()))
            for call in calls:
                call(tx, kind.from_recorded(_recorded(row)))
        tx.execute(
            outbox.update().where(outbox.c.seq.in_([row.seq for row in rows])).values(delivered=True, error=None)
        )
    return len(rows)


def _tell_alone(store: Store, seq: int, by_kind: _ByKind, now: datetime) -> int:
    try:
        return _tell(store, [seq], by_kind)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises, the facts behind it go on
        _log.exception("fact %s could not be delivered", seq)
        _postpone(store, seq=seq, now=now, error=error)
        return 0


def _postpone(store: Store, *, seq: int, now: datetime, error: Exception) -> None:
    with store.write() as tx:
        attempts = 1 + (tx.execute(sa.select(outbox.c.attempts).where(outbox.c.seq == seq)).scalar_one())
        wait = min(timedelta(seconds=2**attempts), _BACK_OFF_MAX)
        tx.execute(
            outbox.update()
            .where(outbox.c.seq == seq)
            .values(attempts=attempts, retry_at=now + wait, error=f"{type(error).__name__}: {error}"[:2000])
        )


def undelivered(tx: Transaction) -> int:
    """How many facts still wait to be told."""
    return int(tx.execute(sa.select(sa.func.count()).where(outbox.c.delivered.is_(False))).scalar_one())


def recent_facts(
    tx: Transaction, *, limit: int, contract_id: str | None = None, without: Sequence[type[Fact]] = ()
) -> list[RecordedFact]:
    """The newest facts, newest first; of one contract if named, and without those kinds."""
    select = sa.select(outbox).order_by(outbox.c.seq.desc()).limit(limit)
    if contract_id is not None:
        select = select.where(outbox.c.contract_id == contract_id)
    if without:
        select = select.where(outbox.c.kind.not_in([kind.__name__ for kind in without]))
    return [_recorded(row) for row in tx.rows(select)]


def facts_since(tx: Transaction, *, seq: int, limit: int = 10_000) -> list[RecordedFact]:
    """The facts recorded after the one numbered ``seq``, oldest first."""
    select = sa.select(outbox).where(outbox.c.seq > seq).order_by(outbox.c.seq).limit(limit)
    return [_recorded(row) for row in tx.rows(select)]


def _recorded(row: Row) -> RecordedFact:
    return RecordedFact(seq=row.seq, at=row.at, kind=row.kind, contract_id=row.contract_id, data=row.payload)
