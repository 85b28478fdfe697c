"""A-XDR (IEC 61334-6) as DLMS uses it: COSEM data to bytes and back.

``decode`` gives plain Python values and is quick; ``decode_typed`` gives the same tree as ``Data``, which keeps each
value's type and can be encoded again. Nesting, counts and sizes are bounded by what is there: a count that the bytes
cannot hold ends as ``Truncated``.

| COSEM                              | plain value                       |
|------------------------------------|-----------------------------------|
| null-data, don't-care              | ``None``                          |
| boolean                            | ``bool``                          |
| integers of any width, enum        | ``int``                           |
| float32, float64                   | ``float``                         |
| octet-string                       | ``bytes``                         |
| visible-string, utf8-string        | ``str``                           |
| bit-string                         | ``Bits``                          |
| array, compact-array               | ``list``                          |
| structure                          | ``tuple``                         |
| date-time, date, time (own types)  | ``DateTime``, ``Date``, ``Time``  |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from wattledger.dlms._clock import Date, DateTime, Time
from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated
from wattledger.dlms._layouts import BYTES_MAX as LEARNED_MAX
from wattledger.dlms._layouts import Layouts

DEPTH_MAX = 16
"""Arrays and structures in one another; the deepest object of the Blue Book needs seven."""

_TEMPLATE_ROWS_MIN = 4


class Tag(IntEnum):
    """The types of COSEM data (Green Book 9.5, ``Data ::= CHOICE``)."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    INT32 = 5
    UINT32 = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INT8 = 15
    INT16 = 16
    UINT8 = 17
    UINT16 = 18
    COMPACT_ARRAY = 19
    INT64 = 20
    UINT64 = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INT8 = 28
    DELTA_INT16 = 29
    DELTA_INT32 = 30
    DELTA_UINT8 = 31
    DELTA_UINT16 = 32
    DELTA_UINT32 = 33
    DONT_CARE = 255


class Bits(NamedTuple):
    """A bit-string: the first bit is the highest of the first octet."""

    size: int
    octets: bytes

    def __str__(self) -> str:
        return "".join(f"{octet:08b}" for octet in self.octets)[: self.size]

    @classmethod
    def of(cls, text: str) -> Bits:
        """The bits of ``"0101"``."""
        padded = text.ljust(-(-len(text) // 8) * 8, "0")
        return cls(len(text), bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8)))


class Data(NamedTuple):
    """A value with its type. The value is as ``decode`` gives it, but arrays and structures hold further ``Data``."""

    tag: Tag
    value: Any

    @property
    def plain(self) -> Any:  # noqa: ANN401 - whatever the type says
        """The value alone, as ``decode`` gives it."""
        if self.tag in {Tag.ARRAY, Tag.COMPACT_ARRAY}:
            return [item.plain for item in self.value]
        return tuple(item.plain for item in self.value) if self.tag is Tag.STRUCTURE else self.value


_INTEGERS = {
    Tag.BOOLEAN: "?",
    Tag.INT32: "i",
    Tag.UINT32: "I",
    Tag.BCD: "B",
    Tag.INT8: "b",
    Tag.INT16: "h",
    Tag.UINT8: "B",
    Tag.UINT16: "H",
    Tag.INT64: "q",
    Tag.UINT64: "Q",
    Tag.ENUM: "B",
    Tag.FLOAT32: "f",
    Tag.FLOAT64: "d",
    Tag.DELTA_INT8: "b",
    Tag.DELTA_INT16: "h",
    Tag.DELTA_INT32: "i",
    Tag.DELTA_UINT8: "B",
    Tag.DELTA_UINT16: "H",
    Tag.DELTA_UINT32: "I",
}
_TAGS = {int(tag): tag for tag in Tag}
_CODES = {int(tag): code for tag, code in _INTEGERS.items()}
_FIXED: dict[int, tuple[Callable[[bytes, int], tuple[Any, ...]], int]] = {
    int(tag): (struct.Struct(f">x{code}").unpack_from, 1 + struct.calcsize(f">{code}"))
    for tag, code in _INTEGERS.items()
}
_LAYOUTS = Layouts(_CODES)
_PACKED = {int(tag): struct.Struct(f">B{code}").pack for tag, code in _INTEGERS.items()}
_CLOCKS: dict[int, tuple[type[DateTime | Date | Time], int]] = {
    Tag.DATE_TIME: (DateTime, 12),
    Tag.DATE: (Date, 5),
    Tag.TIME: (Time, 4),
}


