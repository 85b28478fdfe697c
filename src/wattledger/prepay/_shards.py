"""Running states of wallets side by side: one row of a few large values where thousands of wallets had one each.

While a wallet is in a shard, what it has used so far stands there and its rows (``wallet``, ``wallet_segment``) are as
they were when it was put in. Whoever locks a wallet takes it out first, and finds its rows as if it had never been in.
Only ``deduct`` puts wallets in and writes shards, with the work :data:`DEDUCTING` all to itself; whoever takes one out
shares it, and leaves the shard as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger import registry
from wattledger.kernel import from_epoch
from wattledger.prepay import _tables as t
from wattledger.store import Row, Transaction
from wattledger.tariffs import RatingState, Tallied, Tally

DEDUCTING = "deduction of prepaid use"

_NOTE = "prepay shards"
_RECENT_DAYS_MAX = 15
_QUALITIES = 4  # of which a tally has counts

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """What the wallets of a shard have in common.

    ``like``      a state as all of them have it, nothing counted
    ``policies``  name, currency and content of the policies that they go by
    """

    tariff_id: str
    tariff_hash: str
    like: Mapping[str, Any]
    policies: Sequence[tuple[str, str, str]]

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "tariff_id": self.tariff_id,
            "tariff_hash": self.tariff_hash,
            "like": self.like,
            "policies": self.policies,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rule:
        """As :meth:`to_json` wrote it."""
        policies = [(name, currency, content) for name, currency, content in document["policies"]]
        return cls(document["tariff_id"], document["tariff_hash"], document["like"], policies)


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Who is in a shard, row by row; it never changes."""

    rule: Rule
    tallied: Tallied
    contracts: Sequence[str]
    points: Sequence[str]
    rows: Mapping[str, int]


@dataclass(slots=True, eq=False)
class Shard:
    """A shard as a unit of work sees it; columns of one row each.

    ``room``    micro-units that may be charged before anything is to be told or lent
    ``base``    what the stretch of time came to when that was last said, ``total`` what it comes to now
    ``day``     the UTC day on which it was: what was used since belongs to it
    ``until``   epochs up to which it is reckoned
    ``inside``  whether the wallet is still in
    """

    id: str
    members: Members
    terms: int
    day: int
    room: Ints
    base: Ints
    inside: NDArray[np.bool_]
    until: Ints
    total: Ints
    tally: Tally

    @property
    def charged(self) -> Ints:
        """What the wallets were charged since they were put in."""
        return self.total - self.base


@dataclass(slots=True)
class _Memory:
    lock: RLock = field(default_factory=RLock)
    members: dict[str, Members] = field(default_factory=dict)
    shards_of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


# --- as it is stored -------------------------------------------------------------------------------------------------


def packed(columns: Iterable[NDArray[Any]]) -> bytes:
    """Columns as bytes, one after the other."""
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def fixed_columns(shard: Shard) -> bytes:
    """The columns that stay for a day, and the day."""
    return packed((shard.room.astype("<i8"), shard.base.astype("<i8"), np.array([shard.day], dtype="<i8")))


def moving_columns(shard: Shard) -> bytes:
    """The columns that every batch moves; a tally that fits is told in 31 bits."""
    tally = shard.tally
    return packed(
        (
            shard.total.astype("<i8"),
            shard.until.astype("<u4"),
            tally.last.astype("<u4"),
            tally.covered.astype("<u4"),
            tally.crossing.astype("<u4"),
            tally.sums.astype("<i4"),
            tally.tiers.astype("<i4"),
            tally.counts.astype("<u2"),
            tally.seconds.astype("<u2"),
            shard.inside.astype("u1"),
        )
    )


def _read(row: Row, members: Members) -> Shard:
    count = len(members.contracts)
    slots, tiers = members.tallied.shape
    room, base = np.frombuffer(row.fixed, dtype="<i8", count=2 * count).reshape(2, count).astype(np.int64)
    day = int(np.frombuffer(row.fixed, dtype="<i8", count=1, offset=16 * count)[0])
    kinds: list[tuple[str, int | None]] = [("<i8", None), *[("<u4", None)] * 4]
    kinds += [("<i4", slots), ("<i4", tiers), ("<u2", _QUALITIES), ("<u2", None), ("u1", None)]
    found: list[NDArray[np.int64]] = []
    at = 0
    for kind, width in kinds:
        column = np.frombuffer(row.state, dtype=kind, count=count * (1 if width is None else width), offset=at)
        at += column.nbytes
        found.append((column if width is None else column.reshape(count, width)).astype(np.int64))
    total, until, last, covered, crossing, sums, by_tier, counts, seconds, inside = found
    tally = Tally(sums, by_tier, seconds, last, covered, crossing, counts)
    return Shard(row.id, members, row.terms, day, room, base, inside.astype(np.bool_), until, total, tally)


