"""Dates and times as COSEM writes them (Blue Book 4.1.6.1), where any field may be left open.

date-time: year (2), month, day, day of week, hour, minute, second, hundredths, deviation (2), clock status.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from enum import IntFlag
from typing import NamedTuple

from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

_OPEN = 0xFF
_OPEN_YEAR = 0xFFFF
_OPEN_DEVIATION = -0x8000
_DATE_TIME = struct.Struct(">HBBBBBBBhB")
_DEVIATION_MAX = 720


class ClockStatus(IntFlag):
    """The last byte of a date-time."""

    INVALID = 0x01
    DOUBTFUL = 0x02
    OTHER_BASE = 0x04
    INVALID_STATUS = 0x08
    DAYLIGHT_SAVING = 0x80


class Date(NamedTuple):
    """A date; ``None`` where it is left open. Month 0xFD/0xFE: end/begin of summer time; day 0xFD/0xFE: last days."""

    year: int | None
    month: int | None
    day: int | None
    weekday: int | None
    """1 is Monday."""

    @property
    def encoded(self) -> bytes:
        year = _OPEN_YEAR if self.year is None else self.year
        return year.to_bytes(2, "big") + bytes(_shut(part) for part in self[1:])

    @classmethod
    def decode(cls, octets: bytes) -> Date:
        """From five octets."""
        if len(octets) != 5:  # noqa: PLR2004 - the format's
            raise Truncated(f"a date has 5 octets, not {len(octets)}")
        year = int.from_bytes(octets[:2], "big")
        return cls(None if year == _OPEN_YEAR else year, *(_open(part) for part in octets[2:]))

    def __str__(self) -> str:
        return f"{_said(self.year, 4)}-{_said(self.month)}-{_said(self.day)}"


class Time(NamedTuple):
    """A time of day; ``None`` where it is left open."""

    hour: int | None
    minute: int | None
    second: int | None
    hundredths: int | None

    @property
    def encoded(self) -> bytes:
        return bytes(_shut(part) for part in self)

    @classmethod
    def decode(cls, octets: bytes) -> Time:
        """From four octets."""
        if len(octets) != 4:  # noqa: PLR2004 - the format's
            raise Truncated(f"a time has 4 octets, not {len(octets)}")
        return cls(*(_open(part) for part in octets))

    def __str__(self) -> str:
        return ":".join(map(_said, self[:3]))


class DateTime(NamedTuple):
    """A date and time; ``None`` where a field is left open."""

    year: int | None
    month: int | None
    day: int | None
    weekday: int | None
    hour: int | None
    minute: int | None
    second: int | None
    hundredths: int | None
    deviation_minutes: int | None
    """From local time to UTC: what has to be added. Central European winter time is -60."""
    status: int | None

    @property
    def encoded(self) -> bytes:
        year = _OPEN_YEAR if self.year is None else self.year
        deviation = _OPEN_DEVIATION if self.deviation_minutes is None else self.deviation_minutes
        return _DATE_TIME.pack(year, *(_shut(part) for part in self[1:8]), deviation, _shut(self.status))

    @classmethod
    def decode(cls, octets: bytes) -> DateTime:
        """From twelve octets; any of them may be open. No check that such a date is in the calendar."""
        if len(octets) != 12:  # noqa: PLR2004 - the format's
            raise Truncated(f"a date-time has 12 octets, not {len(octets)}")
        year, *parts, deviation, status = _DATE_TIME.unpack(octets)
        fields = [None if year == _OPEN_YEAR else year, *map(_open, parts)]
        fields += [None if deviation == _OPEN_DEVIATION else deviation, _open(status)]
        return cls._make(fields)

    @classmethod
    def at(cls, instant: datetime, *, status: int = 0) -> DateTime:
        """An aware instant, with its offset from UTC as deviation."""
        offset = instant.utcoffset()
        if offset is None:
            raise ValueError(f"{instant} has no time zone")
        return cls(
            instant.year,
            instant.month,
            instant.day,
            instant.isoweekday(),
            instant.hour,
            instant.minute,
            instant.second,
            instant.microsecond // 10_000,
            deviation_minutes=-int(offset.total_seconds()) // 60,
            status=status,
        )

    def instant(self, *, deviation_minutes: int | None = None) -> datetime:
        """The instant in UTC; ``deviation_minutes`` is taken where the meter leaves its own open.

        Raises ``DlmsError`` (malformed) for an open field, an impossible date or a clock that has no deviation at all.
        """
        deviation = self.deviation_minutes if self.deviation_minutes is not None else deviation_minutes
        if deviation is None or abs(deviation) > _DEVIATION_MAX:
            raise DlmsError(ErrorKind.MALFORMED, f"the time {self} says no deviation from UTC")
        fields = (self.year, self.month, self.day, self.hour, self.minute)
        if None in fields:
            raise DlmsError(ErrorKind.MALFORMED, f"the time {self} leaves fields open")
        try:
            local = datetime(
                *fields,  # type: ignore[arg-type]
                self.second or 0,
                (self.hundredths or 0) * 10_000,
                tzinfo=timezone(timedelta(minutes=-deviation)),
            )
            return local.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise DlmsError(ErrorKind.MALFORMED, f"the time {self} is in no calendar ({error})") from None

    def __str__(self) -> str:
        day, time = Date(*self[:4]), Time(*self[4:8])
        deviation = "" if self.deviation_minutes is None else f" {-self.deviation_minutes:+d} min"
        return f"{day} {time}{deviation}"


def _open(part: int) -> int | None:
    return None if part == _OPEN else part


def _shut(part: int | None) -> int:
    return _OPEN if part is None else part


def _said(part: int | None, width: int = 2) -> str:
    return "*" * width if part is None else f"{part:0{width}d}"