# ------------------------------------------------------------------------------------------------- what is written


def null() -> Data:
    return Data(Tag.NULL, None)


def boolean(value: object) -> Data:
    return Data(Tag.BOOLEAN, bool(value))


def int8(value: int) -> Data:
    return Data(Tag.INT8, value)


def int16(value: int) -> Data:
    return Data(Tag.INT16, value)


def int32(value: int) -> Data:
    return Data(Tag.INT32, value)


def int64(value: int) -> Data:
    return Data(Tag.INT64, value)


def uint8(value: int) -> Data:
    return Data(Tag.UINT8, value)


def uint16(value: int) -> Data:
    return Data(Tag.UINT16, value)


def uint32(value: int) -> Data:
    return Data(Tag.UINT32, value)


def uint64(value: int) -> Data:
    return Data(Tag.UINT64, value)


def enum(value: int) -> Data:
    return Data(Tag.ENUM, value)


def octets(value: bytes) -> Data:
    return Data(Tag.OCTET_STRING, bytes(value))


def text(value: str) -> Data:
    return Data(Tag.VISIBLE_STRING, value)


def bits(value: str) -> Data:
    """A bit-string of ``"0101"``."""
    return Data(Tag.BIT_STRING, Bits.of(value))


def array(items: Sequence[Data]) -> Data:
    return Data(Tag.ARRAY, tuple(items))


def structure(*items: Data) -> Data:
    return Data(Tag.STRUCTURE, items)


def date_time(value: DateTime) -> Data:
    """A date-time as nearly every meter writes it: in an octet-string of twelve."""
    return Data(Tag.OCTET_STRING, value.encoded)


