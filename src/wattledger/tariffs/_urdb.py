"""The OpenEI Utility Rate Database's JSON, read into our language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wattledger.tariffs._language import Tariff, TierConvention


def import_urdb(document: Mapping[str, Any], *, tiers: TierConvention = "sam", source: str = "URDB") -> Tariff:
    """The tariff that a URDB document says, with its tiers under the named convention."""
    raise NotImplementedError(document, tiers, source)
