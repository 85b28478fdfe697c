"""A population rated at once is rated as each customer alone, to the last digit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.tariffs import NegativeEnergy, Rating, Tariff, parse_tariff, rate
from wattledger.tariffs import _bulk_numba as numba_kernels
from wattledger.tariffs._bulk import BlockDoesNotFit, Engine, EngineNotInstalled, RatedBlock, rate_many
from wattledger.tariffs._bulk_exact import Column, rounded
from wattledger.tariffs._exact import rounded as rounded_one
from wattledger.tariffs._model import RoundingMode

FACTS = {"contracted_kw": Decimal("4.5"), "persons": 3, "pensioner": True}
ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe")
MONTHS = ((2024, 2), (2025, 3), (2025, 4), (2025, 10), (2025, 11), (2025, 12))
MODES = ("half_up", "half_even", "half_down", "up", "down")


@pytest.fixture(params=["numpy", "numba"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "numba":
        try:
            numba_kernels.kernels()
        except ModuleNotFoundError:
            pytest.skip("Numba is not installed")
    chosen: Engine = request.param
    return chosen


class Population(NamedTuple):
    tariff: Tariff
    block: NDArray[Any]
    start: datetime
    seconds: int
    decimals: int
    missing: NDArray[np.bool_] | None
    period: Period

    def __repr__(self) -> str:  # a failing example should be read
        shape = (self.block.shape, self.block.dtype, self.seconds, self.decimals, self.missing is not None)
        return f"Population({self.tariff.document}, {self.period}, {self.start}, {shape})"

    def at_once(self, engine: Engine) -> RatedBlock:
        return rate_many(**self._asdict(), facts=FACTS, engine=engine)

    def alone(self, row: int) -> Rating:
        starts = epoch(self.start) + self.seconds * np.arange(self.block.shape[1])
        known = np.ones(len(starts), dtype=np.bool_) if self.missing is None else ~self.missing[row]
        qualities = np.where(known, Quality.ACTUAL, Quality.MISSING).astype(np.uint8)
        series = IntervalSeries(starts, self.block[row].astype(np.int64), qualities, self.seconds, self.decimals)
        return rate(tariff=self.tariff, series=series, period=self.period, facts=FACTS)

    def check(self, engine: Engine) -> RatedBlock:
        found = self.at_once(engine)
        for row in range(len(self.block)):
            bill = self.alone(row)
            assert found.lines_of(row) == tuple(_without_at(bill)), row
            assert int(found.totals[row]) == bill.total.micro
            assert int(found.missing[row]) == bill.missing
            assert found.expected == bill.expected
            assert sum(int(line.amounts[row]) for line in found.lines) == bill.total.micro
        return found


def _without_at(bill: Rating) -> Any:  # noqa: ANN401 - lines
    from dataclasses import replace  # noqa: PLC0415 - only here

    return (replace(line, at=None) for line in bill.lines)


money = st.decimals(min_value=0, max_value=9, places=3).map(str)
any_price = st.decimals(min_value=-1, max_value=9, places=4).map(str)
proration = st.sampled_from(
    ["none", "days", "exact", {"standard_days": 30}, {"by": "days", "rounding": {"places": 4}}]
)  # fmt: skip
by_period = st.sampled_from([("a", "b"), ("a", "b", "c")])


@st.composite
def energy(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, Any]:
    charge: dict[str, Any] = {"name": "energy", "kind": "energy"}
    if draw(st.booleans()):
        charge["price"] = {name: draw(any_price) for name in names}
        return charge
    limits = sorted(draw(st.lists(st.integers(1, 400), min_size=1, max_size=3, unique=True)))
    basis = draw(st.sampled_from(["month", "bill", "quarter", "year", "day"]))
    charge["tiers"] = {
        "counter": draw(st.sampled_from(["all_periods", "per_period"])),
        "basis": basis,
        "allocation": draw(st.sampled_from(["chronological", "pro_rata", "reached_slab"])),
        "limits": [str(limit) for limit in limits],
    }
    if basis != "day":
        charge["tiers"]["proration"] = draw(proration)
    if draw(st.booleans()):
        charge["tiers"]["rounding"] = {"places": 0, "mode": "up"}
    if draw(st.booleans()):
        charge["tiers"]["per"] = draw(st.sampled_from(["person", "contracted_kw"]))
    charge["price"] = {name: [draw(any_price) for _ in range(len(limits) + 1)] for name in names}
    return charge


@st.composite
def demand(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, Any]:
    charge: dict[str, Any] = {"name": "demand", "kind": "demand", "proration": draw(proration)}
    charge["window"] = draw(st.sampled_from([15, 30, 60]))
    if draw(st.booleans()):
        charge["price"] = {name: [draw(money), draw(money)] for name in names}
        charge["limits"] = [draw(st.sampled_from(["0.5", "1", "3"]))]
    else:
        charge["price"] = draw(st.one_of(money, st.fixed_dictionaries(dict.fromkeys(names, money))))
    if draw(st.booleans()):
        charge["minimum"] = "1.5"
    if draw(st.booleans()):
        charge["contracted"] = {
            "kw": draw(st.sampled_from(["fact", "1"])),
            "billed": draw(st.sampled_from(["true", "false"])),
            "bands": [{"over": "105", "factor": "2"}, {"over": "125", "factor": "3.5"}],
        }
    if draw(st.booleans()):
        charge["rounding"] = {"places": 1, "mode": draw(st.sampled_from(["up", "half_even"]))}
    return charge


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"id": "any", "version": "1", "currency": "EUR", "zone": draw(st.sampled_from(ZONES))}
    names = draw(by_period)
    document["periods"] = {"a": {"times": draw(st.sampled_from(["16:00-21:00", "22:30-06:00", "07:10-09:20"]))}}
    if len(names) > 2:
        document["periods"]["c"] = {"times": "10:00-15:00"}
    document["periods"]["b"] = "otherwise"
    charges = [draw(energy(names))]
    charges += [{**draw(demand(names)), "name": f"demand {n}"} for n in range(draw(st.integers(0, 2)))]
    per = draw(st.sampled_from(["day", "month", "bill", "quarter", "year"]))
    fixed: dict[str, Any] = {"name": "fixed", "kind": "fixed", "price": draw(money), "per": per}
    if per not in {"day", "bill"}:
        fixed["proration"] = draw(proration)
    if draw(st.booleans()):
        fixed["times"] = "contracted_kw"
    if draw(st.booleans()):
        fixed["when"] = {"usage": {"over": draw(st.sampled_from(["0", "100"])), "up_to": "700"}}
    charges.append(fixed)
    if draw(st.booleans()):
        charges[0]["when"] = {"facts": {"persons": {"over": "2"}}, "usage": {"over": "20", "proration": "days"}}
    if draw(st.booleans()):
        charges.append(
            {"name": "minimum", "kind": "minimum", "price": "300", "per": "month", "covers": ["energy", "fixed"]}
        )
    if draw(st.booleans()):
        charges.append({"name": "off", "kind": "credit", "price": "40", "per": "month", "of": ["energy"], "most": "25"})
    if draw(st.booleans()):
        charges.append({"name": "share", "kind": "credit", "rate": "12.5", "of": ["energy", "fixed"]})
    if draw(st.booleans()):
        charges.append({"name": "feed-in", "kind": "export", "price": draw(any_price)})
    if draw(st.booleans()):
        line = {"on": "line"} if draw(st.booleans()) else {}
        charges.append({"name": "tax", "kind": "tax", "rate": "7.7", "of": ["energy", "fixed"], **line})
        charges.append({"name": "tax on tax", "kind": "percentage", "rate": "-3", "of": "all"})
    document["charges"] = charges
    places = draw(st.integers(0, 6))
    document["rounding"] = {"line": {"places": str(places), "mode": draw(st.sampled_from(MODES))}}
    if draw(st.booleans()):
        document["rounding"].update({"quantity": {"places": 1}, "price": {"places": 3}, "bill": {"places": 0}})
        document["rounding"]["tax"] = {"places": 2, "mode": "up"}
    return document


@st.composite
def populations(draw: st.DrawFn) -> Population:
    tariff = parse_tariff(draw(documents()), source="any")
    zone = zone_named(tariff.zone or "UTC")
    year, number = draw(st.sampled_from(MONTHS))
    start = datetime(year, number, 1, tzinfo=zone) + timedelta(days=draw(st.integers(0, 2)))
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone) + timedelta(days=draw(st.integers(-2, 9)))
    period = Period(start.astimezone(UTC), end.astimezone(UTC))
    seconds = draw(st.sampled_from([900, 1800, 3600]))
    first = period.start + timedelta(seconds=seconds * draw(st.integers(-3, 3)))
    intervals = period.seconds // seconds + draw(st.integers(-3, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    most = np.array([1, 700, 4000, draw(st.sampled_from([10, 10**9, 2**31 - 1]))])[:, None]
    dtype = draw(st.sampled_from([np.int32, np.int64, np.uint32]))
    block = random.integers(0, most, (4, intervals), endpoint=True).astype(dtype)
    missing = random.random(block.shape) < 0.05 if draw(st.booleans()) else None
    return Population(tariff, block, first, seconds, draw(st.sampled_from([3, 3, 0, 9])), missing, period)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=populations())
def test_a_population_is_rated_as_each_customer_alone(engine: Engine, population: Population) -> None:
    found = population.check(engine)
    windows = [c["window"] * 60 for c in population.tariff.document["charges"] if c["kind"] == "demand"]
    assert found.vectorised, (found.one_by_one, windows)