def length(count: int) -> bytes:
    """A length or a count: one byte up to 127, else how many bytes follow and those."""
    if count < 0x80:  # noqa: PLR2004 - the format's
        return bytes((count,))
    size = (count.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + count.to_bytes(size, "big")


def encode(data: Data) -> bytes:
    """The bytes of a value, tag first; raises ``DlmsError`` for a value that its type cannot hold."""
    out = bytearray()
    _write(out, data, DEPTH_MAX)
    return bytes(out)


def _write(out: bytearray, data: Data, room: int) -> None:
    tag, value = data
    pack = _PACKED.get(tag)
    if pack is not None:
        try:
            out += pack(tag, value)
        except struct.error:
            raise DlmsError(ErrorKind.MALFORMED, f"{value!r} does not fit {tag.name}") from None
    elif tag in {Tag.ARRAY, Tag.STRUCTURE}:
        if not room:
            raise _too_deep()
        out.append(tag)
        out += length(len(value))
        for item in value:
            _write(out, item, room - 1)
    else:
        out += _string(tag, value)


def _string(tag: Tag, value: Any) -> bytes:  # noqa: ANN401 - as the tag says
    if tag in {Tag.NULL, Tag.DONT_CARE}:
        return bytes((tag,))
    if tag in _CLOCKS:
        return bytes((tag,)) + bytes(value.encoded)
    if tag is Tag.BIT_STRING:
        return bytes((tag,)) + length(value.size) + bytes(value.octets)
    if tag is Tag.COMPACT_ARRAY:
        raise DlmsError(ErrorKind.UNSUPPORTED, "compact arrays are read here, not written: write an array")
    content = value if isinstance(value, bytes) else value.encode("utf-8" if tag is Tag.UTF8_STRING else "latin-1")
    return bytes((tag,)) + length(len(content)) + content


# ---------------------------------------------------------------------------------------------------- what is read


def decode(buffer: bytes, at: int = 0) -> tuple[Any, int]:
    """The plain value that begins at ``at``, and where it ends; raises ``DlmsError``."""
    known = _LAYOUTS.read(buffer, at)
    if known is not None:
        return known
    value, end = _whole(buffer, at, typed=False)
    if end == len(buffer) and end - at <= LEARNED_MAX and isinstance(value, list | tuple):
        _LAYOUTS.learn(buffer, at)
    return value, end


def decode_typed(buffer: bytes, at: int = 0) -> tuple[Data, int]:
    """As ``decode``, but every value with its type."""
    value, end = _whole(buffer, at, typed=True)
    return value, end


def _whole(buffer: bytes, at: int, *, typed: bool) -> tuple[Any, int]:
    try:
        return _read(buffer, at, DEPTH_MAX, typed)
    except (IndexError, struct.error):
        raise _ends(buffer) from None


def read_length(buffer: bytes, at: int) -> tuple[int, int]:
    """A length and where it ends; raises ``IndexError`` where the bytes end."""
    count = buffer[at]
    if count < 0x80:  # noqa: PLR2004 - the format's
        return count, at + 1
    size = count & 0x7F
    if not 0 < size <= 4:  # noqa: PLR2004 - 4 GB are enough
        raise DlmsError(ErrorKind.OVERSIZE, f"a length of {size} bytes at byte {at}")
    end = at + 1 + size
    if end > len(buffer):
        raise _ends(buffer)
    return int.from_bytes(buffer[at + 1 : end], "big"), end


def read_octets(buffer: bytes, at: int) -> tuple[bytes, int]:
    """Bytes that their length goes before, and where they end; raises ``IndexError`` or ``Truncated``."""
    count, at = read_length(buffer, at)
    end = at + count
    if end > len(buffer):
        raise _ends(buffer)
    return buffer[at:end], end


def _read(buffer: bytes, at: int, room: int, typed: bool) -> tuple[Any, int]:  # noqa: FBT001 - the hot path
    tag = buffer[at]
    fixed = _FIXED.get(tag)
    value: Any
    if fixed is not None:
        unpack, size = fixed
        value, end = unpack(buffer, at)[0], at + size
    elif tag in {Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.UTF8_STRING}:
        value, end = read_octets(buffer, at + 1)
        if tag != Tag.OCTET_STRING:
            value = _as_text(value, tag)
    elif tag in {Tag.ARRAY, Tag.STRUCTURE}:
        value, end = _items(buffer, at, room, typed)
    else:
        value, end = _rare(buffer, at, room, typed)
    return (Data(_TAGS[tag], value) if typed else value), end


def _items(buffer: bytes, at: int, room: int, typed: bool) -> tuple[Any, int]:  # noqa: FBT001 - the hot path
    tag = buffer[at]
    if not room:
        raise _too_deep()
    count, at = read_length(buffer, at + 1)
    if count > len(buffer) - at:
        raise _ends(buffer)
    items: list[Any] = []
    if typed:
        for _ in range(count):
            value, at = _read(buffer, at, room - 1, typed)
            items.append(value)
        return tuple(items), at
    if tag == Tag.ARRAY and count >= _TEMPLATE_ROWS_MIN:
        rows, end = _uniform_rows(buffer, at, count)
        if rows is not None:
            return rows, end
    for _ in range(count):
        fixed = _FIXED.get(buffer[at])
        if fixed is None:
            value, at = _read(buffer, at, room - 1, typed)
        else:
            unpack, size = fixed
            value = unpack(buffer, at)[0]
            at += size
        items.append(value)
    return (items if tag == Tag.ARRAY else tuple(items)), at


def _uniform_rows(buffer: bytes, at: int, count: int) -> tuple[list[tuple[Any, ...]] | None, int]:
    """The rows of a profile at once, where each is laid out as the first one; ``None`` where they are not."""
    layout = _layout(buffer, at)
    if layout is None:
        return None, at
    row, marks = layout
    end = at + count * row.size
    if end > len(buffer):
        return None, at
    for offset in marks:
        column = buffer[at + offset : end : row.size]
        if column.count(column[0]) != count:
            return None, at
    return list(row.iter_unpack(memoryview(buffer)[at:end])), end


def _layout(buffer: bytes, at: int) -> tuple[struct.Struct, list[int]] | None:
    """The first row as a ``struct``, and which of its bytes have to be the same in every row."""
    if buffer[at] != Tag.STRUCTURE:
        return None
    fields, start = buffer[at + 1], at
    code, marks = [">xx"], [0, 1]
    at += 2
    for _ in range(fields):
        tag = buffer[at]
        if tag in _CODES:
            marks.append(at - start)
            code.append(f"x{_CODES[tag]}")
            at += _FIXED[tag][1]
        elif tag == Tag.OCTET_STRING and buffer[at + 1] < 0x80:  # noqa: PLR2004 - the format's
            marks += [at - start, at + 1 - start]
            code.append(f"xx{buffer[at + 1]}s")
            at += 2 + buffer[at + 1]
        else:
            return None
    return struct.Struct("".join(code)), marks


def _rare(buffer: bytes, at: int, room: int, typed: bool) -> tuple[Any, int]:  # noqa: FBT001 - the hot path
    tag = buffer[at]
    if tag in {Tag.NULL, Tag.DONT_CARE}:
        return None, at + 1
    if tag in _CLOCKS:
        kind, size = _CLOCKS[tag]
        return kind.decode(_taken(buffer, at + 1, size)), at + 1 + size
    if tag == Tag.BIT_STRING:
        count, at = read_length(buffer, at + 1)
        size = -(-count // 8)
        return Bits(count, _taken(buffer, at, size)), at + size
    if tag == Tag.COMPACT_ARRAY:
        return _compact_array(buffer, at + 1, room, typed)
    raise DlmsError(ErrorKind.WRONG_TAG, f"no data type has the tag {tag} (byte {at})")


def _taken(buffer: bytes, at: int, size: int) -> bytes:
    if at + size > len(buffer):
        raise _ends(buffer)
    return buffer[at : at + size]


def _as_text(value: bytes, tag: int) -> str:
    # Some meters fill a visible-string with what is none: it is shown, not refused.
    return value.decode("utf-8" if tag == Tag.UTF8_STRING else "latin-1", errors="replace")


def _compact_array(buffer: bytes, at: int, room: int, typed: bool) -> tuple[Any, int]:  # noqa: FBT001 - see above
    kind, at = _described(buffer, at, room)
    content, end = read_octets(buffer, at)
    items: list[Any] = []
    at = 0
    while at < len(content):
        before = at
        item, at = _contents(content, at, kind, typed)
        if at == before:
            raise DlmsError(ErrorKind.MALFORMED, "a compact array of items without a size")
        items.append(item)
    return (tuple(items) if typed else items), end


class _Described(NamedTuple):
    """An item of a compact array: its type, and for arrays and structures those of its items."""

    tag: int
    items: tuple[_Described, ...] = ()


_DESCRIBED_MAX = 1_000  # a structure of more parts is none; arrays in arrays could otherwise ask for any number


def _described(buffer: bytes, at: int, room: int) -> tuple[_Described, int]:
    tag = buffer[at]
    if tag not in {Tag.ARRAY, Tag.STRUCTURE}:
        if tag not in _TAGS or tag == Tag.COMPACT_ARRAY:
            raise DlmsError(ErrorKind.WRONG_TAG, f"no item of a compact array has the tag {tag} (byte {at})")
        return _Described(tag), at + 1
    if not room:
        raise _too_deep()
    if tag == Tag.ARRAY:
        count = int.from_bytes(_taken(buffer, at + 1, 2), "big")
        item, at = _described(buffer, at + 3, room - 1)
        if count * _parts(item) > _DESCRIBED_MAX:
            raise DlmsError(ErrorKind.OVERSIZE, f"a compact array of items of over {_DESCRIBED_MAX} parts")
        return _Described(tag, (item,) * count), at
    count, at = read_length(buffer, at + 1)
    if count > len(buffer) - at:
        raise _ends(buffer)
    items = []
    for _ in range(count):
        item, at = _described(buffer, at, room - 1)
        items.append(item)
    return _Described(tag, tuple(items)), at


def _parts(kind: _Described) -> int:
    return 1 + sum(map(_parts, kind.items))


def _contents(buffer: bytes, at: int, kind: _Described, typed: bool) -> tuple[Any, int]:  # noqa: FBT001 - see above
    tag, parts = kind
    value: Any
    if tag in {Tag.ARRAY, Tag.STRUCTURE}:
        values = []
        for part in parts:
            item, at = _contents(buffer, at, part, typed)
            values.append(item)
        value = values if tag == Tag.ARRAY and not typed else tuple(values)
    else:
        # A value without its tag is read as one with it: a copy of a few bytes, for a type that few meters use.
        size = _FIXED[tag][1] - 1 if tag in _FIXED else len(buffer) - at
        value, used = _read(bytes((tag,)) + buffer[at : at + size], 0, 1, typed=False)
        at += used - 1
    return (Data(_TAGS[tag], value) if typed else value), at


def _ends(buffer: bytes) -> Truncated:
    return Truncated(f"the data goes on after the last of {len(buffer)} bytes")


def _too_deep() -> DlmsError:
    return DlmsError(ErrorKind.NESTED, f"arrays and structures lie more than {DEPTH_MAX} deep")
