"""Checks of blocks and of series: what is found, where, and against which limit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.readings import read_file
from wattledger.readings.vee import (
    Block,
    ClassRules,
    Findings,
    Known,
    Registers,
    Rule,
    Severity,
    Step,
    check_block,
    check_registers,
    check_rows,
    check_series,
    flagged,
    shipped_rules,
)

MIDNIGHT = epoch(datetime(2026, 1, 5, tzinfo=UTC))  # a Monday
HOUR = 3600
DAY = 24
RULES = shipped_rules().of("import")
LOADS = Path(__file__).parents[3].parent / "shared" / "data" / "loads"


def block(values: object, qualities: object = None, *, seconds: int = HOUR) -> Block:
    array = np.atleast_2d(np.asarray(values, dtype=np.int64))
    marks = np.ones(array.shape, np.uint8) if qualities is None else np.atleast_2d(np.asarray(qualities, np.uint8))
    return Block(start=MIDNIGHT, seconds=seconds, values=array, qualities=marks)


def homely(days: int = 20, points: int = 1, seed: int = 1) -> NDArray[np.int64]:
    """Homes: a base, an evening, some chance."""
    rng = np.random.default_rng(seed)
    shape = 100 + 400 * (np.arange(DAY) >= 18)
    values: NDArray[np.int64] = np.tile(shape, (points, days)) + rng.integers(0, 80, (points, days * DAY))
    return values


def told(findings: Findings) -> list[tuple[str, int, int, int]]:
    """Rule, point, first and last interval."""
    return [
        (f.rule.value, f.point, (epoch(f.period.start) - MIDNIGHT) // HOUR, (epoch(f.period.end) - MIDNIGHT) // HOUR)
        for f in findings
    ]


def test_honest_homes_are_left_alone() -> None:
    assert told(check_block(block(homely(points=5)), rules=RULES)) == []


def test_missing_runs_are_told_once_each_and_kept_apart_between_points() -> None:
    qualities = np.ones((2, 2 * DAY), np.uint8)
    qualities[0, 40:] = Quality.MISSING
    qualities[1, :3] = Quality.MISSING
    findings = check_block(block(homely(2, 2), qualities), rules=RULES)
    assert told(findings) == [("missing", 0, 40, 48), ("missing", 1, 0, 3)]
    assert findings.finding(0).words == "no value for 8 hours"


def test_a_spike_is_found_where_it_stands_and_measured_against_the_limit() -> None:
    values = homely()
    values[0, 10 * DAY + 7] = 9000
    findings = check_block(block(values), rules=RULES).of(Rule.SPIKE)
    assert told(findings) == [("spike", 0, 10 * DAY + 7, 10 * DAY + 8)]
    one = findings.finding(0)
    assert one.measured == 9000
    assert 600 < one.limit < 2000
    assert one.severity is Severity.SUSPECT
    assert one.words.startswith("9.000 kWh in 1 hour, where ")


def test_two_intervals_of_a_spike_are_both_found() -> None:
    values = homely()
    values[0, 10 * DAY + 7 : 10 * DAY + 9] = 9000
    assert len(check_block(block(values), rules=RULES).of(Rule.SPIKE)) == 2


def test_a_home_that_always_peaks_once_a_day_is_believed_and_a_stranger_is_not() -> None:
    kettle = homely()
    kettle[0, 7::DAY] = 3000  # every morning: the plain ratio would doubt each of these days
    assert len(check_block(block(kettle), rules=RULES).of(Rule.SPIKE)) == 0
    once = homely()
    once[0, 7 + 5 * DAY] = 3000
    assert len(check_block(block(once), rules=RULES).of(Rule.SPIKE)) == 1


def test_without_history_the_plain_ratio_decides() -> None:
    values = homely(days=1)
    third = int(np.sort(values[0])[-2])  # the third highest once there is a spike above it
    limit = RULES.spike.limit * third * (1 + RULES.spike.usual_unknown)
    values[0, 3] = int(limit) - 1
    assert len(check_block(block(values), rules=RULES)) == 0
    values[0, 3] = int(limit) + 2
    assert told(check_block(block(values), rules=RULES)) == [("spike", 0, 3, 4)]


@pytest.mark.skipif(not LOADS.exists(), reason="the sample data is not there")
def test_of_real_homes_few_honest_days_are_doubted_and_nearly_all_great_spikes_found() -> None:
    honest, found = list[bool](), {3: list[bool](), 5: list[bool](), 10: list[bool]()}
    for name in ("london_household_30min.csv", "uk_household_hourly.csv.gz"):
        series = read_file(LOADS / name, zone=UTC).channels[0].series
        home = Block.of_series(series, start=int(series.starts[0]) // 86_400 * 86_400)
        count = home.values.shape[1] // home.per_day
        home = replace(
            home, values=home.values[:, : count * home.per_day], qualities=home.qualities[:, : count * home.per_day]
        )
        whole = np.flatnonzero(home.known.reshape(count, -1).all(axis=1))
        honest += np.isin(whole, doubted_days(home)).tolist()
        for times, hits in found.items():
            values = home.values.reshape(count, -1).copy()
            spoilt = whole[times::57]  # none in the history of another
            slots = np.random.default_rng(times).integers(0, home.per_day, len(spoilt))
            values[spoilt, slots] = times * values[spoilt].max(axis=1)
            hits.extend(np.isin(spoilt, doubted_days(replace(home, values=values.reshape(1, -1)))).tolist())
    assert np.mean(honest) <= 0.0205
    assert np.mean(found[10]) >= 0.92
    assert np.mean(found[5]) >= 0.80
    assert np.mean(found[3]) >= 0.5


def doubted_days(home: Block) -> NDArray[np.int64]:
    findings = check_block(home, rules=RULES).of(Rule.SPIKE)
    return np.unique((findings.begins - home.start) // 86_400)


def test_below_the_guard_nothing_is_a_spike() -> None:
    values = homely() // 100
    values[0, 10 * DAY + 7] = 40
    assert len(check_block(block(values), rules=RULES).of(Rule.SPIKE)) == 0


def test_the_bound_is_each_points_own_power_with_its_margin() -> None:
    values = np.full((3, DAY), 100)
    values[:, 5] = 5500
    values[:, 6] = 5501
    rules = replace(RULES, spike=replace(RULES.spike, severity=Severity.OFF))
    watts = np.array([5000, 0, 10_000])
    findings = check_block(block(values), rules=rules, known=Known(watts=watts))
    assert told(findings) == [("bound", 0, 6, 7)]
    assert (findings.finding(0).measured, findings.finding(0).limit) == (5501, 5500)
    assert findings.finding(0).severity is Severity.FAIL


def test_an_unknown_point_is_bound_by_what_the_rules_say() -> None:
    rules = replace(RULES, bound=replace(RULES.bound, above_kw=Decimal("0.5")))
    values = np.full((1, DAY), 500)
    values[0, 3] = 501
    assert told(check_block(block(values), rules=rules)) == [("bound", 0, 3, 4)]


def test_negative_runs_tell_their_least() -> None:
    values = np.full((1, DAY), 100)
    values[0, 3:6] = (-1, -7, -2)
    findings = check_block(block(values), rules=RULES)
    assert told(findings) == [("negative", 0, 3, 6)]
    assert findings.finding(0).measured == -7
    assert told(check_block(block(values), rules=shipped_rules().of("net"))) == []


def test_a_zero_run_is_told_for_active_points_only() -> None:
    values = np.zeros((2, 30), dtype=np.int64)
    values[:, 26] = 5
    active = np.ones((2, 30), np.bool_)
    active[1, :10] = False
    findings = check_block(block(values), rules=RULES, known=Known(active=active))
    assert told(findings) == [("zero_run", 0, 0, 26)]
    assert findings.finding(0).words == "nothing used for 1 day 2 hours, where less than 1 day is usual"


def test_use_while_disconnected_is_summed_over_its_run() -> None:
    values = np.full((2, DAY), 10)
    active = np.ones((2, DAY), np.bool_)
    active[1, 4:7] = False
    findings = check_block(block(values), rules=RULES, known=Known(active=active))
    assert told(findings) == [("inactive_use", 1, 4, 7)]
    assert findings.finding(0).measured == 30
    whole = check_block(block(values), rules=RULES, known=Known(active=np.array([True, False])))
    assert told(whole) == [("inactive_use", 1, 0, DAY)]


def test_what_is_not_known_is_no_use_while_disconnected() -> None:
    qualities = np.ones((1, DAY), np.uint8)
    qualities[0, 5] = Quality.MISSING
    known = Known(active=np.array([False]))
    findings = check_block(block(np.full((1, DAY), 10), qualities), rules=RULES, known=known).of(Rule.INACTIVE_USE)
    assert told(findings) == [("inactive_use", 0, 0, 5), ("inactive_use", 0, 6, DAY)]


def test_a_day_with_less_than_half_of_its_values_is_not_judged() -> None:
    for known, found in ((12, 1), (11, 0)):
        values = homely()
        values[0, 10 * DAY + 7] = 9000
        qualities = np.ones(values.shape, np.uint8)
        qualities[0, 10 * DAY + known : 11 * DAY] = Quality.MISSING
        assert len(check_block(block(values, qualities), rules=RULES).of(Rule.SPIKE)) == found


def test_a_great_population_is_looked_at_in_parts_and_keeps_its_numbers() -> None:
    values = np.full((9000, 10 * DAY), 100)
    values[[0, 4166, 4167, 8999], 30] = -1
    assert [f.point for f in check_block(block(values), rules=RULES)] == [0, 4166, 4167, 8999]


def test_reactive_energy_needs_active_energy_beside_it() -> None:
    values = np.full((1, DAY), 10)
    values[0, 8:10] = 0
    reactive = np.full((1, DAY), -50)
    findings = check_block(block(values), rules=RULES, known=Known(reactive=reactive))
    assert told(findings) == [("reactive_alone", 0, 8, 10)]
    assert findings.finding(0).words == "0.100 kvarh within 2 hours without active energy"


def test_days_far_from_the_homes_own_are_told() -> None:
    values = homely(30)
    values[0, 5 * DAY : 6 * DAY] *= 4
    values[0, 10 * DAY : 13 * DAY] //= 10
    values[0, 20 * DAY : 21 * DAY] //= 10  # one low day is nothing
    findings = check_block(block(values), rules=RULES).of(Rule.HIGH, Rule.LOW)
    assert told(findings) == [("high", 0, 5 * DAY, 6 * DAY), ("low", 0, 10 * DAY, 13 * DAY)]


def test_findings_flag_only_what_the_meter_said() -> None:
    values = np.full((1, DAY), 100)
    values[0, 3:6] = -1
    qualities = np.ones((1, DAY), np.uint8)
    qualities[0, 5] = Quality.SUBSTITUTED
    readings = block(values, qualities)
    marked = check_block(readings, rules=RULES).flagged(readings)[0]
    assert marked[2:7].tolist() == [
        Quality.ACTUAL,
        Quality.MISSING,
        Quality.MISSING,
        Quality.SUBSTITUTED,
        Quality.ACTUAL,
    ]
    assert readings.qualities[0, 3] == Quality.ACTUAL


def test_a_series_is_flagged_as_its_block_is() -> None:
    values = homely()[0]
    values[10 * DAY + 7] = 9000
    values[11 * DAY] = -5
    starts = MIDNIGHT + HOUR * np.arange(len(values))
    series = IntervalSeries(starts, values, np.ones(len(values), np.uint8), HOUR)
    readings = Block.of_series(series)
    findings = check_series(series, rules=RULES)
    assert np.array_equal(flagged(series, findings).qualities, findings.flagged(readings)[0])
    assert flagged(series, findings).qualities[10 * DAY + 7] == Quality.SUSPECT


@pytest.mark.parametrize("seconds", [60, 300, 420, 900, 1800, 3600, 43_200, 86_400, 604_800])
def test_every_length_of_interval_can_be_checked(seconds: int) -> None:
    values = np.full((2, 50), 5)
    values[1, 30] = -1
    findings = check_block(block(values, seconds=seconds), rules=RULES).of(Rule.NEGATIVE)
    assert [f.point for f in findings] == [1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 24), (3, 0), (1, 1)])
def test_blocks_of_hardly_anything(shape: tuple[int, int]) -> None:
    assert len(check_block(block(np.ones(shape, np.int64)), rules=RULES)) == 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Block(start=0, seconds=900, values=np.zeros((2, 3), np.int64), qualities=np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="lasts"):
        Block(start=0, seconds=0, values=np.zeros((2, 3), np.int64), qualities=np.zeros((2, 3), np.uint8))


Populations = st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32 - 1))


def spoilt(points: int, days: int, seed: int) -> tuple[Block, Known]:
    rng = np.random.default_rng(seed)
    values = homely(days, points, seed)
    kinds = rng.random(values.shape)
    values[kinds < 0.03] *= 20
    values[kinds > 0.97] = 0
    values[kinds > 0.99] = -3
    qualities = rng.choice([0, 1, 1, 1, 1, 1, 2, 3, 4], values.shape).astype(np.uint8)
    active = rng.random((points, 1)) + np.zeros(values.shape) > 0.3
    return block(values, qualities), Known(active=active, watts=rng.integers(0, 8000, points))


@settings(max_examples=40, deadline=None)
@given(Populations)
def test_a_population_has_the_findings_of_its_points(given_: tuple[int, int, int]) -> None:
    readings, known = spoilt(*given_)
    together = list(check_block(readings, rules=RULES, known=known))
    alone = []
    for point in range(len(readings.values)):
        rows = slice(point, point + 1)
        one = replace(readings, values=readings.values[rows], qualities=readings.qualities[rows])
        alone += [replace(found, point=point) for found in check_block(one, rules=RULES, known=known.rows(rows))]
    assert together == alone


@settings(max_examples=40, deadline=None)
@given(Populations)
def test_the_order_of_points_changes_nothing(given_: tuple[int, int, int]) -> None:
    readings, known = spoilt(*given_)
    order = np.random.default_rng(given_[2]).permutation(len(readings.values))
    assert known.active is not None
    assert known.watts is not None
    shuffled = check_block(
        replace(readings, values=readings.values[order], qualities=readings.qualities[order]),
        rules=RULES,
        known=Known(active=known.active[order], watts=known.watts[order]),
    )
    back = [replace(found, point=int(order[found.point])) for found in shuffled]
    key: Callable[[object], str] = repr
    assert sorted(back, key=key) == sorted(check_block(readings, rules=RULES, known=known), key=key)


@settings(max_examples=30, deadline=None)
@given(Populations)
def test_findings_lie_within_the_block_and_obey_their_switch(given_: tuple[int, int, int]) -> None:
    readings, known = spoilt(*given_)
    findings = check_block(readings, rules=RULES, known=known)
    end = readings.start + readings.values.shape[1] * readings.seconds
    assert bool(np.all(findings.begins >= readings.start) and np.all(findings.ends <= end))
    assert bool(np.all(findings.begins < findings.ends))
    assert findings.flagged(readings).shape == readings.values.shape
    for rule in findings.counts():
        off: ClassRules = replace(RULES, **{rule.value: replace(getattr(RULES, rule.value), severity=Severity.OFF)})
        rest = check_block(readings, rules=off, known=known)
        others = findings.picked(~np.isin(findings.rules, findings.of(rule).rules))
        assert list(rest) == list(others)


# --- series ----------------------------------------------------------------------------------------------------------


def series_without(gap: Period, whole: Period, seconds: int = 1800) -> IntervalSeries:
    starts = np.arange(epoch(whole.start), epoch(whole.end), seconds)
    starts = starts[(starts < epoch(gap.start)) | (starts >= epoch(gap.end))]
    return IntervalSeries(starts, np.full(len(starts), 100), np.ones(len(starts), np.uint8), seconds)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("gap", "zone", "turned"),
    [
        (("2026-03-29T01:00", "2026-03-29T02:00"), "Europe/London", True),  # the hour that is not there
        (("2026-03-29T01:00", "2026-03-29T02:00"), "UTC", False),
        (("2026-03-28T01:00", "2026-03-28T02:00"), "Europe/London", False),
        (("2026-03-29T01:00", "2026-03-29T03:00"), "Europe/London", False),  # longer than the change
        (("2024-02-29T00:00", "2024-03-01T00:00"), "UTC", True),
        (("2026-02-28T00:00", "2026-03-01T00:00"), "UTC", False),
    ],
)
def test_a_gap_where_clock_or_calendar_turn_is_called_so(gap: tuple[str, str], zone: str, turned: bool) -> None:  # noqa: FBT001 - a parametrised test
    hole = Period(when(gap[0]), when(gap[1]))
    whole = Period(hole.start.replace(day=20, hour=0), when(f"{hole.start.year}-04-10"))
    findings = check_series(series_without(hole, whole), rules=RULES, zone=zone_named(zone))
    assert [f.period for f in findings.of(Rule.MISSING)] == [hole]
    assert [f.period for f in findings.of(Rule.CALENDAR)] == ([hole] if turned else [])


def test_what_lies_before_the_first_reading_is_no_gap() -> None:
    starts = MIDNIGHT + 10 * HOUR + HOUR * np.arange(40)
    qualities = np.ones(40, np.uint8)
    assert len(check_series(IntervalSeries(starts, np.full(40, 5), qualities, HOUR), rules=RULES)) == 0
    qualities[:2] = Quality.MISSING
    findings = check_series(IntervalSeries(starts, np.full(40, 5), qualities, HOUR), rules=RULES)
    assert told(findings) == [("missing", 0, 10, 12)]
    assert findings.finding(0).words == "no value for 2 hours"


def test_a_clock_that_drifts_is_told_beyond_its_tolerance() -> None:
    starts = MIDNIGHT + HOUR * np.arange(48)
    starts[30] += 40
    series = IntervalSeries(np.delete(starts, 31), np.full(47, 5), np.ones(47, np.uint8), HOUR)
    findings = check_series(series, rules=RULES).of(Rule.CLOCK)
    assert [(f.measured, f.words) for f in findings] == [
        (40, "begins 40 seconds off the grid, where no time is tolerated")
    ]
    tolerant = replace(RULES, clock=replace(RULES.clock, tolerance_seconds=40))
    assert len(check_series(series, rules=tolerant).of(Rule.CLOCK)) == 0


def test_an_empty_series_has_no_findings() -> None:
    assert len(check_series(IntervalSeries.empty(), rules=RULES)) == 0


# --- rows ------------------------------------------------------------------------------------------------------------


def rows(*pairs: tuple[int, int], lengths: dict[int, int] | None = None) -> Findings:
    starts = np.array([MIDNIGHT + HOUR * at for at, _ in pairs], dtype=np.int64)
    ends = starts + HOUR
    for row, length in (lengths or {}).items():
        ends[row] = starts[row] + length
    return check_rows(starts, np.array([v for _, v in pairs], np.int64), rules=RULES, seconds=HOUR, ends=ends)


def test_rows_tell_duplicates_conflicts_order_overlap_and_length() -> None:
    assert told(rows((0, 1), (1, 2), (2, 3))) == []
    assert told(rows((0, 1), (1, 2), (1, 2))) == [("duplicate", 0, 1, 2)]
    conflict = rows((0, 1), (1, 2), (1, 9), (2, 1))
    assert told(conflict) == [("conflicting", 0, 1, 2)]
    assert conflict.finding(0).words == "0.009 kWh for an interval that has 0.002 kWh as well"
    assert told(rows((0, 1), (2, 2), (1, 2))) == [("order", 0, 1, 2)]
    assert [f.rule for f in rows((0, 1), (1, 2), (2, 2), lengths={0: 2 * HOUR})] == [Rule.LENGTH, Rule.OVERLAP]
    assert [f.rule for f in rows((0, 1), (1, 2), lengths={1: HOUR // 2})] == [Rule.LENGTH]
    assert len(rows()) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-5, 5)), unique_by=lambda pair: pair[0]))
def test_but_for_order_the_order_of_rows_changes_nothing(pairs: list[tuple[int, int]]) -> None:
    again = [*pairs, *pairs[: len(pairs) // 2]]
    shuffled = sorted(again, key=lambda pair: (pair[0] * 7919 % 31, pair))
    kinds = (Rule.DUPLICATE, Rule.CONFLICTING, Rule.OVERLAP, Rule.LENGTH)
    assert list(rows(*again).of(*kinds)) == list(rows(*shuffled).of(*kinds))
    assert len(rows(*again).of(Rule.DUPLICATE)) == len(pairs) // 2
    assert len(rows(*sorted(again)).of(Rule.ORDER)) == 0


# --- registers -------------------------------------------------------------------------------------------------------


def registers(*reads: tuple[int, int], modulus: int = 0, meters: list[int] | None = None) -> Registers:
    return Registers(
        at=np.array([[MIDNIGHT + HOUR * at for at, _ in reads]], dtype=np.int64),
        values=np.array([[value for _, value in reads]], dtype=np.int64),
        modulus=np.array([modulus]),
        meters=None if meters is None else np.array([meters]),
    )


def test_the_register_sum_is_checked_to_its_tolerance() -> None:
    readings = block(np.full((1, 48), 100))
    for off, found in ((2, 0), (-2, 0), (3, 1), (-3, 1)):
        findings = check_registers(readings, registers((0, 50), (24, 50 + 2400 + off)), rules=RULES)
        assert [f.rule for f in findings] == [Rule.REGISTER_SUM] * found
    assert findings.finding(0).words == "intervals and registers differ by 0.003 kWh, where 0.002 kWh is tolerated"


def test_a_sum_with_a_gap_or_off_the_edges_is_not_judged() -> None:
    qualities = np.ones((1, 48), np.uint8)
    qualities[0, 4] = 0
    assert len(check_registers(block(np.full((1, 48), 100), qualities), registers((0, 0), (24, 1)), rules=RULES)) == 0
    reads = registers((0, 0), (24, 1))
    reads.at[0, 1] += 60
    assert len(check_registers(block(np.full((1, 48), 100)), reads, rules=RULES)) == 0
    assert len(check_registers(block(np.full((1, 48), 100)), registers((0, 0), (72, 1)), rules=RULES)) == 0


def test_rollover_reset_and_exchange_are_told_apart() -> None:
    readings = block(np.full((1, 48), 100))
    over = check_registers(readings, registers((0, 999_000), (24, 1400), modulus=1_000_000), rules=RULES)
    assert [(f.rule, f.measured) for f in over] == [(Rule.ROLLOVER, 2400)]
    reset = check_registers(readings, registers((0, 600_000), (24, 590_000), modulus=1_000_000), rules=RULES)
    assert [f.rule for f in reset] == [Rule.RESET]
    assert [f.rule for f in check_registers(readings, registers((0, 5), (24, 4)), rules=RULES)] == [Rule.RESET]
    other = registers((0, 999_000), (24, 1400), modulus=1_000_000, meters=[1, 2])
    assert [f.rule for f in check_registers(readings, other, rules=RULES)] == [Rule.EXCHANGE]
    weak = np.array([50])  # 50 W could not have used 2.4 kWh in a day
    doubted = check_registers(readings, registers((0, 999_000), (24, 1400), modulus=1_000_000), rules=RULES, watts=weak)
    assert [f.rule for f in doubted] == [Rule.RESET]


def test_rows_of_reads_may_be_of_different_lengths() -> None:
    reads = Registers(at=np.array([[10, 20, -1], [10, 20, 30]]), values=np.array([[1, 5, 0], [1, 5, 6]]))
    counted, steps = reads.steps()
    assert counted.tolist() == [[4, 0], [4, 1]]
    assert steps.tolist() == [[Step.AHEAD, Step.NONE], [Step.AHEAD, Step.AHEAD]]
