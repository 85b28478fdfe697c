"""Registers beside intervals: what a meter's counter says was used, and whether the intervals agree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from wattledger.readings.vee._checks import bound_units
from wattledger.readings.vee._findings import Block, Findings, found
from wattledger.readings.vee._rules import ClassRules, Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Step(IntEnum):
    """What became of a register between two reads."""

    NONE = 0
    """A read is lacking."""
    AHEAD = 1
    """It ran on, or stood still."""
    ROLLOVER = 2
    """It ran over its last digit; the difference counts it in."""
    RESET = 3
    """It fell, and not over its last digit: what was used is not known."""
    EXCHANGE = 4
    """Another meter's: what was used is not known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registers:
    """Reads of the cumulative registers of many points.

    ``at``       int64 (points, reads), epoch seconds, ascending; below 0: no read (rows are filled up at their end)
    ``values``   int64 (points, reads), in the units of the block they stand beside
    ``modulus``  int64 (points,): the value at which a register begins anew, 0 when not known
    ``meters``   int64 (points, reads): which meter's register, any numbering; ``None``: the same throughout
    ``steps_of`` int64 (points, reads): what the last digit stands for, in the units of the block; ``None``: one
    """

    at: NDArray[np.int64]
    values: NDArray[np.int64]
    modulus: NDArray[np.int64] | None = None
    meters: NDArray[np.int64] | None = None
    steps_of: NDArray[np.int64] | None = None

    def steps(self, *, most: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """What each read is ahead of the one before, and the :class:`Step`: both of shape (points, reads - 1).

        A register that fell ran over when what it would then have counted is no more than ``most`` (points, reads - 1),
        half of its modulus when not given; else it was reset. The difference of a reset or an exchange is 0.
        """
        difference = self.values[:, 1:] - self.values[:, :-1]
        steps = np.full(difference.shape, Step.AHEAD, dtype=np.uint8)
        modulus = np.zeros(len(difference), np.int64) if self.modulus is None else self.modulus
        over = difference + modulus[:, None]
        allowed = modulus[:, None] // 2 if most is None else np.minimum(most, modulus[:, None])
        back = difference < 0
        ran_over = back & (modulus[:, None] > 0) & (over >= 0) & (over <= allowed)
        steps[back] = Step.RESET
        steps[ran_over] = Step.ROLLOVER
        if self.meters is not None:
            steps[self.meters[:, 1:] != self.meters[:, :-1]] = Step.EXCHANGE
        steps[(self.at[:, 1:] < 0) | (self.at[:, :-1] < 0)] = Step.NONE
        counted = np.where(steps == Step.ROLLOVER, over, np.where(steps == Step.AHEAD, difference, 0))
        return counted, steps


def check_registers(
    block: Block, registers: Registers, *, rules: ClassRules, watts: NDArray[np.int64] | None = None
) -> Findings:
    """``|sum of the intervals - difference of the registers| <= tolerance`` between reads; rollover, reset, exchange.

    The sum is checked between two reads on the edges of intervals within the block, all of which have a value; the
    tolerance is so many of the register's last digit. ``watts`` (points,), fuse or contracted power, tells a rollover
    from a reset.
    """
    begins, ends = registers.at[:, :-1], registers.at[:, 1:]
    bound = bound_units(block, rules, watts)[:, None]
    intervals = np.maximum(-(-(ends - begins) // block.seconds), 0)
    fits = intervals < np.iinfo(np.int64).max // np.maximum(bound, 1)
    most = np.where(fits, intervals * bound, np.iinfo(np.int64).max)
    counted, steps = registers.steps(most=None if watts is None else most)
    parts = []
    for step, rule in ((Step.ROLLOVER, Rule.ROLLOVER), (Step.RESET, Rule.RESET), (Step.EXCHANGE, Rule.EXCHANGE)):
        if rules.severity(rule):
            points, reads = np.nonzero(steps == step)
            now, before = registers.values[points, reads + 1], registers.values[points, reads]
            parts.append(
                found(
                    block,
                    rule,
                    rules.severity(rule),
                    points=points,
                    begins=begins[points, reads],
                    ends=ends[points, reads],
                    measured=counted[points, reads] if step is Step.ROLLOVER else now,
                    limits=before,
                )
            )
    if rules.register_sum.severity:
        parts.append(_sums(block, registers, counted, (steps == Step.AHEAD) | (steps == Step.ROLLOVER), rules))
    return Findings.joined(parts)


def _sums(
    block: Block, registers: Registers, counted: NDArray[np.int64], sure: NDArray[np.bool_], rules: ClassRules
) -> Findings:
    points, intervals = block.values.shape
    known = block.known
    running = np.zeros((points, intervals + 1), dtype=np.int64)
    np.cumsum(np.where(known, block.values, 0), axis=1, out=running[:, 1:], dtype=np.int64)
    having = np.zeros((points, intervals + 1), dtype=np.int64)
    np.cumsum(known, axis=1, out=having[:, 1:])
    slots = (registers.at - block.start) // block.seconds
    usable = (registers.at >= block.start) & ((registers.at - block.start) % block.seconds == 0) & (slots <= intervals)
    slots = np.where(usable, slots, 0)
    rows = np.arange(points)[:, None]
    sums, values = np.diff(running[rows, slots], axis=1), np.diff(having[rows, slots], axis=1)
    complete = sure & usable[:, 1:] & usable[:, :-1] & (values == np.diff(slots, axis=1))
    steps_of = np.ones_like(registers.at) if registers.steps_of is None else registers.steps_of
    tolerance = rules.register_sum.tolerance_units * np.maximum(steps_of[:, 1:], steps_of[:, :-1])
    which, reads = np.nonzero(complete & (np.abs(sums - counted) > tolerance))
    return found(
        block,
        Rule.REGISTER_SUM,
        rules.register_sum.severity,
        points=which,
        begins=registers.at[which, reads],
        ends=registers.at[which, reads + 1],
        measured=np.abs(sums - counted)[which, reads],
        limits=tolerance[which, reads],
    )
