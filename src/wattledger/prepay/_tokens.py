"""Credit as STS tokens: 20 digits for the meter's keypad, each identifier given once.

A token carries units of 0.1 kWh. How many a payment buys is the rating engine's answer, by cumulative difference within
a month and tariff version: what all payments of the month buy together, less what was given out before. So nobody
loses the part of a unit that a single payment does not fill, and steps go by what was bought in the month.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from wattledger import pricing, registry, sts, tariffs
from wattledger.kernel import Clock, Money, Period, Problem
from wattledger.prepay import _tables as t
from wattledger.prepay.ports import Delivered, Delivery, DeliveryFailed
from wattledger.registry import Segment
from wattledger.store import Row, Store, Transaction

_WH_PER_UNIT = 100
_RND_BITS = 4


@dataclass(frozen=True, slots=True)
class TokenMeter:
    """What tokens for a meter are made with; ``tables`` for those of EA07."""

    key: sts.DecoderKey
    base_date: sts.BaseDate
    tables: sts.StaTables | None = None


class StsDelivery:
    """Makes a token of each delivery and keeps it: asked again it gives the same digits, never another token.

    ``meter_of`` gives what a meter's tokens are made with, ``bits`` so many random ones.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        meter_of: Callable[[str], TokenMeter],
        bits: Callable[[int], int],
    ) -> None:
        self._store, self._clock = store, clock
        self._meter_of, self._bits = meter_of, bits

    def earlier(self, delivery: Delivery) -> Delivered | None:
        """The token that was made, if it was."""
        with self._store.read() as tx:
            row = _kept(tx, delivery.id)
        return None if row is None else _told(row)

    def deliver(self, delivery: Delivery) -> Delivered:
        """Make the token: its identifier, its digits and what it gives are kept before anybody sees them."""
        now = self._clock.now()
        with self._store.write() as tx:
            last = _locked_meter(tx, delivery.meter_id)
            row = _kept(tx, delivery.id)
            if row is not None:
                return _told(row)
            try:
                return self._made(tx, delivery, last, now)
            except Problem as problem:
                if isinstance(problem, DeliveryFailed):
                    raise
                raise DeliveryFailed(str(problem), remedy="an operator has to look at the meter's keys") from problem

    def _made(self, tx: Transaction, delivery: Delivery, last: int | None, now: datetime) -> Delivered:
        segment = _segment(tx, delivery, now)
        units = _units(tx, delivery, segment, now)
        tid, digits = None, None
        if units:
            meter = self._meter_of(delivery.meter_id)
            field = sts.amount_to_field(units=units)
            units = sts.field_to_amount(field=field)  # big amounts are rounded up: the next token gives less
            tid = sts.tid_at(issued_at=now, base_date=meter.base_date, after=last)
            token = sts.Token.of(sts.Kind.ELECTRICITY, rnd=self._bits(_RND_BITS), tid=tid, payload16=field)
            digits = sts.encode_token(token=token, key=meter.key, tables=meter.tables)
            vending = t.vending_meter
            tx.execute(vending.update().where(vending.c.meter_id == delivery.meter_id).values(last_tid=tid))
        row = {
            "delivery_id": delivery.id,
            "contract_id": delivery.contract_id,
            "meter_id": delivery.meter_id,
            "segment_start": segment.period.start,
            "tid": tid,
            "units": units,
            "amount": delivery.amount.micro,
            "digits": digits,
            "issued_at": now,
        }
        tx.insert(t.vended_token, [row])
        kept = _kept(tx, delivery.id)
        if kept is None:
            raise DeliveryFailed(f"the token of {delivery.id} was not kept")
        return _told(kept)


def _locked_meter(tx: Transaction, meter_id: str) -> int | None:
    """The last identifier that a meter was given; the meter's row is locked to the end of the unit of work."""
    vending = t.vending_meter
    tx.insert_new(vending, [{"meter_id": meter_id, "last_tid": None}])
    row = tx.execute(tx.locked(sa.select(vending.c.last_tid).where(vending.c.meter_id == meter_id))).one()
    return None if row.last_tid is None else int(row.last_tid)


def _kept(tx: Transaction, delivery_id: str) -> Row | None:
    return tx.execute(sa.select(t.vended_token).where(t.vended_token.c.delivery_id == delivery_id)).one_or_none()


def _told(row: Row) -> Delivered:
    if row.digits is None:
        return Delivered(None, "less than 0.1 kWh: it goes into the next token")
    return Delivered(row.digits, f"{row.units // 10}.{row.units % 10} kWh")


def _segment(tx: Transaction, delivery: Delivery, now: datetime) -> Segment:
    found = registry.segments(tx, contract_ids=[delivery.contract_id], period=Period(now, now + timedelta(seconds=1)))
    for segment in found:
        if now in segment.period:
            return segment
    raise DeliveryFailed(
        f"no tariff prices contract {delivery.contract_id} at {now.isoformat()}", remedy="publish one, then try again"
    )


def _units(tx: Transaction, delivery: Delivery, segment: Segment, now: datetime) -> int:
    """The units of 0.1 kWh that a payment adds to what was bought in this stretch of time before."""
    token = t.vended_token.c
    before = tx.execute(
        sa.select(sa.func.coalesce(sa.func.sum(token.amount), 0), sa.func.coalesce(sa.func.sum(token.units), 0)).where(
            token.contract_id == delivery.contract_id, token.segment_start == segment.period.start
        )
    ).one()
    paid, given = (int(one) for one in before)
    state = tariffs.open_state(
        tariff=segment.tariff, period=segment.period, zone=segment.zone, bill=segment.bill, facts=segment.facts
    )
    bought = tariffs.inverse(
        tariff=segment.tariff,
        state=state,
        amount=Money(paid, delivery.amount.currency) + delivery.amount,
        at=now,
        signals=pricing.signals(tx, tariffs={segment.tariff}, period=segment.period),
    )
    return max(0, bought.wh // _WH_PER_UNIT - given)
