"""What the command line tells beside files: facts, events, published prices, days."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from wattledger.cli._options import OptionRefused
from wattledger.kernel import Period, zone_named
from wattledger.tariffs import IndexPrices, Signals, Tariff


def read_pairs(told: Sequence[str], option: str, example: str) -> dict[str, str]:
    """``NAME=VALUE`` each; raises :class:`OptionRefused`, also for a name that is told twice."""
    found: dict[str, str] = {}
    for one in told:
        name, equals, value = (part.strip() for part in one.partition("="))
        if not name or not equals or not value:
            raise OptionRefused(f"{option} {one!r} tells nothing", remedy=f"write it as {example}")
        if name in found:
            raise OptionRefused(f"{option} tells {name} twice")
        found[name] = value
    return found


def read_facts(told: Sequence[str]) -> dict[str, str]:
    """The facts of a contract."""
    return read_pairs(told, "--fact", "contracted_kw=6")


def refuse_unknown(known_by: Sequence[Tariff], *, facts: Mapping[str, str], signals: Signals) -> None:
    """Raise :class:`OptionRefused` for a name that none of the tariffs knows: most likely it is mistyped."""
    kinds: Sequence[tuple[str, str, Collection[str], set[str]]] = (
        ("--fact", "fact", facts, {n for one in known_by for n in (*one.facts, *(t.fact for t in one.eligibility))}),
        ("--event", "event", signals.events, {name for one in known_by for name in one.events}),
        ("--prices", "series of prices", signals.prices, {name for one in known_by for name in one.index_series}),
    )
    ids = list(dict.fromkeys(one.id for one in known_by))
    tariffs = f"{' and '.join(ids)} {'knows' if len(ids) == 1 else 'know'}"
    for option, what, told, known in kinds:
        for name in told:
            if name not in known:
                listed = ", ".join(sorted(known)) or "none"
                raise OptionRefused(f"{option} {name}: {tariffs} no such {what}; known: {listed}")


def read_bill(told: str) -> tuple[date, date]:
    """``FIRST/LAST`` day of a bill, both included, as the first day and the first no longer in it."""
    match = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{4}-[0-9]{2}-[0-9]{2})", told)
    try:
        days = None if match is None else (date.fromisoformat(match[1]), date.fromisoformat(match[2]))
    except ValueError:
        days = None
    if days is None or days[0] > days[1]:
        raise OptionRefused(f"--bill {told!r} is no span of days", remedy="write it as 2026-07-24/2026-08-06")
    return days[0], days[1] + timedelta(days=1)


def read_signals(events: Sequence[str], prices: Sequence[str], *, zone: tzinfo | str | None) -> Signals:
    """When events are on, and published prices from files."""
    clock = zone_named(zone) if isinstance(zone, str) else zone
    spans: dict[str, tuple[Period, ...]] = {}
    for one in events:
        name, equals, when = (part.strip() for part in one.partition("="))
        if not name or not equals or not when:
            raise OptionRefused(f"--event {one!r} tells nothing", remedy="write it as 'critical peak=2026-07-01'")
        spans[name] = (*spans.get(name, ()), _span(one, when, clock))
    series = {
        name: _prices(Path(file)) for name, file in read_pairs(prices, "--prices", "wholesale=prices.csv").items()
    }
    return Signals(events=spans, prices=series)


def _span(told: str, when: str, clock: tzinfo | None) -> Period:
    """A local day, or from one instant to before another."""
    first, slash, last = when.partition("/")
    try:
        if not slash:
            day = date.fromisoformat(first)
            if clock is None:
                raise OptionRefused(f"--event {told!r}: in which zone is that day?", remedy="say it with --zone")
            after = day + timedelta(days=1)
            begin = datetime(day.year, day.month, day.day, tzinfo=clock)
            end = datetime(after.year, after.month, after.day, tzinfo=clock)
        else:
            begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
            if clock is not None:
                begin = begin if begin.tzinfo else begin.replace(tzinfo=clock)
                end = end if end.tzinfo else end.replace(tzinfo=clock)
    except ValueError:
        begin = end = datetime.min  # noqa: DTZ901 - refused just below
    if begin.tzinfo is None or end.tzinfo is None or begin >= end:
        raise OptionRefused(
            f"--event {told!r}: {when!r} is neither a day nor from one instant to a later one",
            remedy="write 2026-07-01, or 2026-07-01T14:00+10:00/2026-07-01T20:00+10:00",
        )
    return Period(begin.astimezone(UTC), end.astimezone(UTC))


def _prices(file: Path) -> IndexPrices:
    """A CSV of instants with offset and prices per kWh; each price holds until the next, the last as long as it did."""
    rows: list[tuple[datetime, Decimal]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            for line, row in enumerate(csv.reader(text), start=1):
                cells = [cell.strip() for cell in row[:2]]
                try:
                    rows.append((datetime.fromisoformat(cells[0]), Decimal(cells[1])))
                except (IndexError, ValueError, InvalidOperation) as error:
                    if line > 1 and any(cells):
                        raise OptionRefused(f"{file}: line {line}: an instant and a price are expected") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OptionRefused(f"{file} cannot be read") from error
    if not rows or any(at.tzinfo is None for at, _ in rows):
        raise OptionRefused(
            f"{file}: every row needs an instant with an offset and a price",
            remedy="write rows as 2026-07-01T00:00Z,0.0821",
        )
    starts = sorted(at for at, _ in rows)
    steps = [int((b - a).total_seconds()) for a, b in pairwise(starts)]
    try:
        return IndexPrices.of(rows, seconds=min((step for step in steps if step > 0), default=3600))
    except ValueError as error:
        raise OptionRefused(f"{file}: {error}") from error
