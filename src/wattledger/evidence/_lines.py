"""A charge line as it stands in a statement."""

from __future__ import annotations

from typing import Any

from wattledger.kernel import Money
from wattledger.tariffs import ChargeLine


def line_told(line: ChargeLine) -> dict[str, Any]:
    """Text and whole numbers; ``quantity`` x ``price`` = ``amount``."""
    return {
        "charge": line.charge,
        "kind": line.kind,
        "clause": line.clause,
        "period": line.period,
        "season": line.season,
        "tier": line.tier,
        "quantity": f"{line.quantity:f}",
        "unit": line.unit,
        "price": f"{line.price:f}",
        "amount": line.amount.text if isinstance(line.amount, Money) else f"{line.amount:f}",
    }
