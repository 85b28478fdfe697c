"""``kill -9`` while customers run out, are cut off, pay and get their light back: a whole system, on both databases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from grid import MARCH
from supply_victim import HOMES, ROUNDS, FileMeters, at, paid, used

from wattledger import control, ledger, prepay, registry, tariffs
from wattledger.kernel import IntervalSeries, Money, Period
from wattledger.store import Store, undelivered

KILLS = int(os.environ.get("WATTLEDGER_KILLS", "1"))
AT_A_TIME = min(KILLS, 5)
SEEDS = range(max(1, KILLS // AT_A_TIME))
"""``WATTLEDGER_KILLS=60`` kills that often, on PostgreSQL too: every run of the victim takes seconds."""


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"] if KILLS > 1 else ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_between_credit_and_light(
    database_url: str, kill_until_done: Callable[..., int], tmp_path: Path, seed: int
) -> None:
    killed = kill_until_done(
        "supply_victim.py", database_url, str(tmp_path), kills=AT_A_TIME, seed=seed, lines_max=1_000
    )
    assert killed or AT_A_TIME == 1
    store, meters, now = Store(database_url), FileMeters(tmp_path), at(ROUNDS).now()
    dark = 0
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        assert undelivered(tx) == 0
        supplies = control.supplies(tx, service_point_ids=HOMES)
        for number, home in enumerate(HOMES):
            came = [amount for one in range(ROUNDS) if (amount := paid(one, number)) is not None]
            wallet = prepay.wallet(tx, contract_id=home, now=now)
            (segment,) = registry.segments(tx, contract_ids=[home], period=Period(MARCH, now))
            whole = _joined([used(one, number) for one in range(ROUNDS)])
            state = tariffs.open_state(tariff=segment.tariff, period=segment.period)
            state = tariffs.advance(tariff=segment.tariff, state=state, series=whole)
            cost = tariffs.settle(tariff=segment.tariff, state=state, until=MARCH + (now - MARCH)).total
            moved = ledger.transfers_of(tx, account_id=prepay.wallet_account(home))
            credited = [one.amount for one in moved if one.purpose == "recharge"]
            assert sorted(one.micro for one in credited) == sorted(one.micro for one in came)
            assert wallet.available == sum(came, Money.zero("CNY")) - cost
            on = wallet.available.micro > 0
            assert (supplies[home].state, meters.is_on(f"m-{home}")) == ("on" if on else "off", on)
            dark += not on
    assert 0 < dark <= len(HOMES)
    store.close()


def _joined(parts: list[IntervalSeries]) -> IntervalSeries:
    columns = [(one.starts, one.values, one.qualities) for one in parts]
    starts, values, qualities = (np.concatenate(column) for column in zip(*columns, strict=True))
    return IntervalSeries(starts, values, qualities, 900)
