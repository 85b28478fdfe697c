"""A stretch of time as local days and calendar months, and how much of a month (quarter, year) it counts for."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from functools import lru_cache

from wattledger.tariffs._calendar import midnight
from wattledger.tariffs._exact import rounded
from wattledger.tariffs._model import Per, Places, Proration

_MONTHS_IN = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """``[start, end)`` in epochs and the local days and months that it touches.

    ``days``    where each local day begins; the first, where the span does
    ``dates``   their dates
    ``months``  (first day, begin, end, days) of each whole calendar month touched, in epochs
    """

    start: int
    end: int
    days: tuple[int, ...]
    dates: tuple[date, ...]
    months: tuple[tuple[date, int, int, int], ...]

    @property
    def month_starts(self) -> tuple[int, ...]:
        """Where a charge for a whole month falls due: each month that begins here, else where the span does."""
        begun = tuple(begin for _, begin, _, _ in self.months if begin >= self.start)
        return begun or (self.start,)

    def days_before(self, instant: int) -> int:
        """How many of the days have begun before ``instant``."""
        return bisect_left(self.days, instant)

    def by_days(self, instant: int) -> Fraction:
        """The months up to ``instant``: each day begun is its month's fraction."""
        size = {first: days for first, _, _, days in self.months}
        begun: dict[date, int] = {}
        for day in self.dates[: self.days_before(instant)]:
            first = day.replace(day=1)
            begun[first] = begun.get(first, 0) + 1
        return sum((Fraction(count, size[first]) for first, count in begun.items()), start=Fraction(0))

    def by_seconds(self, instant: int) -> Fraction:
        """The months up to ``instant``, by seconds."""
        until = min(max(instant, self.start), self.end)
        return sum(
            (
                Fraction(max(0, min(until, end) - max(self.start, begin)), end - begin)
                for _, begin, end, _ in self.months
            ),
            start=Fraction(0),
        )


@lru_cache(maxsize=4096)
def span_of(zone: tzinfo, start: int, end: int) -> Span:
    """The span between two epochs on a zone's clock."""
    days: list[int] = []
    dates: list[date] = []
    day = _local_date(start, zone)
    begin = midnight(day, zone)
    while begin < end:
        following = midnight(day + timedelta(days=1), zone)
        if following > start and following > begin:  # a zone may leave out a whole day
            days.append(max(begin, start))
            dates.append(day)
        day, begin = day + timedelta(days=1), following
    firsts = dict.fromkeys(day.replace(day=1) for day in dates)
    return Span(start, end, tuple(days), tuple(dates), tuple(_month(first, zone) for first in firsts))


def _month(first: date, zone: tzinfo) -> tuple[date, int, int, int]:
    following = next_month(first)
    count = sum(
        midnight(first + timedelta(days=n), zone) < midnight(first + timedelta(days=n + 1), zone)
        for n in range((following - first).days)
    )
    return first, midnight(first, zone), midnight(following, zone), count


def months_before(first: date, months: int) -> date:
    """The first day of the month so many months before (after, if below zero) the one that begins on ``first``."""
    at = first.year * 12 + first.month - 1 - months
    return date(at // 12, at % 12 + 1, 1)


def next_month(first: date) -> date:
    """The first day of the month after the one that begins on ``first``."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _local_date(instant: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(instant, tz=UTC).astimezone(zone).date()


def months_counted(rule: Proration, *, part: Span, bill: Span, until: int) -> Fraction:
    """How many months of ``bill`` fall on its ``part`` before ``until``, as the rule counts them."""
    days = part.days_before(until)
    if not days:
        return Fraction(0)
    if rule.unless is not None and rule.unless[0] <= len(bill.days) <= rule.unless[1]:
        months = Fraction(days, len(bill.days))
    elif rule.rule == "none":
        months = Fraction(sum(part.start <= begin < part.end and begin < until for begin in bill.month_starts))
    elif rule.rule == "days":
        months = part.by_days(until)
    elif rule.rule == "exact":
        months = part.by_seconds(until)
    else:
        months = Fraction(days * rule.days[1], rule.days[0])
    return to_places(months, rule.places)


def counted(per: Per, rule: Proration, *, part: Span, bill: Span, until: int) -> Fraction:
    """How many days, months, bills, quarters or years fall on ``part`` before ``until``."""
    if per == "day":
        return Fraction(part.days_before(until))
    if per == "bill":
        return Fraction(int(part.start == bill.start and until > part.start))
    return months_counted(rule, part=part, bill=bill, until=until) / _MONTHS_IN[per]


def to_places(number: Fraction, places: Places | None) -> Fraction:
    """``number`` rounded, if it is to be."""
    if places is None:
        return number
    size = 10**places.places
    return Fraction(rounded(number.numerator * size, number.denominator, places.mode), size)


def year_of(day: date, starts: int) -> date:
    """The first day of the tariff's year that ``day`` is in, a year beginning with the month ``starts``."""
    return date(day.year - (day.month < starts), starts, 1)


def quarter_of(day: date, starts: int) -> date:
    """The first day of the quarter of the tariff's year that ``day`` is in."""
    back = (day.month - starts) % 3
    month = day.month - back
    return date(day.year - (month < 1), (month - 1) % 12 + 1, 1)
