"""``wattledger whatif``: a population's bills under another tariff; who wins, who loses, what it changes in revenue."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import numpy as np
import typer

from wattledger import tariffs
from wattledger.cli._options import OptionRefused
from wattledger.cli._told import read_facts, read_pairs, read_signals, refuse_unknown
from wattledger.kernel import IntervalSeries, Money, Period, Problem, Quality, local_months, zone_named

if TYPE_CHECKING:
    from wattledger.pricing import Change, Comparison, Customer, Side
    from wattledger.readings import Channel, ReadingsFile

_KWH = "kWh"
_BAR = 40
_TOP = 10


class DatesRefused(Problem):
    """The dates of a comparison make no sense."""

    slug = "dates-refused"
    title = "These dates cannot be compared"
    status = 422


class FileUnusable(Problem):
    """A file of readings has nothing that a tariff could price."""

    slug = "file-unusable"
    title = "This file has nothing to price"
    status = 422


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is to be compared: bills that begin from ``first`` to before ``last``, local days; ``None``: a year's."""

    new: tariffs.Tariff
    old: tariffs.Tariff | None
    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldOfFiles:
    """What is told of all customers in files; ``channels``: the tariffs' channel of a register."""

    facts: Mapping[str, str] = field(default_factory=dict)
    signals: tariffs.Signals = tariffs.NO_SIGNALS
    channels: Mapping[str, str] = field(default_factory=dict)


_NOTHING_TOLD = ToldOfFiles()


class Populations(Protocol):
    """What ``app.py`` does for the command that compares tariffs."""

    def what_if(self, data: Path, database: str | None, asked: WhatIf) -> Comparison:
        """Compare over the customers of a database."""
        ...


