"""Credit that is kept in the meter: account, credit and token gateway (classes 111, 112, 115), reduced to what acts.

Credit is counted in Wh: what an STS token of energy brings. It falls with what is used; at nothing left the relay opens
locally, and a token closes it again as far as the control mode allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

_WH_PER_UNIT = 100  # tokens count in 0.1 kWh


class Typed(NamedTuple):
    """What became of a token: ``status`` as class 115 counts it, and how many units of 0.1 kWh it brought."""

    status: int
    units: int
    said: str


Keypad = Callable[[str], Typed]
"""Takes 20 digits; whoever builds the meter brings one (``wattledger.sts`` has it)."""

ACCEPTED, FORMAT_OK, AUTHENTICATED, FAILED = 5, 0, 1, 7
PREPAYMENT = 2


@dataclass(slots=True)
class Prepayment:
    """What a meter with credit knows. ``left(counted)`` at a register value in Wh."""

    keypad: Keypad
    credit_wh: int = 0
    since_wh: int = 0
    """The register when ``credit_wh`` was right."""
    warning_wh: int = 0
    token: bytes = b""
    token_status: int = FORMAT_OK
    token_at: int = 0
    said: str = ""
    log: list[tuple[int, int]] = field(default_factory=list)

    def left(self, counted: int) -> int:
        """Wh of credit at this register value; negative where more was used."""
        return self.credit_wh - (counted - self.since_wh)

    def enter(self, digits: bytes, *, at: int, counted: int) -> bool:
        """Take a token of 20 digits, as text; whether it was good."""
        self.token, self.token_at = digits, at
        typed = self.keypad(digits.decode("ascii", errors="replace"))
        self.token_status, self.said = typed.status, typed.said
        if typed.status != ACCEPTED:
            return False
        self.credit_wh = self.left(counted) + typed.units * _WH_PER_UNIT
        self.since_wh = counted
        self.log.append((at, typed.units))
        return True
