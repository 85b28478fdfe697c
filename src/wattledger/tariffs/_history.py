"""What earlier bills leave behind: counters of a year, demands that a ratchet looks back to, banks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class History:
    """What was counted before, as far as a tariff can ask for it; small, and JSON-able.

    Keys are the names of charges (and of their counters or groups), not their places, so that what was counted under
    one version goes on under the next.

    ``since``   epoch at which the contract began, ``None``: before all that is asked
    ``months``  for each calendar month (``2026-03``) what was counted of ``energy`` (1e-9 kWh), ``demand`` (1e-9 kWh a
                day) and ``covered`` (micro-units)
    ``bill``    epoch at which the bill under way began, and what its earlier parts counted of energy and ``usage``
    ``bank``    kWh (1e-9) by period and money (micro-units, under ``money``) left over
    """

    since: int | None = None
    months: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    bill: tuple[int, Mapping[str, int]] | None = None
    bank: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The history as JSON."""
        return {
            "since": self.since,
            "months": {
                month: {what: dict(kept) for what, kept in parts.items()} for month, parts in self.months.items()
            },
            "bill": None if self.bill is None else [self.bill[0], dict(self.bill[1])],
            "bank": dict(self.bank),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> History:
        """The history that :meth:`to_json` wrote."""
        bill = document["bill"]
        return cls(
            since=document["since"],
            months=document["months"],
            bill=None if bill is None else (bill[0], bill[1]),
            bank=document["bank"],
        )


NO_HISTORY = History()
