"""Registers beside stored intervals: what they say of gaps between their reads, and whether the rest agrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings import vee
from wattledger.readings._exception_tables import reading_exception
from wattledger.readings._history import series_by_length
from wattledger.readings._registers import (
    RegisterReads,
    points_with_registers,
    register_channels,
    registers_of_points,
)
from wattledger.store import Transaction, chunked

_FINE_WH = 10
"""A register whose last digit stands for more says less about a gap of hours than the days around it do."""

_TOGETHER = 50
_TOLERATED_STEPS = 2


def bounded_estimates(
    series: IntervalSeries, reads: RegisterReads, *, rules: vee.ClassRules, zone: tzinfo, unit: str
) -> Iterator[vee.Estimate]:
    """The estimates of a series' gaps that register reads bound: they sum to what the register says."""
    span = series.period
    if span is None:
        return
    fine = reads.steps <= _FINE_WH
    for run in reads.runs():
        edges = [
            vee.RegisterRead(at=at, value=wh)
            for at, wh, is_fine in zip(reads.at[run].tolist(), reads.wh[run].tolist(), fine[run].tolist(), strict=True)
            if is_fine and (at - epoch(span.start)) % series.seconds == 0
        ]
        edges = [edge for edge in edges if epoch(span.start) <= edge.at <= epoch(span.end)]
        if len(edges) > 1:
            within = Period.of_epochs(edges[0].at, edges[-1].at)
            guessed = vee.estimate(series, rules=rules, zone=zone, registers=edges, within=within, unit=unit)
            yield from (one for one in guessed.filled if one.scaled_to is not None)


def register_findings(
    block: vee.Block,
    registers: Mapping[int, RegisterReads],
    *,
    rules: vee.ClassRules,
    watts: NDArray[np.int64] | None,
) -> vee.Findings:
    """What registers say against the rows of a block, those that have any; stretches that lie in the block."""
    rows = np.array(sorted(registers), dtype=np.int64)
    widest = max(len(registers[row]) for row in rows.tolist())
    at, values, meters = (np.full((len(rows), widest), fill, dtype=np.int64) for fill in (-1, 0, 0))
    steps = np.ones((len(rows), widest), dtype=np.int64)
    for place, row in enumerate(rows.tolist()):
        reads = registers[row]
        count = len(reads)
        numbered = {name: number for number, name in enumerate(dict.fromkeys(reads.meters))}
        at[place, :count], values[place, :count], steps[place, :count] = reads.at, reads.wh, reads.steps
        meters[place, :count] = [numbered[name] for name in reads.meters]
    found = vee.check_registers(
        vee.Block(start=block.start, seconds=block.seconds, values=block.values[rows], qualities=block.qualities[rows]),
        vee.Registers(at=at, values=values, meters=meters, steps_of=steps),
        rules=rules,
        watts=None if watts is None else watts[rows],
    )
    found.points[:] = rows[found.points]
    found.begins[:] = block.start + (found.begins - block.start) // block.seconds * block.seconds
    found.ends[:] = block.start - (block.start - found.ends) // block.seconds * block.seconds
    end = block.start + block.values.shape[1] * block.seconds
    return found.picked((found.begins >= block.start) & (found.ends <= end) & (found.ends > found.begins))


def disagreeing_registers(tx: Transaction) -> Iterator[str]:
    """A line for each stretch between two reads whose intervals, all known, sum to something else.

    What validation has put in the queue is not told again: people know of it. Of a register that fell or of another
    meter's nothing can be said.
    """
    for channel in register_channels(tx):
        known_of = _known_of(tx, channel)
        for points in chunked(points_with_registers(tx, channel=channel), _TOGETHER):
            reads = registers_of_points(tx, service_point_ids=points, channel=channel)
            spans = [int(at) for one in reads.values() for at in (one.at[0], one.at[-1])]
            period = Period.of_epochs(min(spans), max(spans))
            stored = series_by_length(tx, service_point_ids=points, period=period, channel=channel)
            for point, one in reads.items():
                for series in stored.get(point, ()):
                    yield from _disagreeing(f"{point} {channel}", series, one, known_of.get(point, ()))


def _known_of(tx: Transaction, channel: str) -> Mapping[str, Sequence[tuple[int, int]]]:
    e = reading_exception.c
    select = sa.select(e.service_point_id, e.start, e.end).where(
        e.channel == channel, e.rule == vee.Rule.REGISTER_SUM.value, e.state != "superseded"
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for point, start, end in tx.rows(select):
        found.setdefault(point, []).append((epoch(start), epoch(end)))
    return found


def _disagreeing(
    name: str, series: IntervalSeries, reads: RegisterReads, known_of: Sequence[tuple[int, int]]
) -> Iterator[str]:
    has = series.qualities != Quality.MISSING
    starts, running = series.starts[has], np.concatenate(([0], np.cumsum(series.values[has])))
    for run in reads.runs():
        at, wh, steps = reads.at[run], reads.wh[run], reads.steps[run]
        places = np.searchsorted(starts, at)
        sums, counts = np.diff(running[places]), np.diff(places)
        off = ((at % series.seconds) != 0)[1:] | ((at % series.seconds) != 0)[:-1]
        tolerance = _TOLERATED_STEPS * np.maximum(steps[1:], steps[:-1])
        whole = ~off & (counts == np.diff(at) // series.seconds)
        for number in np.flatnonzero(whole & (np.abs(sums - np.diff(wh)) > tolerance)).tolist():
            begin, end = int(at[number]), int(at[number + 1])
            if any(first < end and begin < last for first, last in known_of):
                continue
            yield (
                f"{name}, {from_epoch(begin).isoformat()} to {from_epoch(end).isoformat()}: "
                f"intervals of {int(sums[number]):,} Wh, the register counted {int(wh[number + 1] - wh[number]):,} Wh; "
                "validate these days to have it in the queue"
            )
