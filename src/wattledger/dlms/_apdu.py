"""The services of DLMS (Green Book 9.3 to 9.5, logical names): records that know their bytes, and the reader of them.

In what a client reads (responses, notifications) data are plain values; in what a server reads (requests) they are
``Data``, because it depends on the type what may be set. ``read_apdu(..., typed=True)`` gives ``Data`` everywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from wattledger.dlms._axdr import Data, decode, decode_typed, encode, length, read_length, read_octets
from wattledger.dlms._clock import DateTime
from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

LIST_MAX = 1_000
"""References in one request; more would be an attack, not a meter."""


class Conformance(IntFlag):
    """What an association may use: 24 bits, the first one the highest."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    DELTA_VALUES = 1 << 17
    ATTRIBUTE_0_SET = 1 << 15
    PRIORITY = 1 << 14
    ATTRIBUTE_0_GET = 1 << 13
    BLOCK_GET = 1 << 12
    BLOCK_SET = 1 << 11
    BLOCK_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERISED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


class AccessResult(IntEnum):
    """How a read or a write ended (data-access-result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250

    @classmethod
    def _missing_(cls, value: object) -> AccessResult:  # noqa: ARG003 - the enum's own hook
        return cls.OTHER_REASON


class ActionResult(IntEnum):
    """How a method ended (action-result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250

    @classmethod
    def _missing_(cls, value: object) -> ActionResult:  # noqa: ARG003 - the enum's own hook
        return cls.OTHER_REASON


def obis(text: str) -> bytes:
    """Six bytes of ``"1-0:1.8.0.255"`` (or with 255 left out)."""
    parts = text.replace("-", ".").replace(":", ".").replace("*", ".").split(".")
    numbers = [int(part) for part in parts if part.isdigit() and int(part) <= 0xFF]  # noqa: PLR2004 - a byte
    if len(numbers) != len(parts) or len(numbers) not in {5, 6}:
        raise DlmsError(ErrorKind.MALFORMED, f"{text!r} is no OBIS code such as 1-0:1.8.0.255")
    return bytes([*numbers, 255][:6])


def obis_text(name: bytes) -> str:
    """``"1-0:1.8.0.255"`` of six bytes."""
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}.{f}"


class Reference(NamedTuple):
    """An attribute, or a method, of an object (COSEM-attribute-descriptor, COSEM-method-descriptor)."""

    class_id: int
    name: bytes
    """The logical name: six bytes."""
    number: int

    @property
    def encoded(self) -> bytes:
        return _REFERENCE.pack(self.class_id, self.name, self.number)

    def __str__(self) -> str:
        return f"{obis_text(self.name)} class {self.class_id}, number {self.number}"


_CONFORMANCE_TAG = b"\x5f\x1f"
_CONFORMANCE_SIZE = 0x0400  # four bytes, no bit of them unused
_REFERENCE = struct.Struct(">H6sb")
_HEAD = struct.Struct(">BBB")


class Selection(NamedTuple):
    """Selective access: which part of an attribute. In profiles 1 is by range, 2 by entry."""

    selector: int
    parameters: Data

    @property
    def encoded(self) -> bytes:
        return bytes((self.selector,)) + encode(self.parameters)


class Block(NamedTuple):
    """A part of something long."""

    last: bool
    number: int
    octets: bytes

    @property
    def encoded(self) -> bytes:
        return bytes((self.last,)) + self.number.to_bytes(4, "big") + length(len(self.octets)) + self.octets


Wanted = tuple[Reference, Selection | None]
Invoked = tuple[Reference, Data | None]
Answer = tuple[AccessResult, Any]
Outcome = tuple[ActionResult, Any]


def invoke_byte(number: int, *, confirmed: bool = True, high: bool = True) -> int:
    """Invoke-id-and-priority."""
    return number & 0x0F | confirmed << 6 | high << 7


# ----------------------------------------------------------------------------------------------------- the services


class GetRequest(NamedTuple):
    """Read attributes: one, or several at once."""

    invoke: int
    wanted: tuple[Wanted, ...]

    @property
    def encoded(self) -> bytes:
        items = [_wanted_bytes(one) for one in self.wanted]
        if len(items) == 1:
            return _HEAD.pack(0xC0, 1, self.invoke) + items[0]
        return _HEAD.pack(0xC0, 3, self.invoke) + length(len(items)) + b"".join(items)


