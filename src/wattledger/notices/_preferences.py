"""What a person prefers: language, quiet hours, which channels for what. And when quiet hours end."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from wattledger import registry
from wattledger.kernel import Problem, zone_named
from wattledger.notices._kinds import KINDS, languages
from wattledger.notices._tables import preference
from wattledger.store import Row, Transaction

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ADDRESS_MAX = 200
_MINUTE = timedelta(minutes=1)


class PreferenceRefused(Problem):
    """A person cannot be served as the preference says."""

    slug = "notice-preference-refused"
    title = "The preference cannot be kept"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From when to when a person is not to be woken, local ``HH:MM``, half-open; over midnight if ``end`` is earlier.

    Equal ends: never quiet.
    """

    start: str = "22:00"
    end: str = "07:00"

    def __post_init__(self) -> None:
        for clock in (self.start, self.end):
            if not _CLOCK.fullmatch(clock):
                raise PreferenceRefused(f"quiet hours cannot begin or end at {clock!r}", remedy="write 22:00")

    def over_at(self, now: datetime, *, zone: ZoneInfo) -> datetime:
        """The first instant from ``now`` on that is not quiet: ``now`` itself, or the end of the hours it is in."""
        if not self._quiet(now.astimezone(zone)):
            return now
        local = now.astimezone(zone)
        day = local.date() if local.strftime("%H:%M") < self.end else local.date() + timedelta(days=1)
        ends = datetime.combine(day, time.fromisoformat(self.end), tzinfo=zone)
        for end in (ends.replace(fold=0).astimezone(UTC), ends.replace(fold=1).astimezone(UTC)):
            if end > now and end.astimezone(zone).strftime("%H:%M") == self.end:
                return end
        # The clocks are put forward over the end: it is not quiet as soon as they are.
        end = now.astimezone(UTC).replace(second=0, microsecond=0)
        while self._quiet(end.astimezone(zone)):
            end += _MINUTE
        return end

    def _quiet(self, local: datetime) -> bool:
        clock = local.strftime("%H:%M")
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What one person (an account) prefers; whatever is not said is as usual.

    ``language``   ``None``: the account's
    ``zone``       IANA name; ``None``: that of the place the notice is about
    ``quiet``      ``None``: the usual hours
    ``channels``   by kind, or ``"*"`` for all others: the names of the channels it goes by, all of them. None at all:
                   the person does not want it, which is allowed for kinds that are ``optional``
    ``addresses``  by channel: where it reaches the person; without one the channel's own default (the telephone)
    """

    account_id: str
    language: str | None = None
    zone: str | None = None
    quiet: QuietHours | None = None
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)

    def chosen(self, kind: str) -> tuple[str, ...] | None:
        """The channels chosen for ``kind``; ``None`` when the person chose nothing that counts."""
        chosen = self.channels.get(kind, self.channels.get("*"))
        return chosen if chosen or KINDS[kind].optional else None


def set_preferences(tx: Transaction, *, preferences: Preferences, now: datetime) -> None:
    """Keep what a person prefers, in place of what was kept; it counts for what is written from now on.

    Raises :class:`PreferenceRefused`, :class:`~wattledger.registry.AccountNotFound` and what a bad zone raises.
    """
    registry.account(tx, account_id=preferences.account_id)
    if preferences.language is not None and preferences.language not in languages():
        raise PreferenceRefused(
            f"nothing is written in {preferences.language!r}", remedy=f"choose one of {', '.join(sorted(languages()))}"
        )
    if preferences.zone is not None:
        zone_named(preferences.zone)
    for kind, channels in preferences.channels.items():
        if kind != "*" and kind not in KINDS:
            raise PreferenceRefused(f"there is no kind {kind!r}", remedy=f"use one of {', '.join(sorted(KINDS))}")
        if not channels and (kind == "*" or not KINDS[kind].optional):
            raise PreferenceRefused(
                f"{'everything' if kind == '*' else kind} cannot be switched off",
                remedy="choose another channel; only "
                + ", ".join(sorted(name for name, one in KINDS.items() if one.optional))
                + " may go by none",
            )
    for channel, address in preferences.addresses.items():
        if not address or len(address) > _ADDRESS_MAX or not address.isprintable():
            raise PreferenceRefused(f"the address for {channel} is empty, too long or not plain text")
    tx.upsert(
        preference,
        [
            {
                "account_id": preferences.account_id,
                "language": preferences.language,
                "zone": preferences.zone,
                "quiet_from": preferences.quiet and preferences.quiet.start,
                "quiet_to": preferences.quiet and preferences.quiet.end,
                "channels": {kind: list(channels) for kind, channels in preferences.channels.items()},
                "addresses": dict(preferences.addresses),
                "changed_at": now,
            }
        ],
        update=("language", "zone", "quiet_from", "quiet_to", "channels", "addresses", "changed_at"),
    )


def preferences_of(tx: Transaction, *, account_id: str) -> Preferences:
    """What a person prefers; all as usual for one who never said."""
    return many_preferences(tx, account_ids=[account_id])[account_id]


def many_preferences(tx: Transaction, *, account_ids: Collection[str]) -> dict[str, Preferences]:
    """As :func:`preferences_of`, for many, by account."""
    rows = tx.rows(sa.select(preference).where(tx.among(preference.c.account_id, account_ids)))
    said = {row.account_id: _preferences(row) for row in rows}
    return {account_id: said.get(account_id) or Preferences(account_id=account_id) for account_id in account_ids}


def _preferences(row: Row) -> Preferences:
    quiet = None if row.quiet_from is None else QuietHours(start=row.quiet_from, end=row.quiet_to)
    return Preferences(
        account_id=row.account_id,
        language=row.language,
        zone=row.zone,
        quiet=quiet,
        channels={kind: tuple(channels) for kind, channels in row.channels.items()},
        addresses=row.addresses,
    )
