"""What all objects of a meter are made of: how an attribute is read, written, and a method invoked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    NotReadable,
    Outcome,
    Selection,
    array,
    enum,
    int8,
    obis,
    octets,
    structure,
    uint16,
    uint32,
)
from wattledger.virtual_meter._meter import VirtualMeter

Read = Callable[[VirtualMeter, int, Selection | None], Data]
Invoke = Callable[[VirtualMeter, Data | None], Outcome]
Write = Callable[[VirtualMeter, Data], AccessResult]
Readers = dict[tuple[int, bytes], Read]
"""By class and logical name."""
Instants = NDArray[np.int64]

DONE: Outcome = (ActionResult.SUCCESS, None)
DENIED: Outcome = (ActionResult.READ_WRITE_DENIED, None)
CLOCK = obis("0-0:1.0.0")
OPEN_MOMENT = bytes.fromhex("ffffffffffffffffff8000ff")
"""A date-time that says nothing."""


def refused(result: AccessResult = AccessResult.OBJECT_UNDEFINED) -> NotReadable:
    return NotReadable(result)


def data(value: Callable[[VirtualMeter], Data]) -> Read:
    """Class 1: one value."""

    def read(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
        if attribute != 2:  # noqa: PLR2004 - value
            raise refused()
        return value(meter)

    return read


def register(value: Callable[[VirtualMeter, int], int], *, scale: int, unit: int, wide: bool = True) -> Read:
    """Class 3: a value with scaler and unit."""

    def read(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
        match attribute:
            case 2:
                return (uint32 if wide else uint16)(value(meter, meter.now()))
            case 3:
                return structure(int8(scale), enum(unit))
        raise refused()

    return read


def at_once(at: int) -> Instants:
    return np.array([at], dtype=np.int64)


def moment(meter: VirtualMeter, shown: int) -> Data:
    return octets(meter.time.moment(shown).encoded)


def captured(*objects: tuple[int, bytes]) -> Data:
    return array([structure(uint16(kind), octets(name), int8(2), uint16(0)) for kind, name in objects])
