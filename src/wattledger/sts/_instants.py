"""When a token was made, as 24 bits: whole minutes since the base date of the key (IEC 62055-41, TID)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from wattledger.kernel import Problem

TID_MAX = (1 << 24) - 1
KEN_NEVER = 255
_RESERVED_MINUTE = 1  # 00:01 of each day is for tokens of special use
_DAY_MINUTES = 24 * 60


class TokenIdOutOfRange(Problem):
    """An instant cannot be told in 24 bits since the base date."""

    slug = "sts-token-id-out-of-range"
    title = "No token identifier tells this instant"
    status = 409


class KeyExpired(Problem):
    """A token would be younger than its key may become."""

    slug = "sts-key-expired"
    title = "The key has expired"
    status = 409


class BaseDate(StrEnum):
    """From when the minutes are counted: the start of 1993, 2014 or 2035, in UTC."""

    Y1993 = "93"
    Y2014 = "14"
    Y2035 = "35"

    @property
    def instant(self) -> datetime:
        """The base date's first minute."""
        return datetime(1900 + int(self) if self is BaseDate.Y1993 else 2000 + int(self), 1, 1, tzinfo=UTC)


def tid_at(*, issued_at: datetime, base_date: BaseDate, after: int | None = None) -> int:
    """The identifier of a token made at ``issued_at`` (aware; seconds are dropped).

    A token made at 00:01 gets 00:02. ``after`` is the last identifier that the meter was given: no meter may ever
    get the same twice, so one that is not above it becomes the next free minute. Raises :class:`TokenIdOutOfRange`
    before the base date and after the last minute, some 32 years later.
    """
    if issued_at.tzinfo is None:
        raise ValueError("an instant has to be aware")
    tid = (issued_at - base_date.instant) // timedelta(minutes=1)
    if tid >= 0 and after is not None:
        tid = max(tid, after + 1)
    if tid % _DAY_MINUTES == _RESERVED_MINUTE:
        tid += 1
    if not 0 <= tid <= TID_MAX:
        last = instant_of(tid=TID_MAX, base_date=base_date)
        raise TokenIdOutOfRange(
            f"{issued_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC is outside base date {base_date}, which reaches from "
            f"{base_date.instant:%Y-%m-%d} to {last:%Y-%m-%d %H:%M} UTC",
            remedy="change the meter's key to one of a later base date, with rollover",
        )
    return tid


def instant_of(*, tid: int, base_date: BaseDate) -> datetime:
    """The minute that an identifier tells, in UTC."""
    return base_date.instant + timedelta(minutes=tid)


def check_expiry(*, tid: int, ken: int) -> None:
    """Raise :class:`KeyExpired` if a key of expiry number ``ken`` (0..255, 255 never) may not make ``tid`` any more."""
    if is_expired(tid=tid, ken=ken):
        raise KeyExpired(
            f"the key's expiry number is {ken} and the token identifier {tid} has come to {tid >> 16}",
            remedy="change the meter's key to a later revision",
        )


def is_expired(*, tid: int, ken: int) -> bool:
    """Whether the highest byte of ``tid`` is above ``ken``."""
    return ken != KEN_NEVER and tid >> 16 > ken
