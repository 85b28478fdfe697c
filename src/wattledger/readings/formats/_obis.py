"""OBIS codes (IEC 62056-61): what ``1-1:1.29.0`` counts, and which way."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wattledger.readings.formats._model import Direction

_CODE = re.compile(r"(?:([0-9]{1,3})-([0-9]{1,3}):)?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:[*&.][0-9]{1,3})?")
_ELECTRICITY = "1"
_QUANTITIES = {
    "1": ("kwh", Direction.IMPORT),
    "2": ("kwh", Direction.EXPORT),
    "16": ("kwh", Direction.NET),
    "3": ("kvarh", Direction.IMPORT),
    "4": ("kvarh", Direction.EXPORT),
    **dict.fromkeys(("5", "6", "7", "8"), ("kvarh", Direction.UNKNOWN)),
    "9": ("kvah", Direction.IMPORT),
    "10": ("kvah", Direction.EXPORT),
}
_REGISTER, _INTERVAL = frozenset({"8"}), frozenset({"9", "29"})


@dataclass(frozen=True, slots=True)
class Obis:
    """An energy by its code: the unit it is counted in unless another is given, and whether it only grows."""

    unit: str
    direction: Direction
    grows: bool

    @classmethod
    def of(cls, text: str) -> Obis | None:
        """What ``text`` stands for; ``None`` when it is not an energy of electricity."""
        match = _CODE.fullmatch(text)
        if not match or match[1] not in {None, _ELECTRICITY} or match[3] not in _QUANTITIES:
            return None
        if match[4] not in _REGISTER | _INTERVAL:
            return None
        unit, direction = _QUANTITIES[match[3]]
        return cls(unit, direction, match[4] in _REGISTER)
