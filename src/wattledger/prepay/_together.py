"""Deduction by the thousand: what a batch brings for wallets that stand side by side, in a few passes over columns.

It takes only the usual case: known readings of the energy taken, in the order of time, of which every row has the same
ones, and a charge after which nothing is to be told or lent. Every other wallet is taken out and goes the way on which
all of it can be said; there the result is the same to the last micro-unit, only slower.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger import ledger, registry
from wattledger.kernel import Quality, epoch, from_epoch, new_id
from wattledger.prepay import _tables as t
from wattledger.prepay._policy import Policy, policy_named
from wattledger.prepay._shards import (
    Members,
    Rule,
    Shard,
    all_shards,
    fixed_columns,
    moving_columns,
    write_charges,
    write_rows,
)
from wattledger.prepay._standing import at_rest
from wattledger.prepay._wallets import locked_wallets, wallet_account
from wattledger.readings import IMPORT, Changed, Changes
from wattledger.registry import Segment
from wattledger.store import Transaction, chunked
from wattledger.tariffs import RatingState, Tallied, may_be_tallied

_DAY = 86_400
FEWEST = 256
"""Fewer wallets of one rule are as well left in rows of their own."""

_SHARD = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What came, for the points that have all of it in the usual form; ``plain`` says which."""

    places: Mapping[str, int]
    plain: NDArray[np.bool_]
    starts: NDArray[np.int64]
    seconds: int
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A stretch of time of a wallet as its rows have it now."""

    segment: Segment
    state: RatingState
    until: datetime
    total: int


def deduct_together(tx: Transaction, *, changes: Changes, now: datetime) -> set[str]:
    """Price what came for wallets in shards and take it from them; returns the points for which all is done.

    For who has the deduction to himself. Wallets that ask for more than this are in rows of their own afterwards.
    """
    shards = all_shards(tx)
    if not shards:
        return set()
    table = _table(changes.columns)
    news = registry.terms_changes(tx, after=min(shard.terms for shard in shards))
    policies: dict[tuple[str, str], Policy] = {}
    done: set[str] = set()
    for shard in shards:
        rule = shard.members.rule
        for name, currency, _ in rule.policies:
            if (name, currency) not in policies:
                policies[name, currency] = policy_named(tx, name=name, currency=currency, at=now)
        changed_rules = any(content_of(policies[one[0], one[1]]) != one[2] for one in rule.policies)
        if changed_rules or rule.tariff_id in news.tariffs:
            _leave(tx, shard, shard.inside.copy())
            continue
        changed = news.points.intersection(shard.members.points)
        if changed:
            _leave(tx, shard, shard.inside & np.array([point in changed for point in shard.members.points]))
        another_day = shard.day != epoch(now) // _DAY
        if another_day and shard.inside.any():
            _begin_day(tx, shard, policies, now)
        if table is not None:
            _deduct(tx, shard, table, done)
        _write(tx, shard, terms=news.revision, anew=another_day)
    return done


def content_of(policy: Policy) -> str:
    """What tells a policy from another of the same name."""
    return hashlib.sha256(repr(policy).encode()).hexdigest()


def _table(parts: Sequence[Changed]) -> _Table | None:
    taken = [part for part in parts if part.channel == IMPORT]
    if not taken:
        return None
    part = max(taken, key=lambda one: len(one.series))
    count = len(part.points)
    of_place = np.bincount(part.series, minlength=count)
    width = int(np.bincount(of_place[of_place > 0]).argmax())
    if len(part.series) == count * width and bool((of_place == width).all()):
        cells = np.arange(len(part.series), dtype=np.int64).reshape(count, width)
        plain = np.ones(count, dtype=np.bool_)
    else:
        firsts = np.minimum(np.cumsum(of_place) - of_place, len(part.series) - width)
        cells = firsts[:, None] + np.arange(width, dtype=np.int64)
        plain = of_place == width
    starts, quality = part.starts[cells], part.quality[cells]
    usual = starts[int(np.argmax(plain))]
    plain &= (starts == usual).all(axis=1)
    plain &= (quality != Quality.MISSING).all(axis=1) & ~part.revised[cells].any(axis=1)
    places = {point: place for place, point in enumerate(part.points)}
    for other in taken:
        if other is not part:
            for point in {other.points[place] for place in np.unique(other.series).tolist()} & places.keys():
                plain[places[point]] = False
    # Of a point that the changes name and bring nothing for, nothing is to be done either.
    places = {point: place for point, place in places.items() if of_place[place]} if (of_place == 0).any() else places
    return _Table(places, plain, usual, part.seconds, part.wh[cells], quality)


def _deduct(tx: Transaction, shard: Shard, table: _Table, done: set[str]) -> None:
    members, like = shard.members, shard.members.rule.like
    get = table.places.get
    places = np.array([get(point, -1) for point in members.points], dtype=np.int64)
    touched = shard.inside & (places >= 0)
    if not touched.any():
        return
    first, last = int(table.starts[0]), int(table.starts[-1])
    good = touched & table.plain[places] & (shard.tally.last <= first)
    if first < like["start"] or last >= like["end"]:
        good[:] = False
    rows = np.flatnonzero(good)
    if len(rows):
        at = places[rows]
        counted = members.tallied.advanced(
            shard.tally.picked(rows),
            starts=table.starts,
            seconds=table.seconds,
            wh=table.wh[at],
            quality=table.quality[at],
        )
        until = np.minimum(np.maximum(shard.until[rows], counted.last), like["end"])
        total = np.empty(len(rows), dtype=np.int64)
        for instant in np.unique(until).tolist():
            here = np.flatnonzero(until == instant)
            whole = len(here) == len(rows)
            total[here] = members.tallied.totals(counted if whole else counted.picked(here), until=from_epoch(instant))
        ok = counted.fits & (total >= shard.total[rows]) & (total - shard.base[rows] <= shard.room[rows])
        if not ok.all():
            good[rows[~ok]] = False
            kept = np.flatnonzero(ok)
            rows, counted, until, total = rows[kept], counted.picked(kept), until[kept], total[kept]
        shard.tally.put(rows, counted)
        shard.until[rows], shard.total[rows] = until, total
        done.update([members.points[row] for row in rows.tolist()])
    _leave(tx, shard, touched & ~good)


def _leave(tx: Transaction, shard: Shard, who: NDArray[np.bool_]) -> None:
    """Let some wallets be rows of their own from here on."""
    rows = np.flatnonzero(who)
    write_rows(tx, shard=shard, rows=rows)
    shard.inside[rows] = False
    if not shard.inside.any():
        _write(tx, shard, terms=shard.terms)


def _begin_day(tx: Transaction, shard: Shard, policies: Mapping[tuple[str, str], Policy], now: datetime) -> None:
    """Say what was charged on the day that is over, and look anew how much room there is."""
    rows = np.flatnonzero(shard.inside)
    write_charges(tx, shard=shard, rows=rows)
    shard.base[:] = shard.total
    shard.day = epoch(now) // _DAY
    contracts = [shard.members.contracts[row] for row in rows.tolist()]
    kept = {
        row.contract_id: row for row in tx.rows(sa.select(t.wallet).where(tx.among(t.wallet.c.contract_id, contracts)))
    }
    balances = ledger.balances(tx, account_ids=[wallet_account(contract) for contract in contracts])
    leaving = np.zeros(len(shard.inside), dtype=np.bool_)
    for place, contract in zip(rows.tolist(), contracts, strict=True):
        row = kept[contract]
        available = balances[wallet_account(contract)].micro - row.accrued
        room = at_rest(row, available=available, policy=policies[row.policy, row.currency], now=now)
        shard.room[place], leaving[place] = room or 0, room is None
    _leave(tx, shard, leaving)


def _write(tx: Transaction, shard: Shard, *, terms: int, anew: bool = False) -> None:
    of_shard, left = t.wallet_shard.c.id == shard.id, t.wallet_shard_left.c.shard_id == shard.id
    tx.execute(t.wallet_shard_left.delete().where(left))
    if shard.inside.any():
        fixed = {"fixed": fixed_columns(shard)} if anew else {}
        tx.execute(t.wallet_shard.update().where(of_shard).values(state=moving_columns(shard), terms=terms, **fixed))
    else:
        tx.execute(t.wallet_shard.delete().where(of_shard))


# --- putting in ------------------------------------------------------------------------------------------------------


def put_in(
    tx: Transaction, *, running: Sequence[Running], others: Sequence[Segment], terms: int, now: datetime
) -> None:
    """Put those of these wallets side by side that can be; ``others`` are all stretches of time at their points.

    ``terms`` is the registry's revision from before anything was read of it.
    """
    rules: dict[tuple[object, ...], list[Running]] = defaultdict(list)
    for one in running:
        segment, state = one.segment, one.state
        if segment.currency == segment.tariff.currency and segment.bill == segment.period:
            key = segment.tariff.hash, segment.currency, state.start, state.end, str(state.zone), state.facts
            rules[key].append(one)
    usual = [group for group in rules.values() if len(group) >= FEWEST]
    if not usual:
        return
    beside: dict[str, list[Segment]] = defaultdict(list)
    for segment in others:
        beside[segment.service_point_id].append(segment)
    for group in usual:
        if may_be_tallied(tariff=group[0].segment.tariff, state=group[0].state):
            _put_in(tx, group, beside, terms, now)


def _put_in(
    tx: Transaction, group: Sequence[Running], beside: Mapping[str, Sequence[Segment]], terms: int, now: datetime
) -> None:
    tariff, start = group[0].segment.tariff, group[0].segment.period.start
    tallied = Tallied(tariff, group[0].state)
    wallets = locked_wallets(tx, [one.segment.contract_id for one in group])
    excused = _with_more(tx, list(wallets), start)
    balances = ledger.balances(tx, account_ids=[wallet_account(contract) for contract in wallets])
    policies: dict[tuple[str, str], Policy] = {}
    kept: list[tuple[Running, int]] = []
    for one in group:
        row = wallets[one.segment.contract_id]
        key = row.policy, row.currency
        if key not in policies:
            policies[key] = policy_named(tx, name=key[0], currency=key[1], at=now)
        available = balances[wallet_account(row.contract_id)].micro - row.accrued
        room = at_rest(row, available=available, policy=policies[key], now=now)
        if (
            room is not None
            and row.contract_id not in excused
            and tallied.takes(one.state)
            and _alone(one.segment, beside[one.segment.service_point_id])
        ):
            kept.append((one, room))
    if len(kept) < FEWEST:
        return
    told = [(*key, content_of(policy)) for key, policy in sorted(policies.items())]
    rule = Rule(tariff.id, tariff.hash, group[0].state.to_json(), told)
    kept.sort(key=lambda one: one[0].segment.contract_id)
    for piece in chunked(kept, _SHARD):
        _insert(tx, rule, tallied, piece, terms, day=epoch(now) // _DAY)


def _with_more(tx: Transaction, contract_ids: Collection[str], start: datetime) -> set[str]:
    """Those who have free units from then on, or later stretches of time already."""
    grant, segment = t.social_grant.c, t.wallet_segment.c
    among = list(contract_ids)
    granted = sa.select(grant.contract_id).where(grant.month_end > start, tx.among(grant.contract_id, among))
    later = sa.select(segment.contract_id).where(segment.start > start, tx.among(segment.contract_id, among))
    return {row.contract_id for select in (granted, later) for row in tx.rows(select)}


def _alone(segment: Segment, beside: Sequence[Segment]) -> bool:
    """Whether nobody else has the point in that time, and nothing of it comes later."""
    return all(one.key == segment.key or one.period.end <= segment.period.start for one in beside)


def _insert(
    tx: Transaction, rule: Rule, tallied: Tallied, piece: Sequence[tuple[Running, int]], terms: int, *, day: int
) -> None:
    running = [one for one, _ in piece]
    tally = tallied.tally([one.state for one in running])
    total = np.array([one.total for one in running], dtype=np.int64)
    contracts = [one.segment.contract_id for one in running]
    points = [one.segment.service_point_id for one in running]
    shard = Shard(
        id=new_id("shd"),
        members=Members(rule, tallied, contracts, points, {}),
        terms=terms,
        day=day,
        room=np.array([room for _, room in piece], dtype=np.int64),
        base=total.copy(),
        inside=tally.fits,
        until=np.array([epoch(one.until) for one in running], dtype=np.int64),
        total=total,
        tally=tally,
    )
    if not shard.inside.all():
        return  # somebody uses more than a shard holds: rare, and right as it is
    tx.insert(
        t.wallet_shard,
        [
            {
                "id": shard.id,
                "rule": rule.to_json(),
                "rows": len(running),
                "members": [contracts, points],
                "terms": terms,
                "fixed": fixed_columns(shard),
                "state": moving_columns(shard),
            }
        ],
    )
