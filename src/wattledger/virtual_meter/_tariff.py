"""The activity calendar (class 20) and its special days (11)."""

from __future__ import annotations

from wattledger.dlms import Data, Selection, array, obis, octets, structure, uint8, uint16
from wattledger.virtual_meter._cosem import Readers, data, refused
from wattledger.virtual_meter._meter import VirtualMeter


def _calendar(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 20: one season, one week, one day with two rates."""
    always = octets(bytes.fromhex("ffffffffffffffffff800000"))
    day = structure(
        uint8(1),
        array(
            [
                structure(octets(bytes((hour, 0, 0, 0))), octets(obis("0-0:10.0.100")), uint16(rate))
                for hour, rate in ((0, 2), (7, 1), (22, 2))
            ]
        ),
    )
    meter.now()
    values = {
        2: octets(b"WLG1"),
        3: array([structure(octets(b"1"), always, octets(b"1"))]),
        4: array([structure(octets(b"1"), *(uint8(1) for _ in range(7)))]),
        5: array([day]),
        6: octets(b"WLG1"),
        7: array([]),
        8: array([]),
        9: array([]),
        10: always,
    }
    if attribute not in values:
        raise refused()
    return values[attribute]


READERS: Readers = {
    (1, obis("0-0:96.14.0")): data(lambda meter: uint8(meter.rate(meter.now()))),
    (11, obis("0-0:11.0.0")): data(lambda _: array([])),
    (20, obis("0-0:13.0.0")): _calendar,
}
