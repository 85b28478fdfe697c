"""Validation and estimation on real households: spikes found beside honest days flagged, errors of estimates, speed.

Spikes are put into one interval of a day, 3, 5 and 10 times as high as the day's highest; ours is beside the plain
ratio rule (P1 - P3) / P3, as it is and with a guard of 1 kWh, at the same share of honest home-days flagged, one
threshold for all homes. Estimates fill hidden gaps of the same homes. ``--json`` prints the figures alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, epoch, zone_named
from wattledger.readings import read_file
from wattledger.readings.vee import (
    Block,
    ClassRules,
    RegisterRead,
    check_block,
    estimate,
    shipped_rules,
    spike_limits,
)

LOADS = Path(__file__).parents[1].parent / "shared" / "data" / "loads"
HOMES = ("london_household_30min.csv", "uk_household_hourly.csv.gz")
TIMES = (3, 5, 10)
FLAGGED = (0.005, 0.01, 0.02, 0.03, 0.05, 0.10, 0.15)
APART = 57  # days: no spike is in the history of another
GAPS = 250
DAY = 86_400

Score = Callable[[Block], NDArray[np.float64]]
RULES: ClassRules = shipped_rules().of("import")


def homes() -> dict[str, IntervalSeries]:
    found = {}
    for name in HOMES:
        series = read_file(LOADS / name, zone=zone_named("UTC")).channels[0].series
        first = -(-int(series.starts[0]) // DAY) * DAY
        last = (int(series.starts[-1]) + series.seconds) // DAY * DAY
        found[name.partition("_h")[0]] = series.within(Period.of_epochs(first, last))
    return found


# --- spikes ----------------------------------------------------------------------------------------------------------


def ours(block: Block) -> NDArray[np.float64]:
    """The day's highest over what the rule expects of it; above the rule's limit, the day is flagged."""
    limits, third = spike_limits(block, rules=RULES)
    highest = days_of(block).max(axis=2)
    score = highest / limits * float(RULES.spike.limit)
    return np.where(highest - third > block.units(RULES.spike.guard_kwh), score, 0)


def ratio(block: Block, *, guard: Decimal = Decimal(0)) -> NDArray[np.float64]:
    """(P1 - P3) / P3 over 24 h, the plain rule."""
    ordered = np.sort(days_of(block), axis=2)
    highest, third = ordered[..., -1], ordered[..., -3]
    score = (highest - third) / np.maximum(third, 1)
    return np.where(highest - third > block.units(guard), score, 0)


def guarded(block: Block) -> NDArray[np.float64]:
    return ratio(block, guard=Decimal(1))


def days_of(block: Block) -> NDArray[np.int64]:
    days: NDArray[np.int64] = np.where(block.known, block.values, 0).astype(np.int64)
    return days.reshape(len(days), -1, block.per_day)


def injected(block: Block, times: int, rng: np.random.Generator) -> tuple[Block, NDArray[np.bool_]]:
    """The home ``APART`` times, each with another day in every ``APART`` spoilt; and which days those are."""
    count = block.values.shape[1] // block.per_day
    spoilt: NDArray[np.bool_] = np.equal.outer(np.arange(APART), np.arange(count) % APART)
    values = np.repeat(days_of(block), APART, axis=0)
    points, days = np.nonzero(spoilt)
    values[points, days, rng.integers(0, block.per_day, len(days))] = times * values[points, days].max(axis=1)
    return replace(block, values=values.reshape(APART, -1), qualities=np.repeat(block.qualities, APART, axis=0)), spoilt


def spikes(found: dict[str, IntervalSeries]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    scores: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    rules: dict[str, Score] = {"ours": ours, "ratio": ratio, "ratio, 1 kWh guard": guarded}
    shipped = {"honest": 0, "days": 0} | {f"{times}x": 0 for times in TIMES}
    for series in found.values():
        block = Block.of_series(series)
        whole = np.count_nonzero(block.known.reshape(-1, block.per_day), axis=1) == block.per_day
        cases = {"honest": (block, whole[None, :])}
        for times in TIMES:
            spoilt, where = injected(block, times, rng)
            cases[f"{times}x"] = (spoilt, where & whole)
        for case, (changed, judged) in cases.items():
            for name, score in rules.items():
                scores.setdefault(name, {}).setdefault(case, []).append(score(changed)[judged])
            shipped[case] += int(np.count_nonzero(scores["ours"][case][-1] > float(RULES.spike.limit)))
        shipped["days"] += int(whole.sum())
    curves = {}
    for name, cases_of_rule in scores.items():
        pooled = {case: np.concatenate(parts) for case, parts in cases_of_rule.items()}
        curves[name] = [
            {"flagged": share, "limit": round(limit, 3)}
            | {f"{times}x": round(float((pooled[f"{times}x"] > limit).mean()), 4) for times in TIMES}
            for share in FLAGGED
            for limit in (float(np.quantile(pooled["honest"], 1 - share)),)
        ]
    days = shipped.pop("days")
    return {
        "home_days": days,
        "curves": curves,
        "as_shipped": {case: round(count / days, 4) for case, count in shipped.items()},
    }


# --- estimates -------------------------------------------------------------------------------------------------------


def estimates(found: dict[str, IntervalSeries]) -> list[dict[str, Any]]:
    """Mean absolute error, in kWh per half-hour and as a share of the home's mean, of hidden gaps."""
    shapes = {
        "linear": replace(RULES, estimate=replace(RULES.estimate, linear_hours=Decimal(8000))),
        "like days": replace(RULES, estimate=replace(RULES.estimate, linear_hours=Decimal(0))),
        "as shipped": RULES,
    }
    rows = []
    for hours in (2, 4, 24):
        for home, series in found.items():
            rng = np.random.default_rng(hours)
            errors: dict[str, list[float]] = {}
            for near, gap in hidden(series, hours, rng):
                truth = near.values[gap]
                hole = Period.of_epochs(
                    int(near.starts[gap.start]), int(near.starts[gap.start]) + (gap.stop - gap.start) * near.seconds
                )
                left = near.picked(np.r_[0 : gap.start, gap.stop : len(near)])
                reads = [
                    RegisterRead(at=epoch(hole.start), value=0),
                    RegisterRead(at=epoch(hole.end), value=int(truth.sum())),
                ]
                for name, rules in shapes.items():
                    for scaled, registers in (("", []), (" scaled", reads)):
                        one = estimate(left, rules=rules, registers=registers)
                        guess = np.concatenate([part.values for part in one.filled])
                        assert not scaled or guess.sum() == truth.sum()
                        errors.setdefault(name + scaled, []).append(float(np.abs(guess - truth).mean()))
            half_hours = series.seconds / 1800 * 10**series.decimals
            mean = float(series.values.mean())
            rows += [
                {
                    "gap_hours": hours,
                    "home": home,
                    "method": method,
                    "gaps": len(values),
                    "kwh_per_half_hour": round(float(np.mean(values)) / half_hours, 4),
                    "of_mean": round(float(np.mean(values)) / mean, 3),
                }
                for method, values in errors.items()
            ]
    return rows


