"""Counting many customers at once with NumPy: the kernels behind ``rate_many``.

A block holds one customer a row, one interval a column, whole numbers of one unit of energy. The columns are cut into
*runs*, unbroken stretches of one price; whatever a bill needs of the energy follows from the sum of each run. Nothing
here is ever a float, and nothing can overflow in silence: what a sum may reach is bounded before it is trusted.

``_bulk_numba`` has the same kernels compiled; they give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Block = NDArray[Any]
"""int32 or int64, C-contiguous, of shape (customers, intervals)."""

Ints = NDArray[np.int64]

_TILE_BYTES = 1 << 20
"""How much of a block is read at a time: it is gone over twice, the second time out of the cache."""


class BlockTooLarge(ArithmeticError):
    """A block whose sums 64 bits may not hold."""


class Runs(NamedTuple):
    """How the columns of a block are cut.

    ``edges``  where each run begins, and at last where the block ends
    ``peak``   for each run the group whose greatest interval it takes part in; every group has a run
    ``peaks``  how many groups there are
    """

    edges: Ints
    peak: Ints
    peaks: int


class Kernels(NamedTuple):
    """The kernels of one engine; what each does is said at those of NumPy below."""

    counted: Callable[[Block, Runs], tuple[Ints, Ints]]
    by_group: Callable[[Ints, Ints, int], Ints]
    below_limits: Callable[[Ints, Ints, int, Ints], Ints]
    window_peaks: Callable[[Block, Ints, Ints, int, int], Ints]
    weighed: Callable[[Block, Ints, Ints, int, int], Ints]


def counted(block: Block, runs: Runs) -> tuple[Ints, Ints]:
    """The sum of each run, (customers, runs), and the greatest interval of each group, (customers, peaks).

    A row with a value below zero has a peak below zero, and sums that mean nothing. Raises :class:`BlockTooLarge`.
    """
    firsts, intervals = runs.edges[:-1], int(runs.edges[-1])
    longest = int(np.diff(runs.edges).max())
    changes = np.flatnonzero(np.diff(runs.peak, prepend=-1))
    sums = np.zeros((len(block), len(firsts)), dtype=np.int64)
    peaks = np.empty((len(block), runs.peaks), dtype=np.int64)
    for rows in _tiles(block):
        tile = block[rows]
        peaks[rows] = _greatest(tile, firsts[changes], runs.peak[changes], runs.peaks)
        highest = int(peaks[rows].max())
        must_fit(highest, intervals)
        fits = highest * longest <= np.iinfo(tile.dtype).max  # then sums as narrow as the values: several at a time
        sums[rows] = np.add.reduceat(tile, firsts, axis=1, dtype=tile.dtype if fits else np.int64)
    return sums, peaks


def _tiles(block: Block) -> Iterator[slice]:
    step = max(1, _TILE_BYTES // max(1, block.shape[1] * block.itemsize))
    return (slice(low, low + step) for low in range(0, len(block), step))


def must_fit(highest: int, count: int) -> None:
    """Raise :class:`BlockTooLarge` where so many such values may add up to more than 64 bits hold."""
    if highest * count > np.iinfo(np.int64).max:
        msg = f"{highest} times {count} is more than 64 bits hold"
        raise BlockTooLarge(msg)


def _greatest(tile: Block, firsts: Ints, group: Ints, groups: int) -> Ints:
    """The greatest value by group, below zero where any is: read without sign, those are greater than all others."""
    unsigned = tile.view(f"u{tile.itemsize}")
    if groups == 1:
        found = unsigned.max(axis=1, keepdims=True)
    else:
        runs = np.maximum.reduceat(unsigned, firsts, axis=1)
        found = np.stack([runs[:, group == one].max(axis=1) for one in range(groups)], axis=1)
    return np.asarray(found.view(tile.dtype), dtype=np.int64)


def by_group(sums: Ints, member: Ints, groups: int) -> Ints:
    """The sums of runs added up by group, (customers, groups); a run of group -1 is in none."""
    return np.asarray(sums @ (member[:, None] == np.arange(groups)).astype(np.int64))


def below_limits(sums: Ints, unit: Ints, units: int, limits: Ints) -> Ints:
    """How much of each unit is used until all have reached a limit together: (limits, customers, units).

    ``sums`` are of the runs in the order of time, (customers, runs); ``unit`` says whose each is. A run is all of one
    unit, so it does not matter where in it the limit is reached: it gets what was left.
    """
    running = np.cumsum(sums, axis=1)
    mine = (unit[:, None] == np.arange(units)).astype(np.int64)
    steps = mine.copy()  # of each run a unit gets the count at its end, less the count where it began
    steps[:-1] -= mine[1:]
    found = np.empty((len(limits), len(sums), units), dtype=np.int64)
    for number, limit in enumerate(limits.tolist()):
        found[number] = np.minimum(running, limit) @ steps
    return found


def window_peaks(block: Block, windows: Ints, member: Ints, groups: int, highest: int) -> Ints:
    """The greatest sum of a window by group, (customers, groups), 0 for a group without any.

    ``windows`` are edges, as of runs; ``member`` says whose each window is, -1: nobody's. Values are from 0 to
    ``highest``. Raises :class:`BlockTooLarge`.
    """
    found = np.zeros((len(block), groups), dtype=np.int64)
    if not len(member):
        return found
    longest = int(np.diff(windows).max())
    must_fit(highest, longest)
    wide = block.dtype if highest * longest <= np.iinfo(block.dtype).max else np.dtype(np.int64)
    members = [(one, np.flatnonzero(member == one)) for one in np.unique(member[member >= 0])]
    for rows in _tiles(block):
        sums = _window_sums(block[rows].astype(wide, copy=False), windows)
        for one, mine in members:
            found[rows, one] = (sums if len(mine) == sums.shape[1] else sums[:, mine]).max(axis=1)
    return found


def _window_sums(tile: Block, windows: Ints) -> Block:
    """The sum of each window. Of whole windows side by side, all first intervals are taken at once, then all second."""
    sizes = np.diff(windows)
    size = int(sizes.max())
    whole = np.flatnonzero(sizes == size)
    low, high = int(whole[0]), int(whole[-1]) + 1
    if high - low != len(whole):
        return np.asarray(np.add.reduceat(tile, windows[:-1], axis=1, dtype=tile.dtype))
    sums = np.empty((len(tile), len(sizes)), dtype=tile.dtype)
    for one in (*range(low), *range(high, len(sizes))):
        sums[:, one] = tile[:, windows[one] : windows[one + 1]].sum(axis=1, dtype=tile.dtype)
    first, last = int(windows[low]), int(windows[high])
    sums[:, low:high] = tile[:, first:last:size]
    for offset in range(1, size):
        sums[:, low:high] += tile[:, first + offset : last : size]
    return sums


def weighed(block: Block, weights: Ints, member: Ints, groups: int, highest: int) -> Ints:
    """The sum of value times weight of the columns of each group, (customers, groups); a column of group -1 is in none.

    Values are from 0 to ``highest``. Raises :class:`BlockTooLarge`.
    """
    must_fit(highest, int(np.abs(weights.astype(object)).sum()))
    found = np.empty((len(block), groups), dtype=np.int64)
    spread = np.where(member[:, None] == np.arange(groups), weights[:, None], 0)
    for rows in _tiles(block):
        found[rows] = block[rows].astype(np.int64, copy=False) @ spread
    return found


KERNELS = Kernels(counted, by_group, below_limits, window_peaks, weighed)
