"""What a delivery brings and what became of it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import overload

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Problem, Quality, epoch

IMPORT = "import"
"""The channel of energy taken from the network."""

EXPORT = "export"
"""The channel of energy given to the network."""

LENGTHS = frozenset({60, 300, 600, 900, 1800, 3600})
"""Seconds that an interval may have."""

_INT32_MAX = 2**31 - 1


class BatchRefused(Problem):
    """A batch of intervals cannot be stored; nothing of it was."""

    slug = "batch-refused"
    title = "The batch of intervals was refused"
    status = 422


class BatchConflict(Problem):
    """A batch came again under the same id with other content."""

    slug = "batch-conflict"
    title = "A batch with this id was stored before with other content"
    status = 409


@dataclass(frozen=True, slots=True)
class PointIntervals:
    """New intervals of one channel at one service point, in watt-hours (``series.decimals == 3``)."""

    service_point_id: str
    channel: str
    series: IntervalSeries


@dataclass(frozen=True, slots=True, eq=False)
class TableIntervals:
    """New intervals of one channel at many service points on one grid: what a head-end collects in one go.

    ``wh``       whole numbers of (points, slots), watt-hours
    ``quality``  one for all, or uint8 of (points, slots)
    """

    channel: str
    service_point_ids: Sequence[str]
    first: datetime
    seconds: int
    wh: NDArray[np.integer]
    quality: Quality | NDArray[np.uint8] = Quality.ACTUAL


@dataclass(frozen=True, slots=True, eq=False)
class PointRegister:
    """What the cumulative register of a channel stood at: ``wh`` at the instants ``at`` (epoch seconds, ascending).

    ``meter``  whose register it is, as far as anybody says: another meter's begins anew
    ``step``   watt-hours of the register's last digit
    """

    service_point_id: str
    channel: str
    at: NDArray[np.int64]
    wh: NDArray[np.int64]
    meter: str = ""
    step: int = 1


@dataclass(frozen=True, slots=True)
class IntervalBatch:
    """What one delivery brings. ``id`` is made by the sender: a repeat of the delivery repeats the id.

    What is not a meter's word says how it was made: the ``method`` and ``rule`` of an estimate, the ``actor`` and
    ``reason`` of an edit.
    """

    id: str
    source: str
    points: Sequence[PointIntervals] = ()
    tables: Sequence[TableIntervals] = ()
    registers: Sequence[PointRegister] = ()
    method: str = ""
    rule: str = ""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch changed in one channel: the intervals that are new or different, with their present values.

    ``revised`` is true when a value that was known before became another one (or was taken back).
    """

    service_point_id: str
    channel: str
    series: IntervalSeries
    revised: bool


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """What a batch changed in channels of one interval length: columns, ascending by ``series`` and ``starts``.

    ``series`` are places in ``points``; ``revised`` says of each interval whether it stands for a known value.
    """

    channel: str
    seconds: int
    points: Sequence[str]
    series: NDArray[np.int64]
    starts: NDArray[np.int64]
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]
    revised: NDArray[np.bool_]


