"""Charges per kWh, read: prices by season and period, tiers and how they count, index prices, export credits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, cast

from wattledger.tariffs._by_cell import ByCell, joint_keys, numbered
from wattledger.tariffs._charge_clauses import ChargeClause
from wattledger.tariffs._document import Clause, plain_number
from wattledger.tariffs._model import (
    BY_DAYS,
    EXPORT,
    Allocation,
    Basis,
    Cell,
    Counter,
    EnergyCharge,
    IndexPrice,
    LimitPer,
    MissingPrice,
    Places,
    Proration,
    Tiers,
)
from wattledger.tariffs._terms import ENERGY_PLACES, read_first_of_month, read_places, read_proration

_COUNTERS = ("all_periods", "per_period", "per_channel")
_BASES = ("month", "day", "bill", "quarter", "year")
_ALLOCATIONS = ("chronological", "pro_rata", "reached_slab")
_LIMITS_PER = ("demand_kw", "contracted_kw", "person")
_MOST_ROLLED = 120
_DIGITS = 200  # numbers have at most 40 places and 41 digits before: sums of them are exact

Amounts = tuple[Decimal, ...]


_INDEX_PLACES = 9


def read_energy(charge: ChargeClause) -> EnergyCharge | None:
    """A price for energy taken, or (kind ``export``) a credit for energy given back."""
    given = charge.given
    export = charge.kind == "export"
    channels = (EXPORT,) if export else charge.channels()
    schedule = charge.schedule()
    when = charge.when()
    index: IndexPrice | None = None
    tiers: Tiers | None = None
    limits: ByCell[Amounts] | None = charge.reader.same(())
    if "index" in given:
        for key in ("price", "tiers"):
            if key in given:
                given[key].refuse(f"a charge at an index price has no {key!r}")
        index, price = _read_index(charge, given["index"], schedule)
    else:
        if "price" not in given:
            charge.clause.refuse("'price' is missing")
        tiers, limits, price = _read_tiered(charge, schedule)
    if price is None or limits is None or schedule is None:
        return None
    made = EnergyCharge(
        name=charge.name,
        clause=charge.path,
        channels=channels,
        export=export,
        schedule=schedule,
        prices=price.values,
        limits=limits.values,
        lines=numbered(price.keys),
        tiers=tiers,
        index=index,
        when=when,
    )
    _refuse_order_across_channels(charge, made)
    return made


def _refuse_order_across_channels(charge: ChargeClause, made: EnergyCharge) -> None:
    """Channels arrive one by one: what is counted in the order of time cannot be of several together."""
    tiers = made.tiers
    if len(made.channels) == 1 or tiers is None or tiers.allocation != "chronological":
        return
    if tiers.counter == "all_periods" or made.order_matters(charge.reader.cells):
        charge.given["tiers"].refuse(
            "chronological tiers cannot count several channels together: say counter per_channel, or pro_rata"
        )


def place(cell: Cell, schedule: int) -> str:
    """A cell as an author knows it."""
    return " ".join(part for part in (cell.season, cell.in_schedule(schedule)) if part is not None)


# --- prices and tiers ------------------------------------------------------------------------------------------------


def _read_tiered(
    charge: ChargeClause, schedule: int | None
) -> tuple[Tiers | None, ByCell[Amounts] | None, ByCell[Amounts] | None]:
    """The tiers, the limits and the prices of a charge."""
    given, reader = charge.given, charge.reader
    if "tiers" not in given:
        price = reader.read(given.get("price"), "price", one_price, schedule=schedule)
        if price is not None:
            charge.document["price"] = price.document
        return None, reader.same(()), price
    clause = given["tiers"]
    tiered = clause.fields(
        known=("counter", "basis", "starts", "allocation", "limits", "per", "adders", "proration", "rounding"),
        required=("counter", "basis", "allocation", "limits"),
    )
    document: dict[str, Any] = {}
    tiers = _read_counting(clause, document)
    limits = reader.read(tiered.get("limits"), "limits", read_limits, schedule=schedule)
    adders = reader.read(tiered.get("adders"), "adders", read_prices, schedule=schedule)
    leaf = _base_price if "adders" in tiered else read_prices
    price = reader.read(given.get("price"), "price", leaf, schedule=schedule)
    if limits is None or price is None or schedule is None or ("adders" in tiered and adders is None):
        return tiers, None, None
    document["limits"] = limits.document
    charge.document["tiers"] = document
    charge.document["price"] = price.document
    if adders is not None:
        document["adders"] = adders.document
        fault = count_fault(reader.cells, schedule, adders.values, limits.values, "adders")
        if fault is not None:
            tiered["adders"].refuse(fault)
            return tiers, None, None
        price = _added(price, adders)
    fault = count_fault(reader.cells, schedule, price.values, limits.values, "prices")
    if fault is not None:
        given["price"].refuse(fault)
        return tiers, None, None
    return tiers, limits, price


def _added(price: ByCell[Amounts], adders: ByCell[Amounts]) -> ByCell[Amounts]:
    with localcontext(prec=_DIGITS):
        values = tuple(
            tuple(base + adder for adder in more) for (base,), more in zip(price.values, adders.values, strict=True)
        )
    return ByCell(values, joint_keys(price.keys, adders.keys), price.document)


def count_fault(
    cells: Sequence[Cell], schedule: int, prices: Sequence[Amounts], limits: Sequence[Amounts], what: str
) -> str | None:
    """Where there are not as many prices as tiers, if anywhere."""
    for cell, values, bounds in zip(cells, prices, limits, strict=True):
        if len(values) != len(bounds) + 1:
            where = place(cell, schedule)
            return f"{len(bounds) + 1} {what} are expected for {where}, one a tier; {len(values)} are given"
    return None


def _numbers(clause: Clause) -> Amounts | None:
    numbers = [item.number() for item in clause.items()]
    found = tuple(number for number in numbers if number is not None)
    if not numbers:
        clause.refuse("at least one number is expected")
    return found if found and len(found) == len(numbers) else None


def one_price(clause: Clause) -> tuple[Amounts, str] | None:
    """One price, where there are no tiers."""
    if clause.is_list:
        clause.refuse("several prices need 'tiers'")
        return None
    return _one_number(clause)


def _base_price(clause: Clause) -> tuple[Amounts, str] | None:
    if clause.is_list:
        clause.refuse("one price is expected: 'adders' say what each tier adds to it")
        return None
    return _one_number(clause)


def _one_number(clause: Clause) -> tuple[Amounts, str] | None:
    number = clause.number()
    return None if number is None else ((number,), plain_number(number))


def read_prices(clause: Clause) -> tuple[Amounts, list[str]] | None:
    """A price for each tier."""
    found = _numbers(clause)
    return None if found is None else (found, [plain_number(number) for number in found])


def read_limits(clause: Clause) -> tuple[Amounts, list[str]] | None:
    """The upper bounds of all tiers but the last."""
    numbers = [item.number() for item in clause.items()]
    limits = tuple(number for number in numbers if number is not None)
    if len(limits) != len(numbers):
        return None
    if any(limit <= 0 for limit in limits) or any(low >= high for low, high in pairwise(limits)):
        clause.refuse("limits must be above zero, each higher than the one before")
        return None
    return limits, [plain_number(limit) for limit in limits]


def _read_counting(clause: Clause, document: dict[str, Any]) -> Tiers | None:
    """How tiers are counted; the canonical words go into ``document``."""
    if not clause.is_mapping:
        return None
    before = len(clause.faults.found)
    # Unknown and missing members were noted when the prices were read.
    members = {key: member for key, member in clause.entries().items() if member.value is not None}
    words: dict[str, str | None] = {}
    for key, choices in (("counter", _COUNTERS), ("allocation", _ALLOCATIONS), ("per", _LIMITS_PER)):
        words[key] = members[key].one_of(choices) if key in members else None
    basis, months = _read_basis(members.get("basis"))
    starts = _read_starts(members.get("starts"), basis)
    proration = _read_cut(clause, members.get("proration"), basis, document)
    rounding: Places | None = None
    if "rounding" in members and (places := read_places(members["rounding"], most=ENERGY_PLACES)) is not None:
        rounding, document["rounding"] = places
    if words["per"] == "demand_kw" and words["allocation"] == "chronological":
        members["per"].refuse("tiers per demand_kw are not chronological: the demand is known when the month is over")
    document.update({key: word for key, word in words.items() if word is not None})
    document["basis"] = {"rolling": str(months)} if basis == "rolling" else basis
    if starts != 1:
        document["starts"] = f"{starts:02d}-01"
    if len(clause.faults.found) > before or words["counter"] is None or words["allocation"] is None or basis is None:
        return None
    return Tiers(
        counter=cast("Counter", words["counter"]),
        basis=basis,
        allocation=cast("Allocation", words["allocation"]),
        proration=proration,
        months=months,
        starts=starts,
        per=cast("LimitPer | None", words["per"]),
        rounding=rounding,
    )


def _read_cut(around: Clause, clause: Clause | None, basis: Basis | None, document: dict[str, Any]) -> Proration:
    """How the limits are cut; it must be said, but for daily ones, which are for the days of the bill."""
    read = None if clause is None else read_proration(clause)
    if clause is not None and basis == "day":
        clause.refuse("a daily basis is for the days of the bill; it needs no proration")
    elif clause is None and basis is not None and basis != "day":
        around.refuse(f"'proration' is missing: are a {basis}'s limits cut by 'days' in a short bill, or 'none'?")
    if read is None:
        return BY_DAYS
    document["proration"] = read[1]
    return read[0]


def _read_basis(clause: Clause | None) -> tuple[Basis | None, int]:
    """The basis, and of a rolling one the months."""
    if clause is None:
        return None, 0
    if not clause.is_mapping:
        if clause.value == "rolling":
            clause.refuse("of how many months? {rolling: 12} is expected")
            return None, 0
        return cast("Basis | None", clause.one_of(_BASES, also="{rolling: N}")), 0
    given = clause.fields(known=("rolling",), required=("rolling",))
    months = given["rolling"].whole(1, _MOST_ROLLED) if "rolling" in given else None
    return (None, 0) if months is None else ("rolling", months)


def _read_starts(clause: Clause | None, basis: Basis | None) -> int:
    if clause is None:
        return 1
    if basis is not None and basis not in {"year", "quarter"}:
        clause.refuse("only a year and its quarters have a first month")
    return read_first_of_month(clause, "a year's start") or 1


# --- index prices ----------------------------------------------------------------------------------------------------


def _read_index(
    charge: ChargeClause, clause: Clause, schedule: int | None
) -> tuple[IndexPrice | None, ByCell[Amounts] | None]:
    """A price from a published series, and a price of 0 branched as the author did."""
    before = len(clause.faults.found)
    given = clause.fields(
        known=("series", "scale", "adder", "cap", "floor", "missing"),
        required=("series",),
    )
    reader = charge.reader
    series = given.text("series")
    scale = reader.same((Decimal(1),), "1")
    adder = reader.same((Decimal(0),), "0")
    read = {
        key: reader.read(given.get(key), key, _one_number, schedule=schedule) if key in given else usual
        for key, usual in (("scale", scale), ("adder", adder))
    }
    cap, floor = given.number("cap"), given.number("floor")
    if cap is not None and floor is not None and cap < floor:
        given["cap"].refuse(f"the cap is below the floor, which is {plain_number(floor)}")
    missing, estimate = _read_missing(given.get("missing"))
    found_scale, found_adder = read["scale"], read["adder"]
    if len(clause.faults.found) > before or series is None or found_scale is None or found_adder is None:
        return None, None
    written: dict[str, Any] = {"series": series}
    written |= {
        key: found.document
        for key, found, usual in (("scale", found_scale, "1"), ("adder", found_adder, "0"))
        if found.document != usual
    }
    written |= {key: plain_number(bound) for key, bound in (("cap", cap), ("floor", floor)) if bound is not None}
    if estimate is not None:
        written["missing"] = {"estimate": plain_number(estimate)}
    elif missing != "refuse":
        written["missing"] = missing
    charge.document["index"] = written
    numbers = [value for (value,) in (*found_scale.values, *found_adder.values)]
    numbers += [number for number in (cap, floor, estimate) if number is not None]
    if any(int(number.as_tuple().exponent) < -_INDEX_PLACES for number in numbers):
        charge.given["index"].refuse(f"published prices are counted with up to {_INDEX_PLACES} places")
    index = IndexPrice(
        series=series,
        scale=tuple(value for (value,) in found_scale.values),
        adder=tuple(value for (value,) in found_adder.values),
        cap=cap,
        floor=floor,
        missing=missing,
        estimate=estimate,
    )
    keys = joint_keys(found_scale.keys, found_adder.keys)
    return index, ByCell(((Decimal(0),),) * len(keys), keys, None)


def _read_missing(clause: Clause | None) -> tuple[MissingPrice, Decimal | None]:
    """What to do where the series has no value: refuse, when nothing is said."""
    if clause is None:
        return "refuse", None
    if clause.is_mapping:
        given = clause.fields(known=("estimate",), required=("estimate",))
        return "estimate", given.number("estimate")
    word = clause.one_of(("refuse", "last"), also="{estimate: PRICE}")
    return cast("MissingPrice", word or "refuse"), None
