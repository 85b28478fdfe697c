"""A population rated at once is rated as each customer alone, to the last digit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.tariffs import (
    NO_SIGNALS,
    ChargeLine,
    Fact,
    IndexPriceMissing,
    IndexPrices,
    NegativeEnergy,
    Rating,
    Signals,
    Tariff,
    parse_tariff,
    rate,
)
from wattledger.tariffs import _bulk_numba as numba_kernels
from wattledger.tariffs._bulk import BlockDoesNotFit, Engine, EngineNotInstalled, RatedBlock, rate_many
from wattledger.tariffs._bulk_exact import Column, rounded
from wattledger.tariffs._exact import rounded as rounded_one
from wattledger.tariffs._model import RoundingMode

FACTS: dict[str, Fact] = {"contracted_kw": Decimal("4.5"), "persons": 3, "pensioner": True}
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
    signals: Signals = NO_SIGNALS

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
        return rate(tariff=self.tariff, series=series, period=self.period, facts=FACTS, signals=self.signals)

    def check(self, engine: Engine) -> RatedBlock:
        found = self.at_once(engine)
        for row in range(len(self.block)):
            bill = self.alone(row)
            assert found.lines_of(row) == _without_at(bill), row
            assert int(found.totals[row]) == bill.total.micro
            channels = bill.expected // found.expected  # energy given back counts as a channel of its own
            assert (channels * found.expected, channels * found.missing[row]) == (bill.expected, bill.missing)
            assert sum(int(line.amounts[row]) for line in found.lines) == bill.total.micro
        return found


def _without_at(bill: Rating) -> tuple[ChargeLine, ...]:
    return tuple(replace(line, at=None) for line in bill.lines)


money = st.decimals(min_value=0, max_value=9, places=3).map(str)
above_zero = st.decimals(min_value=Decimal("0.001"), max_value=9, places=3).map(str)
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
        charge["price"] = {name: [draw(above_zero), draw(money)] for name in names}
        charge["limits"] = [draw(st.sampled_from(["0.5", "1", "3"]))]
    else:
        charge["price"] = draw(
            st.one_of(above_zero, st.fixed_dictionaries({**dict.fromkeys(names, money), "b": above_zero}))
        )
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
def watched_charges(draw: st.DrawFn) -> list[dict[str, Any]]:
    charges: list[dict[str, Any]] = []
    if draw(st.booleans()):
        index = {"series": "spot", "scale": "1.05", "adder": "0.13", "cap": "0.9", "missing": "last"}
        charges.append({"name": "market", "kind": "energy", "index": index})
    if draw(st.booleans()):
        charges.append({"name": "watch", "kind": "load", "over": "1.2", "window": 60, "action": "notice"})
    return charges


@st.composite
def other_charges(draw: st.DrawFn, energy_charge: dict[str, Any]) -> list[dict[str, Any]]:
    per = draw(st.sampled_from(["day", "month", "bill", "quarter", "year"]))
    fixed: dict[str, Any] = {"name": "fixed", "kind": "fixed", "price": draw(money), "per": per}
    if per not in {"day", "bill"}:
        fixed["proration"] = draw(proration)
    if draw(st.booleans()):
        fixed["times"] = "contracted_kw"
    if draw(st.booleans()):
        fixed["when"] = {"usage": {"over": draw(st.sampled_from(["0", "100"])), "up_to": "700"}}
    charges = [fixed, *draw(watched_charges())]
    if draw(st.booleans()):
        energy_charge["when"] = {"facts": {"persons": {"over": "2"}}, "usage": {"over": "20", "proration": "days"}}
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
    return charges


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"id": "any", "version": "1", "currency": "EUR", "zone": draw(st.sampled_from(ZONES))}
    names = draw(by_period)
    document["periods"] = {"a": {"times": draw(st.sampled_from(["16:00-21:00", "22:30-06:00", "07:10-09:20"]))}}
    if len(names) > 2:
        document["events"] = ["critical"]
        document["periods"]["c"] = {"events": "critical", "times": "10:00-18:30"}
    document["periods"]["b"] = "otherwise"
    charges = [draw(energy(names))]
    charges += [{**draw(demand(names)), "name": f"demand {n}"} for n in range(draw(st.integers(0, 2)))]
    charges += draw(other_charges(charges[0]))
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
    hours = [first + timedelta(hours=hour) for hour in range(-1, 900)]
    spot = [
        (at, Decimal(int(price)).scaleb(-3)) for at, price in zip(hours, random.integers(-200, 700, 901), strict=True)
    ]
    day = period.start + timedelta(days=draw(st.integers(0, 20)), hours=3)
    events = {"critical": (Period(day, day + timedelta(hours=draw(st.integers(1, 30)))),)}
    signals = Signals(events=events, prices={"spot": IndexPrices.of(spot, seconds=3600)})
    decimals = draw(st.sampled_from([3, 3, 0, 9]))
    return Population(tariff, block, first, seconds, decimals, missing, period, signals)


same_engine = [HealthCheck.function_scoped_fixture]  # one engine for all examples


@settings(max_examples=150, deadline=None, suppress_health_check=same_engine)
@given(population=populations())
def test_a_population_is_rated_as_each_customer_alone(engine: Engine, population: Population) -> None:
    assert population.check(engine).vectorised


numbers = st.sampled_from([1, 10**3, 10**9, 2**40, 2**58])


@given(
    data=st.data(),
    size=numbers,
    unit=st.fractions(min_value=Fraction(1, 10**6), max_value=10**6).filter(bool),
    factor=st.fractions(min_value=-(10**4), max_value=10**4).filter(bool),
    mode=st.sampled_from(MODES),
)
def test_a_column_is_rounded_as_each_number_alone(
    data: st.DataObject, size: int, unit: Fraction, factor: Fraction, mode: RoundingMode
) -> None:
    shared = data.draw(st.booleans())
    values = data.draw(st.lists(st.integers(0 if shared else -size, size), min_size=1, max_size=5))
    over = data.draw(st.lists(st.integers(1, size), min_size=len(values), max_size=len(values))) if shared else None
    column = Column(np.array(values), unit, None if over is None else np.array(over))
    expected = [
        rounded_one(value * scale.numerator, scale.denominator, mode)
        for value, scale in zip(values, [unit * factor / whole for whole in over or [1] * len(values)], strict=True)
    ]
    assert rounded(column, factor, mode).tolist() == expected


@pytest.mark.parametrize("mode", MODES)
def test_halves_are_rounded_as_named(mode: RoundingMode) -> None:
    halves = np.arange(-7, 8)
    expected = [rounded_one(value, 2, mode) for value in halves.tolist()]
    assert rounded(Column(halves, Fraction(1, 2)), Fraction(1), mode).tolist() == expected
    assert rounded(Column(halves * 10**17, Fraction(1, 2 * 10**17)), Fraction(1), mode).tolist() == expected
    positive = np.abs(halves)
    shared = Column(positive * 3, Fraction(1, 2), np.full(len(halves), 3))
    assert rounded(shared, Fraction(1), mode).tolist() == [rounded_one(value, 2, mode) for value in positive.tolist()]


JUNE = Period(datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))


def june(tariff: Tariff, block: NDArray[Any], **more: Any) -> Population:  # noqa: ANN401 - members of a population
    asked = {"start": JUNE.start, "seconds": 3600, "decimals": 3, "missing": None, "period": JUNE, **more}
    return Population(tariff=tariff, block=block, **asked)


def hourly(customers: int = 3, most: int = 2000) -> NDArray[np.int32]:
    return np.random.default_rng(7).integers(0, most, (customers, 720)).astype(np.int32)


PERIODS = {"a": {"times": "16:00-21:00"}, "b": "otherwise"}


@pytest.mark.parametrize("allocation", ["chronological", "pro_rata", "reached_slab"])
@pytest.mark.parametrize("counter", ["all_periods", "per_period"])
def test_who_is_at_a_limit_is_not_beyond_it(
    tariff_of: Callable[..., Tariff], engine: Engine, allocation: str, counter: str
) -> None:
    tiers = {"counter": counter, "basis": "month", "allocation": allocation, "proration": "none", "limits": ["5", "20"]}
    price = {"a": ["0.1", "0.2", "0.3"], "b": ["0.11", "0.22", "0.33"]}
    tariff = tariff_of(periods=PERIODS, charges=[{"name": "energy", "kind": "energy", "tiers": tiers, "price": price}])
    block = np.zeros((9, 720), dtype=np.int32)
    for row, wh in enumerate((0, 4_999, 5_000, 5_001, 19_999, 20_000, 20_001, 24_000, 40_000)):
        block[row, 10:20] = wh // 10  # from 10:00, and so over both periods
        block[row, 10] += wh % 10
    assert june(tariff, block).check(engine).vectorised


# --- what is rated one by one -----------------------------------------------------------------------------------------

SLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "sliding": ("sliding", {"kind": "demand", "price": "2", "window": {"minutes": 120, "sliding": True}}),
    "mean": ("mean_of_highest", {"kind": "demand", "price": "2", "window": 60, "statistic": {"mean_of_highest": 3}}),
    "load": ("watched", {"kind": "load", "over": "1.2", "window": 60, "duration": 120, "adder": "0.5"}),
    "per kW": (
        "per kW",
        {
            "kind": "energy",
            "price": ["0.1", "0.2"],
            "tiers": {
                "counter": "all_periods",
                "basis": "month",
                "allocation": "pro_rata",
                "proration": "none",
                "limits": ["100"],
                "per": "demand_kw",
            },
        },
    ),
    "year": ("year", {"kind": "minimum", "price": "900", "per": "year", "covers": ["energy"], "starts": "07-01"}),
}


@pytest.mark.parametrize("clause", SLOW)
def test_what_has_no_form_for_many_is_rated_one_by_one_and_said(
    clause: str, tariff_of: Callable[..., Tariff], engine: Engine
) -> None:
    reason, charge = SLOW[clause]
    energy = {"name": "energy", "kind": "energy", "price": {"a": "0.3", "b": "0.1"}}
    tax = {"name": "tax", "kind": "tax", "rate": "5", "of": "all", "on": "line"}
    tariff = tariff_of(periods=PERIODS, charges=[energy, {"name": "other", **charge}, tax])
    block = hourly()
    block[1] = 0
    found = june(tariff, block).check(engine)
    assert not found.vectorised
    assert reason in (found.one_by_one or "")


def test_energy_given_back_is_rated_one_by_one(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    energy = {"name": "energy", "kind": "energy", "price": "0.3"}
    tariff = tariff_of(charges=[energy, {"name": "feed-in", "kind": "export", "price": "0.05"}])
    assert june(tariff, hourly()).check(engine).vectorised
    assert not june(tariff, hourly() - 500).check(engine).vectorised


def test_a_published_price_may_be_missing_where_no_reading_is(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    tariff = tariff_of(charges=[{"name": "market", "kind": "energy", "index": {"series": "spot"}}])
    prices = IndexPrices.of([(JUNE.start, "0.2"), (JUNE.start + timedelta(hours=2), "0.3")], seconds=3600)
    signals = Signals(prices={"spot": prices})
    missing = np.ones((3, 720), dtype=np.bool_)
    missing[:, [0, 2]] = False
    found = june(tariff, hourly(), missing=missing, signals=signals).check(engine)
    assert "no price of spot" in (found.one_by_one or "")
    missing[2, 1] = False
    with pytest.raises(IndexPriceMissing):
        june(tariff, hourly(), missing=missing, signals=signals).at_once(engine)


def test_published_prices_of_many_digits_are_exact(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    tariff = tariff_of(charges=[{"name": "market", "kind": "energy", "index": {"series": "spot", "missing": "last"}}])
    prices = IndexPrices.of([(JUNE.start, "12.345678901"), (JUNE.start + timedelta(hours=2), "1")])
    assert june(tariff, hourly(), signals=Signals(prices={"spot": prices})).check(engine).vectorised
    found = june(tariff, hourly(most=2**30), signals=Signals(prices={"spot": prices})).check(engine)
    assert "64 bits" in (found.one_by_one or "")


def test_sums_beyond_64_bits_are_rated_one_by_one(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    block = hourly().astype(np.int64)
    block[1] = 2**62
    with np.errstate(over="ignore"):
        found = june(tariff_of(), block).check(engine)
    assert not found.vectorised
    assert int(found.totals[1]) > 2**64


def test_amounts_beyond_64_bits_are_exact(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    tariff = tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "99999999.12345678"}])
    block = np.full((2, 720), 2**31 - 1, dtype=np.int32)
    block[0] = 3
    found = june(tariff, block, decimals=0).check(engine)
    assert found.vectorised
    assert int(found.totals[1]) > 2**64


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_the_first_row_below_zero_is_named(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    block = np.zeros((20_000, 24), dtype=np.int32)
    block[17_003, 5] = block[19_000, 1] = -4
    with pytest.raises(NegativeEnergy, match=r"^row 17003: the interval from 2025-06-01T05:00"):
        rate_many(tariff=tariff_of(), block=block, start=JUNE.start, seconds=3600, engine=engine)
    missing = block < 0
    found = rate_many(tariff=tariff_of(), block=block, start=JUNE.start, seconds=3600, missing=missing, engine=engine)
    assert found.missing.nonzero()[0].tolist() == [17_003, 19_000]


def test_every_batch_of_a_large_block_is_rated(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    block = np.arange(20_000 * 24, dtype=np.int32).reshape(20_000, 24) % 700
    found = rate_many(tariff=tariff_of(), block=block, start=JUNE.start, seconds=3600, engine=engine)
    assert found.totals.tolist() == [
        rounded_one(int(used) * 10**2, 10**4, "half_up") * 10**4 for used in block.sum(axis=1)
    ]
    assert found.vectorised


def test_what_must_be_copied_is_rated_piece_by_piece(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    block = np.arange(8_000 * 744, dtype=np.int32).reshape(8_000, 744) % 700
    missing = block % 7 == 3
    used = np.where(missing, 0, block).sum(axis=1, dtype=np.int64)
    assert block.size > 2**22
    found = rate_many(tariff=tariff_of(), block=block, start=JUNE.start, seconds=3600, missing=missing, engine=engine)
    assert found.totals.tolist() == [rounded_one(wh * 10**2, 10**4, "half_up") * 10**4 for wh in used.tolist()]
    assert found.missing.tolist() == missing.sum(axis=1).tolist()
    block[7_003, 5], missing[7_003, 5] = -1, False
    with pytest.raises(NegativeEnergy, match=r"^row 7003: "):
        rate_many(tariff=tariff_of(), block=block, start=JUNE.start, seconds=3600, missing=missing, engine=engine)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_whole_numbers_in_any_order_do(
    tariff_of: Callable[..., Tariff], engine: Engine, dtype: type, order: Literal["C", "F"]
) -> None:
    block: NDArray[Any] = np.asarray(hourly(most=120), dtype=dtype, order=order)
    wide: NDArray[Any] = np.zeros((3, 2 * 720), dtype=dtype)[:, ::2]
    wide[...] = block
    tariff = tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "0.37"}])
    assert june(tariff, block).check(engine).totals.tolist() == june(tariff, wide).at_once(engine).totals.tolist()


def test_nobody_is_a_population_too(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    found = june(tariff_of(), hourly(0)).at_once(engine)
    assert (found.totals.tolist(), found.lines, found.missing.tolist()) == ([], (), [])


def test_a_block_beside_the_period_is_all_missing(tariff_of: Callable[..., Tariff], engine: Engine) -> None:
    fixed = {"name": "fixed", "kind": "fixed", "price": "9", "per": "month", "proration": "none"}
    energy = {"name": "energy", "kind": "energy", "price": "0.37"}
    population = june(tariff_of(charges=[energy, fixed]), hourly(2)[:, :48], start=datetime(2025, 7, 1, tzinfo=UTC))
    found = population.at_once(engine)
    assert found.totals.tolist() == [9_000_000] * 2
    assert (found.expected, found.missing.tolist()) == (720, [720, 720])


@pytest.mark.parametrize(
    ("block", "more"),
    [
        (np.zeros(720, dtype=np.int32), {}),
        (np.zeros((2, 720)), {}),
        (np.zeros((2, 720), dtype=np.uint64), {}),
        (np.zeros((2, 720), dtype=np.int32), {"missing": np.zeros((2, 719), dtype=np.bool_)}),
        (np.zeros((2, 720), dtype=np.int32), {"missing": np.zeros((2, 720), dtype=np.int32)}),
        (np.zeros((2, 720), dtype=np.int32), {"decimals": 10}),
        (np.zeros((2, 720), dtype=np.int32), {"seconds": 0}),
    ],
)
def test_what_is_no_block_is_refused(
    tariff_of: Callable[..., Tariff], block: NDArray[Any], more: dict[str, Any]
) -> None:
    with pytest.raises(BlockDoesNotFit):
        june(tariff_of(), block, **more).at_once("numpy")


@pytest.mark.parametrize("more", [{"block": [[1, 2], [3, 4]]}, {"missing": [[False, True]]}])
def test_a_block_that_is_a_list_is_refused(tariff_of: Callable[..., Tariff], more: dict[str, Any]) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    told: dict[str, Any] = {"block": np.ones((1, 2), dtype=np.int64), **more}
    with pytest.raises(BlockDoesNotFit, match="is a list, not a NumPy array"):
        rate_many(tariff=tariff_of(), start=start, seconds=3600, **told)


def test_an_engine_that_nobody_knows_is_refused(tariff_of: Callable[..., Tariff]) -> None:
    start, block = datetime(2026, 6, 1, tzinfo=UTC), np.ones((1, 2), dtype=np.int64)
    cuda: Any = "cuda"
    with pytest.raises(EngineNotInstalled, match="there is no engine 'cuda'; there are auto, numpy, numba"):
        rate_many(tariff=tariff_of(), block=block, start=start, seconds=3600, engine=cuda)


def test_an_engine_that_is_not_there_is_refused(
    tariff_of: Callable[..., Tariff], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise ModuleNotFoundError("numba")

    monkeypatch.setattr(numba_kernels, "kernels", absent)
    with pytest.raises(EngineNotInstalled, match=r"wattledger\[fast\]"):
        june(tariff_of(), hourly()).at_once("numba")
    assert june(tariff_of(), hourly()).check("auto").vectorised