class GetNext(NamedTuple):
    """The next block of an answer, please; ``number`` is that of the block we have."""

    invoke: int
    number: int

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC0, 2, self.invoke) + self.number.to_bytes(4, "big")


class GetResponse(NamedTuple):
    """An answer for every attribute that was wanted. A server gives ``Data`` (or ``None`` with a result)."""

    invoke: int
    answers: tuple[Answer, ...]
    listed: bool = False

    @property
    def encoded(self) -> bytes:
        items = [_answer_bytes(one) for one in self.answers]
        if len(items) == 1 and not self.listed:
            return _HEAD.pack(0xC4, 1, self.invoke) + items[0]
        return _HEAD.pack(0xC4, 3, self.invoke) + length(len(items)) + b"".join(items)


class GetBlock(NamedTuple):
    """A block of an answer, or why there is none."""

    invoke: int
    block: Block
    result: AccessResult = AccessResult.SUCCESS

    @property
    def encoded(self) -> bytes:
        head = _HEAD.pack(0xC4, 2, self.invoke) + bytes((self.block.last,)) + self.block.number.to_bytes(4, "big")
        if self.result is not AccessResult.SUCCESS:
            return head + bytes((1, self.result))
        return head + b"\0" + length(len(self.block.octets)) + self.block.octets


class SetRequest(NamedTuple):
    """Write attributes; where a block is given, the values follow in it and in further ones."""

    invoke: int
    wanted: tuple[Wanted, ...]
    values: tuple[Data, ...] = ()
    block: Block | None = None

    @property
    def encoded(self) -> bytes:
        items = [_wanted_bytes(one) for one in self.wanted]
        one = len(items) == 1
        choice = (2 if one else 5) if self.block else (1 if one else 4)
        out = _HEAD.pack(0xC1, choice, self.invoke) + (b"" if one else length(len(items))) + b"".join(items)
        if self.block:
            return out + self.block.encoded
        return out + values_bytes(self.values, listed=not one)


class SetBlock(NamedTuple):
    """A further block of values."""

    invoke: int
    block: Block

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC1, 3, self.invoke) + self.block.encoded


class SetResponse(NamedTuple):
    """A result for every attribute; ``number`` is that of the last block, where there were any."""

    invoke: int
    results: tuple[AccessResult, ...]
    number: int | None = None
    listed: bool = False

    @property
    def encoded(self) -> bytes:
        listed = self.listed or len(self.results) != 1
        tail = b"" if self.number is None else self.number.to_bytes(4, "big")
        choice = (5 if listed else 1) if self.number is None else (4 if listed else 3)
        count = length(len(self.results)) if listed else b""
        return _HEAD.pack(0xC5, choice, self.invoke) + count + bytes(self.results) + tail


class SetBlockTaken(NamedTuple):
    """A block of values has come; the next one, please."""

    invoke: int
    number: int

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC5, 2, self.invoke) + self.number.to_bytes(4, "big")


class ActionRequest(NamedTuple):
    """Invoke methods; where a block is given, the parameters follow in it and in further ones."""

    invoke: int
    invoked: tuple[Invoked, ...]
    block: Block | None = None

    @property
    def encoded(self) -> bytes:
        one = len(self.invoked) == 1
        names = b"".join(method.encoded for method, _ in self.invoked)
        count = b"" if one else length(len(self.invoked))
        if self.block:
            return _HEAD.pack(0xC3, 4 if one else 5, self.invoke) + count + names + self.block.encoded
        if one:
            method, parameter = self.invoked[0]
            return _HEAD.pack(0xC3, 1, self.invoke) + method.encoded + _optional(parameter)
        parameters = [data or Data(NULL, None) for _, data in self.invoked]
        return _HEAD.pack(0xC3, 3, self.invoke) + count + names + values_bytes(parameters, listed=True)


class ActionBlock(NamedTuple):
    """A further block of parameters."""

    invoke: int
    block: Block

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC3, 6, self.invoke) + self.block.encoded


class ActionNext(NamedTuple):
    """The next block of what a method gave back, please."""

    invoke: int
    number: int

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC3, 2, self.invoke) + self.number.to_bytes(4, "big")


