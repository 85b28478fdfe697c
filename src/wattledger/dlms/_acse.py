"""Opening and closing an association (ACSE, ISO 8650 in BER; Green Book 9.4.2): AARQ, AARE, RLRQ, RLRE."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from wattledger.dlms._axdr import length, read_length
from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
_OBJECT_ID = bytes.fromhex("6085740508")
_CONTEXT, _MECHANISM = 1, 2
_OBJECT_ID_TAG = 0x06
_BY_USER, _BY_PROVIDER = 0xA1, 0xA2


class Mechanism(IntEnum):
    """How the two prove who they are."""

    LOWEST = 0
    LOW = 1
    """A password (LLS)."""
    HIGH = 2
    MD5 = 3
    SHA1 = 4
    GMAC = 5
    """HLS with the keys of the security context."""
    SHA256 = 6
    ECDSA = 7


class Context(IntEnum):
    """How objects are named, and whether APDUs may be ciphered."""

    LOGICAL_NAMES = 1
    SHORT_NAMES = 2
    LOGICAL_NAMES_CIPHERED = 3
    SHORT_NAMES_CIPHERED = 4


class Diagnostic(IntEnum):
    """Why an association is refused (acse-service-user)."""

    NONE = 0
    NO_REASON = 1
    CONTEXT_NOT_SUPPORTED = 2
    MECHANISM_NOT_RECOGNISED = 11
    MECHANISM_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14

    @property
    def said(self) -> str:
        return self.name.lower().replace("_", " ")


class AssociationRequest(NamedTuple):
    """AARQ."""

    context: Context
    information: bytes
    """InitiateRequest, plain or ciphered."""
    mechanism: Mechanism = Mechanism.LOWEST
    title: bytes | None = None
    """The system title of the client."""
    secret: bytes | None = None
    """The password (mechanism 1) or our challenge (2 and up)."""

    @property
    def encoded(self) -> bytes:
        parts = [_field(0xA1, _field(0x06, _object_id(_CONTEXT, self.context)))]
        if self.title is not None:
            parts.append(_field(0xA6, _field(0x04, self.title)))
        if self.mechanism:
            parts.append(_field(0x8A, b"\x07\x80"))
            parts.append(_field(0x8B, _object_id(_MECHANISM, self.mechanism)))
        if self.secret is not None:
            parts.append(_field(0xAC, _field(0x80, self.secret)))
        parts.append(_field(0xBE, _field(0x04, self.information)))
        return _field(AARQ, b"".join(parts))


class AssociationResponse(NamedTuple):
    """AARE."""

    context: Context
    accepted: bool
    diagnostic: int
    information: bytes
    """InitiateResponse, plain or ciphered; or a service error."""
    by_provider: bool = False
    """The diagnostic is the provider's, not the user's."""
    mechanism: Mechanism = Mechanism.LOWEST
    title: bytes | None = None
    secret: bytes | None = None
    """The server's challenge."""

    @property
    def encoded(self) -> bytes:
        source = _BY_PROVIDER if self.by_provider else _BY_USER
        parts = [
            _field(0xA1, _field(0x06, _object_id(_CONTEXT, self.context))),
            _field(0xA2, _field(0x02, bytes((0 if self.accepted else 1,)))),
            _field(0xA3, _field(source, _field(0x02, bytes((self.diagnostic,))))),
        ]
        if self.title is not None:
            parts.append(_field(0xA4, _field(0x04, self.title)))
        if self.mechanism:
            parts.append(_field(0x88, b"\x07\x80"))
            parts.append(_field(0x89, _object_id(_MECHANISM, self.mechanism)))
        if self.secret is not None:
            parts.append(_field(0xAA, _field(0x80, self.secret)))
        if self.information:
            parts.append(_field(0xBE, _field(0x04, self.information)))
        return _field(AARE, b"".join(parts))

    @property
    def said(self) -> str:
        """Why it was refused, in words."""
        if self.by_provider:
            provider = {1: "no reason given", 2: "no common version"}
            return provider.get(self.diagnostic, f"provider diagnostic {self.diagnostic}")
        try:
            return Diagnostic(self.diagnostic).said
        except ValueError:
            return f"diagnostic {self.diagnostic}"


class Release(NamedTuple):
    """RLRQ, or RLRE where ``answers``."""

    answers: bool = False
    reason: int | None = 0
    information: bytes = b""

    @property
    def encoded(self) -> bytes:
        reason = b"" if self.reason is None else _field(0x80, bytes((self.reason,)))
        information = _field(0xBE, _field(0x04, self.information)) if self.information else b""
        return _field(RLRE if self.answers else RLRQ, reason + information)