# --- as it is found --------------------------------------------------------------------------------------------------


def _members(tx: Transaction) -> tuple[_Memory, list[str]]:
    """What this process knows of the shards that there are, and their ids in order."""
    ids = [row.id for row in tx.rows(sa.select(t.wallet_shard.c.id).order_by(t.wallet_shard.c.id))]
    memory: _Memory = tx.memory.get(_NOTE) or tx.memory.setdefault(_NOTE, _Memory())
    with memory.lock:
        unknown = [shard_id for shard_id in ids if shard_id not in memory.members]
        for shard_id in unknown:
            shard = t.wallet_shard.c
            row = tx.execute(sa.select(shard.rule, shard.members).where(shard.id == shard_id)).one()
            _know(tx, memory, shard_id, row)
    return memory, ids


def _know(tx: Transaction, memory: _Memory, shard_id: str, row: Row) -> None:
    rule = Rule.from_json(row.rule)
    tariff = registry.tariff_with_hash(tx, tariff_hash=rule.tariff_hash)
    contracts, points = row.members
    memory.members[shard_id] = Members(
        rule,
        Tallied(tariff, RatingState.from_json(rule.like)),
        contracts,
        points,
        {contract: place for place, contract in enumerate(contracts)},
    )
    for contract in contracts:
        memory.shards_of[contract].append(shard_id)


def _loaded(tx: Transaction, memory: _Memory, ids: Collection[str]) -> list[Shard]:
    """These shards without those who left."""
    shard = t.wallet_shard
    found = []
    for shard_id in sorted(ids):
        row = tx.execute(sa.select(shard).where(shard.c.id == shard_id)).one_or_none()
        if row is not None:
            found.append(_read(row, memory.members[shard_id]))
    by_id = {one.id: one for one in found}
    left = t.wallet_shard_left.c
    for gone in tx.rows(sa.select(left.shard_id, left.contract_id).where(tx.among(left.shard_id, list(by_id)))):
        one = by_id[gone.shard_id]
        one.inside[one.members.rows[gone.contract_id]] = False
    return found


def all_shards(tx: Transaction) -> list[Shard]:
    """Every shard; for who deducts."""
    memory, ids = _members(tx)
    with memory.lock:
        for gone in memory.members.keys() - set(ids):
            _forget(memory, gone)
    return _loaded(tx, memory, ids)


def _forget(memory: _Memory, shard_id: str) -> None:
    for contract in memory.members.pop(shard_id).contracts:
        memory.shards_of[contract].remove(shard_id)
        if not memory.shards_of[contract]:
            del memory.shards_of[contract]


def _rows_in(tx: Transaction, contract_ids: Collection[str]) -> tuple[_Memory, dict[str, list[int]]]:
    """The shards that some of these contracts were put into, with their rows there."""
    memory, ids = _members(tx)
    existing = set(ids)
    of_shard: dict[str, list[int]] = defaultdict(list)
    with memory.lock:
        for contract in contract_ids if existing else ():
            for shard_id in memory.shards_of.get(contract, ()):
                if shard_id in existing:
                    of_shard[shard_id].append(memory.members[shard_id].rows[contract])
    return memory, of_shard


def _holding(tx: Transaction, contract_ids: Collection[str]) -> list[tuple[Shard, NDArray[np.intp]]]:
    """The shards that some of these contracts are in, with their rows there."""
    memory, of_shard = _rows_in(tx, contract_ids)
    found = []
    for shard in _loaded(tx, memory, of_shard):
        rows = np.array(sorted(of_shard[shard.id]), dtype=np.intp)
        rows = rows[shard.inside[rows]]
        if len(rows):
            found.append((shard, rows))
    return found