class ActionResponse(NamedTuple):
    """How each method ended, and what it gives back. A server gives ``Data`` (or ``None`` for nothing)."""

    invoke: int
    outcomes: tuple[Outcome, ...]
    listed: bool = False

    @property
    def encoded(self) -> bytes:
        items = [_outcome_bytes(one) for one in self.outcomes]
        if len(items) == 1 and not self.listed:
            return _HEAD.pack(0xC7, 1, self.invoke) + items[0]
        return _HEAD.pack(0xC7, 3, self.invoke) + length(len(items)) + b"".join(items)


class ActionAnswerBlock(NamedTuple):
    """A block of what a method gives back."""

    invoke: int
    block: Block

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC7, 2, self.invoke) + self.block.encoded


class ActionBlockTaken(NamedTuple):
    """A block of parameters has come; the next one, please."""

    invoke: int
    number: int

    @property
    def encoded(self) -> bytes:
        return _HEAD.pack(0xC7, 4, self.invoke) + self.number.to_bytes(4, "big")


class DataNotification(NamedTuple):
    """What a meter sends unasked (push)."""

    invoke: int
    """long-invoke-id-and-priority: 32 bits."""
    time: DateTime | None
    body: Any
    tagged_time: bool = False
    """The time had a data tag before it, as some Kaifa meters write it."""
    body_at: int = 0
    """Where in the APDU the body begins."""

    @property
    def encoded(self) -> bytes:
        time = self.time.encoded if self.time else b""
        return b"\x0f" + self.invoke.to_bytes(4, "big") + length(len(time)) + time + encode(self.body)


class EventNotification(NamedTuple):
    """An attribute that a meter tells of because something happened to it."""

    time: DateTime | None
    attribute: Reference
    value: Any

    @property
    def encoded(self) -> bytes:
        time = b"\1" + b"\x0c" + self.time.encoded if self.time else b"\0"
        return b"\xc2" + time + self.attribute.encoded + encode(self.value)


class ExceptionResponse(NamedTuple):
    """The peer could not take what it was sent: 1 not possible, 2 not known ... (Green Book 9.4.5)."""

    state_error: int
    service_error: int
    counter: int | None = None
    """With an invocation counter error: the least that would be taken."""

    @property
    def encoded(self) -> bytes:
        tail = b"" if self.counter is None else self.counter.to_bytes(4, "big")
        return _HEAD.pack(0xD8, self.state_error, self.service_error) + tail

    def __str__(self) -> str:
        states = {1: "service not allowed", 2: "service unknown"}
        services = {
            1: "operation not possible",
            2: "service not supported",
            3: "other reason",
            4: "the answer is too long",
            5: "deciphering failed",
            6: "invocation counter error",
        }
        state = states.get(self.state_error, f"state error {self.state_error}")
        service = services.get(self.service_error, f"service error {self.service_error}")
        return f"{state}: {service}" + ("" if self.counter is None else f", {self.counter} is expected")


class ServiceError(NamedTuple):
    """confirmedServiceError: what was asked, in which respect it failed, and how."""

    service: int
    respect: int
    value: int

    @property
    def encoded(self) -> bytes:
        return bytes((0x0E, self.service, self.respect, self.value))


class InitiateRequest(NamedTuple):
    """What a client would like of an association."""

    conformance: Conformance
    pdu_max: int
    dedicated_key: bytes | None = None
    quality: int | None = None
    version: int = 6
    response_allowed: bool = True

    @property
    def encoded(self) -> bytes:
        key = b"\0" if self.dedicated_key is None else b"\1" + length(len(self.dedicated_key)) + self.dedicated_key
        allowed = b"\0" if self.response_allowed else b"\1\0"
        quality = b"\0" if self.quality is None else bytes((1, self.quality & 0xFF))
        tail = _conformance_bytes(self.conformance) + self.pdu_max.to_bytes(2, "big")
        return b"\1" + key + allowed + quality + bytes((self.version,)) + tail


