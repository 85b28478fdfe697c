"""HDLC as meters speak it (IEC 62056-46, Green Book 8): frames, and a link that cuts APDUs and puts them together.

The same on a serial line and over TCP. The link keeps no clock: who holds the line decides when to repeat.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from enum import Enum
from typing import Literal, NamedTuple

from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

FLAG = 0x7E
_FORMAT, _SEGMENTED, _LENGTH = 0xA0, 0x08, 0x07FF
_ADDRESS_SIZES = (1, 2, 4)
_FRAME_LEAST = 7  # format, two addresses, control, check sum
_COMMAND_LLC, _RESPONSE_LLC = b"\xe6\xe6\x00", b"\xe6\xe7\x00"
APDU_MAX = 1 << 20

_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def check_sequence(octets: bytes) -> bytes:
    """The frame check sequence (CRC-16/X-25), as it is sent: low byte first."""
    # The standard library has the same polynomial for bits in the other order.
    turned = binascii.crc_hqx(octets.translate(_REVERSED), 0xFFFF)
    return bytes((_REVERSED[turned >> 8] ^ 0xFF, _REVERSED[turned & 0xFF] ^ 0xFF))


class Control(Enum):
    """What a frame is for."""

    SNRM = 0x83
    UA = 0x63
    DISC = 0x43
    DM = 0x0F
    FRMR = 0x87
    UI = 0x03
    RR = 0x01
    RNR = 0x05
    INFORMATION = 0x00


class Address(NamedTuple):
    """An HDLC address: the client's, or a server's logical (upper) and physical (lower) one."""

    upper: int
    lower: int | None = None
    size: int | None = None
    """Bytes: 1, 2 or 4; the smallest that fits unless told."""

    @property
    def encoded(self) -> bytes:
        size = self.size or self._least
        if self.lower is None:
            return _sevens(self.upper, size)
        return _sevens(self.upper, size // 2, last=False) + _sevens(self.lower, size // 2)

    @property
    def _least(self) -> int:
        big = max(self.upper, self.lower or 0) > 0x7F  # noqa: PLR2004 - seven bits
        return (4 if big else 2) if self.lower is not None else (2 if big else 1)

    @classmethod
    def decode(cls, octets: bytes) -> Address:
        """From 1, 2 or 4 bytes; of two, a client of some meters and a server look alike: taken as upper and lower."""
        sevens = [octet >> 1 for octet in octets]
        if len(sevens) == 1:
            return cls(sevens[0])
        if len(sevens) == 2:  # noqa: PLR2004 - see above
            return cls(*sevens)
        return cls(sevens[0] << 7 | sevens[1], sevens[2] << 7 | sevens[3], 4)


def _sevens(value: int, size: int, *, last: bool = True) -> bytes:
    if not 0 <= value < 1 << 7 * size:
        raise DlmsError(ErrorKind.MALFORMED, f"the HDLC address {value} does not fit {size} bytes")
    out = bytearray((value >> 7 * (size - 1 - place) & 0x7F) << 1 for place in range(size))
    out[-1] |= last
    return bytes(out)


class Frame(NamedTuple):
    """A frame of type 3."""

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False
    """More of the same APDU follows."""

    @property
    def kind(self) -> Control:
        if not self.control & 1:
            return Control.INFORMATION
        if self.control & 3 == 1:
            return Control.RNR if self.control & 0x0C == 4 else Control.RR  # noqa: PLR2004 - bits
        try:
            return Control(self.control & 0xEF)
        except ValueError:
            raise DlmsError(ErrorKind.MALFORMED, f"no frame has the control byte {self.control:02x}") from None

    @property
    def sent(self) -> int:
        """N(S) of an information frame."""
        return self.control >> 1 & 7

    @property
    def received(self) -> int:
        """N(R): the next one that its sender is waiting for."""
        return self.control >> 5

    @property
    def poll(self) -> bool:
        return bool(self.control & 0x10)

    @property
    def encoded(self) -> bytes:
        head_size = 2 + len(self.destination) + len(self.source) + 1
        size = head_size + 2 + (len(self.information) + 2 if self.information else 0)
        if size > _LENGTH:
            raise DlmsError(ErrorKind.OVERSIZE, f"a frame of {size} bytes; {_LENGTH} is the most")
        form = _FORMAT << 8 | (_SEGMENTED << 8 if self.segmented else 0) | size
        head = form.to_bytes(2, "big") + self.destination + self.source + bytes((self.control,))
        if self.information:
            head += check_sequence(head) + self.information
        return bytes((FLAG,)) + head + check_sequence(head) + bytes((FLAG,))


def read_frame(buffer: bytes, at: int = 0) -> tuple[Frame, int]:
    """The frame whose opening flag is at ``at``, and where its closing flag is (it may open the next one).

    Raises ``DlmsError``: *truncated* where more bytes may make it whole, *malformed* where they cannot.
    """
    if at >= len(buffer) or buffer[at] != FLAG:
        raise DlmsError(ErrorKind.MALFORMED, "a frame begins with 7e")
    if len(buffer) < at + 3:
        raise Truncated("a frame begins with a flag and two bytes of format")
    form = int.from_bytes(buffer[at + 1 : at + 3], "big")
    size = form & _LENGTH
    if form >> 12 != _FORMAT >> 4 or size < _FRAME_LEAST:
        raise DlmsError(ErrorKind.MALFORMED, f"no HDLC frame of meters begins with {buffer[at + 1 : at + 3].hex(' ')}")
    close = at + 1 + size
    if close >= len(buffer):
        raise Truncated(f"the frame announces {size} bytes, {len(buffer) - at - 1} follow")
    if buffer[close] != FLAG:
        raise DlmsError(ErrorKind.MALFORMED, f"after {size} bytes a frame ends with 7e, not {buffer[close]:02x}")
    body = bytes(buffer[at + 1 : close])
    made = check_sequence(body[:-2])
    if made != body[-2:]:
        raise DlmsError(
            ErrorKind.MALFORMED, f"the check sum is {check_sequence(body[:-2]).hex()}, not {body[-2:].hex()}"
        )
    destination, place = _address(body, 2)
    source, place = _address(body, place)
    if place >= size - 2:
        raise DlmsError(ErrorKind.MALFORMED, "a frame without a control byte")
    control, information = body[place], b""
    if place + 1 < size - 2:
        begin = place + 3
        if begin > size - 2 or check_sequence(body[: place + 1]) != body[place + 1 : begin]:
            raise DlmsError(ErrorKind.MALFORMED, "the check sum of the frame's header does not fit")
        information = body[begin:-2]
    return Frame(destination, source, control, information, bool(form & _SEGMENTED << 8)), close


def _address(body: bytes, at: int) -> tuple[bytes, int]:
    for size in range(1, 5):
        if at + size > len(body):
            break
        if body[at + size - 1] & 1:
            if size not in _ADDRESS_SIZES:
                break
            return body[at : at + size], at + size
    raise DlmsError(ErrorKind.MALFORMED, "an HDLC address has 1, 2 or 4 bytes")


class FrameReader:
    """Frames of a stream, in whatever cut it comes. What is no frame is passed over and counted: the line has noise."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.passed_over = 0
        """Bytes that belonged to no frame."""

    def feed(self, octets: bytes) -> Iterator[Frame]:
        """The frames that are whole with these bytes."""
        self._rest += octets
        while True:
            start = self._rest.find(FLAG)
            if start:
                self._skip(len(self._rest) if start < 0 else start)
            if len(self._rest) > 1 and self._rest[1] == FLAG:
                del self._rest[:1]  # the closing flag of one frame and the opening one of the next
                continue
            try:
                frame, close = read_frame(bytes(self._rest)) if self._rest else (None, 0)
            except Truncated:
                return
            except DlmsError:
                self._skip(1)
                continue
            if frame is None:
                return
            del self._rest[:close]
            yield frame

    def _skip(self, count: int) -> None:
        del self._rest[:count]
        self.passed_over += count


