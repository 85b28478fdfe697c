"""A rated file for people: one table a month, then what was missing, assumed and left out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wattledger.cli._rating import Bill, Rated, plain, zone_name
from wattledger.cli._tariff_text import words
from wattledger.kernel import IntervalSeries, Money, Period, Quality, from_epoch
from wattledger.tariffs import ChargeLine

_PIPE_WIDTH = 100  # columns where there is no terminal to ask
_SPANS_SHOWN = 8
_DOUBTS = (
    (Quality.ESTIMATED, "estimated"),
    (Quality.SUBSTITUTED, "substituted"),
    (Quality.SUSPECT, "doubted"),
)


def print_bills(result: Rated) -> None:
    """Print to standard output; without colour into a pipe."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    tariff = result.tariff
    title = Text(tariff.name, style="bold")
    versions = "; ".join(f"version {one.version}, {one.hash[:12]}" for one in result.versions)
    title.append(f"  {tariff.id}, {versions}, {zone_name(result.zone)}", style="dim")
    console.print(title)
    for point in dict.fromkeys(bill.point for bill in result.bills):
        if point:
            console.print(Text(f"\nPoint {point}", style="bold"))
        bills = [bill for bill in result.bills if bill.point == point]
        for bill in bills:
            console.print(_table(bill, result))
            for line in [*_explained(bill, result), *_beside(bill, result)]:
                console.print(Text(line, style="dim"))
            parts = [one for one in bills if one.whole == bill.whole]
            if bill.is_part and bill is parts[-1]:
                console.print(_total_of_parts(parts, result))
        for line in _gaps(result.series[point], bills, result.zone):
            console.print(Text(line, style="yellow"))
    total = Text(f"\nTotal of {_counted(result.count, 'bill')}: ")
    total.append(f"{_amount(result.total)} {tariff.currency}", style="bold")
    if result.exact:
        total.append("  unrounded", style="dim")
    console.print(total)
    _listed(console, "Not rated", [f"{what}: {why}." for what, why in result.not_rated])
    _listed(console, "Assumptions", result.assumptions)


def _listed(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Text(f"\n{title}", style="bold"))
    for line in lines:
        console.print(Padding(Text(f"· {line}"), (0, 0, 0, 1)))


def _total_of_parts(parts: Sequence[Bill], result: Rated) -> Text:
    start, end = (at.astimezone(result.zone) for at in (parts[0].whole.start, parts[0].whole.end))
    amount = f"{_amount(result.total_of(parts))} {result.tariff.currency}"
    return Text(f"The bill of {_span(start, end)}, {_counted(len(parts), 'part')}: {amount}")


def _table(bill: Bill, result: Rated) -> Table:
    rating = bill.rating
    start, end = (instant.astimezone(result.zone) for instant in (rating.period.start, rating.period.end))
    table = Table(
        title=f"{start:%B %Y}   {_span(start, end)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_footer=True,
        pad_edge=False,
    )
    seasons = len({line.season for line in rating.lines if line.kind == "energy"}) > 1
    tiers = any(line.tier is not None for line in rating.lines)
    missing = f"{_counted(bill.missing, 'interval')} missing" if bill.missing else ""
    table.add_column("Charge", footer=f"Part, version {bill.tariff.version}" if bill.is_part else "Total")
    table.add_column("Period", footer=Text(missing, style="yellow"))
    if tiers:
        table.add_column("Tier", justify="right")
    table.add_column("Quantity", justify="right", footer=_quantity_total(rating.lines))
    table.add_column("Unit", footer="kWh")
    table.add_column("Price", justify="right")
    table.add_column(f"Amount {rating.currency}", justify="right", footer=_amount(rating.total))
    for line in rating.lines:
        season = f" ({line.season})" if seasons and line.season else ""
        table.add_row(
            line.charge,
            f"{line.period or ('all periods' if line.kind == 'energy' else '')}{season}",
            *(["" if line.tier is None else str(line.tier)] if tiers else []),
            _quantity(line, exact=result.exact),
            line.unit,
            _price(line.price),
            _amount(line.amount),
        )
    return table


def _beside(bill: Bill, result: Rated) -> Iterator[str]:
    """When demand was measured, which load clauses took hold, and what is left in the bank."""
    for line in bill.rating.lines:
        if line.at is not None:
            earlier = line.at < bill.rating.period.start  # nothing of this part was measured before it began
            told = "what the part before costs by the whole bill, from" if earlier else "measured"
            yield f"{line.charge}{f' {line.period}' if line.period else ''}: {told} {_moment(line.at, result)}."
    for notice in bill.rating.notices:
        yield (
            f"{notice.charge} ({notice.action}): over the threshold from {_moment(notice.start, result)} to "
            f"{_moment(notice.end, result)}, up to {plain(round(notice.peak_kw, 3))} kW."
        )
    for name, number in bill.rating.banked.items():
        unit = bill.rating.currency if name == "money" else f"kWh of {name}"
        yield f"Carried to the next bill: {plain(number)} {unit}."