class InitiateResponse(NamedTuple):
    """What a server grants."""

    conformance: Conformance
    pdu_max: int
    quality: int | None = None
    version: int = 6
    vaa_name: int = 7

    @property
    def encoded(self) -> bytes:
        quality = b"\0" if self.quality is None else bytes((1, self.quality & 0xFF))
        tail = _conformance_bytes(self.conformance) + struct.pack(">HH", self.pdu_max, self.vaa_name)
        return b"\x08" + quality + bytes((self.version,)) + tail


class GeneralBlock(NamedTuple):
    """A block of an APDU that is longer than the peer takes (general block transfer)."""

    last: bool
    streaming: bool
    window: int
    number: int
    acknowledged: int
    octets: bytes

    @property
    def encoded(self) -> bytes:
        control = self.last << 7 | self.streaming << 6 | self.window & 0x3F
        head = struct.pack(">BBHH", 0xE0, control, self.number, self.acknowledged)
        return head + length(len(self.octets)) + self.octets


class Ciphered(NamedTuple):
    """A ciphered APDU, still closed: ``protected`` begins with the security control byte."""

    tag: int
    protected: bytes
    title: bytes | None = None
    """The sender's, where the APDU says it."""
    context: bytes = b""
    """What general-ciphering adds to the authenticated data."""
    broadcast_key: bool | None = None
    """Which key general-ciphering names, where it does."""
    wrapped_key: bytes | None = None

    @property
    def encoded(self) -> bytes:
        title = b"" if self.title is None else length(len(self.title)) + self.title
        if self.tag == GENERAL_CIPHERING:
            return bytes((self.tag,)) + self.context + b"\1\0" + b"\0" + length(len(self.protected)) + self.protected
        return bytes((self.tag,)) + title + length(len(self.protected)) + self.protected


GENERAL_GLO, GENERAL_DED, GENERAL_CIPHERING = 0xDB, 0xDC, 0xDD

GLOBAL_TAGS = {
    0x01: 0x21,
    0x08: 0x28,
    0x0E: 0x2E,
    0xC0: 0xC8,
    0xC1: 0xC9,
    0xC2: 0xCA,
    0xC3: 0xCB,
    0xC4: 0xCC,
    0xC5: 0xCD,
    0xC7: 0xCF,
}
"""The first byte of a service and the one of its form under the global key."""
DEDICATED_TAGS = {0xC0: 0xD0, 0xC1: 0xD1, 0xC2: 0xD2, 0xC3: 0xD3, 0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7}
"""The same under a dedicated key."""
_CIPHERED = {*GLOBAL_TAGS.values(), *DEDICATED_TAGS.values()}

NULL = Data(*decode_typed(b"\0")[0]).tag

Request = GetRequest | GetNext | SetRequest | SetBlock | ActionRequest | ActionBlock | ActionNext
Response = GetResponse | GetBlock | SetResponse | SetBlockTaken | ActionResponse | ActionAnswerBlock | ActionBlockTaken
Notification = DataNotification | EventNotification
Apdu = (
    Request
    | Response
    | Notification
    | ExceptionResponse
    | ServiceError
    | InitiateRequest
    | InitiateResponse
    | GeneralBlock
    | Ciphered
)


def _wanted_bytes(wanted: Wanted) -> bytes:
    reference, selection = wanted
    return reference.encoded + (b"\0" if selection is None else b"\1" + selection.encoded)


def _answer_bytes(answer: Answer) -> bytes:
    result, data = answer
    return b"\0" + encode(data) if result is AccessResult.SUCCESS else bytes((1, result))


def _outcome_bytes(outcome: Outcome) -> bytes:
    result, data = outcome
    return bytes((result,)) + (b"\0" if data is None else b"\1\0" + encode(data))


def _optional(data: Data | None) -> bytes:
    return b"\0" if data is None else b"\1" + encode(data)


def _conformance_bytes(conformance: Conformance) -> bytes:
    return b"\x5f\x1f\x04\x00" + int(conformance).to_bytes(3, "big")


def values_bytes(values: tuple[Data, ...] | list[Data], *, listed: bool) -> bytes:
    """Values as they go into blocks: a list has its count before it."""
    return (length(len(values)) if listed else b"") + b"".join(map(encode, values))


# ------------------------------------------------------------------------------------------------------ the reader


