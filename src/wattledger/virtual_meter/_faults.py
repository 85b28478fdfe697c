"""What can be wrong with a meter, to order."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """Faults of the line (the server honours them) and of the device (the objects do)."""

    OFFLINE = "offline"
    """Nobody answers; a connection to a port of its own is closed at once."""
    SILENT = "silent"
    """Half open: the connection stands, and nothing is ever answered."""
    SLOW = "slow"
    """Every answer takes seconds."""
    PARTIAL = "partial"
    """The answer ends in the middle and the connection with it."""
    CORRUPT = "corrupt"
    """A bit of every ciphered answer is wrong."""
    REPLAY = "replay"
    """An answer that was given before is given again."""
    REFUSING = "refusing"
    """Every read is denied."""
    RESET_IN_KEY_CHANGE = "reset-in-key-change"
    """New keys are taken, and the power fails before the answer is out."""
    LATE_PUSH = "late-push"
    DUPLICATE_PUSH = "duplicate-push"
    STUCK_RELAY = "stuck-relay"
    """What is asked of the relay is accepted and not done."""
    COVER_OPENED = "cover-opened"
    MAGNET = "magnet"
    """A strong field: less is counted."""
    BYPASS = "bypass"
    """A wire past the meter: part of the load is not counted."""
    ROLLOVER = "rollover"
    """The registers have few digits and begin anew."""
