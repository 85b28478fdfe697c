"""A version that begins in mid-month: wallets and bills agree, whatever the whole bill decides."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from grid import APRIL, MARCH, ZONE, Grid, intervals

from wattledger import billing
from wattledger.kernel import Money
from wattledger.worker import WalletDeductions

MIDDLE = MARCH + timedelta(days=15)
ENERGY = {"name": "energy", "kind": "energy", "price": "0.1"}
CHARGES: dict[str, list[dict[str, Any]]] = {
    "usage": [
        {**ENERGY, "name": "low", "when": {"usage": {"up_to": "200"}}},
        {**ENERGY, "name": "high", "price": "0.5", "when": {"usage": {"over": "200"}}},
    ],
    "minimum": [ENERGY, {"name": "least", "kind": "minimum", "price": "60", "per": "bill", "covers": ["energy"]}],
    "credit": [ENERGY, {"name": "grant", "kind": "credit", "rate": "50", "of": ["energy"], "most": "10"}],
}
DAY = [125] * 96  # 12 kWh: 372 in March


@pytest.mark.parametrize("name", CHARGES)
@pytest.mark.parametrize("together", [1, 7, 31])
def test_wallet_and_bill_are_those_of_one_version(grid: Grid, name: str, together: int) -> None:
    for number, since in ((1, MARCH), (2, MIDDLE)):
        document = {"id": "flat", "version": str(number), "currency": "CNY", "zone": ZONE, "charges": CHARGES[name]}
        grid.publish(document, valid_from=since)
    grid.homes(1, mode="prepay")
    grid.homes(1, mode="postpay", first=1)
    for first in range(0, 31, together):
        count = min(together, 31 - first)
        series = intervals(DAY * count, start=MARCH + timedelta(days=first))
        grid.deliver(f"from {first}", {"h0": series, "h1": series})
    grid.clock.move_to(APRIL)
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=APRIL)
        billing.bill_contracts(tx, run_id=run.id, contract_ids=["h0", "h1"], deductions=WalletDeductions(), now=APRIL)
        (statement,) = billing.bills_of(tx, contract_id="h0")
        (bill,) = billing.bills_of(tx, contract_id="h1")
    wanted = {"usage": "186", "minimum": "60", "credit": "27.2"}[name]
    assert bill.total == Money.of(Decimal(wanted), "CNY")
    assert (statement.state, statement.total, statement.deducted) == ("posted", bill.total, bill.total)
    assert len(bill.parts) == 2
