"""Customer-months a second on one core: time-of-use prices, tiers and demand over a month of quarter-hours, exactly.

Beside it, in the same process, on the same core and the same readings: NREL's PySAM ``Utilityrate5`` with the same
tariff; Polars and DuckDB, which only add up by price period and find the maximum; and what the memory can deliver, a
plain int32 sum of the same block. Before anything is measured, a sample must equal the bills of one customer at a time
and agree with PySAM. What is not installed is left out, and said. ``--json`` prints the figures alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

CORE = max(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})
os.environ.update(dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, epoch
from wattledger.tariffs import Tariff, parse_tariff, rate
from wattledger.tariffs._bulk import Engine, RatedBlock, rate_many

CUSTOMERS = 32_768
FEWER = 512  # of the same customers, for those who would take too long
YEARS = 8  # for PySAM, which only rates whole years
SAMPLE = 48
ROUNDS = 7
SECONDS = 900
JUNE = Period(datetime(2018, 6, 1, tzinfo=UTC), datetime(2018, 7, 1, tzinfo=UTC))  # SAM's year begins on a Monday
YEAR = Period(datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))
INTERVALS = JUNE.seconds // SECONDS

LIMIT, FIXED = 600, "12.50"
ENERGY = {"peak": ["0.25413", "0.35207"], "off": ["0.15088", "0.22164"]}
DEMAND = {"peak": "9.53", "off": "2.71"}


def tariff_of(allocation: str) -> Tariff:
    """Two periods, two tiers by month, a maximum for each period, a monthly charge; unrounded but for micro-units."""
    tiers = {"counter": "all_periods", "basis": "month", "allocation": allocation, "proration": "none"}
    return parse_tariff(
        {
            "id": "benchmark",
            "version": "1",
            "currency": "USD",
            "zone": "UTC",
            "day_types": {"weekday": "mon-fri"},
            "periods": {"peak": {"days": "weekday", "times": "16:00-21:00"}, "off": "otherwise"},
            "charges": [
                {"name": "energy", "kind": "energy", "tiers": {**tiers, "limits": [str(LIMIT)]}, "price": ENERGY},
                {"name": "demand", "kind": "demand", "window": 15, "price": DEMAND, "proration": "none"},
                {"name": "fixed", "kind": "fixed", "price": FIXED, "per": "month", "proration": "none"},
            ],
            "rounding": {"line": {"places": "6"}},
        },
        source="benchmark",
    )


def readings() -> NDArray[np.int32]:
    """A month of watt-hours, one customer a row; some below the limit, most above."""
    random = np.random.default_rng(1)
    most = random.integers(200, 3000, (CUSTOMERS, 1))
    return random.integers(0, most, (CUSTOMERS, INTERVALS), dtype=np.int32)


def rated(tariff: Tariff, block: NDArray[np.int32], engine: Engine) -> RatedBlock:
    found = rate_many(tariff=tariff, block=block, start=JUNE.start, seconds=SECONDS, engine=engine)
    assert found.vectorised, found.one_by_one
    return found


def check_equal(tariff: Tariff, block: NDArray[np.int32], found: RatedBlock) -> None:
    """A sample's lines and totals are those of one customer at a time, to the last digit."""
    starts = epoch(JUNE.start) + SECONDS * np.arange(INTERVALS)
    for row in np.linspace(0, len(block) - 1, SAMPLE).astype(int).tolist():
        quality = np.ones(INTERVALS, dtype=np.uint8)
        series = IntervalSeries(starts, block[row].astype(np.int64), quality, SECONDS)
        bill = rate(tariff=tariff, series=series, period=JUNE)
        assert int(found.totals[row]) == bill.total.micro, row
        assert found.lines_of(row) == tuple(replace(line, at=None) for line in bill.lines), row


# --- the peers -------------------------------------------------------------------------------------------------------