class _Cursor:
    """A place in an APDU. Its methods raise ``IndexError`` or ``struct.error`` where the bytes end."""

    __slots__ = ("at", "buffer", "typed")

    def __init__(self, buffer: bytes, at: int, *, typed: bool) -> None:
        self.buffer, self.at, self.typed = buffer, at, typed

    def byte(self) -> int:
        value = self.buffer[self.at]
        self.at += 1
        return value

    def number(self, size: int) -> int:
        end = self.at + size
        if end > len(self.buffer):
            raise IndexError
        value = int.from_bytes(self.buffer[self.at : end], "big")
        self.at = end
        return value

    def octets(self) -> bytes:
        value, self.at = read_octets(self.buffer, self.at)
        return value

    def count(self) -> int:
        value, self.at = read_length(self.buffer, self.at)
        if value > LIST_MAX:
            raise DlmsError(ErrorKind.OVERSIZE, f"a list of {value}; {LIST_MAX} are taken")
        return value

    def data(self) -> Any:  # noqa: ANN401 - whatever is there
        value, self.at = (decode_typed if self.typed else decode)(self.buffer, self.at)
        return value

    def typed_data(self) -> Data:
        value, self.at = decode_typed(self.buffer, self.at)
        return value

    def choice(self, *, most: int, of: str) -> int:
        value = self.byte()
        if value > most:
            raise DlmsError(ErrorKind.WRONG_TAG, f"{of} has no choice {value} (byte {self.at - 1})")
        return value

    def reference(self) -> Reference:
        class_id, name, number = _REFERENCE.unpack_from(self.buffer, self.at)
        self.at += _REFERENCE.size
        return Reference(class_id, name, number)

    def wanted(self) -> Wanted:
        reference = self.reference()
        if not self.choice(most=1, of="access-selection"):
            return reference, None
        return reference, Selection(self.byte(), self.typed_data())

    def block(self) -> Block:
        return Block(bool(self.byte()), self.number(4), self.octets())


def read_apdu(buffer: bytes, at: int = 0, *, typed: bool = False) -> tuple[Apdu, int]:
    """The APDU that begins at ``at`` and where it ends; what follows it is left alone. Raises ``DlmsError``."""
    if at >= len(buffer):
        raise Truncated("an APDU has at least one byte")
    tag = buffer[at]
    reader = _READERS.get(tag)
    if reader is None:
        raise DlmsError(ErrorKind.WRONG_TAG, f"no service begins with {tag:02x}")
    cursor = _Cursor(buffer, at + 1, typed=typed)
    try:
        return reader(cursor), cursor.at
    except (IndexError, struct.error):
        raise Truncated(f"the APDU goes on after the last of {len(buffer) - at} bytes") from None


def _get_request(cursor: _Cursor) -> GetRequest | GetNext:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            return GetRequest(invoke, (cursor.wanted(),))
        case 2:
            return GetNext(invoke, cursor.number(4))
        case 3:
            return GetRequest(invoke, tuple(cursor.wanted() for _ in range(cursor.count())))
    raise _no_choice("get-request", choice)


def _get_response(cursor: _Cursor) -> GetResponse | GetBlock:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            return GetResponse(invoke, (_answer(cursor),))
        case 2:
            last, number = bool(cursor.byte()), cursor.number(4)
            if cursor.choice(most=1, of="the result of a block"):
                return GetBlock(invoke, Block(last, number, b""), AccessResult(cursor.byte()))
            return GetBlock(invoke, Block(last, number, cursor.octets()))
        case 3:
            return GetResponse(invoke, answers_of(cursor), listed=True)
    raise _no_choice("get-response", choice)


def _answer(cursor: _Cursor) -> Answer:
    if cursor.choice(most=1, of="a get result"):
        return AccessResult(cursor.byte()), None
    return AccessResult.SUCCESS, cursor.data()


def answers_of(cursor: _Cursor) -> tuple[Answer, ...]:
    return tuple(_answer(cursor) for _ in range(cursor.count()))


