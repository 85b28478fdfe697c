"""The disconnector: class 70 of the Blue Book, with its control modes as a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class State(IntEnum):
    """control_state."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY = 2
    """Ready for reconnection: somebody has to press the button."""


Cause = Literal[
    "remote reconnect",
    "remote disconnect",
    "manual reconnect",
    "manual disconnect",
    "local disconnect",
    "local reconnect",
]

TRANSITIONS: dict[str, tuple[State, State, Cause]] = {
    "a": (State.DISCONNECTED, State.CONNECTED, "remote reconnect"),
    "b": (State.CONNECTED, State.DISCONNECTED, "remote disconnect"),
    "c": (State.READY, State.DISCONNECTED, "remote disconnect"),
    "d": (State.DISCONNECTED, State.READY, "remote reconnect"),
    "e": (State.READY, State.CONNECTED, "manual reconnect"),
    "f": (State.CONNECTED, State.READY, "manual disconnect"),
    "g": (State.CONNECTED, State.READY, "local disconnect"),
    "h": (State.READY, State.CONNECTED, "local reconnect"),
}
"""Blue Book 4.5.8: every transition has a letter."""

MODES: dict[int, str] = {0: "", 1: "bcfgde", 2: "bcfgae", 3: "bcgde", 4: "bcgae", 5: "bcfgdeh", 6: "bcgdeh"}
"""Which transitions a control mode has."""

EVENT_CODES: dict[Cause, int] = {
    "manual disconnect": 60,
    "manual reconnect": 61,
    "remote disconnect": 62,
    "remote reconnect": 63,
    "local disconnect": 64,
    "local reconnect": 69,
}
READY_CODE, FAILURE_CODE = 59, 68
"""What the disconnector log says (IDIS): ready for manual reconnection; the relay did not do what it was told."""


@dataclass(slots=True)
class Disconnector:
    """A relay with its logic. ``stuck``: it answers as if all were well and does nothing."""

    mode: int = 4
    state: State = State.CONNECTED
    stuck: bool = False

    @property
    def closed(self) -> bool:
        """output_state: the supply is on."""
        return self.state is State.CONNECTED

    def act(self, cause: Cause) -> list[int]:
        """Do what the mode makes of ``cause``, and give the codes to log; nothing where it has no such transition."""
        for letter in MODES[self.mode]:
            begun, ended, because = TRANSITIONS[letter]
            if because == cause and begun is self.state:
                if self.stuck:
                    return [FAILURE_CODE]
                self.state = ended
                if ended is State.READY and cause == "remote reconnect":
                    return [READY_CODE]
                return [EVENT_CODES[cause]]
        return []