def reassembled(frames: list[Frame]) -> bytes:
    """The APDU of unnumbered frames of a push, its LLC bytes taken off; raises ``DlmsError``."""
    if not frames:
        raise Truncated("there is no frame")
    if frames[-1].segmented:
        raise Truncated("a further frame is announced and does not come")
    return without_llc(b"".join(frame.information for frame in frames))


def without_llc(information: bytes) -> bytes:
    """An APDU without the three LLC bytes before it."""
    return information[3:] if information[:3] in {_COMMAND_LLC, _RESPONSE_LLC} else information


# ------------------------------------------------------------------------------------------------------------- link


class LinkParameters(NamedTuple):
    """What is agreed by SNRM and UA, as seen by who holds them. 128 bytes and a window of 1 unless told."""

    send_max: int = 128
    receive_max: int = 128
    send_window: int = 1
    receive_window: int = 1

    @property
    def encoded(self) -> bytes:
        if self == LinkParameters():
            return b""
        out = bytearray()
        for number, value in zip((5, 6), self[:2], strict=True):
            out += bytes((number, 1, value)) if value < 0x100 else bytes((number, 2)) + value.to_bytes(2, "big")  # noqa: PLR2004
        for number, value in zip((7, 8), self[2:], strict=True):
            out += bytes((number, 4)) + value.to_bytes(4, "big")
        return bytes((0x81, 0x80, len(out))) + bytes(out)

    @classmethod
    def decode(cls, information: bytes) -> LinkParameters:
        """What the other side says of itself; raises ``DlmsError``."""
        found = cls()._asdict()
        if information[:2] not in {b"", b"\x81\x80"} or len(information) in {1, 2}:
            raise DlmsError(ErrorKind.MALFORMED, "link parameters begin with 81 80")
        at = 3
        while at + 1 < len(information):
            number, size = information[at : at + 2]
            value = int.from_bytes(information[at + 2 : at + 2 + size], "big")
            if 5 <= number <= 8 and value:  # noqa: PLR2004 - the four that there are
                found[cls._fields[number - 5]] = value
            at += 2 + size
        return cls(**found)

    def agreed_with(self, other: LinkParameters) -> LinkParameters:
        """What holds between the two: nobody is sent more than it takes."""
        return LinkParameters(
            min(self.send_max, other.receive_max),
            min(self.receive_max, other.send_max),
            min(self.send_window, other.receive_window, 7),
            min(self.receive_window, other.send_window, 7),
        )


