"""Amounts are explained, and months stated, over HTTP."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from grid import Grid, intervals

from wattledger import evidence, prepay

V1 = "/api/v1"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_amounts_are_explained_and_months_stated(http: httpx.Client, grid: Grid) -> None:
    grid.deliver("a", {"h0": intervals([1000, 1000])})
    with grid.store.write() as tx:
        prepay.post_accrual(tx, contract_ids=["h0"], now=grid.clock.now())
    told = http.get(f"{V1}/transfers/deduction:h0:2026-02-28T16:00Z:0/explanation").json()
    assert told["proof"]["proved"], told
    assert (told["transfer"]["amount"], len(told["proof"]["intervals"])) == ("1.10", 2)
    assert http.get(f"{V1}/transfers/nothing/explanation").json()["type"].endswith("transfer-unknown")
    grid.clock.advance(timedelta(hours=1))
    statement = http.get(f"{V1}/contracts/h0/statements/2026-03")
    key = http.get(f"{V1}/statement-key").json()
    assert evidence.verify(statement.text, public_key=key["key"]).is_true
    assert key["fingerprint"] == evidence.fingerprint(key["key"])
    assert http.get(f"{V1}/contracts/h0/statements/2026-01").status_code == 404
    assert http.get(f"{V1}/contracts/h0/statements/now").status_code == 404
