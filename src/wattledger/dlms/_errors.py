"""What can be wrong with what a peer sent, or with what it answered."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """How a conversation failed, told apart because the cure differs."""

    TRUNCATED = "truncated"
    """The bytes end before the value does."""
    OVERSIZE = "oversize"
    """A length or a whole message is over the limit."""
    NESTED = "nested"
    """Arrays and structures lie in one another deeper than any meter's."""
    WRONG_TAG = "wrong tag"
    """A byte that has to name a type or a service names none."""
    MALFORMED = "malformed"
    """A check sum, a length or a field contradicts the rest."""
    UNSUPPORTED = "unsupported"
    """Well formed, and of a kind that is not spoken here."""
    REPLAY = "replay"
    """An invocation counter that has been seen."""
    BAD_KEY = "bad key"
    """Nothing sensible comes out with this key (or this system title)."""
    BAD_TAG = "bad tag"
    """The text can be read, but the authentication tag does not fit it: altered, or another authentication key."""
    WRONG_SYSTEM_TITLE = "wrong system title"
    """Sent by another than the one we speak with."""
    NO_KEY = "no key"
    """Ciphered, and no key was given."""
    NO_DATA = "no data"
    """The meter has nothing to answer with."""
    REFUSED = "refused by meter"
    """The meter answered with an error of its own."""
    OUT_OF_TURN = "out of turn"
    """A message that this state of the conversation has no place for."""
    TIMEOUT = "timeout"
    """No answer in time (raised by whoever holds the clock and the line)."""


class DlmsError(Exception):
    """Something a peer sent cannot be taken; ``kind`` says which sort of thing, the text says what and where."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


class Truncated(DlmsError):
    """The bytes end too early; with more of them the message may become whole."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorKind.TRUNCATED, detail)
