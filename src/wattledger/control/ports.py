"""What ``control`` asks of whoever talks to the meters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from wattledger.kernel import Problem


class MeterUnreachable(Problem):
    """A meter did not answer; whether a command took effect is not known until it is read back."""

    slug = "meter-unreachable"
    title = "The meter does not answer"
    status = 503


@dataclass(frozen=True, slots=True)
class RelayState:
    """A disconnector read back: attributes 2 and 3 of DLMS class 70.

    A reconnect can be accepted and still leave the supply off (``ready_for_reconnection``): only ``output_on`` counts.
    """

    output_on: bool
    control_state: Literal["disconnected", "connected", "ready_for_reconnection"]


class SwitchPort(Protocol):
    """Operates disconnectors. Each call is safe to repeat; each may raise :class:`MeterUnreachable`."""

    def disconnect(self, *, meter_id: str) -> None:
        """Ask the meter to open its disconnector."""
        ...

    def reconnect(self, *, meter_id: str) -> None:
        """Ask the meter to close its disconnector."""
        ...

    def read_relay(self, *, meter_id: str) -> RelayState:
        """The disconnector as it is now."""
        ...
