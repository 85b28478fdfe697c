"""What comes late for a bill, from the way in for readings to what HTTP shows."""

from pathlib import Path
from typing import Any

import pytest
from grid import APRIL, MARCH, Grid, intervals

from wattledger import billing
from wattledger.api._views import bill_view
from wattledger.app._system import System
from wattledger.kernel import new_id
from wattledger.worker import WalletDeductions

MARCH_SLOTS = 31 * 96


def shown(grid: Grid, contract: str) -> list[dict[str, Any]]:
    """A contract's bills as they travel, newest first."""
    with grid.store.read() as tx:
        found = billing.bills_of(tx, contract_id=contract)
        assert [billing.bill_with_id(tx, bill_id=one.id) for one in found] == found
    return [bill_view(one).model_dump(mode="json") for one in found]


@pytest.mark.parametrize("policy", ["next_bill", "rebill"])
def test_a_late_reading_corrects_a_bill_by_itself(
    grid: Grid, policy: billing.CorrectionPolicy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wattledger.app._system.JOBS_NAME", new_id("jobs"))
    system = System(store=grid.store, clock=grid.clock, data=tmp_path, switch=grid.meters, corrections=policy)
    grid.publish()
    grid.homes(1, mode="postpay")
    system.deliver(batch=grid.batch("march", {"h0": intervals([250] * MARCH_SLOTS)}))
    grid.clock.move_to(APRIL)
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=APRIL)
        billing.bill_contracts(tx, run_id=run.id, contract_ids=["h0"], deductions=WalletDeductions(), now=APRIL)
    (before,) = shown(grid, "h0")
    assert (before["total"], before["corrected_total"], before["to_pay"]) == ("375.10", "375.10", "375.10")
    assert (before["corrections"], before["carried"], before["replaces"]) == ([], [], None)
    system.deliver(batch=grid.batch("late", {"h0": intervals([1250])}))
    system.worker.settle()
    corrected = shown(grid, "h0")[-1]
    assert (corrected["total"], corrected["lines"]) == (before["total"], before["lines"])
    (correction,) = corrected["corrections"]
    assert (correction["old_total"], correction["new_total"], correction["difference"]) == ("375.10", "375.60", "0.50")
    assert (correction["way"], correction["number"]) == (policy, 1)
    (line,) = correction["lines"]
    assert (line["charge"], line["old_amount"], line["new_amount"]) == ("energy", "372.00", "372.50")
    (cause,) = correction["causes"]
    assert (cause["about"], cause["start"]) == ("late", MARCH.isoformat().replace("+00:00", "Z"))
    if policy == "rebill":
        (again, cancelled) = shown(grid, "h0")
        assert (cancelled["state"], cancelled["replaced_by"]) == ("cancelled", again["id"])
        assert (again["state"], again["replaces"], again["total"]) == ("posted", cancelled["id"], "375.60")
    else:
        assert (corrected["state"], corrected["corrected_total"]) == ("posted", "375.60")
