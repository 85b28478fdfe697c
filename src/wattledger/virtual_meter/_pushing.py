"""Push setup (class 40)."""

from __future__ import annotations

from wattledger.dlms import Data, Selection, array, enum, int8, obis, octets, structure, uint8, uint16
from wattledger.virtual_meter._cosem import Readers, refused
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._profiles import LOAD_PROFILE


def _push(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    values = {
        2: array([structure(uint16(7), octets(LOAD_PROFILE), int8(2), uint16(0))]),
        3: structure(enum(0), octets(b""), enum(0)),
        4: array([]),
        5: uint16(0),
        6: uint8(3),
        7: uint16(60),
    }
    meter.now()
    if attribute not in values:
        raise refused()
    return values[attribute]


READERS: Readers = {(40, obis("0-0:25.9.0")): _push}
