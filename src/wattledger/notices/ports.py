"""How a message leaves the house."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

_log = logging.getLogger("wattledger.notices")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one person, worded in that person's language. ``id`` stays the same when it is sent again."""

    id: str
    to: str
    language: str
    kind: str
    text: str


class Channel(Protocol):
    """Carries messages; a channel that cannot raises, and the message is tried again later."""

    name: str

    def send(self, message: Message) -> None:
        """Hand ``message`` over; it may come twice with one id after a crash."""
        ...


class LogChannel:
    """Writes every message to the program's log: the channel that needs nothing set up."""

    name = "log"

    def send(self, message: Message) -> None:
        """Log ``message`` at level INFO."""
        _log.info("to %s (%s): %s", message.to, message.kind, message.text)
