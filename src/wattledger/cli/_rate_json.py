"""A rated file as JSON: every number a decimal string."""

from __future__ import annotations

import json
from typing import Any

from wattledger.cli._rating import Bill, Rated, plain
from wattledger.tariffs import ChargeLine


def as_json(result: Rated) -> str:
    """``{"tariff", "currency", "bills": [{"from", "to", "lines", "total", ...}], "total", ...}``, indented."""
    document = {
        "tariff": {"id": result.tariff.id, "version": result.tariff.version, "hash": result.tariff.hash},
        "currency": result.tariff.currency,
        "bills": [_bill(bill, result) for bill in result.bills],
        "total": plain(result.total),
        "not_rated": [{"what": what, "why": why} for what, why in result.not_rated],
        "assumptions": list(result.assumptions),
    }
    return json.dumps(document, indent=2)


def _bill(bill: Bill, result: Rated) -> dict[str, Any]:
    rating = bill.rating
    return {
        "point": bill.point,
        "from": rating.period.start.astimezone(result.zone).isoformat(),
        "to": rating.period.end.astimezone(result.zone).isoformat(),
        "lines": [_line(line) for line in rating.lines],
        "total": plain(rating.total),
        "missing": str(bill.missing),
        "estimated": str(rating.estimated),
        "substituted": str(rating.substituted),
        "suspect": str(rating.suspect),
    }


def _line(line: ChargeLine) -> dict[str, str | None]:
    return {
        "charge": line.charge,
        "kind": line.kind,
        "period": line.period,
        "tier": None if line.tier is None else str(line.tier),
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "price": plain(line.price),
        "amount": plain(line.amount),
    }
