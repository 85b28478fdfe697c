"""What earlier bills leave behind: counters of a year, demands that a ratchet looks back to, banks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Protocol

from wattledger.tariffs._calendar import midnight
from wattledger.tariffs._language import Tariff
from wattledger.tariffs._model import Charge, DemandCharge, EnergyCharge, MinimumCharge
from wattledger.tariffs._proration import months_before, quarter_of, year_of


class _State(Protocol):
    """What was counted of a part: a ``RatingState``, which has a history itself."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        ...


@dataclass(frozen=True, slots=True)
class EarlierPart:
    """A part of a bill that another version followed in mid-bill; the history of its ``state`` is without ``parts``."""

    tariff: Tariff
    state: _State


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
    ``parts``   the earlier parts of the bill under way: what the whole bill decides is decided about them again
    """

    since: int | None = None
    months: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    bill: tuple[int, Mapping[str, int]] | None = None
    bank: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[EarlierPart, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The history as JSON."""
        document: dict[str, Any] = {
            "since": self.since,
            "months": {
                month: {what: dict(kept) for what, kept in parts.items()} for month, parts in self.months.items()
            },
            "bill": None if self.bill is None else [self.bill[0], dict(self.bill[1])],
            "bank": dict(self.bank),
        }
        if self.parts:
            document["parts"] = [[one.tariff.document, one.state.to_json()] for one in self.parts]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any], parts: tuple[EarlierPart, ...] = ()) -> History:
        """The history that :meth:`to_json` wrote; its ``parts`` are read by who knows states."""
        bill = document["bill"]
        return cls(
            since=document["since"],
            months=document["months"],
            bill=None if bill is None else (bill[0], bill[1]),
            bank=document["bank"],
            parts=parts,
        )


NO_HISTORY = History()


def looks_back_to(*, tariff: Tariff, zone: tzinfo, start: datetime) -> datetime | None:
    """The earliest instant at which something was used that the bill beginning at ``start`` may depend on.

    ``start`` itself when the tariff remembers nothing of earlier bills; ``None``: since the contract began (a bank that
    does not expire).
    """
    first = start.astimezone(zone).date().replace(day=1)
    found = [since for _, since in _memories(tariff, zone, first)]
    times = [datetime.fromtimestamp(since, tz=UTC) for since in found if since is not None]
    return None if len(times) < len(found) else min([start, *times])


def unknown_before(*, tariff: Tariff, zone: tzinfo, start: datetime) -> dict[str, datetime | None]:
    """What a first bill, from ``start`` on, lacks: charges (and the ``bank``) by name, and since when they count.

    ``None``: since the contract began. What is cut to the part of a month that is billed is not among them.
    """
    first = start.astimezone(zone).date().replace(day=1)
    found = {
        name: None if since is None else datetime.fromtimestamp(since, tz=UTC)
        for name, since in _memories(tariff, zone, first)
        if not any(charge.name == name and _is_cut(charge) for charge in tariff.charges)
    }
    return {name: since for name, since in found.items() if since is None or since < start}


def _is_cut(charge: Charge) -> bool:
    if isinstance(charge, EnergyCharge) and charge.tiers is not None:
        return charge.tiers.basis == "month" and charge.tiers.proration.rule != "none"
    return isinstance(charge, MinimumCharge) and charge.proration.rule != "none"


def _memories(tariff: Tariff, zone: tzinfo, first: date) -> Iterator[tuple[str, int | None]]:
    bank = tariff.netting.bank
    if bank is not None:
        yield "bank", None if bank.expires is None else midnight(year_of(first, bank.expires), zone)
    for charge in tariff.charges:
        if isinstance(charge, EnergyCharge) and charge.tiers is not None:
            tiers = charge.tiers
            if tiers.basis == "year":
                yield charge.name, midnight(year_of(first, tiers.starts), zone)
            elif tiers.basis == "quarter":
                yield charge.name, midnight(quarter_of(first, tiers.starts), zone)
            elif tiers.basis == "rolling":
                yield charge.name, midnight(months_before(first, tiers.months - 1), zone)
            elif tiers.basis == "month":
                yield charge.name, midnight(first, zone)
        elif isinstance(charge, DemandCharge) and charge.ratchet is not None:
            yield charge.name, midnight(months_before(first, charge.ratchet.months), zone)
        elif isinstance(charge, MinimumCharge) and charge.per == "year":
            yield charge.name, midnight(year_of(first, charge.starts), zone)
