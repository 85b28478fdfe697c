"""Credit that is kept in the meter, reduced to what acts: an amount, and what tokens do to it.

Credit is counted in Wh: what an STS token of energy brings. It falls with what is used; at nothing left the relay opens
locally, and a token closes it again as far as the control mode allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

_WH_PER_UNIT = 100  # tokens count in 0.1 kWh
CREDIT_MAX = 2**31 - 1
"""What the credit register of 32 bits holds, Wh."""


class TokenStatus(IntEnum):
    """status_code of the token gateway (class 115)."""

    FORMAT_OK = 0
    AUTHENTICATION_OK = 1
    VALIDATION_OK = 2
    EXECUTION_OK = 3
    FORMAT_FAILURE = 4
    AUTHENTICATION_FAILURE = 5
    VALIDATION_FAILURE = 6
    EXECUTION_FAILURE = 7
    NOT_YET_PROCESSED = 8


class Typed(NamedTuple):
    """What became of a token, and what it has the meter do; ``said`` is shown to whoever typed it."""

    status: TokenStatus
    said: str
    units: int = 0
    """Of 0.1 kWh."""
    limit_watts: int | None = None
    clears_credit: bool = False
    clears_tamper: bool = False


class Keypad(Protocol):
    """Understands tokens. Whoever builds the meter brings one; it remembers keys and what it has taken."""

    def __call__(self, digits: str, /, *, room: int) -> Typed:
        """Take 20 digits; ``room``: how many units of 0.1 kWh the credit register can still hold."""
        ...


@dataclass(slots=True)
class Prepayment:
    """What a meter with credit knows. ``left(counted)`` at a register value in Wh."""

    keypad: Keypad
    credit_wh: int = 0
    since_wh: int = 0
    """The register when ``credit_wh`` was right."""
    warning_wh: int = 0
    token: bytes = b""
    token_status: TokenStatus = TokenStatus.FORMAT_OK
    token_at: int = 0
    said: str = ""
    bought_wh: int = 0
    """All that tokens ever brought."""

    @property
    def spent_at(self) -> int:
        """The register value at which nothing is left."""
        return self.since_wh + self.credit_wh

    def left(self, counted: int) -> int:
        """Wh of credit at this register value; negative where more was used."""
        return self.spent_at - counted

    def set(self, wh: int, *, counted: int) -> None:
        """From now on this much is left."""
        self.credit_wh, self.since_wh = wh, counted

    def enter(self, digits: bytes, *, at: int, counted: int) -> Typed:
        """Take a token of 20 digits, as text; ``at``: what the meter's clock shows."""
        self.token, self.token_at = digits, at
        left = self.left(counted)
        room = max(CREDIT_MAX - max(left, 0), 0) // _WH_PER_UNIT
        typed = self.keypad(digits.decode("ascii", errors="replace"), room=room)
        self.token_status, self.said = typed.status, typed.said
        if typed.status is TokenStatus.EXECUTION_OK:
            brought = typed.units * _WH_PER_UNIT
            self.set((0 if typed.clears_credit else left) + brought, counted=counted)
            self.bought_wh += brought
        return typed