def add_whatif(cli: typer.Typer, commands: Populations) -> None:
    """Offer ``whatif``."""

    @cli.command()
    def whatif(  # noqa: PLR0913 - one parameter an option
        *,
        tariff: Annotated[Path, typer.Option(help="The tariff that might be: our YAML or JSON, or a rate from URDB")],
        against: Annotated[
            Path | None, typer.Option(help="The tariff beside it; what each customer pays today when not given")
        ] = None,
        since: Annotated[
            str | None, typer.Option("--from", help="Bills that begin on this day or later: 2026-01-01")
        ] = None,
        until: Annotated[str | None, typer.Option("--to", help="Bills that begin before this day")] = None,
        readings: Annotated[
            list[Path] | None, typer.Option(help="Files of readings in place of a database; each point is a customer")
        ] = None,
        zone: Annotated[
            str | None, typer.Option(help="Where the clock of times without offset stands, and of a tariff without one")
        ] = None,
        fact: Annotated[
            list[str] | None, typer.Option(help="A fact of every customer in the files: contracted_kw=6")
        ] = None,
        event: Annotated[
            list[str] | None, typer.Option(help="When an event is on, for files: 'critical peak=2026-07-01'")
        ] = None,
        prices: Annotated[
            list[str] | None,
            typer.Option(help="A published series, for files: wholesale=FILE.csv (start with offset, price per kWh)"),
        ] = None,
        channel: Annotated[
            list[str] | None,
            typer.Option(help="Which channel of the tariffs a register of the files is: E2=controlled"),
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print JSON, every amount a decimal string")] = False,
        data: Annotated[Path, typer.Option(help="Folder of the embedded database", envvar="WATTLEDGER_DATA")] = Path(
            "data"
        ),
        database: Annotated[
            str | None, typer.Option(help="sqlite:///path or postgresql://...", envvar="WATTLEDGER_DATABASE")
        ] = None,
    ) -> None:
        """Price a whole population under another tariff: who wins, who loses, and what revenue becomes."""
        asked = WhatIf(
            new=tariffs.load_tariff(tariff),
            old=None if against is None else tariffs.load_tariff(against),
            first=_day(since),
            last=_day(until),
        )
        if asked.first and asked.last and asked.first >= asked.last:
            raise DatesRefused(f"--from {since} is not before --to {until}")
        if readings:
            clock = None if zone is None else zone_named(zone)
            both = [asked.new] if asked.old is None else [asked.new, asked.old]
            told = ToldOfFiles(
                facts=read_facts(fact or ()),
                signals=read_signals(
                    event or (), prices or (), zone=clock or next((one.zone for one in both if one.zone), None)
                ),
                channels=read_pairs(channel or (), "--channel", "E2=controlled"),
            )
            refuse_unknown(both, facts=told.facts, signals=told.signals)
            _refuse_unpriced(both, told.channels)
            found = compared_files(readings, asked, clock, told)
        else:
            for option, of_files in (("fact", fact), ("event", event), ("prices", prices), ("channel", channel)):
                if of_files:
                    raise OptionRefused(
                        f"--{option} is told of files; a database knows it of its customers",
                        remedy="name files with --readings, or leave it out",
                    )
            found = commands.what_if(data, database, asked)
        old_name = "what they pay today" if asked.old is None else _named(asked.old)
        if json:
            sys.stdout.write(json_format.dumps(as_json(found, asked), indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write("\n".join(as_text(found, new=_named(asked.new), old=old_name)) + "\n")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise DatesRefused(f"{text!r} is not a day", remedy="write it as 2026-01-31") from error


def _refuse_unpriced(both: Sequence[tariffs.Tariff], channels: Mapping[str, str]) -> None:
    """A register that one of the tariffs does not price would cost nothing under it."""
    for register, name in channels.items():
        for one in both:
            if name not in one.channels:
                raise OptionRefused(
                    f"--channel {register}={name}: {one.id} prices no channel {name}; it prices "
                    f"{', '.join(one.channels)}"
                )


def _named(tariff: tariffs.Tariff) -> str:
    return f"{tariff.id} {tariff.version}"


# --- files -----------------------------------------------------------------------------------------------------------


def compared_files(
    paths: Sequence[Path], asked: WhatIf, zone: tzinfo | None, told: ToldOfFiles = _NOTHING_TOLD
) -> Comparison:
    """The comparison over the points of some files, with nothing set up."""
    from wattledger.pricing import NothingToCompare, compare  # noqa: PLC0415 - `wattledger rate` starts without

    if asked.old is None:
        raise NothingToCompare(
            "files do not say what is paid today", remedy="give the tariff beside it: --against FILE"
        )
    files = [(path, _read(path, asked, zone)) for path in paths]
    known = {name for _, file in files for channel in file.channels for name in (channel.register, channel.name)}
    for register in told.channels:
        if register not in known:
            raise OptionRefused(
                f"--channel: no register is called {register}; the files have {', '.join(sorted(known))}"
            )
    several = len(files) > 1
    customers = [one for path, file in files for one in _customers(path, file, asked, zone, told, several=several)]
    clock = zone or next((zone_named(t.zone) for t in (asked.new, asked.old) if t.zone is not None), None)
    within = None
    if clock is not None and customers and (asked.first or asked.last):
        within = period_between(asked.first or date(1970, 1, 1), asked.last or date(9000, 1, 1), clock)
    return compare(customers=customers, new=asked.new, old=asked.old, within=within, signals=told.signals)


def period_between(first: date, last: date, clock: tzinfo) -> Period:
    """The local days from ``first`` to before ``last``."""
    return Period(*(datetime(day.year, day.month, day.day, tzinfo=clock) for day in (first, last)))


def _customers(
    path: Path, file: ReadingsFile, asked: WhatIf, zone: tzinfo | None, told: ToldOfFiles, *, several: bool
) -> Iterator[Customer]:
    from wattledger.pricing import Customer  # noqa: PLC0415 - as above

    points: dict[str, dict[str, list[Channel]]] = {}
    usual = [c for c in (*file.consumption, *_exported(file)) if c.unit == _KWH]
    for channel in file.channels:
        way = told.channels.get(channel.register) or told.channels.get(channel.name)
        if not len(channel.series) or (way is None and not any(channel is one for one in usual)):
            continue
        if way is None:
            way = "export" if channel.direction.value == "export" else "import"
        points.setdefault(channel.point, {}).setdefault(way, []).append(channel)
    if not points:
        raise FileUnusable(f"{path}: no channel has active energy in kWh")
    for point, ways in points.items():
        series = {way: together(path, channels) for way, channels in ways.items()}
        spans = [one.period for one in series.values() if one.period is not None]
        whole = Period(min(span.start for span in spans), max(span.end for span in spans))
        declared = next((c.zone for channels in ways.values() for c in channels if c.zone is not None), None)
        own = zone or declared
        months = local_months(whole, zone=zone_named(asked.new.zone) if asked.new.zone else own or zone_named("UTC"))
        name = point or path.stem
        yield Customer(
            id=f"{path.name}: {name}" if several and point else name,
            zone=own,
            series=series,
            bills=[bill for month in months if (bill := month.intersection(whole)) is not None],
            facts=[told.facts],
        )


def _exported(file: ReadingsFile) -> list[Channel]:
    return [c for c in file.channels if (c.commodity.value, c.direction.value) == ("active energy", "export")]


def _read(path: Path, asked: WhatIf, zone: tzinfo | None) -> ReadingsFile:
    from wattledger.readings import ZoneNeeded, read_file  # noqa: PLC0415 - as above

    try:
        return read_file(path, zone=zone)
    except ZoneNeeded:
        named = asked.new.zone
        if named is None or zone is not None:
            raise
        return read_file(path, zone=zone_named(named))


def together(path: Path, channels: Sequence[Channel]) -> IntervalSeries:
    """The registers of a point as one series; an interval that one of them lacks is missing."""
    if len(channels) == 1:
        return channels[0].series
    lengths = {channel.series.seconds for channel in channels}
    if len(lengths) > 1:
        names = ", ".join(channel.name for channel in channels)
        raise FileUnusable(f"{path}: registers with intervals of different lengths cannot be taken together: {names}")
    decimals = max(channel.series.decimals for channel in channels)
    starts = np.unique(np.concatenate([channel.series.starts for channel in channels]))
    values = np.zeros(len(starts), dtype=np.int64)
    having = np.zeros(len(starts), dtype=np.int64)
    for channel in channels:
        series = channel.series
        known = series.qualities != Quality.MISSING
        at = starts.searchsorted(series.starts[known])
        values[at] += series.values[known] * 10 ** (decimals - series.decimals)
        having[at] += 1
    qualities = np.where(having == len(channels), Quality.ACTUAL, Quality.MISSING).astype(np.uint8)
    return IntervalSeries(starts, values, qualities, lengths.pop(), decimals)


# --- what is printed -------------------------------------------------------------------------------------------------


def _cents(money: Money) -> str:
    return f"{money.amount:,.2f}"


def _signed(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-Money.PLACES):{'+' if micro else ''},.2f}"


def _percent(part: int, whole: int) -> str | None:
    return f"{Decimal(part) * 100 / abs(whole):+.2f}" if whole else None


def as_text(found: Comparison, *, new: str, old: str) -> list[str]:
    """The comparison for people, line by line."""
    change = found.new.micro - found.old.micro
    percent = _percent(change, found.old.micro)
    lines = [
        f"{new} instead of {old}",
        f"{len(found.changes):,} customers, {found.months:,} bills, amounts in {found.currency}",
        "",
        f"  revenue before   {_cents(found.old):>18}",
        f"  revenue after    {_cents(found.new):>18}",
        f"  change           {_signed(change):>18}" + (f"   {percent} %" if percent else ""),
        "",
        f"  {'':<12}{'customers':>10}{'together':>18}{'median':>14}{'most':>14}",
        *(_side(name, side) for name, side in (("pay less", found.winners), ("pay more", found.losers))),
        f"  {'the same':<12}{found.unchanged:>10,}",
    ]
    for title, losing in (("Pay less", False), ("Pay more", True)):
        top = found.top(_TOP, losing=losing)
        if top:
            lines += ["", f"{title}, the most first", *(_ranked(one) for one in top)]
    lines += _histogram(found)
    if found.missing:
        lines += ["", f"{found.missing:,} intervals have no reading; they cost nothing under either tariff."]
    if found.unpriced:
        lines += ["", f"{len(found.unpriced):,} customers have no price under one of the two, and are left out:"]
        lines += [f"  {customer}: {why}" for customer, why in found.unpriced[:_TOP]]
    return [line.rstrip() for line in lines]


def _side(name: str, side: Side) -> str:
    median = "" if side.median is None else f"{side.median:{'+' if side.median else ''},.2f}"
    most = "" if side.most is None else _signed(side.most.micro)
    return f"  {name:<12}{side.count:>10,}{_signed(side.total.micro):>18}{median:>14}{most:>14}"


def _ranked(one: Change) -> str:
    percent = _percent(one.micro, one.old.micro)
    shown = f"{percent} %" if percent else ""
    return f"  {one.customer:<24.24}{_cents(one.old):>14} -> {_cents(one.new):>14}{_signed(one.micro):>14}{shown:>12}"


def _histogram(found: Comparison) -> list[str]:
    bins = found.histogram()
    if not bins:
        return []
    tallest = max(one.customers for one in bins)
    lines = ["", "Change per customer"]
    for one in bins:
        bar = "#" * -(-one.customers * _BAR // tallest)
        low = "" if one.low is None else _signed(one.low)
        high = "" if one.high is None else _signed(one.high)
        lines.append(f"  {low:>14} .. {high:>14} {one.customers:>8,} {bar}")
    return lines


def _plain(amount: Decimal) -> str:
    """As text with at least two places, as money is written."""
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def as_json(found: Comparison, asked: WhatIf) -> dict[str, object]:
    """The comparison as JSON: every amount a decimal string."""

    def version(tariff: tariffs.Tariff | None) -> dict[str, str] | None:
        return None if tariff is None else {"id": tariff.id, "version": tariff.version, "hash": tariff.hash}

    def text(micro: int | None) -> str | None:
        return None if micro is None else Money(micro, found.currency).text

    def side(one: Side) -> dict[str, object]:
        return {
            "customers": one.count,
            "change": one.total.text,
            "median": None if one.median is None else _plain(one.median),
            "most": None if one.most is None else one.most.text,
        }

    def ranked(*, losing: bool) -> list[dict[str, str]]:
        top = found.top(_TOP, losing=losing)
        return [
            {"customer": one.customer, "old": one.old.text, "new": one.new.text, "change": text(one.micro) or ""}
            for one in top
        ]

    change = found.new.micro - found.old.micro
    return {
        "new": version(asked.new),
        "old": version(asked.old),
        "currency": found.currency,
        "customers": len(found.changes),
        "bills": found.months,
        "revenue": {
            "old": found.old.text,
            "new": found.new.text,
            "change": text(change),
            "percent": _percent(change, found.old.micro),
        },
        "winners": side(found.winners) | {"top": ranked(losing=False)},
        "losers": side(found.losers) | {"top": ranked(losing=True)},
        "unchanged": found.unchanged,
        "histogram": [
            {"from": text(one.low), "to": text(one.high), "customers": one.customers} for one in found.histogram()
        ],
        "missing": found.missing,
        "unpriced": [{"customer": customer, "why": why} for customer, why in found.unpriced],
    }