def installed(name: str) -> Any:  # noqa: ANN401 - a module of which nothing is known
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def pysam(utility_rate: Any, block: NDArray[np.int32]) -> tuple[Callable[[], None], Callable[[], list[float]]]:  # noqa: ANN401 - as installed
    """Rates whole years of some customers, who use the same as in June all year; and their bills for June."""
    starts = np.arange(epoch(YEAR.start), epoch(YEAR.end), SECONDS)
    first = int(np.searchsorted(starts, epoch(JUNE.start)))
    of_june = (np.arange(len(starts)) - first) % INTERVALS
    loads = [(row[of_june] * (3600 / SECONDS / 1000)).tolist() for row in block[:YEARS]]
    schedule = [[2] * 16 + [1] * 5 + [2] * 3] * 12
    always_off = [[2] * 24] * 12
    model = utility_rate.new()
    prices = model.ElectricityRates
    prices.ur_metering_option = 0
    prices.ur_ec_sched_weekday = prices.ur_dc_sched_weekday = schedule
    prices.ur_ec_sched_weekend = prices.ur_dc_sched_weekend = always_off
    prices.ur_ec_tou_mat = [
        [period, tier, limit, 0, float(ENERGY[name][tier - 1]), 0]
        for period, name in ((1, "peak"), (2, "off"))
        for tier, limit in ((1, LIMIT), (2, 1e38))
    ]
    prices.ur_dc_enable = 1
    prices.ur_dc_tou_mat = [[1, 1, 1e38, float(DEMAND["peak"])], [2, 1, 1e38, float(DEMAND["off"])]]
    prices.ur_dc_flat_mat = [[month, 1, 1e38, 0] for month in range(12)]
    prices.ur_monthly_fixed_charge = float(FIXED)
    for name, value in {"ur_annual_min_charge": 0, "ur_monthly_min_charge": 0, "ur_sell_eq_buy": 0}.items():
        setattr(prices, name, value)
    for name in ("ur_en_ts_buy_rate", "ur_en_ts_sell_rate", "ur_nm_yearend_sell_rate", "ur_enable_billing_demand"):
        setattr(prices, name, 0)
    prices.rate_escalation = model.SystemOutput.degradation = [0]
    prices.en_electricity_rates = 1
    model.Lifetime.analysis_period, model.Lifetime.system_use_lifetime_output = 1, 0
    model.Lifetime.inflation_rate = 0
    model.SystemOutput.gen = [0.0] * len(starts)
    bills: list[float] = []

    def run() -> None:
        bills.clear()
        for load in loads:
            model.Load.load = load
            model.execute(0)
            bills.append(model.Outputs.year1_monthly_utility_bill_wo_sys[5])

    return run, lambda: bills


