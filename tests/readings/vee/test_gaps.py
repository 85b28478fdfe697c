"""Gaps of whole blocks: the same estimates as series by series, whatever lacks and wherever the clock stands."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.readings import vee

RULES = vee.shipped_rules().of("import")
MARCH_2026 = 1_772_323_200  # 1 March 2026, 00:00 UTC; clocks in Europe turn on the 29th
ZONES = ("UTC", "Europe/London", "Asia/Shanghai", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham")


def block_of(days: int, *, seconds: int = 3600, points: int = 2, seed: int = 1, start: int = MARCH_2026) -> vee.Block:
    rng = np.random.default_rng(seed)
    shape = (points, days * 86_400 // seconds)
    return vee.Block(
        start=start,
        seconds=seconds,
        values=rng.integers(0, 900, shape).astype(np.int32),
        qualities=np.full(shape, Quality.ACTUAL, dtype=np.uint8),
    )


def one_by_one(block: vee.Block, rules: vee.ClassRules, zone: str) -> list[tuple[int, int, vee.Method, list[int]]]:
    starts = block.start + block.seconds * np.arange(block.values.shape[1], dtype=np.int64)
    found = []
    for row in range(len(block.values)):
        series = IntervalSeries(starts, block.values[row].astype(np.int64), block.qualities[row], block.seconds)
        for part in vee.estimate(series, rules=rules, zone=zone_named(zone)).filled:
            slot = (epoch(part.period.start) - block.start) // block.seconds
            found.append((row, slot, part.method, part.values.tolist()))
    return found


def together(block: vee.Block, rules: vee.ClassRules, zone: str) -> list[tuple[int, int, vee.Method, list[int]]]:
    found = vee.estimate_block(block, rules=rules, zone=zone_named(zone))
    at = found.offsets
    return [
        (
            int(found.points[n]),
            int(found.firsts[n]),
            vee.METHODS[found.methods[n]],
            found.values[at[n] : at[n + 1]].tolist(),
        )
        for n in range(len(found))
        if found.methods[n] != vee.UNFILLED
    ]


gaps = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30 * 24), st.integers(1, 60)), min_size=1, max_size=6)


@given(
    gaps=gaps,
    doubted=gaps,
    zone=st.sampled_from(ZONES),
    linear_hours=st.sampled_from(["0", "4", "30"]),
    like_days=st.integers(1, 4),
    reach_days=st.integers(1, 20),
    start=st.sampled_from([0, 3600, 19 * 3600]),
)
def test_a_block_is_estimated_as_its_series_are(
    gaps: list[tuple[int, int, int]],
    doubted: list[tuple[int, int, int]],
    zone: str,
    linear_hours: str,
    like_days: int,
    reach_days: int,
    start: int,
) -> None:
    block = block_of(33, start=MARCH_2026 + start)
    for row, first, length in doubted:
        block.qualities[row, first : first + length // 4] = Quality.SUSPECT
    for row, first, length in gaps:
        block.qualities[row, first : first + length] = Quality.MISSING
    block.values[1, 100:160] = 0  # an outage
    chosen = replace(
        RULES,
        estimate=replace(
            RULES.estimate, linear_hours=Decimal(linear_hours), like_days=like_days, reach_days=reach_days
        ),
    )
    assert together(block, chosen, zone) == one_by_one(block, chosen, zone)


@pytest.mark.parametrize("zone", ZONES)
def test_quarter_hours_around_the_change_of_the_clock(zone: str) -> None:
    block = block_of(33, seconds=900, points=1)
    block.qualities[0, 20 * 96 : 21 * 96 + 30] = Quality.MISSING
    block.qualities[0, 28 * 96 - 8 : 28 * 96 + 60] = Quality.MISSING
    assert together(block, RULES, zone) == one_by_one(block, RULES, zone)


def test_only_gaps_within_a_period_are_looked_at_and_those_as_a_whole() -> None:
    block = block_of(10)
    block.qualities[0, 20:30] = Quality.MISSING
    block.qualities[1, 100:103] = Quality.MISSING
    day = Period.of_epochs(block.start + 86_400, block.start + 2 * 86_400)
    found = vee.estimate_block(block, rules=RULES, within=day)
    assert (found.points.tolist(), found.firsts.tolist(), found.lasts.tolist()) == ([0], [20], [30])
    assert found.slots.tolist() == list(range(20, 30))


def test_where_nothing_is_known_nothing_is_said() -> None:
    block = block_of(3)
    block.qualities[:] = Quality.MISSING
    assert vee.estimate_block(block, rules=RULES).methods.tolist() == [vee.UNFILLED] * 2
