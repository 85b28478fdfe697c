"""What changed from one tariff version to another, in words, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wattledger.tariffs._document import plain_number
from wattledger.tariffs._exact import as_decimal, as_ratio
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import EnergyCharge
from wattledger.tariffs._week import WeekGrid, week_grids

_NAMED = {"seasons": "season", "day_types": "day type"}
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOLIDAYS = {"excluded": "but holidays", "only": "when a holiday"}
_HEADER = ("currency", "zone", "valid", "name", "supersedes", "eligibility", "netting", "rounding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference: where, what it says in words, and whom it concerns.

    ``percent`` is by how much a number changed, where it is one; ``weight`` orders changes, the heaviest first.
    """

    where: str
    text: str
    concerns: str
    percent: Decimal | None = None
    weight: int = 0


def diff(*, old: Tariff, new: Tariff) -> tuple[Change, ...]:
    """What changed from ``old`` to ``new``, the weightiest first; nothing when they are the same version."""
    if old.hash == new.hash:
        return ()
    found = [*_header(old, new), *_calendar(old, new), *_charges(old, new)]
    return tuple(sorted(found, key=lambda change: -change.weight))


# --- header and calendar ---------------------------------------------------------------------------------------------


def _header(old: Tariff, new: Tariff) -> Iterator[Change]:
    for key in _HEADER:
        before, after = old.document.get(key), new.document.get(key)
        if before != after:
            weight = {"currency": 90, "zone": 80, "netting": 60, "eligibility": 50, "rounding": 40}.get(key, 5)
            text = f"{key}: {_said(before)} becomes {_said(after)}"
            yield Change(where=key, text=text, concerns="everybody", weight=weight)


def _calendar(old: Tariff, new: Tariff) -> Iterator[Change]:
    for key, what in _NAMED.items():
        members = old.document.get(key, {}), new.document.get(key, {})
        for name in dict.fromkeys(name for of in members for name in of):
            had, has = (_days_said(of[name]) if name in of else None for of in members)
            if had != has:
                text = f"{had} becomes {has}" if had and has else f"{had} is gone" if had else f"{has} is new"
                yield Change(where=key, text=f"{what} {name}: {text}", concerns="everybody", weight=55)
    for key in ("holidays", "events"):
        clause, clause_now = old.document.get(key), new.document.get(key)
        if clause != clause_now:
            text = f"{key}: {_said(clause)} becomes {_said(clause_now)}"
            yield Change(where=key, text=text, concerns="everybody", weight=55)
    earlier_weeks, weeks = _weeks(old), _weeks(new)
    for of in dict.fromkeys([*earlier_weeks, *weeks]):
        before, grid = _week(old, earlier_weeks, of), _week(new, weeks, of)
        if before is None or grid is None:
            continue
        season_name, schedule, event = of
        windows, earlier = _windows(grid.rows, grid.minutes), _windows(before.rows, before.minutes)
        for period in dict.fromkeys([*earlier, *windows]):
            if earlier.get(period) != windows.get(period):
                where = " ".join(part for part in ("periods", schedule, season_name, event) if part)
                season = f" in {season_name}" if season_name else ""
                on = f" while {event} is on" if event else ""
                text = (
                    f"{period}{season}{on}: {earlier.get(period) or 'never'} becomes {windows.get(period) or 'never'}"
                )
                yield Change(where=where, text=text, concerns=f"whoever uses energy then{season}{on}", weight=65)


_Week = tuple[str | None, str | None, str | None]
"""The season, schedule and event of a grid."""


def _weeks(tariff: Tariff) -> dict[_Week, WeekGrid]:
    return {(grid.season, grid.schedule, grid.event): grid for grid in week_grids(tariff)}


def _week(tariff: Tariff, weeks: Mapping[_Week, WeekGrid], key: _Week) -> WeekGrid | None:
    """A week; while an event is on that changes nothing of it, the ordinary one."""
    return weeks.get(key) or (weeks.get((*key[:2], None)) if key[2] in tariff.events else None)


