"""Which days that are over have been validated, and which are to be."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from wattledger.kernel import Period, epoch, from_epoch
from wattledger.readings._exception_tables import reading_validation
from wattledger.readings._tables import reading_series
from wattledger.store import Transaction

_DAY = timedelta(days=1)
_AGAIN = 3
_DAYS_TOGETHER = 7


def validation_due(tx: Transaction, *, now: datetime, settles: timedelta) -> list[Period]:
    """The days to validate that are over for ``settles``: those since the last that was, and three before them.

    They are looked at again because readings come late. Without a day that was ever validated it is the last one:
    what was stored before is validated when somebody asks for it. In pieces of some days.
    """
    end = _midnight(now - settles)
    last: datetime | None = tx.execute(sa.select(sa.func.max(reading_validation.c.day))).scalar_one_or_none()
    begin = end - _DAY if last is None else last + _DAY
    if begin >= end or tx.execute(sa.select(reading_series.c.id).limit(1)).first() is None:
        return []
    if last is not None:
        begin -= _DAY * _AGAIN
    days = [begin + _DAY * number for number in range(0, (end - begin) // _DAY, _DAYS_TOGETHER)]
    return [Period(first, min(first + _DAY * _DAYS_TOGETHER, end)) for first in days]


def note_validated(tx: Transaction, *, period: Period, now: datetime) -> None:
    """Keep that the days of a period of :func:`validation_due` have been validated."""
    days = [period.start + _DAY * number for number in range((period.end - period.start) // _DAY)]
    tx.insert_new(reading_validation, [{"day": day, "validated_at": now} for day in days])


def _midnight(at: datetime) -> datetime:
    return from_epoch(epoch(at.replace(microsecond=0)) // 86_400 * 86_400)
