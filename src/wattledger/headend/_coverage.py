"""What has come of a profile, and what of that is missing: arithmetic on half-open stretches of epoch seconds.

What has come is ``[start, until)`` without the holes. Most days there are none, and a delivery moves ``until``::

    start                       until                due
      |#########|  |#######|  |###|-------------------|
                hole       hole            tail
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Stretch: TypeAlias = tuple[int, int]
"""``[start, end)``, epoch seconds."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch that did not come though later rows did.

    ``asked``     how often the meter answered about it, without these rows
    ``retry_at``  when it is asked again; ``None``: it has them not, and is not asked any more
    """

    start: int
    end: int
    asked: int
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """What has come: all of ``[start, until)`` but the holes, which are ascending and apart."""

    start: int
    until: int
    holes: tuple[Hole, ...] = ()

    def came(self, runs: Sequence[Stretch], *, now: datetime) -> Coverage:
        """After rows came that cover ``runs`` (ascending, apart). What came before changes nothing."""
        runs = [(max(start, self.start), end) for start, end in runs if end > self.start]
        if not runs:
            return self
        grown = self._reaching(runs[-1][1], now=now)
        return replace(grown, holes=tuple(_without(grown.holes, runs)))

    def answered(self, stretch: Stretch, *, wait: Callable[[int], datetime | None], now: datetime) -> Coverage:
        """After the meter told all that it has of ``stretch``: what is still missing there was asked once more.

        ``wait`` says, for how often a hole was asked, when it is asked again.
        """
        start, end = max(stretch[0], self.start), stretch[1]
        if end <= start:
            return self
        grown = self._reaching(end, now=now)
        holes: list[Hole] = []
        for hole in grown.holes:
            a, b = max(hole.start, start), min(hole.end, end)
            if b <= a:
                holes.append(hole)
                continue
            asked = hole.asked + 1
            pieces = (
                replace(hole, end=a),
                Hole(a, b, asked, None if hole.retry_at is None else wait(asked)),
                replace(hole, start=b),
            )
            holes += [piece for piece in pieces if piece.start < piece.end]
        return replace(grown, holes=tuple(_joined(holes)))

    def missing(self, due: int) -> list[Stretch]:
        """Everything before ``due`` that has not come, whether or not it is still asked for; coalesced."""
        tail = [(self.until, due)] if due > self.until else []
        return list(merged([*((hole.start, min(hole.end, due)) for hole in self.holes if hole.start < due), *tail]))

    def wanted(self, due: int, *, now: datetime) -> list[Stretch]:
        """What is to be asked for now: the tail up to ``due``, and the holes whose time has come."""
        tail = [(self.until, due)] if due > self.until else []
        holes = [(hole.start, hole.end) for hole in self.holes if hole.retry_at is not None and hole.retry_at <= now]
        return list(merged([*holes, *tail]))

    def _reaching(self, until: int, *, now: datetime) -> Coverage:
        """The same, with what lies between as a hole that was not asked for yet."""
        if until <= self.until:
            return self
        fresh = Hole(self.until, until, 0, now)
        return replace(self, until=until, holes=(*self.holes, fresh))


def runs_of(starts: NDArray[np.int64], *, seconds: int) -> list[Stretch]:
    """What rows at ``starts`` (ascending) cover of a grid of ``seconds``, coalesced.

    A row that was written late, after the clock was set say, covers the interval it lies in.
    """
    if not len(starts):
        return []
    slots = np.unique(starts // seconds) * seconds
    cuts = np.flatnonzero(np.diff(slots) != seconds)
    firsts = slots[np.concatenate(([0], cuts + 1))]
    lasts = slots[np.concatenate((cuts, [len(slots) - 1]))] + seconds
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def merged(stretches: Iterable[Stretch], *, bridge: int = 0) -> Iterator[Stretch]:
    """Ascending stretches, those joined that touch or are at most ``bridge`` seconds apart."""
    held: Stretch | None = None
    for start, end in stretches:
        if held is not None and start - held[1] <= bridge:
            held = (held[0], max(held[1], end))
            continue
        if held is not None:
            yield held
        held = (start, end)
    if held is not None:
        yield held


def range_reads(stretches: Iterable[Stretch], *, seconds: int, bridge: int, rows_max: int) -> list[Stretch]:
    """The reads that bring ``stretches``: those up to ``bridge`` rows apart in one, none over ``rows_max`` rows."""
    longest = rows_max * seconds
    reads: list[Stretch] = []
    for start, end in merged(stretches, bridge=bridge * seconds):
        reads += [(a, min(a + longest, end)) for a in range(start, end, longest)]
    return reads


def _without(holes: Sequence[Hole], runs: Sequence[Stretch]) -> Iterator[Hole]:
    first = 0
    for hole in holes:
        while first < len(runs) and runs[first][1] <= hole.start:
            first += 1
        start, number = hole.start, first
        while number < len(runs) and runs[number][0] < hole.end:
            if runs[number][0] > start:
                yield replace(hole, start=start, end=runs[number][0])
            start = max(start, runs[number][1])
            number += 1
        if start < hole.end:
            yield replace(hole, start=start)


def _joined(holes: Iterable[Hole]) -> Iterator[Hole]:
    held: Hole | None = None
    for hole in holes:
        if held is not None and (held.end, held.asked, held.retry_at) == (hole.start, hole.asked, hole.retry_at):
            held = replace(held, end=hole.end)
            continue
        if held is not None:
            yield held
        held = hole
    if held is not None:
        yield held
