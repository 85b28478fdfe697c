"""Each kernel against plain Python, in NumPy, as plain loops, and compiled."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger.tariffs._bulk_numba import kernels, kernels_of
from wattledger.tariffs._bulk_numpy import KERNELS, BlockTooLarge, Kernels, Runs


def _compiled() -> Kernels:
    try:
        return kernels()
    except ModuleNotFoundError:
        pytest.skip("Numba is not installed")


ENGINES: dict[str, Callable[[], Kernels]] = {
    "numpy": lambda: KERNELS,
    "loops": lambda: kernels_of(lambda loop: loop),
    "numba": _compiled,
}
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Kernels:
    return ENGINES[request.param]()


@st.composite
def blocks(draw: st.DrawFn) -> NDArray[Any]:
    dtype = draw(st.sampled_from([np.int32, np.int64]))
    most = draw(st.sampled_from([1, 700, 2**24, np.iinfo(np.int32).max if dtype == np.int32 else 2**40]))
    customers, intervals = draw(st.integers(1, 5)), draw(st.integers(1, 90))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.integers(0, most, (customers, intervals), endpoint=True).astype(dtype)


def edges(draw: st.DrawFn, intervals: int) -> NDArray[np.int64]:
    cuts = draw(st.sets(st.integers(1, intervals), max_size=12)) - {intervals}
    return np.array(sorted({0, intervals} | cuts), dtype=np.int64)


@many
@given(block=blocks(), data=st.data())
def test_runs_are_summed_and_peaks_found(engine: Kernels, block: NDArray[Any], data: st.DataObject) -> None:
    cut = data.draw(st.composite(edges)(block.shape[1]))
    peaks = data.draw(st.integers(1, min(3, len(cut) - 1)))
    peak = np.array([run % peaks for run in range(len(cut) - 1)], dtype=np.int64)
    with np.errstate(over="ignore"):
        sums, greatest = engine.counted(block, Runs(cut, peak, peaks))
    rows = block.tolist()
    parts = [[row[a:b] for a, b in pairwise(cut)] for row in rows]
    assert sums.tolist() == [[sum(part) for part in row] for row in parts]
    assert greatest.tolist() == [
        [max(max(part) for part, of in zip(row, peak, strict=True) if of == one) for one in range(peaks)]
        for row in parts
    ]
    assert sums.dtype == greatest.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("below", [-1, -(2**31)])
def test_a_value_below_zero_shows_in_its_row_alone(engine: Kernels, dtype: type, below: int) -> None:
    block: NDArray[Any] = np.full((3, 8), 5, dtype=dtype)
    block[1, 6] = below
    runs = Runs(np.array([0, 3, 8]), np.array([0, 1]), 2)
    with np.errstate(over="ignore"):
        _, peaks = engine.counted(block, runs)
    assert (peaks < 0).any(axis=1).tolist() == [False, True, False]


def test_sums_beyond_64_bits_are_refused_not_wrapped(engine: Kernels) -> None:
    block = np.full((1, 4), 2**61, dtype=np.int64)
    with np.errstate(over="ignore"), pytest.raises(BlockTooLarge):
        engine.counted(block, Runs(np.array([0, 4]), np.array([0]), 1))
    assert engine.counted(block[:, :3].copy(), Runs(np.array([0, 3]), np.array([0]), 1))[0].tolist() == [[3 * 2**61]]
    with pytest.raises(BlockTooLarge):
        engine.window_peaks(block, np.array([0, 4]), np.array([0]), 1, 2**61)


@many
@given(data=st.data(), runs=st.integers(1, 12), groups=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_runs_add_up_by_group(engine: Kernels, data: st.DataObject, runs: int, groups: int, seed: int) -> None:
    sums = np.random.default_rng(seed).integers(0, 2**40, (3, runs))
    member = np.array(data.draw(st.lists(st.integers(-1, groups - 1), min_size=runs, max_size=runs)), dtype=np.int64)
    found = engine.by_group(sums, member, groups)
    assert found.tolist() == [
        [sum(value for value, of in zip(row, member, strict=True) if of == one) for one in range(groups)]
        for row in sums.tolist()
    ]


@many
@given(data=st.data(), runs=st.integers(1, 12), units=st.integers(1, 4), most=st.sampled_from([2, 900, 2**40]))
def test_a_limit_is_reached_in_the_order_of_time(
    engine: Kernels, data: st.DataObject, runs: int, units: int, most: int
) -> None:
    sums = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(0, most, (3, runs), endpoint=True)
    unit = np.array(data.draw(st.lists(st.integers(0, units - 1), min_size=runs, max_size=runs)), dtype=np.int64)
    limits = np.array(data.draw(st.lists(st.integers(0, most * runs), max_size=3)), dtype=np.int64)
    found = engine.below_limits(sums, unit, units, limits)
    for number, limit in enumerate(limits.tolist()):
        for row, values in enumerate(sums.tolist()):
            expected, room = [0] * units, limit
            for value, of in zip(values, unit, strict=True):
                expected[of] += min(value, room)
                room -= min(value, room)
            assert found[number, row].tolist() == expected


@many
@given(block=blocks(), data=st.data(), size=st.integers(1, 6), head=st.integers(0, 5))
def test_windows_are_summed_and_the_greatest_found(
    engine: Kernels, block: NDArray[Any], data: st.DataObject, size: int, head: int
) -> None:
    intervals = block.shape[1]
    even = data.draw(st.booleans())
    cut = np.array(sorted({0, *range(head % size, intervals, size), intervals}), dtype=np.int64)
    cut = cut if even else data.draw(st.composite(edges)(intervals))
    member = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=len(cut) - 1, max_size=len(cut) - 1)))
    found = engine.window_peaks(block, cut, member, 3, int(block.max()))
    for row, values in enumerate(block.tolist()):
        sums = [sum(values[a:b]) for a, b in pairwise(cut)]
        expected = [max((s for s, of in zip(sums, member, strict=True) if of == one), default=0) for one in range(3)]
        assert found[row].tolist() == expected


@many
@given(block=blocks(), data=st.data(), most=st.sampled_from([1, 900, 10**4]))
def test_values_are_weighed_by_group(engine: Kernels, block: NDArray[Any], data: st.DataObject, most: int) -> None:
    size = block.shape[1]
    weights = np.array(data.draw(st.lists(st.integers(-most, most), min_size=size, max_size=size)), dtype=np.int64)
    member = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=size, max_size=size)), dtype=np.int64)
    found = engine.weighed(block, weights, member, 2, int(block.max()))
    for row, values in enumerate(block.tolist()):
        parts = list(zip(values, weights.tolist(), member.tolist(), strict=True))
        assert found[row].tolist() == [sum(v * w for v, w, of in parts if of == one) for one in range(2)]


def test_weights_that_may_not_fit_are_refused(engine: Kernels) -> None:
    block = np.full((1, 4), 2**31 - 1, dtype=np.int32)
    with pytest.raises(BlockTooLarge):
        engine.weighed(block, np.array([2**31, -(2**31), 2**30, 2**30]), np.zeros(4, dtype=np.int64), 1, 2**31)
