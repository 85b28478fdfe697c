"""Local time by rule, as a Green Button file declares it (NAESB REQ.21, LocalTimeParameters and DstRuleType)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

_DISABLED = 0xFFFFFFFF
_LAST, _ON_OR_AFTER, _ON_DAY = 7, 1, 0
_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class DstRule:
    """A wall-clock moment of every year: *second Sunday of March, 02:00*.

    ``operator``  0: on ``day``; 1: on ``weekday`` on or after ``day``; 2-6: first to fifth ``weekday``; 7: the last one
    ``weekday``   1 is Monday, 7 Sunday
    """

    month: int
    operator: int
    day: int
    weekday: int
    seconds: int

    @classmethod
    def decoded(cls, text: str) -> DstRule | None:
        """The rule in the 32 bits written as hexadecimal ``text``; ``None`` when it says there is none."""
        bits = int(text, 16)
        if bits in {0, _DISABLED}:
            return None
        rule = cls(
            month=bits >> 28 & 0xF,
            operator=bits >> 25 & 0x7,
            day=bits >> 20 & 0x1F,
            weekday=bits >> 17 & 0x7,
            seconds=(bits >> 12 & 0x1F) * 3600 + (bits & 0xFFF),
        )
        rule.moment(2000)
        return rule

    def encoded(self) -> str:
        """The rule as the 32 bits that :meth:`decoded` reads, in hexadecimal."""
        hours, rest = divmod(self.seconds, 3600)
        bits = self.month << 28 | self.operator << 25 | self.day << 20 | self.weekday << 17 | hours << 12 | rest
        return f"{bits:08X}"

    def moment(self, year: int) -> datetime:
        """The wall-clock time in ``year``; raises ``ValueError`` when the rule means no date."""
        if self.operator == _ON_DAY:
            day = datetime(year, self.month, self.day)  # noqa: DTZ001 - a wall-clock time is naive
        else:
            if not self.weekday:
                msg = "a rule by weekday names no weekday"
                raise ValueError(msg)
            begin = datetime(year, self.month, self.day if self.operator == _ON_OR_AFTER else 1)  # noqa: DTZ001 - as above
            day = begin + timedelta(days=(self.weekday - begin.isoweekday()) % 7)
            if self.operator > _ON_OR_AFTER:
                # The fifth one is the last where there are only four.
                weeks = 4 if self.operator == _LAST else self.operator - 2
                day += timedelta(weeks=weeks)
                while day.month != self.month:
                    day -= timedelta(weeks=1)
        return day + timedelta(seconds=self.seconds)


class RuleZone(tzinfo):
    """Standard time, and summer time between two yearly rules; both rules are read on the clock then in force."""

    def __init__(self, standard: timedelta, summer: timedelta, begins: DstRule, ends: DstRule) -> None:
        self._standard = standard
        self._summer = summer
        self._begins = begins
        self._ends = ends

    def __getinitargs__(self) -> tuple[timedelta, timedelta, DstRule, DstRule]:
        return self._standard, self._summer, self._begins, self._ends

    def declared(self) -> tuple[int, int, str, str]:
        """Standard offset and summer's addition in seconds, and the two rules encoded."""
        seconds = (int(span.total_seconds()) for span in (self._standard, self._summer))
        return (*seconds, self._begins.encoded(), self._ends.encoded())  # type: ignore[return-value] # two spans

    def __repr__(self) -> str:
        return f"RuleZone{self.__getinitargs__()!r}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleZone) and self.__getinitargs__() == other.__getinitargs__()

    def __hash__(self) -> int:
        return hash(self.__getinitargs__())

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Offset from UTC at the wall-clock time ``moment`` (its ``fold`` tells the two autumn hours apart)."""
        return self._standard + self.dst(moment)

    def dst(self, moment: datetime | None) -> timedelta:
        """What summer time adds at ``moment``."""
        if moment is None:
            return _ZERO
        wall = moment.replace(tzinfo=None, fold=0)
        begins, ends = self._begins.moment(wall.year), self._ends.moment(wall.year)
        if begins <= wall < begins + self._summer:
            in_summer = moment.fold == 1
        elif ends - self._summer <= wall < ends:
            in_summer = moment.fold == 0
        elif begins < ends:
            in_summer = begins <= wall < ends
        else:
            in_summer = wall < ends or wall >= begins
        return self._summer if in_summer else _ZERO

    def tzname(self, moment: datetime | None) -> str:
        """The offset, spelled: ``UTC-05:00``."""
        return str(timezone(self.utcoffset(moment)))

    def fromutc(self, moment: datetime) -> datetime:
        """The local time of the UTC time ``moment``."""
        standard = moment.replace(tzinfo=None) + self._standard
        begins, ends = self._begins.moment(standard.year), self._ends.moment(standard.year) - self._summer
        in_summer = begins <= standard < ends if begins < ends else (standard >= begins or standard < ends)
        if in_summer:
            return (standard + self._summer).replace(tzinfo=self)
        return standard.replace(tzinfo=self, fold=int(ends <= standard < ends + self._summer))


def declared_zone(*, offset: str, summer: str, begins: str, ends: str) -> tzinfo | None:
    """The zone of a LocalTimeParameters element from its texts; ``None`` when they mean none."""
    try:
        standard, added = timedelta(seconds=int(offset)), timedelta(seconds=int(summer or "0"))
        fixed = timezone(standard)
        first = DstRule.decoded(begins) if begins else None
        last = DstRule.decoded(ends) if ends else None
    except (ValueError, OverflowError):
        return None
    if first is None or last is None or not _ZERO < added < timedelta(days=1):
        return fixed
    return RuleZone(standard, added, first, last)
