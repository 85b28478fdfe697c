"""A meter of a few objects, and a client that speaks with it without a line between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    Date,
    DateTime,
    Exchange,
    Keys,
    NotReadable,
    Outcome,
    Reference,
    Selection,
    Server,
    Tag,
    Time,
    array,
    bits,
    boolean,
    enum,
    int8,
    int16,
    int32,
    int64,
    null,
    obis,
    octets,
    structure,
    text,
    uint8,
    uint16,
    uint32,
    uint64,
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


SCALARS = st.one_of(
    st.just(null()),
    st.booleans().map(boolean),
    st.integers(-(1 << 7), (1 << 7) - 1).map(int8),
    st.integers(-(1 << 15), (1 << 15) - 1).map(int16),
    st.integers(-(1 << 31), (1 << 31) - 1).map(int32),
    st.integers(-(1 << 63), (1 << 63) - 1).map(int64),
    st.integers(0, (1 << 8) - 1).map(uint8),
    st.integers(0, (1 << 16) - 1).map(uint16),
    st.integers(0, (1 << 32) - 1).map(uint32),
    st.integers(0, (1 << 64) - 1).map(uint64),
    st.integers(0, 255).map(enum),
    st.binary(max_size=300).map(octets),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=40).map(text),
    st.text(alphabet="01", max_size=30).map(bits),
    st.binary(min_size=12, max_size=12).map(lambda raw: Data(Tag.DATE_TIME, DateTime.decode(raw))),
    st.binary(min_size=5, max_size=5).map(lambda raw: Data(Tag.DATE, Date.decode(raw))),
    st.binary(min_size=4, max_size=4).map(lambda raw: Data(Tag.TIME, Time.decode(raw))),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(array), st.lists(inner, max_size=6).map(lambda items: structure(*items))
    ),
    max_leaves=20,
)
