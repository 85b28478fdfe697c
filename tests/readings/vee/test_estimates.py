"""Estimates: what a gap becomes, why, and that it meets the register to the last unit."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch, zone_named
from wattledger.readings import read_file
from wattledger.readings.vee import (
    Method,
    RegisterRead,
    apportioned,
    check_series,
    codes_of,
    estimate,
    shipped_rules,
)

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = 3600
DAY = 24
RULES = shipped_rules().of("import")
LOADS = Path(__file__).parents[3].parent / "shared" / "data" / "loads"


def series(values: NDArray[np.int64], holes: list[tuple[int, int]], start: datetime = MONDAY) -> IntervalSeries:
    """Hours; holes are first and last hour."""
    keep = np.ones(len(values), np.bool_)
    for first, last in holes:
        keep[first:last] = False
    starts = epoch(start) + HOUR * np.arange(len(values), dtype=np.int64)
    return IntervalSeries(starts[keep], values[keep], np.ones(int(keep.sum()), np.uint8), HOUR)


def read(hour: int, value: int) -> RegisterRead:
    return RegisterRead(at=epoch(MONDAY) + HOUR * hour, value=value)


def days_numbered(days: int = 35) -> NDArray[np.int64]:
    """Every hour of day n is 100 + n."""
    values: NDArray[np.int64] = 100 + np.repeat(np.arange(days, dtype=np.int64), DAY)
    return values


def test_a_short_gap_is_a_straight_line_rounded_half_up() -> None:
    values = np.array([10, 0, 0, 0, 20, 7])
    done = estimate(series(values, [(1, 4)]), rules=RULES)
    [one] = done.filled
    assert one.values.tolist() == [13, 15, 18]
    assert (one.method, one.quality, one.scaled_to) == (Method.LINEAR, Quality.ESTIMATED, None)
    assert one.rule == "3 hours: a straight line between its neighbours"
    assert one.period == Period(MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=4))


def test_a_long_gap_is_the_mean_of_the_three_nearest_like_days() -> None:
    hole = (15 * DAY + 6, 15 * DAY + 12)  # Tuesday the 20th
    [one] = estimate(series(days_numbered(), [hole]), rules=RULES).filled
    assert one.method is Method.LIKE_DAYS
    assert one.like == (date(2026, 1, 19), date(2026, 1, 21), date(2026, 1, 22))
    assert one.values.tolist() == [116] * 6  # (114 + 116 + 117) / 3 = 115.67


def test_four_hours_are_still_a_line_and_five_are_not() -> None:
    for length, method in ((4, Method.LINEAR), (5, Method.LIKE_DAYS)):
        [one] = estimate(series(days_numbered(), [(15 * DAY, 15 * DAY + length)]), rules=RULES).filled
        assert one.method is method


def test_weekends_are_like_weekends() -> None:
    saturday = 12 * DAY
    [one] = estimate(series(days_numbered(), [(saturday, saturday + DAY)]), rules=RULES).filled
    assert [day.isoweekday() for day in one.like] == [6, 7, 7]


@pytest.mark.parametrize("how", ["missing", "estimated", "suspect", "outage"])
def test_days_that_are_not_sure_are_no_like_days(how: str) -> None:
    whole = series(days_numbered(), [(15 * DAY + 6, 15 * DAY + 12)])
    near = (whole.starts >= epoch(MONDAY) + 14 * DAY * HOUR) & (whole.starts < epoch(MONDAY) + 15 * DAY * HOUR)
    qualities, values = whole.qualities.copy(), whole.values.copy()
    if how == "outage":
        values[near] = 0
    else:
        qualities[np.flatnonzero(near)[0]] = Quality[how.upper()]
    changed = IntervalSeries(whole.starts, values, qualities, HOUR)
    filled = estimate(changed, rules=RULES).filled
    assert date(2026, 1, 19) not in filled[-1].like
    assert len(filled[-1].like) == 3


def test_a_gap_over_midnight_takes_each_day_from_its_own_like_days() -> None:
    friday_night = (11 * DAY + 18, 12 * DAY + 6)
    [one] = estimate(series(days_numbered(), [friday_night]), rules=RULES).filled
    assert {day.isoweekday() >= 6 for day in one.like} == {True, False}
    assert len(set(one.values[:6].tolist())) == 1
    assert len(one.values) == 12


def test_like_days_are_alike_by_the_local_clock() -> None:
    london = zone_named("Europe/London")
    start = datetime(2026, 3, 2, tzinfo=UTC)
    instants = [start + timedelta(hours=n) for n in range(45 * DAY)]
    values = np.array([at.astimezone(london).hour for at in instants], dtype=np.int64)  # each hour says its local time
    first = instants.index(datetime(2026, 3, 30, 5, tzinfo=UTC))  # 06:00 on the first Monday of summer time
    [one] = estimate(series(values, [(first, first + 8)], start), rules=RULES, zone=london).filled
    assert one.values.tolist() == [6, 7, 8, 9, 10, 11, 12, 13]


def test_an_estimate_between_reads_sums_to_their_difference() -> None:
    values = days_numbered()
    hole = (15 * DAY + 6, 15 * DAY + 9)
    known = int(values[15 * DAY : 16 * DAY].sum() - values[hole[0] : hole[1]].sum())
    reads = [read(15 * DAY, 1000), read(16 * DAY, 1000 + known + 700)]
    [one] = estimate(series(values, [hole]), rules=RULES, registers=reads).filled
    assert one.total == one.scaled_to == 700
    assert one.rule == "3 hours: a straight line between its neighbours, scaled to the register: 0.700 kWh"


def test_the_nearest_reads_bind_and_a_read_within_a_gap_divides_it() -> None:
    hole = (15 * DAY, 16 * DAY)
    reads = [read(0, 0), read(15 * DAY, 50_000), read(15 * DAY + 8, 50_100), read(16 * DAY, 53_000), read(500, 99_999)]
    first, second = estimate(series(days_numbered(), [hole]), rules=RULES, registers=reads).filled
    assert (first.total, second.total) == (100, 2900)
    assert (len(first.values), len(second.values)) == (8, 16)


@pytest.mark.parametrize("cut", [1, 23])
def test_a_read_just_within_a_gap_divides_it(cut: int) -> None:
    reads = [read(360, 0), read(360 + cut, 70), read(384, 5000)]
    first, second = estimate(series(days_numbered(), [(360, 384)]), rules=RULES, registers=reads).filled
    assert (len(first.values), first.total, second.total) == (cut, 70, 4930)


def test_two_gaps_between_the_same_reads_share_the_difference() -> None:
    values = days_numbered()
    holes = [(100, 103), (110, 120)]
    known = int(values[96:144].sum() - sum(values[a:b].sum() for a, b in holes))
    reads = [read(96, 0), read(144, known + 2600)]
    filled = estimate(series(values, holes), rules=RULES, registers=reads).filled
    assert sum(one.total for one in filled) == 2600
    assert [one.scaled_to for one in filled] == [2600, 2600]
    assert all(abs(one.total - 200 * len(one.values)) <= 10 for one in filled)


def test_reads_off_the_edges_or_on_one_side_only_bind_nothing() -> None:
    holes = [(100, 103)]
    off = RegisterRead(at=read(99, 0).at + 60, value=0)
    for reads in ([off, read(144, 99)], [read(96, 0)], [read(144, 0)], []):
        [one] = estimate(series(days_numbered(), holes), rules=RULES, registers=reads).filled
        assert one.scaled_to is None


def test_a_register_that_leaves_less_than_nothing_scales_only_when_asked() -> None:
    reads = [read(96, 0), read(144, 100)]
    gap = series(days_numbered(), [(100, 103)])
    [one] = estimate(gap, rules=RULES, registers=reads).filled
    assert one.scaled_to is None
    assert "not scaled, as the register leaves -" in one.rule
    asked = replace(RULES, estimate=replace(RULES.estimate, negative=True))
    [one] = estimate(gap, rules=asked, registers=reads).filled
    assert one.total == one.scaled_to
    assert one.total < 0


def test_nothing_known_but_the_register_is_spread_evenly() -> None:
    within = Period(MONDAY, MONDAY + timedelta(hours=4))
    [one] = estimate(
        IntervalSeries.empty(seconds=HOUR), rules=RULES, within=within, registers=[read(0, 0), read(4, 10)]
    ).filled
    assert one.method is Method.FLAT
    assert one.values.tolist() == [2, 3, 2, 3]


def test_only_what_is_asked_for_is_estimated_from_all_that_is_known() -> None:
    gap = series(days_numbered(), [(100, 103), (360, 384), (600, 603)])
    within = Period(MONDAY + timedelta(hours=300), MONDAY + timedelta(hours=370))
    [one] = estimate(gap, rules=RULES, within=within).filled
    assert one.period == Period(MONDAY + timedelta(hours=360), MONDAY + timedelta(hours=370))
    assert one.method is Method.LIKE_DAYS


def test_a_weekend_without_its_like_takes_the_days_that_are_near() -> None:
    [one] = estimate(series(days_numbered(7), [(5 * DAY, 6 * DAY)]), rules=RULES).filled
    assert one.like == (date(2026, 1, 11),)  # the Sunday
    [one] = estimate(series(days_numbered(6), [(5 * DAY, 6 * DAY - 1)]), rules=RULES).filled
    assert one.like == (date(2026, 1, 7), date(2026, 1, 8), date(2026, 1, 9))
    assert one.rule.startswith("23 hours: the mean of 3 near days (")


def test_years_are_not_bridged_by_a_line_but_by_the_register_they_are() -> None:
    values = np.concatenate((np.full(30, 100), np.zeros(400 * DAY, np.int64), np.full(30, 100)))
    gap = series(values, [(30, 30 + 400 * DAY)])
    done = estimate(gap, rules=RULES)
    assert done.filled == ()
    assert [left.why for left in done.unfilled] == ["no like day is near"]
    reads = [read(0, 0), read(len(values), 1_000_000)]
    [one] = estimate(gap, rules=RULES, registers=reads).filled
    assert one.total == 1_000_000 - 60 * 100


def test_nothing_known_at_all_is_not_estimated() -> None:
    within = Period(MONDAY, MONDAY + timedelta(hours=4))
    done = estimate(IntervalSeries.empty(seconds=HOUR), rules=RULES, within=within)
    assert done.filled == ()
    assert [left.period for left in done.unfilled] == [within]
    assert estimate(IntervalSeries.empty(), rules=RULES).unfilled == ()


def test_a_gap_at_the_end_takes_its_one_neighbour_when_no_day_is_alike() -> None:
    within = Period(MONDAY, MONDAY + timedelta(hours=8))
    [one] = estimate(series(np.full(6, 9), []), rules=RULES, within=within).filled
    assert (one.method, one.values.tolist()) == (Method.FLAT, [9, 9])


def test_estimates_are_put_in_their_places() -> None:
    gap = series(days_numbered(2), [(5, 7), (20, 22)])
    whole = estimate(gap, rules=RULES).onto(gap)
    assert np.array_equal(whole.starts, epoch(MONDAY) + HOUR * np.arange(48))
    assert np.flatnonzero(whole.qualities == Quality.ESTIMATED).tolist() == [5, 6, 20, 21]
    assert len(check_series(whole, rules=RULES)) == 0
    assert estimate(whole, rules=RULES).filled == ()
    assert estimate(whole, rules=RULES).onto(whole) is whole


def test_flagged_and_unlisted_gaps_are_the_same() -> None:
    listed = series(days_numbered(), [])
    qualities = listed.qualities.copy()
    qualities[360:390] = Quality.MISSING
    marked = IntervalSeries(listed.starts, listed.values, qualities, HOUR)
    one, other = (estimate(gap, rules=RULES) for gap in (marked, series(days_numbered(), [(360, 390)])))
    assert [e.values.tolist() for e in one.filled] == [e.values.tolist() for e in other.filled]
    assert len(one.onto(marked)) == len(listed)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(1, 600), st.integers(1, 60)), min_size=1, max_size=4),
    st.lists(st.integers(0, 672), min_size=0, max_size=6),
)
def test_whatever_lacks_everything_between_two_reads_sums_to_the_register(
    seed: int, gaps: list[tuple[int, int]], read_at: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3000, 28 * DAY)
    register = np.concatenate(([0], np.cumsum(truth))) + 123_456
    reads = [read(at, int(register[at])) for at in {0, 672, *read_at}]
    gap = series(truth, [(first, first + length) for first, length in gaps])
    done = estimate(gap, rules=RULES, registers=reads, within=Period(MONDAY, MONDAY + timedelta(days=28)))
    whole = done.onto(gap)
    assert done.unfilled == ()
    assert np.array_equal(whole.starts, epoch(MONDAY) + HOUR * np.arange(672))
    assert bool(np.all(whole.values >= 0))
    ordered = sorted(one.at for one in reads)
    for begin, end in pairwise(ordered):
        inside = (whole.starts >= begin) & (whole.starts < end)
        first, last = ((at - epoch(MONDAY)) // HOUR for at in (begin, end))
        assert int(whole.values[inside].sum()) == int(register[last] - register[first])
    kept = np.isin(whole.starts, gap.starts)
    assert np.array_equal(whole.values[kept], gap.values)
    assert bool(np.all(whole.qualities[~kept] == Quality.ESTIMATED))


@given(st.lists(st.integers(-5, 10**9), min_size=1, max_size=60), st.integers(-(10**15), 10**15))
def test_apportioning_loses_nothing_and_keeps_within_a_unit(shape: list[int], total: int) -> None:
    shares = apportioned(np.array(shape, dtype=np.int64), total)
    assert int(shares.sum()) == total
    weights = [max(value, 0) for value in shape]
    weights = weights if any(weights) else [1] * len(weights)
    whole = sum(weights)
    assert all(
        abs(share * whole - total * weight) < whole for share, weight in zip(shares.tolist(), weights, strict=True)
    )


def test_estimates_have_their_codes() -> None:
    assert [codes_of(Quality.ESTIMATED, method=m).espi for m in (Method.LINEAR, Method.LIKE_DAYS)] == [9, 8]
    assert [codes_of(Quality.ESTIMATED, method=m).nem12 for m in Method] == ["E17", "E15", "E18"]
    assert {quality: codes_of(quality).mscons for quality in Quality} == {
        Quality.MISSING: None,
        Quality.ACTUAL: 220,
        Quality.ESTIMATED: 67,
        Quality.SUBSTITUTED: 67,
        Quality.SUSPECT: 220,
    }
    assert [codes_of(quality).espi for quality in Quality] == [None, 0, 8, 7, 10]


@pytest.mark.skipif(not LOADS.exists(), reason="the sample data is not there")
@pytest.mark.parametrize(
    ("name", "hours", "linear_at_most", "scaled_at_most"),
    [
        ("london_household_30min.csv", 2, 0.10, 0.08),
        ("uk_household_hourly.csv.gz", 2, 0.05, 0.03),
        ("london_household_30min.csv", 24, 0.10, 0.10),
        ("uk_household_hourly.csv.gz", 24, 0.06, 0.05),
    ],
)
def test_hidden_gaps_of_real_homes_come_back_about_right(
    name: str, hours: int, linear_at_most: float, scaled_at_most: float
) -> None:
    home = read_file(LOADS / name, zone=UTC).channels[0].series
    length, reach = hours * HOUR // home.seconds, 20 * 86_400 // home.seconds
    errors: dict[bool, list[float]] = {True: [], False: []}
    for first in np.random.default_rng(5).integers(reach, len(home) - reach - length, 60).tolist():
        near = home.picked(slice(first - reach, first + length + reach))
        if near.starts[-1] - near.starts[0] != (len(near) - 1) * home.seconds:
            continue
        truth = near.values[reach : reach + length]
        gap = near.picked(np.r_[0:reach, reach + length : len(near)])
        begin = int(near.starts[reach])
        reads = [RegisterRead(at=begin, value=0), RegisterRead(at=begin + hours * HOUR, value=int(truth.sum()))]
        for scaled, registers in ((False, []), (True, reads)):
            guess = np.concatenate([one.values for one in estimate(gap, rules=RULES, registers=registers).filled])
            errors[scaled].append(float(np.abs(guess - truth).mean()))
    per_half_hour = 1800 / home.seconds / 10**home.decimals
    assert np.mean(errors[False]) * per_half_hour < linear_at_most
    assert np.mean(errors[True]) * per_half_hour < scaled_at_most
    assert from_epoch(int(home.starts[0])).tzinfo is UTC
