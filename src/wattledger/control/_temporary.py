"""Temporary supplies: sites, fairs, films. Off until they begin, on while they last, off at the end, and accounted for.

::

    planned ──── begins, deposit there ────► on ──── ends ────► over ──── final reading ────► closed
       └──────────────────────── ends ───────────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import prepay, registry
from wattledger.control import _tables as t
from wattledger.control._supply import TEMPORARY_BEGINS, TEMPORARY_OVER, hold_off, switch_off, switch_on
from wattledger.kernel import Money, Period, Problem
from wattledger.store import Row, Transaction

_PATIENCE = timedelta(minutes=1)
_SOON = timedelta(seconds=1)

TemporaryState = Literal["planned", "on", "over", "closed"]


class TemporaryRefused(Problem):
    """A temporary supply cannot be planned as it is asked for."""

    slug = "temporary-supply-refused"
    title = "This temporary supply cannot be planned"
    status = 422


@dataclass(frozen=True, slots=True)
class Temporary:
    """A temporary supply; ``refund`` is what was set aside to be paid out when it was closed."""

    contract_id: str
    service_point_id: str
    period: Period
    deposit: Money
    state: TemporaryState
    refund: Money | None


def plan_temporary(tx: Transaction, *, contract_id: str, period: Period, deposit: Money, now: datetime) -> None:
    """Supply a prepaid contract within ``period`` only, once its ``deposit`` is there; the same again changes nothing.

    Until it begins the supply is held off. Raises :class:`TemporaryRefused`.
    """
    contract = registry.contract(tx, contract_id=contract_id, at=max(now, period.start))
    if period.end <= max(now, period.start) or deposit.micro < 0 or deposit.currency != contract.currency:
        raise TemporaryRefused(
            f"{period.start.isoformat()} to {period.end.isoformat()} with a deposit of {deposit}",
            remedy=f"an end that is to come, and a deposit in {contract.currency}",
        )
    if contract.mode != "prepay":
        raise TemporaryRefused(f"contract {contract_id} is paid for afterwards", remedy="make it prepaid")
    row = {
        "contract_id": contract_id,
        "service_point_id": contract.service_point_id,
        "begins": period.start,
        "ends": period.end,
        "deposit": deposit.micro,
        "currency": deposit.currency,
        "state": "planned",
        "not_before": period.start,
    }
    if tx.insert_new(t.temporary_supply, [row]):
        prepay.open_wallet(tx, contract_id=contract_id, currency=contract.currency, now=now)
        hold_off(tx, contract_id=contract_id, service_point_id=contract.service_point_id, now=now)
        return
    known = temporary_of(tx, contract_id=contract_id)
    if known is None or (known.period, known.deposit) != (period, deposit):
        raise TemporaryRefused(f"another time was planned for contract {contract_id} before")


def temporary_of(tx: Transaction, *, contract_id: str) -> Temporary | None:
    """A contract's temporary supply, if it is one."""
    kept = t.temporary_supply
    row = tx.execute(sa.select(kept).where(kept.c.contract_id == contract_id)).one_or_none()
    if row is None:
        return None
    return Temporary(
        row.contract_id,
        row.service_point_id,
        Period(row.begins, row.ends),
        Money(row.deposit, row.currency),
        cast("TemporaryState", row.state),
        None if row.refund is None else Money(row.refund, row.currency),
    )


def carry_on_temporary(tx: Transaction, *, now: datetime, limit: int = 200) -> int:
    """Begin, end and close what is due; returns how many supplies took a step. Safe to repeat.

    One that lacks its deposit, its credit or its final reading waits for it, and is looked at again every minute.
    """
    kept = t.temporary_supply.c
    select = (
        sa.select(t.temporary_supply)
        .where(kept.state != "closed", kept.not_before <= now)
        .order_by(kept.contract_id)
        .limit(limit)
    )
    steps = 0
    for row in tx.rows(tx.locked(select)):
        if _step(tx, row, now):
            steps += 1
        else:
            # At its end it is looked at to the second, whatever it lacks until then.
            later = max(min(now + _PATIENCE, row.ends), now + _SOON) if row.state != "over" else now + _PATIENCE
            _write(tx, row, not_before=later)
    return steps


def temporary_due(tx: Transaction, *, now: datetime) -> bool:
    """Whether :func:`carry_on_temporary` has anything to look at."""
    kept = t.temporary_supply.c
    select = sa.select(kept.contract_id).where(kept.state != "closed", kept.not_before <= now).limit(1)
    return tx.execute(select).first() is not None


def _step(tx: Transaction, row: Row, now: datetime) -> bool:
    contract_id, point = row.contract_id, row.service_point_id
    if row.state in ("planned", "on") and row.ends <= now:
        registry.end_contract(tx, contract_id=contract_id, at=row.ends, now=now)
        switch_off(tx, contract_id=contract_id, service_point_id=point, reason=TEMPORARY_OVER, now=now)
        _write(tx, row, state="over")
    elif row.state == "planned":
        deposit = prepay.deposit_of(tx, contract_id=contract_id, currency=row.currency)
        available = prepay.wallet(tx, contract_id=contract_id, now=now).available
        if deposit.micro < row.deposit or available.micro <= 0:
            return False
        switch_on(tx, contract_id=contract_id, service_point_id=point, reason=TEMPORARY_BEGINS, now=now)
        _write(tx, row, state="on", not_before=row.ends)
    elif row.state == "over":
        try:
            done = prepay.close_wallet(tx, contract_id=contract_id, ended_at=row.ends, now=now)
        except prepay.FinalReadingMissing:
            return False
        _write(tx, row, state="closed", refund=done.refund.micro)
    else:
        return False
    return True


def _write(tx: Transaction, row: Row, **values: object) -> None:
    kept = t.temporary_supply
    tx.execute(kept.update().where(kept.c.contract_id == row.contract_id).values(**values))
