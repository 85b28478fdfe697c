"""Our qualities in the words of the formats: ESPI QualityOfReading, NEM12 quality method, MSCONS status.

Sources: NAESB REQ.21 ESPI (``QualityOfReading``), AEMO's Meter Data File Format (quality flags, substitution and
estimation types) and EDI@Energy MSCONS (QTY qualifiers). The raw, the estimated and the edited value of an interval are
versions; each version has one code in each format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wattledger.kernel import Quality
from wattledger.readings.vee._estimates import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """One quality in three formats; ``None`` where the format leaves such an interval out.

    ``espi``    ``QualityOfReading``, a number
    ``nem12``   quality flag, with the method's number where the format demands one
    ``mscons``  qualifier of the QTY segment
    """

    espi: int | None
    nem12: str
    mscons: int | None


VALIDATED = Codes(espi=17, nem12="A", mscons=220)
"""A reading that every check passed."""
EDITED = Codes(espi=7, nem12="S16", mscons=67)
"""A value that a person decided (NEM12 16: agreed method)."""

CODES: Mapping[Quality, Codes] = MappingProxyType(
    {
        Quality.MISSING: Codes(espi=None, nem12="N", mscons=None),
        Quality.ACTUAL: Codes(espi=0, nem12="A", mscons=220),
        Quality.ESTIMATED: Codes(espi=8, nem12="E15", mscons=67),
        Quality.SUBSTITUTED: Codes(espi=7, nem12="S16", mscons=67),
        Quality.SUSPECT: Codes(espi=10, nem12="A", mscons=220),
    }
)
"""What is said of a value whose method is not known."""

ESTIMATE_CODES: Mapping[Method, Codes] = MappingProxyType(
    {
        Method.LINEAR: Codes(espi=9, nem12="E17", mscons=67),
        Method.LIKE_DAYS: Codes(espi=8, nem12="E15", mscons=67),
        Method.FLAT: Codes(espi=11, nem12="E18", mscons=67),
    }
)
"""What is said of an estimate (NEM12 15: average like day, 17: linear interpolation, 18: alternate)."""

ESPI_QUALITIES: Mapping[int, str] = MappingProxyType(
    {
        0: "valid",
        7: "manually edited",
        8: "estimated using reference day",
        9: "estimated using linear interpolation",
        10: "questionable",
        11: "derived",
        12: "projected",
        13: "mixed",
        14: "raw",
        15: "normalized for weather",
        16: "other",
        17: "validated",
        18: "verified",
        19: "revenue quality",
    }
)
"""Every ``QualityOfReading`` of the standard."""


def codes_of(quality: Quality, *, method: Method | None = None) -> Codes:
    """The codes of a value of ``quality``, an estimated one by its ``method`` when that is known."""
    return ESTIMATE_CODES[method] if quality is Quality.ESTIMATED and method is not None else CODES[quality]
