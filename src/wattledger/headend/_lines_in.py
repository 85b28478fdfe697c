"""Meters that connect in: their connections wait here until there is something to ask."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

_A_TITLE_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """What is borne of who connects.

    ``connections``  at a time; one more is closed at once
    ``idle``         seconds in which a connection has to say something
    ``apdu_max``     bytes of one APDU
    ``queue``        pushes that wait; while it is full nobody is read from
    ``batch``        pushes that are kept in one unit of work; ``linger`` seconds are waited for others
    """

    connections: int = 10_000
    idle: float = 30
    apdu_max: int = 8_192
    queue: int = 2_000
    batch: int = 250
    linger: float = 0.2


@dataclass(slots=True, eq=False)
class LineIn:
    """A connection that a meter made. ``proved``: an association over it went well, so it is no stranger's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    proved: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_open(self) -> bool:
        """Whether it still can be spoken over."""
        return not (self.gone.is_set() or self.writer.is_closing() or self.reader.at_eof())

    def close(self) -> None:
        """Let go of it."""
        self.gone.set()
        self.writer.close()


class LinesIn:
    """Connections by the system title that was said on them; a title proves nothing.

    So whoever says a meter's title takes nothing from it: a connection that was proved before is used first, and one
    more does not push it out.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, list[LineIn]] = {}

    def add(self, title: bytes, line: LineIn, *, behind: bool = False) -> None:
        """Keep a connection for the next visit; of too many of one title the oldest that was never proved goes.

        ``behind``: others are tried before it.
        """
        lines = self._lines[title] = self._open(title)
        lines.insert(0 if behind else len(lines), line)
        if len(lines) > _A_TITLE_MAX:
            oldest = next((one for one in lines if not one.proved), lines[0])
            lines.remove(oldest)
            oldest.close()

    def take(self, title: bytes) -> LineIn | None:
        """A connection to speak over, proved ones first, then the newest; ``None`` while the meter is away."""
        lines = self._open(title)
        if not lines:
            return None
        line = max(enumerate(lines), key=lambda one: (one[1].proved, one[0]))[1]
        lines.remove(line)
        return line

    def has(self, title: bytes) -> bool:
        """Whether there is one to speak over."""
        return bool(self._open(title))

    def _open(self, title: bytes) -> list[LineIn]:
        lines = [one for one in self._lines.pop(title, []) if one.is_open]
        if lines:
            self._lines[title] = lines
        return lines
