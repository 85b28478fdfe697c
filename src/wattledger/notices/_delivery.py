"""Send what is due: choose channels, respect quiet hours, hand over, try again, hear what became of it.

A delivery is leased before it is sent and its outcome is stored right after, each in a unit of work of its own: two
workers never send the same, and what a crash interrupts is sent again when the lease is over. At least once, therefore,
and once in all but those cases.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa

from wattledger import registry
from wattledger.kernel import zone_named
from wattledger.notices._kinds import kind_named, language_for, title_of
from wattledger.notices._preferences import Preferences, QuietHours, many_preferences
from wattledger.notices._tables import delivery, notice, resting
from wattledger.notices.ports import Channel, ChannelDown, Message, Report, Undeliverable
from wattledger.store import Row, Store, Transaction

_log = logging.getLogger(__name__)

Jitter: TypeAlias = Callable[[int], int]
"""Chance, handed in: a whole number from 0 to the one given, both included."""

_DETAIL_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """How notices are sent.

    ``usual``            the channels for whoever chose none; empty: the first of all that reaches the person
    ``quiet``            the hours in which nobody is woken who did not say otherwise
    ``first``, ``longest``  the wait after the first failure, doubled with each until it is ``longest``; half of it is
                         certain, half chance, so that what failed together does not come back together
    ``attempts``         after so many failures of its own a message is given up
    ``lease``            for so long a message that is being sent is nobody else's; longer than a round can take
    """

    usual: tuple[str, ...] = ()
    quiet: QuietHours = field(default_factory=QuietHours)
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(minutes=30)
    attempts: int = 8
    lease: timedelta = timedelta(minutes=15)

    def wait(self, *, failures: int, jitter: Jitter) -> timedelta:
        """How long to wait after so many failures in a row."""
        whole = min(self.first * (1 << min(failures - 1, 30)), self.longest)
        half = int(whole.total_seconds()) // 2
        return whole - timedelta(seconds=half) + timedelta(seconds=jitter(half))


def deliver_due(
    store: Store,
    *,
    channels: Sequence[Channel],
    now: datetime,
    jitter: Jitter,
    rules: DeliveryRules | None = None,
    limit: int = 50,
) -> int:
    """Send up to ``limit`` of the notices that are due; returns how many went out.

    Outside of any unit of work. One that fails stays and is tried again; a channel that is down rests, and what was to
    go by it waits.
    """
    rules = rules or DeliveryRules()
    with store.read() as tx:
        if not _anything_due(tx, now):
            return 0  # the usual case takes no write lock
    by_name = {channel.name: channel for channel in channels}
    with store.write() as tx:
        _plan(tx, channels=by_name, now=now, rules=rules, limit=4 * limit)
        claimed = _claim(tx, channels=by_name, now=now, rules=rules, limit=limit)
    sent = 0
    down: dict[str, str] = {}
    for row, message in claimed:
        if row.channel in down:
            continue
        failure = _send(by_name[row.channel], message)
        if isinstance(failure, ChannelDown):
            _log.warning("the channel %s is out of order: %s", row.channel, failure)
            down[row.channel] = _told(failure)
            continue
        with store.write() as tx:
            _record(tx, row=row, failure=failure, now=now, rules=rules, jitter=jitter)
        sent += failure is None
    for name, detail in down.items():
        left = [row.notice_id for row, message in claimed if row.channel == name]
        with store.write() as tx:
            _rest(tx, channel=name, unsent=left, detail=detail, now=now, rules=rules, jitter=jitter)
    return sent


def take_report(
    tx: Transaction, *, channel: str, report: Report, now: datetime, jitter: Jitter, rules: DeliveryRules | None = None
) -> bool:
    """Note what a channel's gateway says became of a message; returns whether it was news.

    Reports may come twice, late, and before we have noted that the message was taken. What arrived has arrived; a
    failure counts for the attempt it is about and is tried again like any other.
    """
    key = (delivery.c.notice_id == report.message_id, delivery.c.channel == channel)
    rows = tx.rows(tx.locked(sa.select(delivery).where(*key)))
    if not rows or rows[0].state == "delivered":
        return False
    (row,) = rows
    if report.outcome == "delivered":
        change: dict[str, object] = {"state": "delivered", "next_at": None, "detail": report.detail or None}
        tx.execute(notice.update().where(notice.c.id == row.notice_id, notice.c.sent_at.is_(None)).values(sent_at=now))
    elif report.attempt == row.attempts and (row.state == "sent" or row.leased_until is not None):
        change = _failed(row.attempts, detail=report.detail, final=False, now=now, rules=rules, jitter=jitter)
    else:
        return False
    tx.execute(delivery.update().where(*key).values(leased_until=None, changed_at=now, **change))
    return True


def _anything_due(tx: Transaction, now: datetime) -> bool:
    unplanned = sa.select(notice.c.id).where(notice.c.planned_at.is_(None), notice.c.at <= now)
    due = sa.select(delivery.c.notice_id).where(delivery.c.next_at <= now)
    return bool(tx.rows(unplanned.limit(1)) or tx.rows(due.limit(1)))


# --- Choosing channels ---


def _plan(tx: Transaction, *, channels: Mapping[str, Channel], now: datetime, rules: DeliveryRules, limit: int) -> None:
    """Give each new notice its channels."""
    select = (
        sa.select(notice.c.id, notice.c.account_id, notice.c.kind, notice.c.at, notice.c.until)
        .where(notice.c.planned_at.is_(None), notice.c.at <= now)
        .order_by(notice.c.at, notice.c.id)
        .limit(limit)
    )
    new = tx.rows(tx.locked(select))
    preferences = many_preferences(tx, account_ids={row.account_id for row in new})
    planned: list[dict[str, object]] = []
    for row in new:
        person = registry.account(tx, account_id=row.account_id)
        for name, address in _ways(preferences[row.account_id], person, row.kind, channels, rules):
            reached = {"state": "queued", "next_at": row.at, "detail": None}
            nowhere = {"state": "given_up", "next_at": None, "detail": "there is no address for this channel"}
            planned.append(
                {
                    "notice_id": row.id,
                    "channel": name,
                    "address": address or "",
                    "attempts": 0,
                    "leased_until": None,
                    "until": row.until,
                    "sent_at": None,
                    "changed_at": now,
                    **(nowhere if address is None else reached),
                }
            )
    tx.insert_new(delivery, planned)
    if new:
        tx.execute(notice.update().where(notice.c.id.in_([row.id for row in new])).values(planned_at=now))


def _ways(
    preferences: Preferences,
    person: registry.Account,
    kind: str,
    channels: Mapping[str, Channel],
    rules: DeliveryRules,
) -> list[tuple[str, str | None]]:
    """The channels that a notice goes by, each with the person's address there."""

    def address(name: str) -> str | None:
        known = preferences.addresses.get(name)
        return known or channels[name].default_address(phone=person.phone, name=person.name)

    chosen = preferences.chosen(kind)
    if chosen is not None and not chosen:
        return []  # not wanted
    ways = [(name, address(name)) for name in chosen or () if name in channels]
    if any(where is not None for _, where in ways):
        return ways
    # What was chosen is not to be had: better the usual way than silence.
    usual = [(name, address(name)) for name in rules.usual or channels if name in channels]
    reaching = [way for way in usual if way[1] is not None]
    return (reaching if rules.usual else reaching[:1]) or usual[:1]