def charged_beside(tx: Transaction, *, contract_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """What those of these wallets that are in a shard were charged since, in micro-units, and on which UTC day."""
    memory, of_shard = _rows_in(tx, contract_ids)
    shard, left = t.wallet_shard.c, t.wallet_shard_left.c
    found: dict[str, tuple[int, int]] = {}
    for shard_id, rows in sorted(of_shard.items()):
        kept = tx.execute(sa.select(shard.fixed, shard.state).where(shard.id == shard_id)).one_or_none()
        if kept is None:
            continue
        gone = {one.contract_id for one in tx.rows(sa.select(left.contract_id).where(left.shard_id == shard_id))}
        members = memory.members[shard_id]
        count = len(members.contracts)  # what is asked for is at both ends: the columns between need not be made
        base = np.frombuffer(kept.fixed, dtype="<i8", count=count, offset=8 * count)
        day = int(np.frombuffer(kept.fixed, dtype="<i8", count=1, offset=16 * count)[0])
        total = np.frombuffer(kept.state, dtype="<i8", count=count)
        inside = np.frombuffer(kept.state, dtype="u1", count=count, offset=len(kept.state) - count)
        for row in rows:
            contract = members.contracts[row]
            if inside[row] and contract not in gone:
                found[contract] = int(total[row] - base[row]), day
    return found


# --- taking out ------------------------------------------------------------------------------------------------------


def take_out(tx: Transaction, *, contract_ids: Collection[str]) -> bool:
    """Bring the rows of these locked wallets up to date, and let them be what counts; returns whether any was in."""
    held = _holding(tx, contract_ids)
    for shard, rows in held:
        tx.insert(
            t.wallet_shard_left,
            [{"shard_id": shard.id, "contract_id": shard.members.contracts[row]} for row in rows.tolist()],
        )
        write_rows(tx, shard=shard, rows=rows)
    return bool(held)


def write_rows(tx: Transaction, *, shard: Shard, rows: NDArray[np.intp]) -> None:
    """Write what a shard says of some wallets to their own rows."""
    if not len(rows):
        return
    start = from_epoch(shard.members.rule.like["start"])
    names = [shard.members.contracts[row] for row in rows.tolist()]
    states = shard.members.tallied.states(shard.tally.picked(rows))
    row_of = t.wallet_segment.c
    tx.execute_many(
        t.wallet_segment.update()
        .where(row_of.contract_id == sa.bindparam("key"), row_of.start == sa.bindparam("since"))
        .values(state=sa.bindparam("new_state"), until=sa.bindparam("new_until"), total=sa.bindparam("new_total")),
        [
            {
                "key": name,
                "since": start,
                "new_state": state.to_json(),
                "new_until": from_epoch(until),
                "new_total": total,
            }
            for name, state, until, total in zip(
                names, states, shard.until[rows].tolist(), shard.total[rows].tolist(), strict=True
            )
        ],
    )
    write_charges(tx, shard=shard, rows=rows)


def write_charges(tx: Transaction, *, shard: Shard, rows: NDArray[np.intp]) -> None:
    """Write what a shard says that some wallets were charged to their rows."""
    names = [shard.members.contracts[row] for row in rows.tolist()]
    charged = {name: micro for name, micro in zip(names, shard.charged[rows].tolist(), strict=True) if micro}
    if not charged:
        return
    wallet = t.wallet.c
    kept = tx.rows(
        sa.select(wallet.contract_id, wallet.accrued, wallet.recent)
        .where(tx.among(wallet.contract_id, list(charged)))
        .order_by(wallet.contract_id)
    )
    tx.execute_many(
        t.wallet.update()
        .where(wallet.contract_id == sa.bindparam("key"))
        .values(accrued=sa.bindparam("new_accrued"), recent=sa.bindparam("new_recent")),
        [
            {
                "key": row.contract_id,
                "new_accrued": row.accrued + charged[row.contract_id],
                "new_recent": with_charge(row.recent, day=shard.day, micro=charged[row.contract_id]),
            }
            for row in kept
        ],
    )


def with_charge(recent: Mapping[str, int], *, day: int, micro: int) -> dict[str, int]:
    """``recent`` with a further charge on ``day``, cut to the days that are kept."""
    merged = {int(d): m for d, m in recent.items()}
    merged[day] = merged.get(day, 0) + micro
    return {str(d): merged[d] for d in sorted(merged)[-_RECENT_DAYS_MAX:]}
