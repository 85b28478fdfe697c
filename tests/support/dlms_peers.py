"""A meter of a few objects, and a client that speaks with it without a line between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    Exchange,
    Keys,
    NotReadable,
    Outcome,
    Reference,
    Selection,
    Server,
    array,
    obis,
    octets,
    structure,
    uint32,
)

T = TypeVar("T")

KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
METER_TITLE, HEAD_TITLE = b"WLG\0\0\0\0\1", b"HES\0\0\0\0\7"
CLOCK = Reference(8, obis("0-0:1.0.0"), 2)
ENERGY = Reference(3, obis("1-0:1.8.0"), 2)
PROFILE = Reference(7, obis("1-0:99.1.0"), 2)
NOTE = Reference(1, obis("0-0:96.13.0"), 2)
ECHO = Reference(9, obis("0-0:10.0.106"), 1)


class Shelf:
    """Objects that are just kept: what is set can be read, a method gives back what it is given."""

    def __init__(self, values: dict[Reference, Data]) -> None:
        self.values = values
        self.asked: list[tuple[Reference, Selection | None, int]] = []

    def read(self, attribute: Reference, selection: Selection | None, *, client: int) -> Data:
        self.asked.append((attribute, selection, client))
        if attribute not in self.values:
            raise NotReadable(AccessResult.OBJECT_UNDEFINED)
        return self.values[attribute]

    def write(self, attribute: Reference, _selection: Selection | None, value: Data, *, client: int) -> AccessResult:
        if client == 16:
            return AccessResult.READ_WRITE_DENIED
        self.values[attribute] = value
        return AccessResult.SUCCESS

    def invoke(self, _method: Reference, parameter: Data | None, *, client: int) -> Outcome:
        return (ActionResult.SUCCESS if client != 16 else ActionResult.READ_WRITE_DENIED), parameter


def profile(rows: int) -> Data:
    return array([structure(octets(bytes(11) + bytes((row % 256,))), uint32(row * 7)) for row in range(rows)])


def talk(
    exchange: Exchange[T],
    server: Server,
    *,
    altered: Callable[[bytes], bytes] = lambda apdu: apdu,
) -> T:
    """Carry an operation between the two to its end, and give its result."""
    waiting: list[bytes] = []
    out = next(exchange)
    while True:
        if out is not None:
            waiting += server.receive(out)
        if not waiting:
            raise AssertionError("the server has nothing more to say")
        try:
            out = exchange.send(altered(waiting.pop(0)))
        except StopIteration as done:
            assert waiting == []
            result: T = done.value
            return result
