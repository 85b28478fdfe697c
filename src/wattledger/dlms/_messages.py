"""What some bytes say, whatever they are framed in: for looking at frames, and for pushes that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from wattledger.dlms._acse import AARE, AARQ, RLRE, RLRQ, Acse, read_acse
from wattledger.dlms._apdu import Apdu, Ciphered, GeneralBlock, read_apdu
from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated
from wattledger.dlms._framing import read_long_frames, unwrap
from wattledger.dlms._hdlc import FLAG, Control, Frame, read_frame, reassembled
from wattledger.dlms._security import Keys, SecurityControl, dissected, unprotect

Framing = Literal["hdlc", "hdlc-segmented", "mbus", "wrapper", "apdu"]

MESSAGE_MAX = 1 << 20
"""Bytes that are looked at together."""
_LONG = 0x68
_MESSAGES_MAX = 1_000
_ENVELOPES_MAX = 4  # blocks in a cipher in blocks: nobody nests them deeper


class Envelope(NamedTuple):
    """How a message was ciphered."""

    title: bytes | None
    control: SecurityControl
    counter: int
    genuine: bool | None
    """The authentication tag fits; ``None`` where there is none, or no key to try it with."""
    opened: bool
    """False where no key was given: only the envelope can be read."""


class Message(NamedTuple):
    """One APDU as it was found."""

    framing: Framing
    raw: bytes
    """The APDU as it was framed, ciphered or not."""
    envelope: Envelope | None
    plain: bytes | None
    """The APDU in the clear; ``None`` where it could not be opened for want of a key."""
    apdu: Apdu | Acse | None
    trailing: bytes
    """What followed the APDU within its frame: some meters fill up."""


def read_messages(buffer: bytes, *, keys: Keys | None = None, title: bytes | None = None) -> list[Message]:
    """The messages in ``buffer``, in their order, with typed data (``Data``).

    ``title`` is the sender's system title, where the message does not say it. A ciphered message whose tag does not fit
    is given all the same when it can be read: ``envelope.genuine`` is false. Raises ``DlmsError`` for anything that can
    not be read to its end.
    """
    if len(buffer) > MESSAGE_MAX:
        raise DlmsError(ErrorKind.OVERSIZE, f"{len(buffer)} bytes; {MESSAGE_MAX} are looked at together")
    found: list[Message] = []
    blocks: list[tuple[Framing, bytes, GeneralBlock]] = []
    for framing, raw in _apdus(buffer):
        apdu = _first(raw)
        if isinstance(apdu, GeneralBlock):
            blocks.append((framing, raw, apdu))
            if not apdu.last:
                continue
            raw = _together([block for *_, block in blocks])  # noqa: PLW2901 - from here on the whole
            blocks = []
        found.append(_message(framing, raw, keys, title))
        if len(found) > _MESSAGES_MAX:
            raise DlmsError(ErrorKind.OVERSIZE, f"over {_MESSAGES_MAX} messages")
    if blocks:
        raise Truncated(f"block {blocks[-1][2].number} is not the last one, and no other follows")
    if not found:
        raise DlmsError(ErrorKind.NO_DATA, "no message: nothing at all, or frames that only keep the link")
    return found


def _message(framing: Framing, raw: bytes, keys: Keys | None, title: bytes | None) -> Message:
    plain: bytes = raw
    envelope: Envelope | None = None
    for _ in range(_ENVELOPES_MAX):
        try:
            apdu, end = _read(plain)
        except DlmsError:
            if envelope is None or envelope.genuine or not envelope.control.encrypted:
                raise
            raise DlmsError(ErrorKind.BAD_KEY, "what comes out is no whole APDU: another key, or altered") from None
        if isinstance(apdu, GeneralBlock) and apdu.last:
            plain = apdu.octets
        elif isinstance(apdu, Ciphered):
            envelope, inner = _opened(apdu, keys, title)
            if inner is None:
                return Message(framing, raw, envelope, None, None, plain[end:])
            plain = inner
        else:
            return Message(framing, raw, envelope, plain, apdu, plain[end:])
    raise DlmsError(ErrorKind.NESTED, "ciphers and blocks lie in one another")


def _read(plain: bytes) -> tuple[Apdu | Acse, int]:
    if plain[:1] and plain[0] in {AARQ, AARE, RLRQ, RLRE}:
        return read_acse(plain)
    return read_apdu(plain, typed=True)


def _opened(apdu: Ciphered, keys: Keys | None, title: bytes | None) -> tuple[Envelope, bytes | None]:
    control, counter, *_ = dissected(apdu.protected)
    sender = apdu.title or title
    if keys is None or (not control.authenticated and not control.encrypted):
        inner = apdu.protected[5:] if not control.encrypted and not control.authenticated else None
        return Envelope(sender, control, counter, None, inner is not None), inner
    if title is not None and apdu.title not in {None, title}:
        detail = f"{(apdu.title or b'').hex()} speaks where {title.hex()} is expected"
        raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, detail)
    if sender is None:
        detail = "the message does not say who sends it: give the sender's system title"
        raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, detail)
    opened = unprotect(apdu.protected, title=sender, keys=keys, context=apdu.context, lenient=True)
    return Envelope(sender, control, counter, opened.genuine, opened=True), opened.text


def _first(raw: bytes) -> Apdu | None:
    """The APDU of a block; whatever else it is will be read later."""
    return read_apdu(raw)[0] if raw[:1] == b"\xe0" else None


def _together(blocks: list[GeneralBlock]) -> bytes:
    numbers = [block.number for block in blocks]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise DlmsError(ErrorKind.OUT_OF_TURN, f"blocks come as {', '.join(map(str, numbers))}")
    return b"".join(block.octets for block in blocks)


def _apdus(buffer: bytes) -> Iterator[tuple[Framing, bytes]]:
    """The APDUs in a piece of a line: the first bytes tell the framing."""
    at = 0
    while at < len(buffer):
        if buffer[at] == FLAG:
            framing, raw, at = _from_hdlc(buffer, at)
            if raw is not None:
                yield framing, raw
        elif buffer[at] == _LONG and buffer[at + 1 : at + 2] == buffer[at + 2 : at + 3]:
            raw, at = read_long_frames(buffer, at)
            yield "mbus", raw
        elif buffer[at : at + 2] == b"\0\1":
            packet, at = unwrap(buffer, at)
            yield "wrapper", packet.apdu
        elif at:
            # After whole frames: filling, or a part of the next one that is not here.
            return
        else:
            yield "apdu", bytes(buffer)
            return


def _from_hdlc(buffer: bytes, at: int) -> tuple[Framing, bytes | None, int]:
    """The APDU in the frames from ``at`` on (``None`` for one of the link alone), and where the last of them ends."""
    frames: list[Frame] = []
    while not frames or frames[-1].segmented:
        while buffer[at : at + 2] == b"\x7e\x7e":
            at += 1
        if at >= len(buffer) - 1 and frames:
            raise Truncated("a further frame is announced and does not come")
        frame, close = read_frame(buffer, at)
        frames.append(frame)
        # The flag that closes a frame may open the next one, or that has a flag of its own.
        at = close if buffer[close + 1 : close + 2] not in {b"", b"\x7e"} else close + 1
    framing: Framing = "hdlc-segmented" if len(frames) > 1 else "hdlc"
    carries = any(frame.kind in {Control.INFORMATION, Control.UI} for frame in frames)
    return framing, reassembled(frames) if carries else None, at