# --- Sending ---


def _claim(
    tx: Transaction, *, channels: Mapping[str, Channel], now: datetime, rules: DeliveryRules, limit: int
) -> list[tuple[Row, Message]]:
    """Lease what is due to this worker; put off what can wait and would wake somebody, give up what is of no use."""
    tx.execute(
        delivery.update()
        .where(delivery.c.next_at.is_not(None), delivery.c.until <= now)
        .values(
            state="given_up", next_at=None, leased_until=None, changed_at=now, detail="it came too late to be of use"
        )
    )
    asleep = sa.select(resting.c.name).where(resting.c.rests_until > now)
    select = (
        sa.select(delivery)
        .where(
            delivery.c.next_at <= now,
            delivery.c.channel.in_(list(channels)),
            delivery.c.channel.not_in(asleep),
        )
        .order_by(delivery.c.next_at, delivery.c.notice_id, delivery.c.channel)
        .limit(limit)
    )
    due = tx.rows(tx.locked(select))
    notices = {
        row.id: row
        for row in tx.rows(sa.select(notice).where(notice.c.id.in_({row.notice_id for row in due})) if due else _NONE)
    }
    preferences = many_preferences(tx, account_ids={row.account_id for row in notices.values()})
    claimed = []
    for row in due:
        about = notices[row.notice_id]
        person = preferences[about.account_id]
        zone = zone_named(person.zone or about.zone or "UTC")
        wakes_at = now
        if kind_named(about.kind).waits:
            wakes_at = (person.quiet or rules.quiet).over_at(now, zone=zone)
        if wakes_at > now:
            tx.execute(_the(row).values(next_at=wakes_at, leased_until=None))
            continue
        lease, attempt = now + rules.lease, row.attempts + 1
        tx.execute(_the(row).values(next_at=lease, leased_until=lease, attempts=attempt))
        language = language_for(person.language or about.language)
        text = about.text.get(language) or about.text["en"]
        title = title_of(about.kind, language)
        claimed.append((row, Message(row.notice_id, row.address, language, about.kind, text, title, attempt)))
    return claimed


