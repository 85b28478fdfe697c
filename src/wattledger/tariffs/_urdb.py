"""The OpenEI Utility Rate Database's JSON, read into our language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from wattledger.tariffs._language import Tariff

TierConvention = Literal["sam", "chronological", "per-period"]


def import_urdb(document: Mapping[str, Any], *, tiers: TierConvention = "sam", source: str = "URDB") -> Tariff:
    """The tariff that a URDB document says, with its tiers under the named convention."""
    raise NotImplementedError(document, tiers, source)


def is_urdb(document: Mapping[str, Any]) -> bool:
    """Whether a document is URDB's rather than ours."""
    return "energyratestructure" in document or "items" in document
