"""General block transfer (Green Book 9.4.6.13): any APDU in numbered blocks, some of them in flight at once.

Blocks are not lost on the lines below (TCP, HDLC); a block out of turn is an error, not a reason to ask again.
"""

from __future__ import annotations

from wattledger.dlms._apdu import GeneralBlock
from wattledger.dlms._errors import DlmsError, ErrorKind

BLOCK_HEADER_BYTES = 12
_WINDOW_MAX = 63


class BlockSender:
    """An APDU on its way out. ``blocks()`` may go now; ``acknowledged(...)`` says that the peer is ready for more."""

    def __init__(self, apdu: bytes, *, block_max: int, window: int = 1) -> None:
        self._parts = [apdu[at : at + block_max] for at in range(0, len(apdu), block_max)] or [b""]
        if len(self._parts) > 0xFFFF:  # noqa: PLR2004 - block numbers have 16 bits
            raise DlmsError(ErrorKind.OVERSIZE, f"an APDU in {len(self._parts)} blocks")
        self._window = window
        self._sent = 0

    @property
    def done(self) -> bool:
        return self._sent == len(self._parts)

    def blocks(self, *, acknowledging: int = 0) -> list[GeneralBlock]:
        """The next ones, up to the window."""
        numbers = range(self._sent, min(self._sent + self._window, len(self._parts)))
        self._sent = numbers.stop
        return [
            GeneralBlock(
                last=number == len(self._parts) - 1,
                streaming=number != numbers[-1],
                window=1,
                number=number + 1,
                acknowledged=acknowledging,
                octets=self._parts[number],
            )
            for number in numbers
        ]

    def acknowledged(self, block: GeneralBlock) -> None:
        """What the peer answers between; raises ``DlmsError`` where it misses a block."""
        if block.acknowledged != self._sent:
            raise DlmsError(ErrorKind.OUT_OF_TURN, f"block {self._sent} was sent, {block.acknowledged} is acknowledged")
        self._window = max(1, min(block.window, _WINDOW_MAX))


class BlockReceiver:
    """An APDU on its way in."""

    def __init__(self, *, apdu_max: int, window: int = 1) -> None:
        self._apdu_max, self._window = apdu_max, window
        self._octets = bytearray()
        self._next = 1
        self._answers = 0
        self.whole: bytes | None = None
        """The APDU, once its last block has come."""

    def taken(self, block: GeneralBlock) -> GeneralBlock | None:
        """What has to be answered, if anything; raises ``DlmsError``."""
        if block.number != self._next:
            raise DlmsError(ErrorKind.OUT_OF_TURN, f"block {block.number} comes where {self._next} is due")
        if len(self._octets) + len(block.octets) > self._apdu_max:
            raise DlmsError(ErrorKind.OVERSIZE, f"blocks of over {self._apdu_max} bytes together")
        self._octets += block.octets
        self._next += 1
        if block.last:
            self.whole = bytes(self._octets)
            return None
        if block.streaming:
            return None
        self._answers += 1
        return GeneralBlock(
            last=True,
            streaming=False,
            window=self._window,
            number=self._answers,
            acknowledged=block.number,
            octets=b"",
        )