_NONE = sa.select(notice).where(sa.false())
_RESTED = {"failures": 0, "rests_until": None, "detail": None}


def _the(row: Row) -> sa.Update:
    return delivery.update().where(delivery.c.notice_id == row.notice_id, delivery.c.channel == row.channel)


def _send(channel: Channel, message: Message) -> Exception | None:
    try:
        channel.send(message)
    except Exception as failure:  # noqa: BLE001 - whatever a channel raises, the message is tried again
        return failure
    return None


def _record(
    tx: Transaction, *, row: Row, failure: Exception | None, now: datetime, rules: DeliveryRules, jitter: Jitter
) -> None:
    """Note how a leased message fared, unless a report told already."""
    attempts = row.attempts + 1
    if failure is None:
        change: dict[str, object] = {"state": "sent", "next_at": None, "sent_at": now, "detail": None}
        tx.execute(notice.update().where(notice.c.id == row.notice_id, notice.c.sent_at.is_(None)).values(sent_at=now))
        tx.execute(resting.update().where(resting.c.name == row.channel, resting.c.failures > 0).values(_RESTED))
    else:
        final = isinstance(failure, Undeliverable)
        change = _failed(attempts, detail=_told(failure), final=final, now=now, rules=rules, jitter=jitter)
        _log.warning("notice %s was not sent by %s: %s", row.notice_id, row.channel, _told(failure))
    tx.execute(
        _the(row)
        .where(delivery.c.attempts == attempts, delivery.c.leased_until.is_not(None))
        .values(leased_until=None, changed_at=now, **change)
    )


def _failed(
    attempts: int, *, detail: str, final: bool, now: datetime, rules: DeliveryRules | None, jitter: Jitter
) -> dict[str, object]:
    rules = rules or DeliveryRules()
    if final or attempts >= rules.attempts:
        return {"state": "given_up", "next_at": None, "detail": detail}
    return {"state": "failed", "next_at": now + rules.wait(failures=attempts, jitter=jitter), "detail": detail}


def _rest(
    tx: Transaction,
    *,
    channel: str,
    unsent: Sequence[str],
    detail: str,
    now: datetime,
    rules: DeliveryRules,
    jitter: Jitter,
) -> None:
    """Let a channel rest, longer each time, and give back what was leased for it: no attempt is used up."""
    known = tx.rows(tx.locked(sa.select(resting).where(resting.c.name == channel)))
    failures = known[0].failures + 1 if known else 1
    until = now + rules.wait(failures=failures, jitter=jitter)
    tx.upsert(
        resting,
        [{"name": channel, "failures": failures, "rests_until": until, "detail": detail}],
        update=("failures", "rests_until", "detail"),
    )
    tx.execute(
        delivery.update()
        .where(
            delivery.c.channel == channel,
            delivery.c.notice_id.in_(unsent),
            delivery.c.leased_until == now + rules.lease,
        )
        .values(attempts=delivery.c.attempts - 1, next_at=until, leased_until=None, changed_at=now, detail=detail)
    )


def _told(failure: Exception) -> str:
    return (str(failure) or type(failure).__name__)[:_DETAIL_MAX]
