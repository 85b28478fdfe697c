"""Intervals that are numbered through a day, on the days when clocks change.

Numbers count what has passed since midnight, as the British market's settlement periods do (46 of them on the short
day, 50 on the long one) and the Spanish market's hours (23 and 25). That they do is seen where a day has as many as
its zone gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

from wattledger.readings.formats._stamps import days_of

_DAY = 86_400
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shift:
    """A day's change of clocks: ``at`` seconds after its midnight they go forward ``by`` seconds (below 0: back)."""

    at: int
    by: int

    def label(self, passed: int) -> str:
        """What the clock shows when ``passed`` seconds of the day have."""
        wall = passed + (self.by if passed >= self.at else 0)
        return f"{wall // 3600:02}:{wall % 3600 // 60:02}"


def shifts(counts: Mapping[str, int], *, usual: int, zone: tzinfo | None) -> dict[str, Shift]:
    """Of dates with another count of intervals than the ``usual`` one those on which ``zone`` explains it."""
    found: dict[str, Shift] = {}
    for text, count in counts.items():
        if zone is None or count == usual:
            continue
        for day in days_of(text):
            shift = _shift_on(day, zone)
            there = usual if shift is None else usual - shift.by * usual // _DAY
            if shift is not None and (count == there or usual < count < there):
                found[text] = shift
    return found


def _shift_on(day: int, zone: tzinfo) -> Shift | None:
    """The day's one change of clocks, if it has one."""
    midnight = (_UNIX + timedelta(days=day)).replace(tzinfo=zone)
    begin = midnight.timestamp()
    moments = [datetime.fromtimestamp(begin + 900 * step, zone) for step in range(97)]
    changes = [
        Shift(900 * step, int((after - before).total_seconds()))
        for step, (before, after) in enumerate(pairwise([one.utcoffset() or timedelta() for one in moments]), 1)
        if before != after
    ]
    return changes[0] if len(changes) == 1 else None
