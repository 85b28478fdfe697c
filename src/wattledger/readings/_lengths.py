"""Channels whose interval length has changed: what is missing in the one length may be there in the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Period, epoch
from wattledger.readings import vee
from wattledger.readings._history import IntervalBlock, series_by_length
from wattledger.readings._memory import Names
from wattledger.store import Transaction

Elsewhere = Mapping[int, NDArray[np.bool_]]
"""Of the rows of a block whose channel has had other lengths: for which slots it has intervals of another one."""


def of_other_lengths(tx: Transaction, block: IntervalBlock, *, channel: str, names: Names) -> Elsewhere:
    """Where the points of a block have intervals of another length than the block's."""
    rows = {
        point: row for row, point in enumerate(block.service_point_ids) if len(names.seconds_of(point, channel)) > 1
    }
    if not rows:
        return {}
    start, slots = epoch(block.first), block.wh.shape[1]
    period = Period.of_epochs(start, start + slots * block.seconds)
    found = {row: np.zeros(slots, dtype=np.bool_) for row in rows.values()}
    for point, lengths in series_by_length(tx, service_point_ids=rows, period=period, channel=channel).items():
        for other in lengths:
            if other.seconds != block.seconds:
                # Its beginning, each step on, and its end: it touches no slot that none of these lies in.
                within = np.append(np.arange(0, other.seconds, block.seconds), other.seconds - 1)
                at = (other.starts[:, None] + within - start) // block.seconds
                found[rows[point]][at[(at >= 0) & (at < slots)]] = True
    return found


def gaps_cut(findings: vee.Findings, *, start: int, elsewhere: Elsewhere) -> vee.Findings:
    """Findings with what is missing cut to what is there in no other length: each rest is a gap of its own.

    ``start`` is when the block's first slot begins (epoch seconds).
    """
    if not elsewhere:
        return findings
    seconds = findings.seconds
    cut = (findings.rules == vee.RULES.index(vee.Rule.MISSING)) & np.isin(findings.points, list(elsewhere))
    parts = [findings.picked(~cut)]
    for number in np.flatnonzero(cut).tolist():
        first, last = ((int(at[number]) - start) // seconds for at in (findings.begins, findings.ends))
        lacks = np.concatenate(([False], ~elsewhere[int(findings.points[number])][first:last], [False]))
        edges = start + seconds * (first + np.flatnonzero(np.diff(lacks.astype(np.int8))))
        for begin, end in edges.reshape(-1, 2).tolist():
            one = findings.picked(np.arange(len(findings)) == number)
            one.begins[:], one.ends[:], one.measured[:] = begin, end, end - begin
            parts.append(one)
    return vee.Findings.joined(parts)