Acse = AssociationRequest | AssociationResponse | Release


def read_acse(buffer: bytes, at: int = 0) -> tuple[Acse, int]:
    """The ACSE APDU that begins at ``at`` and where it ends; raises ``DlmsError``."""
    try:
        tag, content, end = _taken(buffer, at, len(buffer))
        fields = dict(_fields(buffer, content, end))
        match tag:
            case 0x60:
                return _request(fields), end
            case 0x61:
                return _response(fields), end
            case 0x62 | 0x63:
                reason = fields.get(0x80)
                return Release(tag == RLRE, reason[0] if reason else None, _inner(fields, 0xBE, 0x04) or b""), end
    except IndexError:
        raise Truncated(f"the APDU goes on after the last of {len(buffer) - at} bytes") from None
    raise DlmsError(ErrorKind.WRONG_TAG, f"no association is opened or closed by {tag:02x}")


def _request(fields: dict[int, bytes]) -> AssociationRequest:
    return AssociationRequest(
        context=_context(fields),
        information=_inner(fields, 0xBE, 0x04) or b"",
        mechanism=_mechanism(fields.get(0x8B)),
        title=_inner(fields, 0xA6, 0x04),
        secret=_inner(fields, 0xAC, 0x80),
    )


def _response(fields: dict[int, bytes]) -> AssociationResponse:
    result = _inner(fields, 0xA2, 0x02)
    if not result:
        raise DlmsError(ErrorKind.MALFORMED, "an answer to an association says no result")
    by_provider, diagnostic = _diagnostic(fields.get(0xA3))
    return AssociationResponse(
        context=_context(fields),
        accepted=result[-1] == 0,
        diagnostic=diagnostic,
        information=_inner(fields, 0xBE, 0x04) or b"",
        by_provider=by_provider,
        mechanism=_mechanism(fields.get(0x89)),
        title=_inner(fields, 0xA4, 0x04),
        secret=_inner(fields, 0xAA, 0x80),
    )


def _diagnostic(source: bytes | None) -> tuple[bool, int]:
    """Whether it is the provider's, and its number: a field in a field."""
    if not source:
        return False, 0
    _, begin, end = _taken(source, 0, len(source))
    _, begin, end = _taken(source, begin, end)
    return source[0] == _BY_PROVIDER, int.from_bytes(source[begin:end], "big")


def _context(fields: dict[int, bytes]) -> Context:
    name = _inner(fields, 0xA1, 0x06)
    return Context(_last_of(name, _CONTEXT, [context.value for context in Context], "application context"))


def _mechanism(name: bytes | None) -> Mechanism:
    if not name:
        return Mechanism.LOWEST
    name = name[2:] if name[0] == _OBJECT_ID_TAG else name  # some write the tag of an object identifier as well
    return Mechanism(_last_of(name, _MECHANISM, [one.value for one in Mechanism], "authentication mechanism"))


def _last_of(name: bytes | None, arc: int, known: list[int], what: str) -> int:
    if not name or name[:-1] != _OBJECT_ID + bytes((arc,)) or name[-1] not in known:
        shown = name.hex() if name else "nothing"
        raise DlmsError(ErrorKind.UNSUPPORTED, f"no {what} of DLMS is named {shown}")
    return name[-1]


def _object_id(arc: int, last: int) -> bytes:
    return _OBJECT_ID + bytes((arc, last))


def _inner(fields: dict[int, bytes], tag: int, inner: int) -> bytes | None:
    """What a field holds in its one field; raises ``DlmsError`` where that is of another kind."""
    content = fields.get(tag)
    if content is None:
        return None
    found, begin, end = _taken(content, 0, len(content))
    if found != inner:
        raise DlmsError(ErrorKind.WRONG_TAG, f"in field {tag:02x} stands {found:02x} where {inner:02x} belongs")
    return content[begin:end]


def _fields(buffer: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    while at < end:
        tag, content, stop = _taken(buffer, at, end)
        yield tag, buffer[content:stop]
        at = stop


def _taken(buffer: bytes, at: int, end: int) -> tuple[int, int, int]:
    """A field's tag, where its content begins and where that ends."""
    if at >= len(buffer):
        raise IndexError
    tag = buffer[at]
    size, begin = read_length(buffer, at + 1)
    if begin + size > len(buffer):
        raise Truncated(f"field {tag:02x} announces {size} bytes, {len(buffer) - begin} follow")
    if begin + size > end:
        raise DlmsError(ErrorKind.MALFORMED, f"field {tag:02x} is longer than what it lies in")
    return tag, begin, begin + size


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + length(len(content)) + content