def _set_request(cursor: _Cursor) -> SetRequest | SetBlock:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            wanted = (cursor.wanted(),)
            return SetRequest(invoke, wanted, (cursor.typed_data(),))
        case 2:
            wanted = (cursor.wanted(),)
            return SetRequest(invoke, wanted, block=cursor.block())
        case 3:
            return SetBlock(invoke, cursor.block())
        case 4:
            several = tuple(cursor.wanted() for _ in range(cursor.count()))
            return SetRequest(invoke, several, _values(cursor))
        case 5:
            several = tuple(cursor.wanted() for _ in range(cursor.count()))
            return SetRequest(invoke, several, block=cursor.block())
    raise _no_choice("set-request", choice)


def _values(cursor: _Cursor) -> tuple[Data, ...]:
    return tuple(cursor.typed_data() for _ in range(cursor.count()))


def _set_response(cursor: _Cursor) -> SetResponse | SetBlockTaken:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            return SetResponse(invoke, (AccessResult(cursor.byte()),))
        case 2:
            return SetBlockTaken(invoke, cursor.number(4))
        case 3:
            return SetResponse(invoke, (AccessResult(cursor.byte()),), cursor.number(4))
        case 4:
            results = tuple(AccessResult(cursor.byte()) for _ in range(cursor.count()))
            return SetResponse(invoke, results, cursor.number(4), listed=True)
        case 5:
            return SetResponse(invoke, tuple(AccessResult(cursor.byte()) for _ in range(cursor.count())), listed=True)
    raise _no_choice("set-response", choice)


def _action_request(cursor: _Cursor) -> ActionRequest | ActionBlock | ActionNext:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            method = cursor.reference()
            given = cursor.choice(most=1, of="a method's parameters")
            return ActionRequest(invoke, ((method, cursor.typed_data() if given else None),))
        case 2:
            return ActionNext(invoke, cursor.number(4))
        case 3:
            methods = [cursor.reference() for _ in range(cursor.count())]
            values = _values(cursor)
            if len(values) != len(methods):
                raise DlmsError(ErrorKind.MALFORMED, f"{len(methods)} methods with {len(values)} parameters")
            return ActionRequest(invoke, tuple(zip(methods, values, strict=True)))
        case 4:
            method = cursor.reference()
            return ActionRequest(invoke, ((method, None),), cursor.block())
        case 5:
            several = tuple((cursor.reference(), None) for _ in range(cursor.count()))
            return ActionRequest(invoke, several, cursor.block())
        case 6:
            return ActionBlock(invoke, cursor.block())
    raise _no_choice("action-request", choice)


def _action_response(cursor: _Cursor) -> ActionResponse | ActionAnswerBlock | ActionBlockTaken:
    choice, invoke = cursor.byte(), cursor.byte()
    match choice:
        case 1:
            return ActionResponse(invoke, (_outcome(cursor),))
        case 2:
            return ActionAnswerBlock(invoke, cursor.block())
        case 3:
            return ActionResponse(invoke, tuple(_outcome(cursor) for _ in range(cursor.count())), listed=True)
        case 4:
            return ActionBlockTaken(invoke, cursor.number(4))
    raise _no_choice("action-response", choice)


def _outcome(cursor: _Cursor) -> Outcome:
    result = ActionResult(cursor.byte())
    if not cursor.choice(most=1, of="what a method gives back"):
        return result, None
    if cursor.choice(most=1, of="what a method gives back"):
        return result, AccessResult(cursor.byte())
    return result, cursor.data()


def _data_notification(cursor: _Cursor) -> DataNotification:
    invoke = cursor.number(4)
    # The time is an octet-string without a tag. Its length is 0 or 12: a 9 is the tag that some meters put before it.
    tagged = cursor.buffer[cursor.at] == 0x09  # noqa: PLR2004 - octet-string
    cursor.at += tagged
    time = cursor.octets()
    if time and len(time) != 12:  # noqa: PLR2004 - a date-time
        raise DlmsError(ErrorKind.MALFORMED, f"the time of a push has 12 bytes or none, not {len(time)}")
    at = cursor.at
    return DataNotification(invoke, DateTime.decode(time) if time else None, cursor.data(), tagged, at)


def _event_notification(cursor: _Cursor) -> EventNotification:
    time = cursor.octets() if cursor.choice(most=1, of="the time of an event") else b""
    attribute = cursor.reference()
    return EventNotification(DateTime.decode(time) if time else None, attribute, cursor.data())