class Changes(Sequence[Change]):
    """The changes of a batch, made when they are first looked at."""

    def __init__(self, parts: Sequence[Changed]) -> None:
        self._parts = [part for part in parts if len(part.series)]
        self._cuts = [
            np.concatenate([[0], np.flatnonzero(np.diff(part.series)) + 1, [len(part.series)]]) for part in self._parts
        ]
        self._made: list[Change] | None = None

    def __len__(self) -> int:
        return sum(len(cuts) - 1 for cuts in self._cuts)

    @property
    def columns(self) -> Sequence[Changed]:
        """The changes as columns, by channel and interval length; none is empty."""
        return self._parts

    def without(self, points: Collection[str]) -> Changes:
        """The changes of other service points than these."""
        if not points:
            return self
        return Changes([_without(part, points) for part in self._parts])

    @property
    def earliest(self) -> int | None:
        """The first start of all, in epoch seconds, without making the changes."""
        return min((int(part.starts.min()) for part in self._parts), default=None)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self._all())

    def _all(self) -> list[Change]:
        if self._made is None:
            self._made = list(self._make())
        return self._made

    def _make(self) -> Iterator[Change]:
        for part, cuts in zip(self._parts, self._cuts, strict=True):
            values = part.wh.astype(np.int64)
            for a, b in zip(cuts.tolist(), cuts[1:].tolist(), strict=False):
                series = IntervalSeries(part.starts[a:b], values[a:b], part.quality[a:b], part.seconds)
                point = part.points[int(part.series[a])]
                yield Change(point, part.channel, series, revised=bool(part.revised[a:b].any()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


def _without(part: Changed, points: Collection[str]) -> Changed:
    others = np.fromiter((point not in points for point in part.points), dtype=np.bool_, count=len(part.points))
    kept = others[part.series]
    return replace(
        part,
        series=part.series[kept],
        starts=part.starts[kept],
        wh=part.wh[kept],
        quality=part.quality[kept],
        revised=part.revised[kept],
    )


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a batch ended: ``stored + duplicate + revised`` is the number of intervals in it.

    Of its register reads it is the sum of ``registers_stored``, ``registers_duplicate`` and ``registers_revised``.
    """

    batch_id: str
    stored: int
    duplicate: int
    revised: int
    changes: Sequence[Change]
    registers_stored: int = 0
    registers_duplicate: int = 0
    registers_revised: int = 0


def checked(batch: IntervalBatch) -> None:
    """Raise :class:`BatchRefused` for what no store could take."""
    seen: dict[str, set[str]] = defaultdict(set)
    for point in batch.points:
        name = f"{point.service_point_id} {point.channel}"
        _check_once(batch, seen[point.channel], [point.service_point_id], point.channel)
        if point.series.decimals != 3:  # noqa: PLR2004 - watt-hours: three places of a kWh
            raise BatchRefused(f"{name}: values are not in watt-hours")
        _check_values(name, point.series.seconds, point.series.starts, point.series.values)
    for table in batch.tables:
        name = f"the table of {len(table.service_point_ids)} points, {table.channel}"
        _check_once(batch, seen[table.channel], table.service_point_ids, table.channel)
        shape = table.wh.shape
        if len(shape) != 2 or shape[0] != len(table.service_point_ids):  # noqa: PLR2004 - rows and columns
            raise BatchRefused(f"{name}: {shape} values", remedy="give a row for each point")
        if not isinstance(table.quality, Quality) and table.quality.shape != shape:
            raise BatchRefused(f"{name}: {table.quality.shape} qualities for {shape} values")
        if table.wh.size:
            _check_values(name, table.seconds, np.array([epoch(table.first)]), table.wh)


def _check_once(batch: IntervalBatch, seen: set[str], points: Sequence[str], channel: str) -> None:
    """That none of ``points`` stands in a batch twice with a channel; they are seen from now on."""
    own = set(points)
    twice = next((point for point in points if point in seen), None) if seen else None
    if twice is None and len(own) < len(points):
        twice = Counter(points).most_common(1)[0][0]
    if twice is not None:
        raise BatchRefused(f"{twice} {channel} stands twice in batch {batch.id}", remedy="send one series per channel")
    seen |= own


def _check_values(name: str, seconds: int, starts: NDArray[np.int64], values: NDArray[np.integer]) -> None:
    if seconds not in LENGTHS:
        raise BatchRefused(f"{name}: intervals of {seconds} seconds", remedy="use 1, 5, 10, 15, 30 or 60 min")
    if not len(values):
        return
    if int(values.min()) < 0:
        raise BatchRefused(
            f"{name}: an interval of less than no energy", remedy="send what is given back on the export channel"
        )
    if int(values.max()) > _INT32_MAX or bool((starts % seconds).any()):
        raise BatchRefused(f"{name}: a start is off the {seconds}-second grid or a value is beyond 2,147,483,647 Wh")


def covered(
    starts: NDArray[np.int64], seconds: int, *, others: NDArray[np.int64], other_seconds: int
) -> NDArray[np.bool_]:
    """Which of the intervals that begin at ``starts`` have time in common with any of ``others``; both ascend."""
    before = others.searchsorted(starts, side="right")  # of each: those that begin no later
    ends = np.concatenate(([np.iinfo(np.int64).min], others + other_seconds))[before]
    begun_within: NDArray[np.bool_] = others.searchsorted(starts + seconds, side="left") > before
    return begun_within | (ends > starts)


def content_hash(batch: IntervalBatch) -> str:
    """What tells a repeat from another batch under the same id."""
    digest = hashlib.sha256()
    for point in sorted(batch.points, key=lambda p: (p.service_point_id, p.channel)):
        digest.update(f"{point.service_point_id}\x1f{point.channel}\x1f{point.series.seconds}\x1f".encode())
        for column in (point.series.starts, point.series.values, point.series.qualities):
            digest.update(np.ascontiguousarray(column).tobytes())
    for table in batch.tables:
        named = "\x1f".join((table.channel, str(table.seconds), table.first.isoformat(), *table.service_point_ids))
        digest.update(named.encode())
        digest.update(np.ascontiguousarray(table.wh, dtype="<i8").tobytes())
        quality = table.quality
        digest.update(bytes([quality]) if isinstance(quality, Quality) else np.ascontiguousarray(quality).tobytes())
    for register in sorted(batch.registers, key=lambda p: (p.service_point_id, p.channel)):
        about = (register.service_point_id, register.channel, register.meter, str(register.step), "register")
        digest.update("\x1f".join(about).encode())
        for column in (register.at, register.wh):
            digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.hexdigest()


def total(batch: IntervalBatch) -> int:
    """How many intervals a batch has."""
    return sum(len(point.series) for point in batch.points) + sum(table.wh.size for table in batch.tables)