def _days_said(value: Any) -> str:  # noqa: ANN401 - JSON
    """A season's or a day type's days in words: ``Mon-Fri but holidays``."""
    if isinstance(value, Mapping):
        days = _days_said(value["days"]) if "days" in value else "every day"
        return " ".join(part for part in (days, _HOLIDAYS.get(str(value.get("holidays")))) if part)
    listed = value if isinstance(value, list) else [value]
    if not all(day in _WEEK for day in listed):
        return _said(listed)
    numbers = sorted(_WEEK.index(day) for day in listed)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    names = [[_WEEK[number].title() for number in run] for run in runs]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in names)  # noqa: PLR2004 - a run


def _windows(rows: Any, minutes: int) -> dict[str, str]:  # noqa: ANN401 - rows of a grid
    """When each period is, in words: ``Mon-Fri 16:00-21:00``."""
    found: dict[str, list[tuple[int, str, str]]] = {}  # the row's number, its days, its windows
    for number, row in enumerate(rows):
        spans: dict[str, list[str]] = {}
        start = 0
        for step in range(1, len(row.periods) + 1):
            if step == len(row.periods) or row.periods[step] != row.periods[start]:
                spans.setdefault(row.periods[start], []).append(f"{_clock(start * minutes)}-{_clock(step * minutes)}")
                start = step
        for period, when in spans.items():
            told, days, windows = found.setdefault(period, []), row.days, ", ".join(when)
            if told and told[-1][0] == number - 1 and told[-1][2] == windows and "holiday" not in days:
                days = f"{told.pop()[1].partition('-')[0]}-{days.rpartition('-')[2]}"
            told.append((number, days, windows))
    return {period: "; ".join(f"{days} {when}" for _, days, when in told) for period, told in found.items()}


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


# --- charges ---------------------------------------------------------------------------------------------------------


def _charges(old: Tariff, new: Tariff) -> Iterator[Change]:
    before = {charge["name"]: charge for charge in old.document["charges"]}
    after = {charge["name"]: charge for charge in new.document["charges"]}
    for name in before.keys() - after.keys():
        text = f"the charge {name} ({before[name]['kind']}) is gone"
        yield Change(where=name, text=text, concerns=_whom(before[name]), weight=75)
    for name in after.keys() - before.keys():
        text = f"the charge {name} ({after[name]['kind']}) is new: {_said(after[name].get('price', after[name]))}"
        yield Change(where=name, text=text, concerns=_whom(after[name]), weight=75)
    prices = {c.name: c for c in old.charges if isinstance(c, EnergyCharge)}
    for charge in new.charges:
        if charge.name not in before:
            continue
        own, had = dict(after[charge.name]), dict(before[charge.name])
        previous = prices.get(charge.name)
        if (
            isinstance(charge, EnergyCharge)
            and previous is not None
            and charge.index is None
            and previous.index is None
        ):
            yield from _prices(old, new, previous, charge)
            for kept in (own, had):
                kept.pop("price", None)
        yield from _leaves(charge.name, had, own, _whom(own))
    common_before = [name for name in before if name in after]
    if common_before != [name for name in after if name in before]:
        text = "the charges stand in another order"
        yield Change(where="charges", text=text, concerns="everybody", weight=10)


