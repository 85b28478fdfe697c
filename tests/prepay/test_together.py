"""Deducting by the thousand comes to what deducting one by one comes to, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import sqlalchemy as sa
from grid import MARCH, ZONE, Grid

from wattledger import ledger, prepay, readings, registry
from wattledger.kernel import IntervalSeries, Money, Quality, epoch
from wattledger.prepay import _tables as t
from wattledger.store import Store, recent_facts

HOMES = 270
STEPS = {
    "id": "steps",
    "version": "1",
    "name": "Steps",
    "currency": "CNY",
    "zone": ZONE,
    "periods": {"peak": {"times": ["08:00-11:00", "17:00-22:00"]}, "valley": "otherwise"},
    "charges": [
        {
            "name": "energy",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "month",
                "allocation": "chronological",
                "limits": ["3", "6"],
                "proration": "none",
            },
            "price": {"peak": ["0.6183", "0.6683", "0.91831"], "valley": ["0.3083", "0.358377", "0.6"]},
        },
        {"name": "standing", "kind": "fixed", "price": "0.123", "per": "day"},
    ],
}


def _begin(grid: Grid) -> list[str]:
    names = [f"h{number:03}" for number in range(HOMES)]
    grid.publish(STEPS)
    with grid.store.write() as tx:
        registry.take_on(
            tx,
            supplies=[
                registry.Supply(
                    service_point_id=name,
                    premise_id=name,
                    premise_kind="home",
                    address="a street",
                    zone=ZONE,
                    account_id=name,
                    account_name=name,
                    language="en",
                    phone=None,
                    contract_id=name,
                    mode="prepay",
                    tariff_id="steps",
                    currency="CNY",
                    valid_from=MARCH,
                )
                for name in names
            ],
        )
        rng = np.random.default_rng(3)
        ledger.post(
            tx,
            transfers=[
                ledger.Transfer(
                    id=f"first:{name}",
                    debit_account="cash:first",
                    credit_account=prepay.wallet_account(name),
                    amount=Money(int(rng.integers(1_000, 40_000)) * 1000, "CNY"),
                    purpose="recharge",
                    reference=name,
                    posted_at=MARCH,
                )
                for name in names
            ],
            opening=[
                ledger.Account("cash:first", "asset", "CNY"),
                *(ledger.Account(prepay.wallet_account(name), "wallet", "CNY") for name in names),
            ],
        )
    return names


def _recharge(grid: Grid, names: list[str], amounts: list[int], key: str) -> None:
    with grid.store.write() as tx:
        for name, amount in zip(names, amounts, strict=True):
            prepay.recharge(
                tx,
                contract_id=name,
                amount=Money(amount * 1000, "CNY"),
                method="simulated",
                key=key,
                now=grid.clock.now(),
            )


def _story(grid: Grid, deliver: Callable[[Grid, str, readings.IntervalBatch], None]) -> list[int]:
    """Some days of what can happen; how many wallets stood in shards after each batch."""
    names, rng, at = _begin(grid), np.random.default_rng(7), MARCH
    inside: list[int] = []
    for number in range(7):
        count = int(rng.integers(1, 20))
        seconds = count * 900
        wh = rng.integers(0, 300, (HOMES, count))
        quality = rng.choice(np.array([1, 1, 1, 2], dtype=np.uint8), (HOMES, count))
        starts = epoch(at) + 900 * np.arange(count, dtype=np.int64)
        if number % 3 != 2:  # a table of all, with or without estimates
            named, series = Quality.ACTUAL if number % 2 else quality, {}
            batch = readings.IntervalBatch(
                f"b{number}", "test", tables=[readings.TableIntervals(readings.IMPORT, names, at, 900, wh, named)]
            )
        else:  # single series: some lack a slot, some nobody heard of
            series = {
                name: IntervalSeries(starts, wh[row], quality[row], 900).picked(rng.random(count) < 0.9)
                if row % 40 == 0
                else IntervalSeries(starts, wh[row], quality[row], 900)
                for row, name in enumerate(names)
                if row % 50
            }
            batch = grid.batch(f"b{number}", series)
        at += timedelta(seconds=seconds)
        grid.clock.move_to(at)
        deliver(grid, f"b{number}", batch)
        with grid.store.read() as tx:
            kept = tx.rows(sa.select(t.wallet_shard.c.rows))
            gone = tx.rows(sa.select(t.wallet_shard_left.c.contract_id))
        inside.append(sum(row.rows for row in kept) - len(gone))
        if number == 2:
            _recharge(grid, names[:9], [5_000] * 9, "second")
        if number == 3:  # a late reading, a correction, a policy that warns sooner
            late = IntervalSeries(starts[:1], np.array([7]), np.array([1], dtype=np.uint8), 900)
            deliver(grid, "late", grid.batch("late", dict.fromkeys(names[50:54], late)))
            with grid.store.write() as tx:
                prepay.publish_policy(
                    tx, text="name: default\ncurrency: CNY\nlow: 12\nsecond: 6\n", source="test", valid_from=at
                )
        if number == 4:
            with grid.store.write() as tx:
                prepay.post_accrual(tx, contract_ids=names[20:25], now=at)
                registry.end_contract(tx, contract_id=names[30], at=at, now=at)
    return inside


def _together(grid: Grid, _id: str, batch: readings.IntervalBatch) -> None:
    with grid.store.write() as tx:
        receipt = readings.ingest(tx, batch=batch, now=grid.clock.now())
        prepay.deduct(tx, changes=receipt.changes, now=grid.clock.now())


def _one_by_one(grid: Grid, _id: str, batch: readings.IntervalBatch) -> None:
    with grid.store.write() as tx:
        receipt = readings.ingest(tx, batch=batch, now=grid.clock.now())
        prepay.deduct(tx, changes=list(receipt.changes), now=grid.clock.now())


def _seen(grid: Grid, names: list[str]) -> tuple[list[prepay.Wallet], list[tuple[object, ...]]]:
    now = grid.clock.now()
    with grid.store.read() as tx:
        wallets = [prepay.wallet(tx, contract_id=name, now=now) for name in names]
        facts = recent_facts(tx, limit=100_000)
    return wallets, sorted((f.at, f.kind, f.contract_id or "", str(f.data)) for f in facts if "Charge" not in f.kind)


def _kept(grid: Grid) -> list[tuple[object, ...]]:
    """What stands in rows once everything is posted."""
    names, row, wallet = [f"h{number:03}" for number in range(HOMES)], t.wallet_segment, t.wallet
    with grid.store.write() as tx:
        prepay.post_accrual(tx, contract_ids=names, now=grid.clock.now())
        kept = tx.rows(sa.select(row).order_by(row.c.contract_id, row.c.start))
        wallets = tx.rows(sa.select(wallet).order_by(wallet.c.contract_id))
    return [
        *((r.contract_id, r.start, r.until, r.total, r.posted, r.state) for r in kept),
        *((r.contract_id, r.accrued, r.recent, r.state, r.second_told) for r in wallets),
    ]


_Seen = tuple[tuple[list[prepay.Wallet], list[tuple[object, ...]]], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path) -> _Seen:
    """The same story one by one."""
    path = tmp_path_factory.mktemp("alone") / "alone.db"
    copyfile(_migrated_sqlite, path)
    alone = Grid(Store(f"sqlite:///{path}"))
    _story(alone, _one_by_one)
    seen = _seen(alone, [f"h{number:03}" for number in range(HOMES)]), _kept(alone)
    alone.store.close()
    return seen


def test_side_by_side_is_one_by_one(store: Store, expected: _Seen) -> None:
    grid, names = Grid(store), [f"h{number:03}" for number in range(HOMES)]
    inside = _story(grid, _together)
    assert max(inside) > HOMES * 0.8, inside
    (wallets, facts), rows = expected
    assert grid.clock.now().date() > MARCH.date()  # a day began meanwhile
    seen = _seen(grid, names)
    assert seen[0] == wallets
    assert [one for one in seen[1] if one[1] != "RechargeCredited"] == [
        one for one in facts if one[1] != "RechargeCredited"
    ]
    with store.read() as tx:
        summary = prepay.wallets_summary(tx, now=grid.clock.now())
    assert summary.available["CNY"].micro == sum(one.available.micro for one in wallets)
    assert _kept(grid) == rows
