"""``kill -9`` while credit is on its way to meters: every recharge becomes one token, none is made twice."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tokens_victim import HOMES, KEY, RECHARGES

from wattledger import ledger, prepay, sts
from wattledger.kernel import Money
from wattledger.store import Store

KILLS = int(os.environ.get("WATTLEDGER_KILLS", "1"))
AT_A_TIME = min(KILLS, 4)
ROUNDS = KILLS // AT_A_TIME
"""``WATTLEDGER_KILLS=200`` kills that often, on PostgreSQL too: every run of the victim takes seconds."""


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"] if KILLS > 1 else ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_while_credit_is_on_its_way(database_url: str, kill_until_done: Callable[..., int], seed: int) -> None:
    assert kill_until_done("tokens_victim.py", database_url, kills=AT_A_TIME, seed=seed, lines_max=90)
    store = Store(database_url)
    with store.read() as tx:
        assert ledger.check_book(tx) == []
        for home in HOMES:
            (debt,) = prepay.debts_of(tx, contract_id=home)
            assert debt.owed == Money.of(50 - 2 * RECHARGES, "CNY")
            done = prepay.deliveries_of(tx, contract_id=home)
            assert [one.state for one in done] == ["delivered"] * RECHARGES
            assert {one.amount for one in done} == {Money.of("7.50", "CNY")}
            tokens = [sts.decode_token(digits=one.receipt or "", key=KEY) for one in done]
            assert len({token.tid for token in tokens}) == RECHARGES
            # 7.50 buys 15 kWh at 0.50.
            assert [sts.field_to_amount(field=token["payload16"]) for token in tokens] == [150] * RECHARGES
    store.close()
