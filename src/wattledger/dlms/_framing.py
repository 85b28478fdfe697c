"""How an APDU travels where the line keeps order: the TCP/UDP wrapper, and the long frames of push meters on M-Bus.

Readers take bytes as they come, in any cut, and give whole messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

WRAPPER_HEADER_BYTES = 8
_VERSION = 1
_HEADER = struct.Struct(">HHHH")
_WRAPPED_MAX = 0xFFFF


class Packet(NamedTuple):
    """An APDU in the TCP/UDP wrapper (Green Book 7.3.3): who sends it to whom, and the APDU."""

    source: int
    destination: int
    apdu: bytes

    @property
    def encoded(self) -> bytes:
        if len(self.apdu) > _WRAPPED_MAX:
            raise DlmsError(ErrorKind.OVERSIZE, f"a wrapper takes {_WRAPPED_MAX} bytes, the APDU has {len(self.apdu)}")
        return _HEADER.pack(_VERSION, self.source, self.destination, len(self.apdu)) + self.apdu


def unwrap(buffer: bytes, at: int = 0) -> tuple[Packet, int]:
    """The packet that begins at ``at`` and where it ends; raises ``DlmsError``."""
    if len(buffer) - at < WRAPPER_HEADER_BYTES:
        raise Truncated(f"a wrapper has {WRAPPER_HEADER_BYTES} bytes, here are {len(buffer) - at}")
    version, source, destination, size = _HEADER.unpack_from(buffer, at)
    if version != _VERSION:
        raise DlmsError(ErrorKind.MALFORMED, f"a wrapper of version {version}; 1 is the only one")
    begin = at + WRAPPER_HEADER_BYTES
    end = begin + size
    if end > len(buffer):
        raise Truncated(f"the wrapper announces {size} bytes, {len(buffer) - begin} follow")
    return Packet(source, destination, bytes(buffer[begin:end])), end


class WrapperReader:
    """Packets of a TCP stream. Raises ``DlmsError`` where it is none: there is no way back into step, so hang up."""

    def __init__(self, *, apdu_max: int = _WRAPPED_MAX) -> None:
        self._apdu_max = apdu_max
        self._rest = bytearray()

    def feed(self, octets: bytes) -> Iterator[Packet]:
        """The packets that are whole with these bytes."""
        self._rest += octets
        while len(self._rest) >= WRAPPER_HEADER_BYTES:
            version, _, _, size = _HEADER.unpack_from(self._rest)
            if version == _VERSION and size > self._apdu_max:
                raise DlmsError(ErrorKind.OVERSIZE, f"an APDU of {size} bytes; {self._apdu_max} are taken")
            if version == _VERSION and len(self._rest) < WRAPPER_HEADER_BYTES + size:
                return
            packet, end = unwrap(bytes(self._rest))
            del self._rest[:end]
            yield packet


# ------------------------------------------------------------------------------------------------------------ M-Bus

_LONG, _STOP = 0x68, 0x16
_MBUS_LEAST = 9
_LAST, _NUMBER = 0x10, 0x0F
_SEGMENTS_MAX = 16


class LongFrame(NamedTuple):
    """A long frame (EN 13757-2) that carries a part of an APDU (EN 13757-1, CI 0x00 to 0x1F)."""

    control: int
    address: int
    number: int
    """Of this part, from 0."""
    last: bool
    source: int
    destination: int
    part: bytes


def read_long_frame(buffer: bytes, at: int = 0) -> tuple[LongFrame, int]:
    """The long frame that begins at ``at`` and where it ends; raises ``DlmsError``."""
    head = buffer[at : at + 4]
    if len(head) < 4:  # noqa: PLR2004 - start, length twice, start
        raise Truncated("a long frame begins with four bytes")
    if head[0] != _LONG or head[3] != _LONG or head[1] != head[2]:
        raise DlmsError(ErrorKind.MALFORMED, f"no long frame begins with {head.hex(' ')}")
    size = head[1]
    end = at + 4 + size + 2
    if end > len(buffer):
        raise Truncated(f"the frame announces {size} bytes, {len(buffer) - at - 4} follow")
    body = bytes(buffer[at + 4 : end - 2])
    if buffer[end - 1] != _STOP:
        raise DlmsError(ErrorKind.MALFORMED, f"a long frame ends with 16, not {buffer[end - 1]:02x}")
    if sum(body) & 0xFF != buffer[end - 2]:
        raise DlmsError(ErrorKind.MALFORMED, f"the check sum is {sum(body) & 0xFF:02x}, not {buffer[end - 2]:02x}")
    if size < _MBUS_LEAST - 4:
        raise Truncated(f"a long frame of {size} bytes carries no APDU")
    control, address, information, source, destination = body[:5]
    if information > (_LAST | _NUMBER):
        raise DlmsError(ErrorKind.UNSUPPORTED, f"M-Bus data of kind {information:02x} is no DLMS")
    last = bool(information & _LAST)
    return LongFrame(control, address, information & _NUMBER, last, source, destination, body[5:]), end


def read_long_frames(buffer: bytes, at: int = 0) -> tuple[bytes, int]:
    """The APDU that the long frames from ``at`` on carry together, and where the last one ends."""
    apdu = bytearray()
    for number in range(_SEGMENTS_MAX):
        frame, at = read_long_frame(buffer, at)
        if frame.number != number:
            raise DlmsError(ErrorKind.MALFORMED, f"part {frame.number} follows where part {number} is due")
        apdu += frame.part
        if frame.last:
            return bytes(apdu), at
    raise DlmsError(ErrorKind.OVERSIZE, f"an APDU in over {_SEGMENTS_MAX} long frames")


def long_frames(apdu: bytes, *, source: int, destination: int, part_max: int = 245) -> bytes:
    """An APDU in as many long frames as it needs."""
    parts = [apdu[at : at + part_max] for at in range(0, len(apdu), part_max)] or [b""]
    if len(parts) > _SEGMENTS_MAX:
        raise DlmsError(ErrorKind.OVERSIZE, f"an APDU in over {_SEGMENTS_MAX} long frames")
    out = bytearray()
    for number, part in enumerate(parts):
        information = number | (_LAST if number == len(parts) - 1 else 0)
        body = bytes((0x53, 0xFF, information, source, destination)) + part
        out += bytes((_LONG, len(body), len(body), _LONG)) + body + bytes((sum(body) & 0xFF, _STOP))
    return bytes(out)
