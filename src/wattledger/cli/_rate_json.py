"""A rated file as JSON: every number a decimal string."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from wattledger.cli._rating import Bill, Rated, plain
from wattledger.kernel import Period
from wattledger.tariffs import ChargeLine, LineExplanation, Part

_DIGITS = 200  # more than any exact quantity or price has


def as_json(result: Rated) -> str:
    """``{"tariff", "currency", "bills": [{"from", "to", "lines", "total", ...}], "total", ...}``, indented."""
    document = {
        "tariff": {"id": result.tariff.id, "version": result.tariff.version, "hash": result.tariff.hash},
        "versions": [{"version": one.version, "hash": one.hash} for one in result.versions],
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
        **_span(rating.period, result),
        **({"part_of": _span(bill.whole, result)} if bill.is_part else {}),
        "tariff_version": bill.tariff.version,
        "tariff_hash": bill.tariff.hash,
        "lines": [
            {**_line(line), **({} if told is None else _explained(told))}
            for line, told in zip(rating.lines, _explanations(bill), strict=True)
        ],
        "total": plain(rating.total),
        "missing": str(bill.missing),
        "estimated": str(rating.estimated),
        "substituted": str(rating.substituted),
        "suspect": str(rating.suspect),
        "notices": [
            {
                "charge": notice.charge,
                "action": notice.action,
                "from": notice.start.isoformat(),
                "to": notice.end.isoformat(),
                "peak_kw": plain(notice.peak_kw),
            }
            for notice in rating.notices
        ],
        "banked": {name: plain(number) for name, number in rating.banked.items()},
        **({} if bill.explanation is None else {"readings_hash": bill.explanation.readings_hash}),
    }


def _span(period: Period, result: Rated) -> dict[str, str]:
    return {
        "from": period.start.astimezone(result.zone).isoformat(),
        "to": period.end.astimezone(result.zone).isoformat(),
    }


def _explanations(bill: Bill) -> Sequence[LineExplanation | None]:
    return [None] * len(bill.rating.lines) if bill.explanation is None else bill.explanation.lines


def _explained(told: LineExplanation) -> dict[str, Any]:
    """What a line's clause says, and every part: decimals, or fractions where no decimal is exact."""
    return {
        "says": told.says,
        "recomputed": plain(told.recomputed),
        "parts": [_part(part) for part in told.parts],
        "evidence": [_part(part) for part in told.evidence],
    }


def _part(part: Part) -> dict[str, str | None]:
    return {
        "what": part.what,
        "from": None if part.start is None else part.start.isoformat(),
        "to": None if part.end is None else part.end.isoformat(),
        "quality": part.quality,
        "quantity": _ratio(part.quantity),
        "price": _ratio(part.price),
    }


def _ratio(number: Fraction) -> str:
    """A decimal where one can hold it, else ``a/b``."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{number.numerator}/{number.denominator}"
    with localcontext(prec=_DIGITS):
        return plain(Decimal(number.numerator) / Decimal(number.denominator))


def _line(line: ChargeLine) -> dict[str, str | None]:
    return {
        "charge": line.charge,
        "kind": line.kind,
        "period": line.period,
        "season": line.season,
        "tier": None if line.tier is None else str(line.tier),
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "price": plain(line.price),
        "amount": plain(line.amount),
        "clause": line.clause,
        "at": None if line.at is None else line.at.isoformat(),
    }