def hidden(series: IntervalSeries, hours: int, rng: np.random.Generator) -> Sequence[tuple[IntervalSeries, slice]]:
    """Gaps to hide: the series 40 days around each, and where in it the gap is. Nothing else lacks near it."""
    length, reach = hours * 3600 // series.seconds, 40 * DAY // series.seconds
    found: list[tuple[IntervalSeries, slice]] = []
    while len(found) < GAPS:
        first = int(rng.integers(reach, len(series) - reach - length))
        near = series.picked(slice(first - reach, first + length + reach))
        if int(near.starts[-1] - near.starts[0]) == (len(near) - 1) * series.seconds:
            found.append((near, slice(reach, reach + length)))
    return found


# --- speed -----------------------------------------------------------------------------------------------------------


def speed() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    values = rng.gamma(0.6, 200, (5000, 96 * 31)).astype(np.int32)
    qualities = np.ones(values.shape, dtype=np.uint8)
    qualities[rng.random(values.shape) < 1e-4] = 0
    block = Block(start=1_767_225_600, seconds=900, values=values, qualities=qualities)
    halves = [
        replace(block, values=values[rows], qualities=qualities[rows]) for rows in (slice(0, 2500), slice(2500, 5000))
    ]
    with ThreadPoolExecutor(2) as threads:
        return {
            "points": len(values),
            "intervals": values.size,
            "intervals_per_second": round(values.size / fastest(lambda: check_block(block, rules=RULES))),
            "intervals_per_second_2_threads": round(
                values.size / fastest(lambda: list(threads.map(lambda half: check_block(half, rules=RULES), halves)))
            ),
        }


def fastest(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> None:
    found = homes()
    result: dict[str, Any] = {"spikes": spikes(found), "estimates": estimates(found), "checks": speed()}
    if "--json" in sys.argv:
        print(json.dumps(result, indent=2))
        return
    told: dict[str, Any] = result["spikes"]
    print(f"Spikes found, {told['home_days']:,} home-days of {len(found)} homes, one threshold for all\n")
    print(f"  {'rule':<20}{'honest flagged':>15}{'limit':>9}" + "".join(f"{times:>7}x" for times in TIMES))
    for name, curve in told["curves"].items():
        for row in curve:
            shown = "".join(f"{row[f'{times}x']:>8.1%}" for times in TIMES)
            print(f"  {name:<20}{row['flagged']:>15.1%}{row['limit']:>9.2f}{shown}")
    shipped = told["as_shipped"]
    print(f"\n  as shipped (limit {RULES.spike.limit}): " + ", ".join(f"{case} {s:.1%}" for case, s in shipped.items()))
    print("\nHidden gaps: mean absolute error, kWh per half-hour (share of the home's mean)\n")
    for row in result["estimates"]:
        print(
            f"  {row['gap_hours']:>2} h  {row['home']:<8}{row['method']:<20}{row['kwh_per_half_hour']:>8.4f}"
            f"  ({row['of_mean']:.3f})"
        )
    checks: dict[str, Any] = result["checks"]
    one, two = (checks[f"intervals_per_second{threads}"] / 1e6 for threads in ("", "_2_threads"))
    print(f"\nAll checks: {one:.1f} M intervals/s in one thread, {two:.1f} in two")


if __name__ == "__main__":
    main()
