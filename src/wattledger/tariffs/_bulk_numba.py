"""The kernels of ``_bulk_numpy`` for Numba to compile: a block streams from memory once, several values at a time.

The loops are plain Python in the part of it that Numba takes; :func:`kernels` compiles them when it is first asked.
Numba is an extra: without it ``kernels`` raises ``ModuleNotFoundError``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger.tariffs._bulk_numpy import Block, Ints, Kernels, Runs, must_fit


@lru_cache(maxsize=1)
def kernels() -> Kernels:
    """The compiled kernels; raises ``ModuleNotFoundError`` without Numba."""
    numba = importlib.import_module("numba")

    def compiled(loop: Callable[..., None]) -> Callable[..., None]:
        try:
            fast: Callable[..., None] = numba.njit(loop, nogil=True, cache=True)
        except RuntimeError:  # nowhere to keep what was compiled
            fast = numba.njit(loop, nogil=True)
        return fast

    return kernels_of(compiled)


def kernels_of(compiled: Callable[[Callable[..., None]], Callable[..., None]]) -> Kernels:
    """The kernels from loops that ``compiled`` made fast, or left as they are."""
    count = {4: compiled(_count_loop(np.uint32)), 8: compiled(_count_loop(np.uint64))}
    group, fill, window, weigh = (compiled(loop) for loop in (_group_loop, _fill_loop, _window_loop, _weigh_loop))

    def counted(block: Block, runs: Runs) -> tuple[Ints, Ints]:
        sums = np.empty((len(block), len(runs.peak)), dtype=np.int64)
        unsigned = np.zeros((len(block), runs.peaks), dtype=f"u{block.itemsize}")
        count[block.itemsize](block.view(unsigned.dtype), runs.edges, runs.peak, sums, unsigned)
        peaks = unsigned.view(block.dtype).astype(np.int64)
        must_fit(int(peaks.max(initial=0)), block.shape[1])
        return sums, peaks

    def by_group(sums: Ints, member: Ints, groups: int) -> Ints:
        found = np.zeros((len(sums), groups), dtype=np.int64)
        group(sums, member, found)
        return found

    def below_limits(sums: Ints, unit: Ints, units: int, limits: Ints) -> Ints:
        found = np.zeros((len(limits), len(sums), units), dtype=np.int64)
        fill(sums, unit, limits, found)
        return found

    def window_peaks(block: Block, windows: Ints, member: Ints, groups: int, highest: int) -> Ints:
        found = np.zeros((len(block), groups), dtype=np.int64)
        if len(member):
            sizes = np.diff(windows)
            must_fit(highest, int(sizes.max()))
            changes = np.flatnonzero((np.diff(member, prepend=-2) != 0) | (np.diff(sizes, prepend=0) != 0))
            counts = np.diff(changes, append=len(member))
            spans = [one[member[changes] >= 0] for one in (windows[changes], counts, sizes[changes], member[changes])]
            window(block, *spans, found)
        return found

    def weighed(block: Block, weights: Ints, member: Ints, groups: int, highest: int) -> Ints:
        must_fit(highest, int(np.abs(weights.astype(object)).sum()))
        found = np.zeros((len(block), groups), dtype=np.int64)
        weigh(block, weights, member, found)
        return found

    return Kernels(counted, by_group, below_limits, window_peaks, weighed)


def _count_loop(word: Any) -> Callable[..., None]:  # noqa: ANN401 - the type of a NumPy integer without sign
    """Sum and greatest of each run of values read as ``word``."""
    most = np.iinfo(word).max

    def loop(block: NDArray[Any], edges: Ints, peak: Ints, sums: Ints, peaks: NDArray[Any]) -> None:
        for row in range(block.shape[0]):
            for run in range(len(peak)):
                part = block[row, edges[run] : edges[run + 1]]
                total = word(0)
                greatest = word(0)
                for column in range(len(part)):  # a sum and a maximum side by side: several values at a time
                    value = part[column]
                    total = word(total + value)
                    greatest = max(greatest, value)
                sums[row, run] = np.int64(total)
                if greatest > most // len(part):  # the sum may not have fitted: once more, in 64 bits
                    wide = np.int64(0)
                    for column in range(len(part)):
                        wide += np.int64(part[column])
                    sums[row, run] = wide
                group = peak[run]
                peaks[row, group] = max(peaks[row, group], greatest)

    return loop


def _group_loop(sums: Ints, member: Ints, found: Ints) -> None:
    for row in range(sums.shape[0]):
        for run in range(sums.shape[1]):
            if member[run] >= 0:
                found[row, member[run]] += sums[row, run]


def _fill_loop(sums: Ints, unit: Ints, limits: Ints, found: Ints) -> None:
    for row in range(sums.shape[0]):
        for number in range(len(limits)):
            room = limits[number]
            for run in range(sums.shape[1]):
                used = min(sums[row, run], room)
                found[number, row, unit[run]] += used
                room -= used
                if room == 0:
                    break


def _window_loop(block: NDArray[Any], firsts: Ints, counts: Ints, sizes: Ints, groups: Ints, found: Ints) -> None:
    """The greatest window of each span of ``counts`` windows of ``sizes`` intervals."""
    for row in range(block.shape[0]):
        for span in range(len(firsts)):
            size, count = sizes[span], counts[span]
            part = block[row, firsts[span] : firsts[span] + count * size]
            greatest = np.int64(0)
            if size == 2:  # noqa: PLR2004 - known when compiling, it is done several at a time; as the next
                for window in range(len(part) // 2):
                    greatest = max(greatest, np.int64(part[2 * window]) + np.int64(part[2 * window + 1]))
            elif size == 4:  # noqa: PLR2004
                for window in range(len(part) // 4):
                    pair = np.int64(part[4 * window]) + np.int64(part[4 * window + 1])
                    other = np.int64(part[4 * window + 2]) + np.int64(part[4 * window + 3])
                    greatest = max(greatest, pair + other)
            else:
                for window in range(count):
                    total = np.int64(0)
                    for column in range(window * size, (window + 1) * size):
                        total += np.int64(part[column])
                    greatest = max(greatest, total)
            found[row, groups[span]] = max(found[row, groups[span]], greatest)


def _weigh_loop(block: NDArray[Any], weights: Ints, member: Ints, found: Ints) -> None:
    for row in range(block.shape[0]):
        for column in range(block.shape[1]):
            if member[column] >= 0:
                found[row, member[column]] += np.int64(block[row, column]) * weights[column]