def _explained(bill: Bill, result: Rated) -> Iterator[str]:
    """A line each: the clause and what it says, what the line is added up from, and that it adds up."""
    if bill.explanation is None:
        return
    for told in bill.explanation.lines:
        intervals = [part for part in told.parts if part.start is not None]
        yield f"{told.line.charge}: {told.clause} says {words(told.says)}"
        if intervals:
            greatest = max(intervals, key=lambda part: part.quantity)
            kwh = plain(round(Decimal(greatest.quantity.numerator) / Decimal(greatest.quantity.denominator), 6))
            first, last = intervals[0].start, intervals[-1].end
            span = f"{_moment(first, result)} to {_moment(last, result)}" if first and last else ""
            when = f" at {_moment(greatest.start, result)}" if greatest.start else ""
            yield f"  {_counted(len(intervals), 'interval')}, {span}; the greatest has {kwh} kWh{when}"
        for part in told.evidence:
            if part.start is not None:
                kw = plain(round(Decimal(part.quantity.numerator) / Decimal(part.quantity.denominator), 4))
                yield f"  {kw} kW from {_moment(part.start, result)}"
        adds = "adds up to" if told.recomputed == told.line.amount else "DOES NOT add up to"
        yield f"  {adds} {_amount(told.line.amount)}"
    yield f"Readings {bill.explanation.readings_hash[:12]}, tariff {bill.tariff.version} {bill.tariff.hash[:12]}"


def _moment(at: datetime, result: Rated) -> str:
    return f"{at.astimezone(result.zone):%Y-%m-%d %H:%M}"


def _quantity(line: ChargeLine, *, exact: bool) -> str:
    if exact or line.unit != "kWh":
        return plain(line.quantity if exact else round(line.quantity, 4))
    return f"{line.quantity:,.3f}"


def _price(price: Decimal) -> str:
    whole, _, places = plain(price).partition(".")
    return f"{whole}.{places.ljust(2, '0')}"


def _quantity_total(lines: Sequence[ChargeLine]) -> str:
    """The energy of the first charge: several charges may price the same energy."""
    first = next((line.charge for line in lines if line.kind == "energy"), None)
    used = sum((line.quantity for line in lines if line.charge == first and line.kind == "energy"), start=Decimal(0))
    return f"{used:,.3f}"


def _amount(amount: Money | Decimal) -> str:
    return f"{Decimal(plain(amount)):,f}"


def _span(start: datetime, end: datetime) -> str:
    """First and last day of whole days, both included; else first and last moment."""
    if (start.hour, start.minute, end.hour, end.minute) != (0, 0, 0, 0):
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
    last = (end - timedelta.resolution).date()
    return f"{last}" if last == start.date() else f"{start:%Y-%m-%d} to {last}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# --- what was missing or not sure ------------------------------------------------------------------------------------


def _gaps(series: IntervalSeries, bills: Sequence[Bill], zone: tzinfo) -> Iterator[str]:
    """A line each for what is missing, estimated, substituted and doubted: how much and when."""
    span = series.period
    if span is None:
        return
    known = series.starts[series.qualities != Quality.MISSING]
    first, last = int(series.starts[0]), int(series.starts[-1]) + series.seconds
    begins, ends = np.concatenate(([first], known + series.seconds)), np.concatenate((known, [last]))
    holes = [(int(a), int(b)) for a, b in zip(begins, ends, strict=True) if b > a]
    if holes:
        count = sum(-(-(b - a) // series.seconds) for a, b in holes)
        yield f"Missing, not priced: {_counted(count, 'interval')}: {_spans(holes, zone)}."
    partial = sum(bill.partial for bill in bills)
    if partial:
        yield f"Priced without one of the registers, which has no value: {_counted(partial, 'interval')}."
    for quality, word in _DOUBTS:
        chosen = series.qualities == quality
        if chosen.any():
            energy = Decimal(int(series.values[chosen].sum())).scaleb(-series.decimals)
            count = int(np.count_nonzero(chosen))
            spans = _joined(series.starts[chosen].tolist(), series.seconds)
            yield f"Of these {word}: {_counted(count, 'interval')} with {plain(energy)} kWh: {_spans(spans, zone)}."


def _joined(starts: Sequence[int], seconds: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for start in starts:
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + seconds)
        else:
            spans.append((start, start + seconds))
    return spans


def _spans(spans: Sequence[tuple[int, int]], zone: tzinfo) -> str:
    periods = [Period(from_epoch(a), from_epoch(b)) for a, b in spans[:_SPANS_SHOWN]]
    shown = ", ".join(_span(p.start.astimezone(zone), p.end.astimezone(zone)) for p in periods)
    more = len(spans) - _SPANS_SHOWN
    return f"{shown} and {more} more spans" if more > 0 else shown
