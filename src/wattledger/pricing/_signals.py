"""Events that were announced and prices that were published: kept, told, and found for the tariffs that ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import gcd

import sqlalchemy as sa

from wattledger.kernel import Period, Problem
from wattledger.pricing import _tables as t
from wattledger.store import Fact, Row, Transaction, chunked
from wattledger.tariffs import NO_SIGNALS, IndexPrices, Signals, Tariff

_NAME_LENGTH_MAX = 80
_PRICE_DIGITS_MAX = 30
_SECONDS_MAX = 366 * 86_400


class SignalRefused(Problem):
    """An event or a price cannot be kept as it is told."""

    slug = "signal-refused"
    title = "This event or price cannot be kept"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAnnounced(Fact):
    """An event was announced, moved or called off: what was used within ``[start, end)`` may cost otherwise."""

    name: str
    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesPublished(Fact):
    """Prices of a series are new or others: what was used from ``start`` to before ``end`` may cost otherwise.

    ``end`` is ``None`` while nothing is published after them: a tariff may go on with the last.
    """

    series: str
    start: str
    end: str | None


def announce_event(tx: Transaction, *, name: str, period: Period, now: datetime) -> None:
    """Keep when an event is on, for every tariff that knows one of this name; tells :class:`EventAnnounced`.

    An event is known by its name and start: the same start again moves its end. The same again changes nothing. Raises
    :class:`SignalRefused`.
    """
    _check_name(name)
    if period.start >= period.end:
        raise SignalRefused(f"the event {name} would be on for no time", remedy="end it after its start")
    _set_event(tx, name, period.start, period.end, now)


def call_off_event(tx: Transaction, *, name: str, start: datetime, now: datetime) -> None:
    """Take back an event; one that was never announced is not on anyhow."""
    _set_event(tx, name, start, start, now)


def _set_event(tx: Transaction, name: str, start: datetime, end: datetime, now: datetime) -> None:
    event = t.announced_event
    row = tx.execute(sa.select(event.c.end).where(event.c.name == name, event.c.start == start)).one_or_none()
    before = start if row is None else row.end
    if before == end:
        return
    tx.upsert(
        event,
        [{"name": name, "start": start, "end": end, "announced_at": now}],
        update=("end", "announced_at"),
    )
    first, last = sorted((before, end))
    tx.emit(EventAnnounced(at=now, name=name, start=first.isoformat(), end=last.isoformat()))


def publish_prices(
    tx: Transaction,
    *,
    series: str,
    prices: Iterable[tuple[datetime, Decimal | str | int]],
    seconds: int,
    now: datetime,
) -> int:
    """Keep published prices per kWh, each in force from its instant for at most ``seconds``; returns how many are new.

    A price for an instant that has one replaces it; the same again changes nothing. Tells :class:`PricesPublished`
    once. Raises :class:`SignalRefused`, for a binary fraction too: prices are exact.
    """
    _check_name(series)
    if not 0 < seconds <= _SECONDS_MAX:
        raise SignalRefused(f"prices of {series} would hold for {seconds} seconds")
    given = {at: _price_text(series, at, price) for at, price in prices}
    price = t.index_price
    known: dict[datetime, tuple[str, int]] = {}
    for piece in chunked(sorted(given)):
        rows = tx.rows(sa.select(price).where(price.c.series == series, price.c.start.in_(piece)))
        known.update((row.start, (row.price, row.seconds)) for row in rows)
    changed = sorted(at for at, text in given.items() if known.get(at) != (text, seconds))
    if not changed:
        return 0
    tx.upsert(
        price,
        [
            {"series": series, "start": at, "seconds": seconds, "price": given[at], "published_at": now}
            for at in changed
        ],
        update=("seconds", "price", "published_at"),
    )
    following = tx.execute(
        sa.select(sa.func.min(price.c.start)).where(price.c.series == series, price.c.start > changed[-1])
    ).scalar_one_or_none()
    tx.emit(
        PricesPublished(
            at=now,
            series=series,
            start=changed[0].isoformat(),
            end=None if following is None else following.isoformat(),
        )
    )
    return len(changed)


def _check_name(name: str) -> None:
    if not name or len(name) > _NAME_LENGTH_MAX:
        raise SignalRefused(f"{name!r} is no name", remedy=f"name it with 1 to {_NAME_LENGTH_MAX} characters")


def _price_text(series: str, at: datetime, price: object) -> str:
    if at.tzinfo is None or at.microsecond:
        raise SignalRefused(f"{series}: {at} is not an instant", remedy="give whole seconds with an offset")
    try:
        number = Decimal(price) if isinstance(price, Decimal | str | int) else None
    except InvalidOperation:
        number = None
    text = None if number is None or not number.is_finite() else f"{number:f}"
    if text is None or len(text) > _PRICE_DIGITS_MAX:
        raise SignalRefused(
            f"{series} at {at.isoformat()}: {price!r} is not an exact price", remedy="give it as text or as a Decimal"
        )
    return text


def signals(tx: Transaction, *, tariffs: Collection[Tariff], period: Period) -> Signals:
    """What was announced and published, as far as these tariffs ask for it in ``period``."""
    names = sorted({name for tariff in tariffs for name in tariff.events})
    series = sorted({name for tariff in tariffs for name in tariff.index_series})
    if not names and not series:
        return NO_SIGNALS
    return Signals(
        events=_events(tx, names, period),
        prices={name: prices for name in series if (prices := _prices(tx, name, period)) is not None},
    )


def _events(tx: Transaction, names: Sequence[str], period: Period) -> dict[str, tuple[Period, ...]]:
    event = t.announced_event
    found: dict[str, tuple[Period, ...]] = {}
    for piece in chunked(names):
        select = sa.select(event).where(
            event.c.name.in_(piece),
            event.c.start < period.end,
            event.c.end > period.start,
            event.c.end > event.c.start,
        )
        for row in tx.rows(select.order_by(event.c.name, event.c.start)):
            found[row.name] = (*found.get(row.name, ()), Period(row.start, row.end))
    return found


def _prices(tx: Transaction, series: str, period: Period) -> IndexPrices | None:
    """The prices of ``period`` and the last before it, which may hold when it begins."""
    price = t.index_price
    first = tx.execute(
        sa.select(sa.func.max(price.c.start)).where(price.c.series == series, price.c.start <= period.start)
    ).scalar_one_or_none()
    rows = tx.rows(
        sa.select(price)
        .where(
            price.c.series == series,
            price.c.start >= (period.start if first is None else first),
            price.c.start < period.end,
        )
        .order_by(price.c.start)
    )
    if not rows:
        return None
    grain = gcd(*{row.seconds for row in rows})
    return IndexPrices.of(_at_grain(rows, grain), seconds=grain)


def _at_grain(rows: Sequence[Row], grain: int) -> Iterable[tuple[datetime, Decimal]]:
    """Prices that hold for different times, each told as often as it takes to hold for ``grain`` seconds."""
    ends = [*(row.start for row in rows[1:]), None]
    for row, following in zip(rows, ends, strict=True):
        for number in range(row.seconds // grain):
            at = row.start + timedelta(seconds=number * grain)
            if following is None or at < following:
                yield at, Decimal(row.price)
