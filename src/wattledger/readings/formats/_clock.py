"""From the wall clock of a meter to instants: what a file says of summer time, and what follows from it.

Two things are not in the labels of a local clock: whether it was changed at all, and, in autumn, which of two hours of
one name is meant. Both are seen from the file as a whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wattledger.readings.formats._source import Source

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a zone's offset at ``instant``; ``low`` to ``high`` is the local time skipped or doubled."""

    instant: int
    before: int
    after: int

    @property
    def low(self) -> int:
        return self.instant + min(self.before, self.after)

    @property
    def high(self) -> int:
        return self.instant + max(self.before, self.after)

    @property
    def skips(self) -> bool:
        return self.after > self.before


def _offset_at(zone: tzinfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, UTC).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _changes(zone: tzinfo, first: int, last: int) -> list[_Change]:
    """Every change of offset between two instants."""
    found: list[_Change] = []
    steps = range(first - first % _DAY - 2 * _DAY, last + 3 * _DAY, _DAY)
    offsets = [_offset_at(zone, instant) for instant in steps]
    for instant, (before, after) in zip(steps, pairwise(offsets), strict=False):
        if before != after:
            low, high = instant, instant + _DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_at(zone, middle) == before else (low, middle)
            found.append(_Change(high, before, after))
    return found


@dataclass(frozen=True, slots=True)
class Column:
    """What the decision about the clock looks at: of every reading its line, its channel and whether it has a value."""

    lines: NDArray[np.int64]
    channels: NDArray[np.int64]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instants:
    """The readings' starts; where ``exists`` is false the local time does not and the instant means nothing."""

    seconds: NDArray[np.int64]
    exists: NDArray[np.bool_]
    said: tuple[str, ...]


def instants_of(
    source: Source, wall: NDArray[np.int64], column: Column, *, zone: tzinfo, length: int, ends: bool
) -> Instants:
    """The instants of wall-clock times ``wall`` (labels of the ends of intervals if ``ends``) in ``zone``.

    In autumn the repeated hour is told apart by the order in the file. A file that has readings in the hour that spring
    skips was written by a clock that is not changed, and is read so, all year.
    """
    exists = np.ones(len(wall), dtype=np.bool_)
    changes = _changes(zone, int(wall.min()), int(wall.max())) if len(wall) else []
    base = changes[0].before if changes else (_offset_at(zone, int(wall[0])) if len(wall) else 0)
    if not changes:
        return Instants(wall - base, exists, ())
    if ends and any(
        (np.unique(column.channels[wall == c.high], return_counts=True)[1] > 1).any() for c in changes if not c.skips
    ):
        # The label after the doubled hour stands twice: labels were made by adding to the start on the wall clock.
        shifted = instants_of(source, wall - length, column, zone=zone, length=length, ends=False)
        return Instants(shifted.seconds + length, shifted.exists, shifted.said)

    evidence = _Evidence(wall, column, changes, length, ends=ends)
    still = evidence.clock_stands_still(source, zone)
    if still:
        offset = min(min(change.before, change.after) for change in changes)
        hours = timezone(timedelta(seconds=offset))
        return Instants(wall - offset, exists, (f"{still}: all times are taken as {hours}, all year.",))

    exists &= ~evidence.skipped
    # At the end of the skipped hour the new offset begins; at the end of the doubled hour likewise (first pass before).
    bounds = np.array([change.high for change in changes], dtype=np.int64)
    offsets = np.array([base, *(change.after for change in changes)], dtype=np.int64)
    seconds = wall - offsets[np.searchsorted(bounds, wall, side="right")]
    for change, second in evidence.second_passes:
        seconds[second] = wall[second] - change.after
    return Instants(seconds, exists, evidence.said(zone))