LinkState = Literal["disconnected", "connecting", "connected", "disconnecting"]

_TRANSITIONS: dict[tuple[str, LinkState, Control], LinkState] = {
    ("client", "connecting", Control.UA): "connected",
    ("client", "connecting", Control.DM): "disconnected",
    ("client", "disconnecting", Control.UA): "disconnected",
    ("client", "disconnecting", Control.DM): "disconnected",
    ("client", "connected", Control.DM): "disconnected",
    ("client", "connected", Control.FRMR): "disconnected",
    ("client", "connected", Control.INFORMATION): "connected",
    ("client", "connected", Control.RR): "connected",
    ("client", "connected", Control.RNR): "connected",
    ("client", "connected", Control.UI): "connected",
    ("client", "disconnected", Control.UI): "disconnected",
    ("client", "connecting", Control.UI): "connecting",
    ("client", "disconnecting", Control.UI): "disconnecting",
    ("server", "disconnected", Control.SNRM): "connected",
    ("server", "connected", Control.SNRM): "connected",
    ("server", "connected", Control.DISC): "disconnected",
    ("server", "disconnected", Control.DISC): "disconnected",
    ("server", "connected", Control.INFORMATION): "connected",
    ("server", "connected", Control.RR): "connected",
    ("server", "connected", Control.RNR): "connected",
    ("server", "connected", Control.UI): "connected",
    ("server", "disconnected", Control.UI): "disconnected",
}


