"""The tariff language: what a tariff document says, checked clause by clause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from wattledger.kernel import Problem

TierConvention = Literal["sam", "chronological", "per-period"]


class TariffRefused(Problem):
    """A tariff document does not say what it must, contradicts itself, or uses a clause that is not supported yet."""

    slug = "tariff-refused"
    title = "The tariff was refused"
    status = 422


@dataclass(frozen=True, eq=False, kw_only=True)
class Tariff:
    """One immutable version of a tariff; two are equal when their content hashes are."""

    id: str
    version: str
    name: str
    currency: str
    zone: str | None
    valid_from: date | None
    valid_to: date | None
    period_names: tuple[str, ...]
    order_matters: bool
    hash: str
    document: dict[str, Any]
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Tariff:
        """The tariff that ``document``, as kept by :attr:`document`, says; it has the same hash."""
        return parse_tariff(document, source="stored tariff")


def parse_tariff(document: Mapping[str, Any] | str, *, source: str) -> Tariff:
    """The tariff that a document (its YAML or JSON text, or its content) says; raises :class:`TariffRefused`."""
    raise NotImplementedError(source, document)


def load_tariff(path: Path, *, tiers: TierConvention | None = None) -> Tariff:
    """The tariff in a file: our YAML or JSON, or a URDB JSON, recognised by content."""
    raise NotImplementedError(path, tiers)