def _prices(old: Tariff, new: Tariff, before: EnergyCharge, after: EnergyCharge) -> Iterator[Change]:
    """Prices by season, period and tier, however the documents branch."""
    had = _by_time(old, before)
    now = _by_time(new, after)
    changed: dict[tuple[int | None, Decimal, Decimal], list[tuple[str | None, str]]] = {}
    for key in had:
        if key not in now and (None, key[1]) not in now:
            at = " in ".join(part for part in (key[1], key[0]) if part)
            yield Change(
                where=after.name, text=f"{after.name}: {at} is gone", concerns=f"whoever used energy in {at}", weight=70
            )
    for key, prices in now.items():
        previous = had.get(key) or had.get((None, key[1]))
        if previous is None:
            at = " in ".join(part for part in (key[1], key[0]) if part)
            text = f"{after.name}: {at} is new, at {' / '.join(map(plain_number, prices))}"
            yield Change(where=after.name, text=text, concerns=f"whoever uses energy in {at}", weight=70)
            continue
        for tier in range(max(len(prices), len(previous))):
            a, b = previous[min(tier, len(previous) - 1)], prices[min(tier, len(prices) - 1)]
            if a != b:
                changed.setdefault((tier if len(prices) > 1 else None, a, b), []).append(key)
    for (step_number, a, b), keys in changed.items():
        everywhere = len(keys) == len({(c.season, c.in_schedule(after.schedule)) for c in new.cells})
        at = "" if everywhere else " or ".join(" in ".join(p for p in (k[1], k[0]) if p) for k in keys)
        step = "" if step_number is None else f", tier {step_number + 1}"
        percent = _percent(a, b)
        beyond = " beyond the tier before" if step_number else ""
        yield Change(
            where=after.name,
            text=f"{after.name}{', ' + at if at else ''}{step}: {_moved(a, b)}",
            concerns=f"whoever uses energy{' in ' + at if at else ''}{beyond}",
            percent=percent,
            weight=70 + min(int(abs(percent or Decimal(0))), 19),
        )


def _by_time(tariff: Tariff, charge: EnergyCharge) -> dict[tuple[str | None, str], tuple[Decimal, ...]]:
    """The prices of the tiers by season and period."""
    cells = zip(tariff.cells, charge.prices, strict=True)
    return {(cell.season, cell.in_schedule(charge.schedule)): prices for cell, prices in cells}


def _leaves(name: str, before: Any, after: Any, whom: str, path: str = "") -> Iterator[Change]:  # noqa: ANN401 - JSON
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _leaves(name, before.get(key), after.get(key), whom, f"{path} {key}".strip())
        return
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (a, b) in enumerate(zip(before, after, strict=True), start=1):
            yield from _leaves(name, a, b, whom, f"{path} {number}".strip())
        return
    numbers = _number(before), _number(after)
    if numbers[0] is not None and numbers[1] is not None:
        text, percent = _moved(numbers[0], numbers[1]), _percent(numbers[0], numbers[1])
    else:
        text, percent = f"{_said(before)} becomes {_said(after)}", None
    weight = 60 + min(int(abs(percent or Decimal(0))), 9)
    yield Change(where=name, text=f"{name}, {path}: {text}", concerns=whom, percent=percent, weight=weight)


def _whom(charge: Mapping[str, Any]) -> str:
    """Whom a charge concerns, from its kind and its condition."""
    who = {
        "demand": "whoever draws power when it is measured",
        "load": "whoever goes over the threshold",
        "export": "whoever gives energy back",
        "energy": "whoever uses energy",
    }.get(str(charge.get("kind")), "everybody")
    when = charge.get("when")
    return who if when is None else f"{who}, when {_said(when)}"


def _number(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON
    try:
        return Decimal(value) if isinstance(value, str) else None
    except ArithmeticError:
        return None


def _moved(before: Decimal, after: Decimal) -> str:
    percent = _percent(before, after)
    return f"{plain_number(before)} becomes {plain_number(after)}" + (
        f" ({percent:+} %)" if percent is not None else ""
    )


def _percent(before: Decimal, after: Decimal) -> Decimal | None:
    if not before:
        return None
    (a, b), (c, d) = as_ratio(after), as_ratio(before)
    share = as_decimal((a * d - c * b) * 100 * (1 if c > 0 else -1), abs(b * c))
    return share.quantize(Decimal("0.1"))


def _said(value: Any) -> str:  # noqa: ANN401 - JSON
    """A clause's value in words."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " and ".join(_said(one) for one in value)
    return str(value)