class HdlcLink:
    """One end of a link: ``send`` and ``feed`` give what has to go out; whole APDUs lie in ``received``.

    A client sends ``connect()`` first and waits until ``state`` is ``connected``; a server answers by itself.
    ``repeat()`` gives once more what is unacknowledged, for the holder of the line to send after a time without answer.
    """

    def __init__(
        self,
        *,
        role: Literal["client", "server"],
        own: Address,
        other: Address,
        parameters: LinkParameters | None = None,
    ) -> None:
        self.role = role
        self.state: LinkState = "disconnected"
        self.received: list[bytes] = []
        self.agreed = LinkParameters()
        self._own, self._other = own.encoded, other.encoded
        self._wanted = parameters or LinkParameters()
        self._reader = FrameReader()
        self._next_in = self._next_out = 0
        self._waiting: list[tuple[bytes, bool]] = []
        self._flying: list[tuple[int, bytes, bool]] = []
        self._parts = bytearray()
        self._last = b""

    @property
    def peer(self) -> bytes:
        """The address of the other side, as it stands in frames."""
        return self._other

    def connect(self) -> bytes:
        """SNRM, with what we would like."""
        self._start_over()
        self.state = "connecting"
        return self._said(Control.SNRM, self._wanted.encoded)

    def disconnect(self) -> bytes:
        """DISC."""
        self.state = "disconnecting"
        return self._said(Control.DISC)

    def send(self, apdu: bytes) -> bytes:
        """What has to go out for an APDU; the rest follows by itself as the other side acknowledges."""
        if self.state != "connected":
            raise DlmsError(ErrorKind.OUT_OF_TURN, f"the link is {self.state}")
        whole = (_COMMAND_LLC if self.role == "client" else _RESPONSE_LLC) + apdu
        size = self.agreed.send_max
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        self._waiting += [(part, number < len(parts) - 1) for number, part in enumerate(parts)]
        return self._more()

    def repeat(self) -> bytes:
        """What has been sent and not acknowledged, once more; where that is nothing, an RR that asks."""
        if self.state in {"connecting", "disconnecting"}:
            return self._last
        return b"".join(self._information(*one) for one in self._flying) or self._acknowledged()

    def feed(self, octets: bytes) -> bytes:
        """Take bytes of the line; raises ``DlmsError`` where the other side breaks off. Gives what has to go out."""
        out = bytearray()
        for frame in self._reader.feed(octets):
            if frame.destination == self._own:
                out += self._taken(frame)
        return bytes(out)

    # --- what comes in

    def _taken(self, frame: Frame) -> bytes:  # noqa: PLR0911 - an answer to each kind
        kind = frame.kind
        next_state = _TRANSITIONS.get((self.role, self.state, kind))
        if next_state is None:
            # A server that is not connected says so; what else has no place is passed over: a late echo.
            answers = self.role == "server" and self.state == "disconnected" and kind is not Control.DM
            return self._said(Control.DM, to=frame.source) if answers else b""
        was, self.state = self.state, next_state
        match kind:
            case Control.SNRM:
                self._start_over()
                self._other = frame.source
                self.agreed = self._wanted.agreed_with(LinkParameters.decode(frame.information))
                return self._said(Control.UA, self.agreed.encoded)
            case Control.DISC:
                return self._said(Control.UA if was == "connected" else Control.DM, to=frame.source)
            case Control.UA if was == "connecting":
                self.agreed = self._wanted.agreed_with(LinkParameters.decode(frame.information))
                return b""
            case Control.FRMR | Control.DM if was == "connected":
                raise DlmsError(ErrorKind.REFUSED, f"the other side broke off ({kind.name})")
            case Control.DM if was == "connecting":
                raise DlmsError(ErrorKind.REFUSED, "the other side does not take a connection (DM)")
            case Control.UI:
                self._collect(frame)
                return b""
            case Control.INFORMATION | Control.RR | Control.RNR:
                return self._numbered(frame, kind)
        return b""

    def _numbered(self, frame: Frame, kind: Control) -> bytes:
        self._settle(frame.received)
        if kind is Control.RNR:
            return b""
        if kind is Control.RR:
            sent_anew = b"".join(self._information(*one) for one in self._flying)
            return sent_anew or self._more()
        if frame.sent != self._next_in:
            return self._acknowledged()  # one was lost, or this is an old one: say what we wait for
        self._next_in = (self._next_in + 1) % 8
        self._collect(frame)
        if frame.segmented or not self._waiting:
            # The last segment is acknowledged by the answer that goes back; between segments RR does it.
            return self._acknowledged() if frame.segmented and frame.poll else self._more()
        return self._more()

    def _collect(self, frame: Frame) -> None:
        self._parts += frame.information
        if len(self._parts) > APDU_MAX:
            self._parts.clear()
            raise DlmsError(ErrorKind.OVERSIZE, f"an APDU of over {APDU_MAX} bytes")
        if not frame.segmented:
            self.received.append(without_llc(bytes(self._parts)))
            self._parts.clear()

    def _settle(self, received: int) -> None:
        """Forget what the other side has."""
        while self._flying and (received - self._flying[0][0] - 1) % 8 < len(self._flying):
            self._flying.pop(0)

    # --- what goes out

    def _more(self) -> bytes:
        out = bytearray()
        while self._waiting and len(self._flying) < self.agreed.send_window:
            part, segmented = self._waiting.pop(0)
            one = (self._next_out, part, segmented)
            self._next_out = (self._next_out + 1) % 8
            self._flying.append(one)
            out += self._information(*one)
        return bytes(out)

    def _information(self, number: int, part: bytes, segmented: bool) -> bytes:  # noqa: FBT001 - of the tuple that is kept
        full = len(self._flying) >= self.agreed.send_window
        final = 0x10 if not segmented or (full and self._flying[-1][0] == number) else 0
        control = self._next_in << 5 | final | number << 1
        return Frame(self._other, self._own, control, part, segmented).encoded

    def _acknowledged(self) -> bytes:
        return Frame(self._other, self._own, self._next_in << 5 | 0x10 | Control.RR.value).encoded

    def _said(self, kind: Control, information: bytes = b"", *, to: bytes | None = None) -> bytes:
        self._last = Frame(to or self._other, self._own, kind.value | 0x10, information).encoded
        return self._last

    def _start_over(self) -> None:
        self._next_in = self._next_out = 0
        self._waiting.clear()
        self._flying.clear()
        self._parts.clear()
        self._last = b""
