"""Friendly hours: when nobody is cut off for money. Local time at the supply, whatever its clock changes.

Hours are published like a tariff, from an instant on. They say when a cut-off *may* come, because what is forgotten is
then friendly. Where none were published it may come at any time. Every key is in docs/prepayment.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
import yaml

from wattledger.control import _tables as t
from wattledger.kernel import Problem
from wattledger.store import Transaction

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # scalars stay text
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS = ("from", "to", "days", "eves", "holidays", "country", "subdivision")
_DAY_MINUTES = 24 * 60
_DAYS_AHEAD = 400  # a calendar that has no day in more than a year has none


class HoursRefused(Problem):
    """Hours of cut-off are not what they should be; ``faults`` are all that were found."""

    slug = "cut-off-hours-refused"
    title = "The hours of cut-off were refused"
    status = 422


class HoursConflict(Problem):
    """Other hours were published from the same instant."""

    slug = "cut-off-hours-conflict"
    title = "Hours of cut-off were published from this instant before"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffHours:
    """When a supply may be cut off: minutes ``begin`` to ``end`` of local days that are none of the friendly ones.

    ``weekdays``  on which it may be, 0 is Monday
    ``eves``      whether it may be on the day before a friendly one
    ``holidays``  friendly days of our own, beside those of the ``country`` (ISO 3166) and ``subdivision``
    """

    begin: int = 0
    end: int = _DAY_MINUTES
    weekdays: frozenset[int] = frozenset(range(7))
    eves: bool = True
    holidays: frozenset[date] = frozenset()
    country: str | None = None
    subdivision: str | None = None

    def next_allowed(self, at: datetime, *, zone: tzinfo) -> datetime:
        """The first instant from ``at`` on (UTC) at which a supply in ``zone`` may be cut off."""
        today = at.astimezone(zone).date()
        for day in (today + timedelta(days=ahead) for ahead in range(-1, _DAYS_AHEAD)):
            if not self._is_open(day):
                continue
            begin, end = _instant(day, self.begin, zone), _instant(day, self.end, zone)
            if at < end and begin < end:
                return max(at.astimezone(UTC), begin)
        raise HoursRefused("no day is left on which anybody may be cut off", remedy="look at days and holidays")

    def _is_open(self, day: date) -> bool:
        if self._is_friendly(day):
            return False
        return self.eves or not self._is_friendly(day + timedelta(days=1))

    def _is_friendly(self, day: date) -> bool:
        if day.weekday() not in self.weekdays or day in self.holidays:
            return True
        return self.country is not None and day in _national(self.country, self.subdivision, day.year)


def _instant(day: date, minutes: int, zone: tzinfo) -> datetime:
    # A local time that the clocks skip is the instant as if they had not changed yet: 02:30 becomes 03:30.
    days, rest = divmod(minutes, _DAY_MINUTES)
    at = day + timedelta(days=days)
    return datetime(at.year, at.month, at.day, rest // 60, rest % 60, tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=64)
def _national(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    import holidays  # noqa: PLC0415 - most do without, and it is slow to start

    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year).keys())


ANY_TIME = CutOffHours()


def read_hours(text: str, *, source: str) -> CutOffHours:
    """Hours from YAML text; raises :class:`HoursRefused` with everything that is wrong and where."""
    try:
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the base loader makes text, lists and mappings only
    except (yaml.YAMLError, RecursionError) as error:
        raise _refused(source, [f"it is not YAML: {str(error).splitlines()[0]}"]) from error
    return _hours(document, source)


def _hours(document: object, source: str) -> CutOffHours:
    if not isinstance(document, dict):
        raise _refused(source, ["the document: a mapping is wanted"])
    faults = [f"{key}: is none of {', '.join(_KEYS)}" for key in document if key not in _KEYS]
    begin, end = _minutes(document, "from", 0, faults), _minutes(document, "to", _DAY_MINUTES, faults)
    if begin >= end:
        faults.append("to: it has to be after from")
    days = _texts(document, "days", list(_WEEKDAYS), faults)
    faults += [f"days: {day!r} is none of {', '.join(_WEEKDAYS)}" for day in days if day not in _WEEKDAYS]
    if not days:
        faults.append("days: nobody could ever be cut off")
    eves = document.get("eves", "true")
    if eves not in ("true", "false"):
        faults.append(f"eves: {eves!r} is neither true nor false")
    own = set()
    for day in _texts(document, "holidays", [], faults):
        try:
            own.add(date.fromisoformat(day))
        except ValueError:
            faults.append(f"holidays: {day!r} is no date")
    country, subdivision = document.get("country"), document.get("subdivision")
    if country is not None or subdivision is not None:
        try:
            _national(str(country), None if subdivision is None else str(subdivision), 2026)
        except NotImplementedError:
            faults.append(f"country: the holidays of {country} {subdivision or ''} are not known")
    if faults:
        raise _refused(source, faults)
    return CutOffHours(
        begin=begin,
        end=end,
        weekdays=frozenset(_WEEKDAYS.index(day) for day in days),
        eves=eves == "true",
        holidays=frozenset(own),
        country=None if country is None else str(country),
        subdivision=None if subdivision is None else str(subdivision),
    )


def _minutes(document: dict[str, object], key: str, or_else: int, faults: list[str]) -> int:
    told = document.get(key)
    if told is None:
        return or_else
    found = _TIME.fullmatch(told) if isinstance(told, str) else None
    minutes = -1 if found is None else int(found[1]) * 60 + int(found[2])
    if not 0 <= minutes <= _DAY_MINUTES:
        faults.append(f"{key}: {told!r} is no time from 00:00 to 24:00")
        return or_else
    return minutes


def _texts(document: dict[str, object], key: str, or_else: list[str], faults: list[str]) -> list[str]:
    told = document.get(key, or_else)
    if isinstance(told, list) and all(isinstance(one, str) for one in told):
        return told
    faults.append(f"{key}: a list is wanted")
    return or_else


def _refused(source: str, faults: Sequence[str]) -> HoursRefused:
    return HoursRefused(f"{source}: {'; '.join(faults)}", remedy="docs/prepayment.md lists every key")


def publish_hours(tx: Transaction, *, text: str, source: str, valid_from: datetime) -> CutOffHours:
    """Put the hours in ``text`` (YAML) in force from ``valid_from`` until later ones; the same again changes nothing.

    Raises :class:`HoursRefused` and :class:`HoursConflict`.
    """
    hours = read_hours(text, source=source)
    document = json.dumps(yaml.load(text, Loader=_LOADER), sort_keys=True)  # noqa: S506 - as above
    digest = hashlib.sha256(document.encode()).hexdigest()
    kept = t.cut_off_hours
    if not tx.insert_new(kept, [{"valid_from": valid_from, "hash": digest, "document": document}]):
        earlier = tx.execute(sa.select(kept.c.hash).where(kept.c.valid_from == valid_from)).scalar_one()
        if earlier != digest:
            raise HoursConflict(
                f"other hours were published from {valid_from.isoformat()}", remedy="publish them from a later instant"
            )
    return hours


def hours_at(tx: Transaction, *, at: datetime) -> CutOffHours:
    """The hours in force at ``at``; any time, where none were published."""
    kept = t.cut_off_hours.c
    row = tx.execute(
        sa.select(kept.document).where(kept.valid_from <= at).order_by(kept.valid_from.desc()).limit(1)
    ).one_or_none()
    return ANY_TIME if row is None else _kept(row.document)


@lru_cache(maxsize=64)
def _kept(document: str) -> CutOffHours:
    return _hours(json.loads(document), "published hours")
