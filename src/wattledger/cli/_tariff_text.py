"""A tariff for people: the week in each season, drawn, and its charges."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wattledger.tariffs import Tariff, WeekGrid, week_grids

_WIDTH = 80
_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green")
_DAYS_WIDTH = 12
_STEPS_SHOWN = 30  # minutes a letter stands for, at least
_MOST_DAYS_LISTED = 800  # in which holidays are listed one by one


def print_tariff(tariff: Tariff) -> None:
    """Print to standard output; letters tell the periods where there is no colour."""
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH)
    title = Text(tariff.name, style="bold")
    title.append(f"  {tariff.id}, version {tariff.version}, {tariff.hash[:12]}", style="dim")
    console.print(title)
    since = f"from {tariff.valid_from}" if tariff.valid_from else ""
    until = f"to before {tariff.valid_to}" if tariff.valid_to else ""
    console.print(Text(" · ".join(part for part in (tariff.currency, tariff.zone or "no zone", since, until) if part)))
    grids = week_grids(tariff)
    names = list(dict.fromkeys(name for grid in grids for row in grid.rows for name in row.periods))
    letters = _letters(names)
    for grid in grids:
        _print_grid(console, grid, letters)
    console.print()
    for name in names:
        legend = Text(f" {letters[name][0]} ", style=letters[name][1])
        legend.append(f"  {name}", style="default")
        console.print(legend)
    for told in _holidays(tariff):
        console.print(Text(told))
    console.print()
    console.print(_charges(tariff))


def _letters(names: list[str]) -> Mapping[str, tuple[str, str]]:
    """A letter of its own and a colour for each period."""
    found: dict[str, tuple[str, str]] = {}
    taken = set[str]()
    for number, name in enumerate(names):
        own = [c.upper() for c in name if c.isalnum()] + [chr(ord("A") + n) for n in range(26)]
        letter = next((c for c in own if c not in taken), "?")
        taken.add(letter)
        found[name] = letter, f"black on {_COLOURS[number % len(_COLOURS)]}"
    return found


def _print_grid(console: Console, grid: WeekGrid, letters: Mapping[str, tuple[str, str]]) -> None:
    about = [grid.season or "", grid.schedule or "", f"while {grid.event} is on" if grid.event else ""]
    console.print(Text("\n" + (", ".join(part for part in about if part) or "the week"), style="bold"))
    finer = grid.minutes < _STEPS_SHOWN
    letters_an_hour = 2 if grid.minutes <= _STEPS_SHOWN else 1
    hours = "".join(f"{hour:<{6 * letters_an_hour}}" for hour in range(0, 24, 6))
    console.print(Text(f"{'':{_DAYS_WIDTH}} {hours}24", style="dim"))
    for row in grid.rows:
        line = Text(f"{row.days:{_DAYS_WIDTH}} ")
        for name in _drawn(row.periods, grid.minutes) if finer else row.periods:
            letter, style = letters[name]
            line.append(letter, style=style)
        console.print(line)
    if finer:
        console.print(Text("a letter is what holds when its half hour begins; exactly:", style="dim"))
        for row in grid.rows:
            for number, span in enumerate(_spans(row.periods, grid.minutes)):
                console.print(Text(f"{'' if number else row.days:{_DAYS_WIDTH}} {span}"))


def _drawn(periods: tuple[str, ...], minutes: int) -> Iterator[str]:
    """The period at the beginning of each half hour, of steps finer than that."""
    for minute in range(0, len(periods) * minutes, _STEPS_SHOWN):
        yield periods[minute // minutes]


def _spans(periods: tuple[str, ...], minutes: int) -> Iterator[str]:
    start = 0
    for step in range(1, len(periods) + 1):
        if step == len(periods) or periods[step] != periods[start]:
            first, last = start * minutes, step * minutes
            yield f"{first // 60:02d}:{first % 60:02d}-{last // 60:02d}:{last % 60:02d}  {periods[start]}"
            start = step


def _holidays(tariff: Tariff) -> Iterator[str]:
    """The rule of holidays if there is one, and their dates as far as the tariff's validity bounds them."""
    clause = tariff.document.get("holidays")
    if clause is None:
        return
    yield ""
    if not isinstance(clause, Mapping):
        yield f"Holidays: {', '.join(clause)}"
        return
    where = "-".join(clause[key] for key in ("country", "subdivision") if key in clause)
    rest = [f"{key} {words(clause[key])}" for key in ("also", "except") if key in clause]
    yield f"Holidays: {', '.join([f'those of {where}', *rest])}"
    first, last = tariff.valid_from, tariff.valid_to
    if first is not None and last is not None and (last - first).days <= _MOST_DAYS_LISTED:
        days = (first + timedelta(days=number) for number in range((last - first).days))
        yield f"  {', '.join(day.isoformat() for day in days if day in tariff.calendar.holidays)}"


def _charges(tariff: Tariff) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True)
    table.add_column("Charge")
    table.add_column("Kind")
    table.add_column("Price", overflow="fold")
    for charge in tariff.document["charges"]:
        told = charge.get("price", charge.get("index", charge.get("adder", "")))
        price = f"{charge['rate']} %" if "rate" in charge else words(told)
        rest = {key: charge[key] for key in ("per", "tiers", "when", "of", "covers") if key in charge}
        table.add_row(charge["name"], charge["kind"], f"{price}{'; ' if rest else ''}{words(rest)}")
    return table


def words(value: object) -> str:
    """What a clause says, without its brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " / ".join(words(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int | Decimal) else ""
