from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.demo import LoadModel, Town, TownPlan
from wattledger.demo._loads import DAY_SECONDS, ZONE_OFFSET
from wattledger.kernel import epoch

Numbers = NDArray[np.int64]
DAY = (epoch(datetime(2026, 7, 15, tzinfo=UTC)) + ZONE_OFFSET) // DAY_SECONDS
MIDNIGHT = DAY * DAY_SECONDS - ZONE_OFFSET
SLOT = 900


@pytest.fixture(scope="module")
def big() -> Town:
    return Town.of(TownPlan())


@pytest.fixture(scope="module")
def month(big: Town) -> Numbers:
    """(days, points, slots) watt-hours."""
    model = LoadModel(big)
    return np.stack([model.day(DAY + number).imported for number in range(28)])


def test_any_day_alone_is_the_day_in_its_row(town: Town) -> None:
    forward, backward = LoadModel(town), LoadModel(town)
    ahead = [forward.day(DAY + number) for number in range(20)]
    back = [backward.day(DAY + number) for number in reversed(range(20))][::-1]
    for one, other in zip(ahead, back, strict=True):
        assert np.array_equal(one.imported, other.imported)
        assert np.array_equal(one.exported, other.exported)
    assert np.array_equal(LoadModel(town).day(DAY + 13).imported, ahead[13].imported)


@settings(max_examples=40)
@given(
    index=st.integers(0, 44),
    cuts=st.lists(st.integers(0, 96 * 5), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_the_pieces_of_a_span_are_the_span(town: Town, index: int, cuts: list[int]) -> None:
    model = LoadModel(town)
    at = [MIDNIGHT + cut * SLOT for cut in cuts]
    whole, whole_given = model.watt_hours(index, at[0], at[-1])
    pieces = [model.watt_hours(index, a, b) for a, b in pairwise(at)]
    assert len(whole) == cuts[-1] - cuts[0]
    assert np.array_equal(whole, np.concatenate([piece[0] for piece in pieces]))
    assert np.array_equal(whole_given, np.concatenate([piece[1] for piece in pieces]))


def test_a_home_uses_the_same_in_a_bigger_town(big: Town) -> None:
    small = Town.of(TownPlan(homes=10))
    assert np.array_equal(LoadModel(small).day(DAY).imported[:10], LoadModel(big).day(DAY).imported[:10])


def test_another_seed_is_another_load(town: Town) -> None:
    other = Town.of(TownPlan(seed=town.plan.seed + 1, homes=town.plan.homes))
    assert not np.array_equal(LoadModel(town).day(DAY).imported, LoadModel(other).day(DAY).imported)


def test_homes_use_what_homes_use(month: Numbers) -> None:
    homes = month[:, :200].sum(axis=2).mean(axis=0) / 1000
    assert 6 <= homes.mean() <= 14
    assert np.percentile(homes, 5) >= 4
    assert np.percentile(homes, 95) <= 18
    profile = month[:, :200].mean(axis=(0, 1)).reshape(24, 4).sum(axis=1)
    assert profile[18:22].mean() > 2.5 * profile[1:5].mean()
    assert profile.argmax() in range(17, 22)
    assert (month >= 0).all()
    assert month[:, :200].max() * 4 < 12_000


def test_the_heat_is_paid_for(big: Town) -> None:
    model = LoadModel(big)
    april, july = (
        np.mean([model.day(first + number).imported[:200].sum() for number in range(14)]) for first in (DAY - 90, DAY)
    )
    assert july > 1.1 * april


def test_businesses_keep_their_hours(big: Town, month: Numbers) -> None:
    by_tag = {supply.tag: month[:, supply.index] for supply in big.supplies}
    site = by_tag["site-1"]
    sundays = [
        number
        for number in range(28)
        if datetime.fromtimestamp(MIDNIGHT + number * 86_400 + 50_000, UTC).weekday() == 6
    ]
    assert site[sundays, 32:44].mean() < 0.2 * np.delete(site, sundays, axis=0)[:, 32:44].mean()
    assert site.max() * 4 > 25_000
    dormitory = by_tag["dormitory-1"]
    assert dormitory[:, 76:90].mean() > 2 * dormitory[:, 34:40].mean()
    hotpot = by_tag["shop-08"]
    assert hotpot[:, 48:90].mean() > 4 * hotpot[:, 8:36].mean()


def test_the_cafe_gives_what_its_roof_has_to_spare(big: Town) -> None:
    model = LoadModel(big)
    cafe = big.supplies[-1].index
    days = [model.day(DAY + number) for number in range(14)]
    given_back = np.stack([day.exported[cafe] for day in days])
    taken = np.stack([day.imported[cafe] for day in days])
    assert given_back.sum() > 0
    assert not given_back[:, :20].any()
    assert not given_back[:, 80:].any()
    assert not (given_back.astype(bool) & taken.astype(bool)).any()
    assert not np.delete(days[0].exported, cafe, axis=0).any()
