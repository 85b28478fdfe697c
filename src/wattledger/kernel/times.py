"""Instants, half-open periods and the local calendar.

An interval is labelled by its **start** and a period contains its start and not its end::

    from                 to
     |--------------------|
     [####################)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from wattledger.kernel.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo


class UnknownZone(Problem):
    """A time zone's name is not in the IANA database."""

    slug = "unknown-zone"
    title = "Unknown time zone"
    status = 422


@lru_cache(maxsize=256)
def zone_named(name: str) -> ZoneInfo:
    """The IANA zone called ``name``; raises :class:`UnknownZone`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        detail = f"no time zone is called {name!r}"
        raise UnknownZone(detail, remedy="use an IANA name such as Europe/London or Asia/Shanghai") from error


def epoch(instant: datetime) -> int:
    """Seconds since 1970-01-01 UTC of an aware ``instant`` on a whole second."""
    if instant.tzinfo is None:
        msg = f"{instant} has no time zone"
        raise ValueError(msg)
    return int(instant.timestamp())


def from_epoch(seconds: int) -> datetime:
    """The aware UTC instant ``seconds`` after 1970-01-01."""
    return datetime.fromtimestamp(seconds, tz=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The half-open span ``[start, end)`` between two aware instants, held in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            msg = "a period needs aware instants"
            raise ValueError(msg)
        if self.end < self.start:
            msg = f"a period cannot end ({self.end}) before it starts ({self.start})"
            raise ValueError(msg)
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    @classmethod
    def of_epochs(cls, start: int, end: int) -> Self:
        """The period between two epoch seconds."""
        return cls(from_epoch(start), from_epoch(end))

    @property
    def seconds(self) -> int:
        """The length in whole seconds."""
        return epoch(self.end) - epoch(self.start)

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def intersection(self, other: Self) -> Self | None:
        """The part both periods share, or ``None`` when they do not meet."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return type(self)(start, end) if start < end else None


def _first_of_next_month(day: datetime) -> datetime:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def local_months(period: Period, *, zone: tzinfo) -> Iterator[Period]:
    """The whole calendar months of ``zone`` that ``period`` touches, in order (not clipped to it)."""
    start = period.start.astimezone(zone)
    month = datetime(start.year, start.month, 1)  # noqa: DTZ001 - a wall-clock date; the zone follows below
    while True:
        following = _first_of_next_month(month)
        whole = Period(month.replace(tzinfo=zone), following.replace(tzinfo=zone))
        if whole.start >= period.end:
            return
        yield whole
        month = following


def local_days(period: Period, *, zone: tzinfo) -> Iterator[Period]:
    """The whole calendar days of ``zone`` that ``period`` touches, in order; 23 to 25 hours long."""
    start = period.start.astimezone(zone)
    day = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - as above
    while True:
        following = day + timedelta(days=1)
        whole = Period(day.replace(tzinfo=zone), following.replace(tzinfo=zone))
        if whole.start >= period.end:
            return
        yield whole
        day = following