class _Evidence:
    """What a file says about whether its clock was changed in spring and autumn."""

    def __init__(
        self, wall: NDArray[np.int64], column: Column, changes: list[_Change], length: int, *, ends: bool
    ) -> None:
        self.skipped = np.zeros(len(wall), dtype=np.bool_)
        self.second_passes: list[tuple[_Change, NDArray[np.int64]]] = []
        self._filled: list[tuple[int, int]] = []
        self._heeded: list[tuple[int, int]] = []
        self._doubled: list[int] = []
        self._single: list[int] = []
        self._wall, self._length = wall, length
        self._in_time(column.channels, sum(not change.skips for change in changes))
        present = set(np.unique(wall).tolist())
        for change in changes:
            if not change.skips:
                self._look_for_second_pass(change)
                continue
            # The label of an end may be the very moment that spring skips to; it says nothing.
            inside = (wall > change.low if ends else wall >= change.low) & (wall < change.high)
            self.skipped |= inside
            known = np.flatnonzero(inside & column.known)
            around = {change.low - length, change.low} & present and {change.high, change.high + length} & present
            if len(known):
                self._filled.append((int(column.lines[known[0]]), int(wall[known[0]])))
            elif around:
                after = int(np.flatnonzero(wall >= change.high)[0])
                self._heeded.append((int(column.lines[after]), change.low))

    def _in_time(self, channels: NDArray[np.int64], overlaps: int) -> None:
        """Puts the rows of each channel in the order of time, as far as the file is written so."""
        rows = np.arange(len(channels), dtype=np.int64)
        rows = rows[np.argsort(channels, kind="stable")]
        same = channels[rows][1:] == channels[rows][:-1]
        steps = np.diff(self._wall[rows])[same]
        if int((steps < 0).sum()) > int((steps > 0).sum()):
            rows = rows[::-1]
            same = same[::-1]
        self._rows, self._channels = rows, channels[rows]
        drops = (np.diff(self._wall[rows]) <= 0) & same
        counts = np.bincount(self._channels[1:][drops], minlength=int(channels.max(initial=0)) + 1)
        self._sorted_channels = counts <= overlaps

    def _look_for_second_pass(self, change: _Change) -> None:
        """Finds the rows that stand in the doubled hour when it comes again."""
        labels = self._wall[self._rows]
        near = (labels >= change.low - self._length) & (labels <= change.high)
        places = np.flatnonzero(near)
        rows, channels, labels = self._rows[near], self._channels[near], labels[near]
        for channel in np.unique(channels).tolist():
            mine = channels == channel
            inside = mine & (labels >= change.low) & (labels < change.high)
            if inside.any():
                outside = labels[mine & ~inside]
                spot = places[inside]
                in_row = bool(self._sorted_channels[channel]) and len(spot) == int(np.ptp(spot)) + 1
                second = self._second_pass(change, labels[inside], outside, in_row=in_row)
                if second is None:
                    self._single.append(change.low)
                else:
                    self._doubled.append(change.low)
                    self.second_passes.append((change, rows[inside][second]))

    def _second_pass(
        self, change: _Change, labels: NDArray[np.int64], outside: NDArray[np.int64], *, in_row: bool
    ) -> NDArray[np.bool_] | None:
        """Which of ``labels``, all in the doubled hour, come after it began again; ``None`` if it stands once.

        ``outside`` are the labels next to the hour: a file that was copied has those twice as well. ``in_row`` tells
        that the file is in order and has nothing between the labels.
        """
        _, counts = np.unique(labels, return_counts=True)
        usual = int((outside < change.low).sum()) or 1
        drops = np.flatnonzero(np.diff(labels) <= 0)
        position = np.arange(len(labels))
        if len(drops) == 1 and (in_row or counts.max() > usual):
            after: NDArray[np.bool_] = position > drops[0]
            return after
        if counts.max() > usual:
            # Neither in order nor in two passes: every second time a label stands it is the second hour's.
            seen: Counter[int] = Counter()
            second = np.zeros(len(labels), dtype=np.bool_)
            for index, label in enumerate(labels.tolist()):
                second[index] = seen[label] % 2
                seen[label] += 1
            return second
        begins_inside = not (outside < change.low).any() and bool((outside >= change.high).any())
        if begins_inside and int(labels[-1]) + self._length == change.high:
            return np.ones(len(labels), dtype=np.bool_)
        return None

    def clock_stands_still(self, source: Source, zone: tzinfo) -> str | None:
        """Why the clock was not changed, if it was not; refuses a file that says both."""
        if not self._filled:
            return None
        line, moment = self._filled[0]
        if self._heeded or self._doubled:
            other = self._heeded[0][1] if self._heeded else self._doubled[0]
            what = "is skipped" if self._heeded else "stands twice"
            raise source.refuse(
                f"{_wall(moment)} does not exist in {zone}, yet {_wall(other)} {what} as that zone's clocks do",
                line=line,
                remedy="say a zone without summer time, for example --zone Etc/GMT-1 for UTC+1, or mend the file",
            )
        return f"The meter's clock is not changed in summer (line {line} has {_wall(moment)}, which {zone} skips)"

    def said(self, zone: tzinfo) -> tuple[str, ...]:
        """How the clock changes were taken."""
        sentences: list[str] = []
        if self._doubled:
            sentences.append(
                f"Clock changes of {zone} are followed: of an hour that stands twice ({_wall(self._doubled[0])}) "
                "the first is summer time."
            )
        if self._single:
            sentences.append(
                f"The hour that {zone} has twice stands once on {_wall(self._single[0])}; it was taken as the first, "
                "so the second is missing. If the meter's clock is never changed, give a zone that is not either."
            )
        return tuple(sentences)


def _wall(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