def _exception(cursor: _Cursor) -> ExceptionResponse:
    state, service = cursor.byte(), cursor.byte()
    counted = service == 6 and len(cursor.buffer) - cursor.at >= 4  # noqa: PLR2004 - invocation counter error
    return ExceptionResponse(state, service, cursor.number(4) if counted else None)


def _service_error(cursor: _Cursor) -> ServiceError:
    return ServiceError(cursor.byte(), cursor.byte(), cursor.byte())


def _initiate_request(cursor: _Cursor) -> InitiateRequest:
    key = cursor.octets() if cursor.choice(most=1, of="the dedicated key") else None
    allowed = bool(cursor.byte()) if cursor.choice(most=1, of="response-allowed") else True
    quality = cursor.byte() if cursor.choice(most=1, of="the quality of service") else None
    version = cursor.byte()
    return InitiateRequest(_conformance(cursor), cursor.number(2), key, quality, version, allowed)


def _initiate_response(cursor: _Cursor) -> InitiateResponse:
    quality = cursor.byte() if cursor.choice(most=1, of="the quality of service") else None
    version = cursor.byte()
    return InitiateResponse(_conformance(cursor), cursor.number(2), quality, version, cursor.number(2))


def _conformance(cursor: _Cursor) -> Conformance:
    # [APPLICATION 31] IMPLICIT BIT STRING (SIZE (24)) in BER; some write the tag in one byte.
    found = cursor.byte() == _CONFORMANCE_TAG[0]
    if found and cursor.buffer[cursor.at] == _CONFORMANCE_TAG[1]:
        cursor.at += 1
    if not found or cursor.number(2) != _CONFORMANCE_SIZE:
        raise DlmsError(ErrorKind.MALFORMED, f"no conformance block (byte {cursor.at})")
    return Conformance(cursor.number(3))


def _general_block(cursor: _Cursor) -> GeneralBlock:
    control, number, acknowledged = cursor.byte(), cursor.number(2), cursor.number(2)
    return GeneralBlock(
        bool(control & 0x80), bool(control & 0x40), control & 0x3F, number, acknowledged, cursor.octets()
    )


def _ciphered(tag: int) -> Callable[[_Cursor], Ciphered]:
    return lambda cursor: Ciphered(tag, cursor.octets())


def _general_ciphered(tag: int) -> Callable[[_Cursor], Ciphered]:
    def read(cursor: _Cursor) -> Ciphered:
        title = cursor.octets()
        return Ciphered(tag, cursor.octets(), title)

    return read


def _general_ciphering(cursor: _Cursor) -> Ciphered:
    start = cursor.at
    cursor.octets()  # transaction id
    title = cursor.octets()
    for _ in ("recipient title", "date and time", "other information"):
        cursor.octets()
    context = cursor.buffer[start : cursor.at]
    broadcast = wrapped = None
    if cursor.choice(most=1, of="key-info"):
        match cursor.choice(most=2, of="key-info"):
            case 0:
                broadcast = bool(cursor.choice(most=1, of="an identified key"))
            case 1:
                if cursor.byte() != 0:
                    raise DlmsError(ErrorKind.UNSUPPORTED, "a key that is wrapped under another than the master key")
                wrapped = cursor.octets()
            case _:
                raise DlmsError(ErrorKind.UNSUPPORTED, "a key agreed on by elliptic curves")
    return Ciphered(GENERAL_CIPHERING, cursor.octets(), title, context, broadcast, wrapped)


def _no_choice(service: str, choice: int) -> DlmsError:
    return DlmsError(ErrorKind.WRONG_TAG, f"{service} has no choice {choice}")


_READERS: dict[int, Callable[[_Cursor], Apdu]] = {
    0x01: _initiate_request,
    0x08: _initiate_response,
    0x0E: _service_error,
    0x0F: _data_notification,
    0xC0: _get_request,
    0xC1: _set_request,
    0xC2: _event_notification,
    0xC3: _action_request,
    0xC4: _get_response,
    0xC5: _set_response,
    0xC7: _action_response,
    0xD8: _exception,
    0xE0: _general_block,
    GENERAL_CIPHERING: _general_ciphering,
    **{tag: _ciphered(tag) for tag in _CIPHERED},
    **{tag: _general_ciphered(tag) for tag in (GENERAL_GLO, GENERAL_DED)},
}
