"""Charges for power, read: demand with its windows, ratchets and contracted kW, and what an overload does."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

from wattledger.tariffs._by_cell import ByCell, Key, joint_keys
from wattledger.tariffs._calendar import DAY_MINUTES
from wattledger.tariffs._calendar_clauses import one_or_list
from wattledger.tariffs._charge_clauses import ChargeClause
from wattledger.tariffs._document import Clause, plain_number
from wattledger.tariffs._energy_clauses import Amounts, count_fault, read_limits
from wattledger.tariffs._model import (
    WHOLE,
    Contracted,
    DemandCharge,
    LoadAction,
    LoadCharge,
    Places,
    Ratchet,
    Statistic,
)
from wattledger.tariffs._terms import ENERGY_PLACES, read_above_zero, read_places

_STATISTICS = ("max", "daily_mean")
_PER = ("month", "day", "bill")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MOST_HIGHEST, _MOST_LOOKED_BACK = 366, 60
_WHOLE_PERCENT = 100
_ACTIONS = ("notice", "curtail")


def read_demand(charge: ChargeClause) -> DemandCharge | None:
    """A price per kW of the highest mean power."""
    given, reader = charge.given, charge.reader
    schedule = charge.schedule()
    window, sliding = _read_window(charge, slides=True)
    statistic, highest, days_apart = _read_statistic(charge)
    limits = (
        reader.read(given["limits"], "limits", read_limits, schedule=schedule) if "limits" in given else reader.same(())
    )
    leaf = _read_prices if "limits" in given else _read_price
    price = reader.read(given.get("price"), "price", leaf, schedule=schedule)
    per, proration = charge.time(per=_PER, usual="month", cut=WHOLE)
    minimum = read_above_zero(given.get("minimum"), "a minimum of kW")
    if minimum is not None:
        charge.document["minimum"] = plain_number(minimum)
    ratchet = _read_ratchet(charge, schedule)
    contracted = _read_contracted(charge)
    rounding: Places | None = None
    if "rounding" in given and (places := read_places(given["rounding"], most=ENERGY_PLACES)) is not None:
        rounding, charge.document["rounding"] = places
    channel, when = charge.one_channel(), charge.when()
    if price is None or limits is None or schedule is None or ("ratchet" in given and ratchet is None):
        return None
    charge.document["price"] = price.document
    if "limits" in given:
        charge.document["limits"] = limits.document
    fault = count_fault(reader.cells, schedule, price.values, limits.values, "prices")
    if fault is not None:
        given["price"].refuse(fault)
        return None
    groups = _groups(price, joint_keys(price.keys, limits.keys, *([ratchet[1]] if ratchet is not None else [])))
    if all(group < 0 for group in groups):
        given["price"].refuse("no period has a price above zero")
    return DemandCharge(
        name=charge.name,
        clause=charge.path,
        channel=channel,
        schedule=schedule,
        window=window,
        sliding=sliding,
        statistic=statistic,
        highest=highest,
        days_apart=days_apart,
        groups=groups,
        prices=price.values,
        limits=limits.values,
        per=per,
        proration=proration,
        minimum=minimum,
        ratchet=None if ratchet is None else ratchet[0],
        contracted=contracted,
        rounding=rounding,
        when=when,
    )


def _groups(price: ByCell[Amounts], keys: tuple[Key, ...]) -> tuple[int, ...]:
    """Which maximum each cell takes part in; a period that was given the price 0 in none."""
    measured = [key[1] is None or any(prices) for key, prices in zip(price.keys, price.values, strict=True)]
    order = list(dict.fromkeys(key for key, counts in zip(keys, measured, strict=True) if counts))
    return tuple(order.index(key) if counts else -1 for key, counts in zip(keys, measured, strict=True))


def _read_price(clause: Clause) -> tuple[Amounts, str] | None:
    if clause.is_list:
        clause.refuse("several prices need 'limits'")
        return None
    found = _read_prices(clause)
    return None if found is None else (found[0], found[1][0])


def _read_prices(clause: Clause) -> tuple[Amounts, list[str]] | None:
    numbers = [item.number() for item in clause.items()]
    found = tuple(number for number in numbers if number is not None)
    if not numbers:
        clause.refuse("at least one number is expected")
    if not found or len(found) != len(numbers):
        return None
    if any(number < 0 for number in found):
        clause.refuse("a price per kW is not below zero")
        return None
    return found, [plain_number(number) for number in found]


def _read_window(charge: ChargeClause, *, slides: bool) -> tuple[int, bool]:
    """Minutes of a window, and whether it slides; 15 after a fault."""
    clause = charge.given.get("window")
    if clause is None:
        return 15, False
    sliding = False
    minutes_clause: Clause | None = clause
    if slides and clause.is_mapping:
        given = clause.fields(known=("minutes", "sliding"), required=("minutes",))
        minutes_clause, sliding = given.get("minutes"), given.flag("sliding")
    minutes = None if minutes_clause is None else minutes_clause.whole(1, DAY_MINUTES)
    if minutes is None or minutes_clause is None:
        return 15, sliding
    if DAY_MINUTES % minutes:
        minutes_clause.refuse(f"a window must divide the day, which {minutes} minutes do not")
    charge.document["window"] = {"minutes": str(minutes), "sliding": True} if sliding else str(minutes)
    return minutes, sliding


def _read_statistic(charge: ChargeClause) -> tuple[Statistic, int, bool]:
    clause = charge.given.get("statistic")
    if clause is None:
        return "max", 1, False
    if not clause.is_mapping:
        word = clause.one_of(_STATISTICS, also="{mean_of_highest: N}")
        if word == "daily_mean":
            charge.document["statistic"] = word
        return cast("Statistic", word or "max"), 1, False
    given = clause.fields(known=("mean_of_highest", "on_different_days"), required=("mean_of_highest",))
    highest = given["mean_of_highest"].whole(1, _MOST_HIGHEST) if "mean_of_highest" in given else None
    apart = given.flag("on_different_days")
    written: dict[str, Any] = {"mean_of_highest": str(highest)}
    charge.document["statistic"] = written | ({"on_different_days": True} if apart else {})
    return "mean_of_highest", highest or 1, apart


def _read_ratchet(charge: ChargeClause, schedule: int | None) -> tuple[Ratchet, tuple[Key, ...]] | None:
    clause = charge.given.get("ratchet")
    if clause is None:
        return None
    before = len(clause.faults.found)
    given = clause.fields(known=("percent", "months", "of"), required=("percent", "months"))
    percent = charge.reader.read(given.get("percent"), "percent", _read_percent, schedule=schedule)
    months = given["months"].whole(1, _MOST_LOOKED_BACK) if "months" in given else None
    of = _read_months(given["of"]) if "of" in given else tuple(range(1, 13))
    if percent is not None and not any(percent.values):
        given["percent"].refuse("a ratchet's percent must be above zero")
    if percent is None or months is None or len(clause.faults.found) > before:
        return None
    written: dict[str, Any] = {"percent": percent.document, "months": str(months)}
    if len(of) < len(_MONTHS):
        written["of"] = one_or_list([_MONTHS[month - 1] for month in of])
    charge.document["ratchet"] = written
    return Ratchet(percent=percent.values, months=months, of=of), percent.keys


def _read_percent(clause: Clause) -> tuple[Decimal, str] | None:
    number = clause.number()
    if number is not None and not 0 <= number <= _WHOLE_PERCENT:
        clause.refuse(f"a ratchet's percent is above 0 and at most 100, not {plain_number(number)}")
        return None
    return None if number is None else (number, plain_number(number))


def _read_months(clause: Clause) -> tuple[int, ...]:
    found: list[int] = []
    for item in clause.items():
        word = item.one_of(_MONTHS)
        if word is not None and _MONTHS.index(word) + 1 in found:
            item.refuse(f"{word} is named twice")
        elif word is not None:
            found.append(_MONTHS.index(word) + 1)
    if not clause.items():
        clause.refuse("at least one month is expected")
    return tuple(sorted(found))


def _read_contracted(charge: ChargeClause) -> Contracted | None:
    clause = charge.given.get("contracted")
    if clause is None:
        return None
    given = clause.fields(known=("kw", "billed", "bands"), required=("kw",))
    kw = None
    written: dict[str, Any] = {"kw": "fact"}
    if "kw" in given and given["kw"].value != "fact":
        kw = read_above_zero(given["kw"], "contracted kW")
        written["kw"] = None if kw is None else plain_number(kw)
    billed = given.flag("billed")
    if billed:
        written["billed"] = True
    bands = tuple(band for item in given["bands"].items() if (band := _read_band(item))) if "bands" in given else ()
    if "bands" in given and not given["bands"].items():
        given["bands"].refuse("at least one band is expected")
    if any(low >= high for (low, _), (high, _) in pairwise(bands)):
        given["bands"].refuse("each band must begin above the one before")
    if bands:
        written["bands"] = one_or_list(
            [{"over": plain_number(over), "factor": plain_number(factor)} for over, factor in bands]
        )
    if clause.is_mapping and not billed and "bands" not in given:
        clause.refuse("'billed: true' or 'bands' is missing: what do the contracted kW do?")
    charge.document["contracted"] = written
    return Contracted(kw=kw, billed=billed, bands=bands)


def _read_band(clause: Clause) -> tuple[Decimal, Decimal] | None:
    given = clause.fields(known=("over", "factor"), required=("over", "factor"))
    over = read_above_zero(given.get("over"), "the percent over which a band begins")
    factor = read_above_zero(given.get("factor"), "a band's factor")
    return None if over is None or factor is None else (over, factor)


# --- loads -----------------------------------------------------------------------------------------------------------


def read_load(charge: ChargeClause) -> LoadCharge | None:
    """What happens while the load is over a threshold."""
    given, reader = charge.given, charge.reader
    schedule = charge.schedule()
    threshold, percent = _read_over(charge)
    window, _ = _read_window(charge, slides=False)
    duration = given["duration"].whole(1, DAY_MINUTES) if "duration" in given else window
    if duration is not None and duration % window:
        given["duration"].refuse(f"a duration is one or more whole windows of {window} minutes")
    if "duration" in given and duration is not None and duration != window:
        charge.document["duration"] = str(duration)
    watched = _read_during(charge, schedule)
    stated = [key for key in ("adder", "factor", "action") if key in given]
    if len(stated) != 1:
        charge.clause.refuse("one of 'adder', 'factor' or 'action' is expected")
    action, prices = _read_action(charge, schedule, watched)
    channel, when = charge.one_channel(), charge.when()
    if duration is None or prices is None or not reader.sound:
        return None
    return LoadCharge(
        name=charge.name,
        clause=charge.path,
        channel=channel,
        threshold_kw=threshold,
        percent=percent,
        window=window,
        duration=duration,
        watched=watched,
        action=action,
        prices=prices,
        when=when,
    )


def _read_over(charge: ChargeClause) -> tuple[Decimal | None, Decimal | None]:
    clause = charge.given.get("over")
    if clause is None:
        return None, None
    if not clause.is_mapping:
        threshold = read_above_zero(clause, "a threshold")
        if threshold is not None:
            charge.document["over"] = plain_number(threshold)
        return threshold, None
    given = clause.fields(known=("percent",), required=("percent",))
    percent = read_above_zero(given.get("percent"), "a threshold's percent")
    if percent is not None:
        charge.document["over"] = {"percent": plain_number(percent)}
    return None, percent


def _read_during(charge: ChargeClause, schedule: int | None) -> tuple[bool, ...]:
    clause, reader = charge.given.get("during"), charge.reader
    if clause is None:
        return (True,) * len(reader.cells)
    names: list[str] = []
    for item in clause.items():
        name = item.text()
        if name is not None and not reader.may_be_period(name, schedule):
            item.refuse(f"unknown period {name!r}")
        elif name is not None and name in names:
            item.refuse(f"{name!r} is named twice")
        elif name is not None:
            names.append(name)
    if not clause.items():
        clause.refuse("at least one period is expected")
    if names:
        charge.document["during"] = one_or_list(sorted(names))
    return tuple(cell.in_schedule(schedule or 0) in names for cell in reader.cells)


def _read_action(
    charge: ChargeClause, schedule: int | None, watched: tuple[bool, ...]
) -> tuple[LoadAction, tuple[Decimal, ...] | None]:
    """What an overload does and, by cell, the adder or the factor."""
    given, reader = charge.given, charge.reader
    if "action" in given:
        word = given["action"].one_of(_ACTIONS)
        if word is not None:
            charge.document["action"] = word
        return cast("LoadAction", word or "notice"), (Decimal(0),) * len(reader.cells)
    key = "factor" if "factor" in given else "adder"
    among = [cell for cell, counts in zip(reader.cells, watched, strict=True) if counts]
    leaf = _read_factor if key == "factor" else _read_adder
    found = reader.read(given.get(key), key, leaf, schedule=schedule, among=among or None)
    if found is None:
        return cast("LoadAction", key), None
    charge.document[key] = found.document
    return cast("LoadAction", key), found.values


def _read_adder(clause: Clause) -> tuple[Decimal, str] | None:
    number = clause.number()
    return None if number is None else (number, plain_number(number))


def _read_factor(clause: Clause) -> tuple[Decimal, str] | None:
    number = read_above_zero(clause, "a factor")
    return None if number is None else (number, plain_number(number))