def periods_of_june() -> NDArray[np.int8]:
    """1 for the quarter-hours of the peak, 0 for the others."""
    starts = epoch(JUNE.start) + SECONDS * np.arange(INTERVALS)
    weekday = (starts // 86_400 + 3) % 7 < 5
    hour = starts % 86_400 // 3600
    return (weekday & (hour >= 16) & (hour < 21)).astype(np.int8)


def long_table(block: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    return {
        "customer": np.repeat(np.arange(FEWER, dtype=np.int32), INTERVALS),
        "period": np.tile(periods_of_june(), FEWER),
        "wh": block[:FEWER].reshape(-1),
    }


def in_polars(polars: Any, block: NDArray[np.int32]) -> Callable[[], Any]:  # noqa: ANN401 - as installed
    frame = polars.DataFrame(long_table(block)).lazy()
    wh = polars.col("wh")
    query = frame.group_by("customer", "period").agg(wh.cast(polars.Int64).sum().alias("sum"), wh.max().alias("max"))

    def run() -> Any:  # noqa: ANN401 - as installed
        return query.collect().sort("customer", "period")["sum"].to_numpy()

    return run


def in_duckdb(duckdb: Any, block: NDArray[np.int32]) -> Callable[[], Any]:  # noqa: ANN401 - as installed
    connection = duckdb.connect(config={"threads": 1})
    columns = long_table(block)
    connection.register("given", columns)
    connection.execute("create table reading as select * from given")
    query = "select sum(wh)::bigint as sum, max(wh) from reading group by customer, period order by customer, period"
    return lambda: connection.execute(query).fetchnumpy()["sum"]


# --- measuring -------------------------------------------------------------------------------------------------------


class Contest:
    """Takes turns, so that a busy moment of the machine falls on all; each one's best round counts."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[int, Callable[[], object]]] = {}
        self.best: dict[str, float] = {}

    def enter(self, name: str, customer_months: int, run: Callable[[], object]) -> None:
        run()  # compiles, imports and fills caches
        self.runs[name] = customer_months, run

    def hold(self) -> dict[str, int]:
        """Customer-months a second by name."""
        for _ in range(ROUNDS):
            for name, (months, run) in self.runs.items():
                begun = time.perf_counter()
                run()
                self.best[name] = max(self.best.get(name, 0), months / (time.perf_counter() - begun))
        return {name: round(best) for name, best in self.best.items()}


def figures() -> tuple[dict[str, int], list[str]]:
    """Customer-months a second by who did it, once all agree; and who was not there."""
    block = readings()
    shared, ordered = tariff_of("pro_rata"), tariff_of("chronological")
    contest, absent = Contest(), []
    contest.enter("memory", CUSTOMERS, lambda: block.sum(dtype=np.int32))
    engines: list[Engine] = ["numpy", "numba"] if installed("numba") else ["numpy"]
    absent += [] if installed("numba") else ["Numba"]
    plain = rated(shared, block, "numpy")
    for engine in engines:
        for tariff in (shared, ordered):
            check_equal(tariff, block, rated(tariff, block, engine))
        assert bool((rated(shared, block, engine).totals == plain.totals).all())
        contest.enter(engine, CUSTOMERS, lambda e=engine: rated(shared, block, e))  # type: ignore[misc]
        contest.enter(f"{engine}_chronological", CUSTOMERS, lambda e=engine: rated(ordered, block, e))  # type: ignore[misc]
    if (utility_rate := installed("PySAM.Utilityrate5")) is not None:
        run, bills = pysam(utility_rate, block)
        contest.enter("pysam", 12 * YEARS, run)
        for mine, theirs in zip(plain.totals.tolist(), bills(), strict=False):
            off = abs(Decimal(mine).scaleb(-6) - Decimal(theirs))
            assert off < Decimal("0.005"), f"PySAM says {theirs}, we say {mine} micro-units"
    else:
        absent.append("PySAM")
    peak = periods_of_june().astype(bool)
    sums = np.stack([block[:FEWER, ~peak].sum(axis=1), block[:FEWER, peak].sum(axis=1)], axis=1).reshape(-1)
    for name, table in (("polars", in_polars), ("duckdb", in_duckdb)):
        if (module := installed(name)) is not None:
            run_table = table(module, block)
            assert bool((run_table() == sums).all()), name
            contest.enter(name, FEWER, run_table)
        else:
            absent.append(name)
    return contest.hold(), absent


TITLES = {
    "numba": "Wattledger, Numba",
    "numba_chronological": "  its tiers in the order of time",
    "numpy": "Wattledger, NumPy alone",
    "numpy_chronological": "  its tiers in the order of time",
    "duckdb": "DuckDB (sums and maximum only)",
    "polars": "Polars (sums and maximum only)",
    "pysam": "PySAM Utilityrate5",
    "memory": "memory: an int32 sum, nothing else",
}


def main() -> None:
    options = argparse.ArgumentParser(
        description=" ".join(str(__doc__).split("\n\n", maxsplit=1)[0].split()),
        epilog="The reference implementations that are not installed are left out, and said.",
    )
    options.add_argument("--json", action="store_true", help="print the figures alone, as JSON")
    asked = options.parse_args()
    found, absent = figures()
    if asked.json:
        against = {
            f"{engine}_times_pysam": round(found[engine] / found["pysam"], 1)
            for engine in ("numpy", "numba")
            if engine in found and "pysam" in found
        }
        share = {
            f"{engine}_share_of_memory": round(found[engine] / found["memory"], 3)
            for engine in ("numpy", "numba")
            if engine in found
        }
        names = {f"{name}_customer_months_per_second": value for name, value in found.items()}
        print(
            json.dumps({"customers": CUSTOMERS, "intervals": INTERVALS, **names, **against, **share, "absent": absent})
        )
        return
    print(
        f"{CUSTOMERS:,} customers, a month of {INTERVALS:,} quarter-hours, one core, exact; customer-months a second:"
    )
    for name, title in TITLES.items():
        if name in found:
            times = f"{found[name] / found['pysam']:8,.0f} x PySAM" if "pysam" in found else ""
            print(f"  {title:36s} {found[name]:>11,}  {found[name] / found['memory']:6.1%} of memory {times}")
    for name in absent:
        print(f"  {name} is not installed and was left out")


if __name__ == "__main__":
    main()
