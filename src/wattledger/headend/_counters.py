"""Invocation counters: the numbers that keep two frames of one key from ever being alike.

Outbound ones are reserved in blocks: the block is stored as used, then given out number by number; what a process that
died did not use is lost, which costs nothing. They only rise, through every change of keys. Inbound ones count anew
with each generation of keys, as meters do, and are refused unless they rise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias, final

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend.ports import Malformed, Replay
from wattledger.kernel import Problem
from wattledger.store import Transaction, chunked

COUNTER_MAX = 2**32 - 1
"""The counter is 32 bits in every security suite of DLMS."""

BLOCK = 64
"""Numbers that are reserved at a time: more than a daily conversation needs, and 67 million of them in a counter."""

_LEAP_MAX = 2**24
_FIRST_LEAP_MAX = 2**31  # of a meter that never said anything authentic to us: it was another system's before


class CountersSpent(Problem):
    """A meter's invocation counter is used up."""

    slug = "meter-counters-spent"
    title = "The meter's invocation counter is used up"
    status = 409


@dataclass(frozen=True, slots=True)
class Want:
    """So many numbers, none below ``floor``."""

    count: int = BLOCK
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """The numbers ``[first, end)``: stored as used, and given to nobody else."""

    first: int
    end: int


Heard: TypeAlias = Mapping[tuple[int, str], int]
"""The highest inbound counters of a meter, by generation of keys and stream."""

More: TypeAlias = Callable[[Want], Awaitable[Block]]
"""Reserves another block, and stores it before it answers."""


def reserve_counters(tx: Transaction, *, wants: Mapping[str, Want]) -> dict[str, Block]:
    """Reserve a block for each of these meters. To be committed before any of it is used.

    A meter that has none left is not among the answers: see :func:`spent`.
    """
    blocks: dict[str, Block] = {}
    for piece in chunked(sorted(wants)):
        tx.insert_new(t.outbound, [{"meter_id": meter_id, "next": 0} for meter_id in piece])
        select = sa.select(t.outbound).where(tx.among(t.outbound.c.meter_id, piece)).order_by(t.outbound.c.meter_id)
        for row in tx.rows(tx.locked(select)):
            want = wants[row.meter_id]
            first = max(row.next, want.floor)
            end = min(first + want.count, COUNTER_MAX + 1)
            if first < end:
                blocks[row.meter_id] = Block(first, end)
        tx.execute_many(
            t.outbound.update().where(t.outbound.c.meter_id == sa.bindparam("key")).values(next=sa.bindparam("to")),
            [{"key": meter_id, "to": blocks[meter_id].end} for meter_id in piece if meter_id in blocks],
        )
    return blocks


def spent(meter_id: str) -> CountersSpent:
    """What is said of a meter that has no numbers left."""
    return CountersSpent(
        f"the invocation counter of {meter_id} has reached {COUNTER_MAX}",
        remedy="ask its maker how its counter is begun anew; no frame can be sent safely before",
    )


def heard(tx: Transaction, *, meter_ids: Collection[str]) -> dict[str, dict[tuple[int, str], int]]:
    """The highest counters that came from these meters."""
    found: dict[str, dict[tuple[int, str], int]] = defaultdict(dict)
    for row in tx.rows(sa.select(t.inbound).where(tx.among(t.inbound.c.meter_id, meter_ids))):
        found[row.meter_id][row.generation, row.stream] = row.highest
    return dict(found)


def remember_heard(tx: Transaction, *, told: Mapping[str, Heard]) -> None:
    """Store the highest counters that came; one that is lower than what is stored changes nothing."""
    known = heard(tx, meter_ids=told.keys())
    tx.upsert(
        t.inbound,
        [
            {"meter_id": meter_id, "generation": generation, "stream": stream, "highest": highest}
            for meter_id, streams in sorted(told.items())
            for (generation, stream), highest in sorted(streams.items())
            if highest > known.get(meter_id, {}).get((generation, stream), -1)
        ],
        update=["highest"],
    )


@final
class MeterCounters:
    """The counters of one conversation: :class:`~wattledger.headend.ports.Counters` over reserved blocks."""

    def __init__(self, *, generation: int, block: Block, heard: Heard, more: More) -> None:
        self._generation = generation
        self._blocks = [block]
        self._heard = dict(heard)
        self._more = more
        self.risen: dict[tuple[int, str], int] = {}
        """What came in this conversation: to be stored with what it brought."""

    def for_keys(self, generation: int) -> MeterCounters:
        """The same numbers, for a conversation under other keys of the same meter."""
        twin = MeterCounters(generation=generation, block=Block(0, 0), heard=self._heard, more=self._more)
        twin._blocks = self._blocks
        twin._heard = self._heard
        twin.risen = self.risen
        return twin

    async def reserve(self, count: int = 1) -> None:
        """See the port."""
        while (short := count - self._left()) > 0:
            self._blocks.append(await self._more(Want(count=max(short, BLOCK))))

    def outbound(self) -> int:
        """See the port."""
        while len(self._blocks) > 1 and self._blocks[0].first >= self._blocks[0].end:
            self._blocks.pop(0)
        block = self._blocks[0]
        if block.first >= block.end:
            raise RuntimeError("no invocation counter is reserved")
        self._blocks[0] = Block(block.first + 1, block.end)
        return block.first

    def heard(self, *, stream: str = "unicast") -> int:
        """See the port."""
        return self._heard.get((self._generation, stream), -1)

    def inbound(self, value: int, *, stream: str = "unicast") -> None:
        """See the port."""
        highest = self.heard(stream=stream)
        if value <= highest:
            raise Replay(f"a frame came with counter {value} after one with {highest}")
        self._heard[self._generation, stream] = self.risen[self._generation, stream] = value

    async def resync(self, value: int) -> None:
        """See the port."""
        at = self._blocks[0].first
        leap = value - at
        if not 0 <= value <= COUNTER_MAX or leap > (_LEAP_MAX if self._heard else _FIRST_LEAP_MAX):
            raise Malformed(
                f"the meter expects the counter {value} where ours is {at}",
                remedy="make sure that it is the meter that answers, then raise the counter by hand",
            )
        if leap > 0:
            kept = [Block(max(block.first, value), block.end) for block in self._blocks if block.end > value]
            self._blocks[:] = kept or [await self._more(Want(floor=value))]

    def _left(self) -> int:
        return sum(block.end - block.first for block in self._blocks)


def raise_counter(tx: Transaction, *, meter_id: str, value: int) -> None:
    """Never use a counter below ``value`` with this meter; for an operator who knows that the meter expects so much."""
    reserve_counters(tx, wants={meter_id: Want(count=1, floor=value)})
