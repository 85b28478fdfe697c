"""The meters, how they are reached, and which of them is talked to next.

Each meter's row says when there is something to talk about (``visit_at``). A visit takes a lease on the meter, so that
two never talk to it at once; the lease of a process that died runs out by itself. A visit that fails makes the next one
wait, longer each time; somebody who waits for an answer does not wait for that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend.ports import CONNECTS_IN, FaultKind, MeterLink
from wattledger.kernel import Problem, from_epoch
from wattledger.store import Row, Transaction, chunked

Jitter: TypeAlias = Callable[[int], int]
"""Chance, handed in: a whole number from 0 to the one given, both included."""

OPEN_COMMANDS = ("queued", "sent", "accepted", "unknown")


class MeterNotLinked(Problem):
    """The head-end does not know how to reach this meter."""

    slug = "meter-not-linked"
    title = "The head-end does not know this meter"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Patience with meters that do not answer, and with rows that do not come.

    ``first``, ``longest``  the wait after the first failure, doubled with each until it is ``longest``
    ``budget``, ``rest``    after so many failures in a row the meter is given a rest of this length each time
    ``asked_max``           how often a meter is asked for rows that it answers without; then it is taken at its word
    """

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    budget: int = 12
    rest: timedelta = timedelta(hours=12)
    asked_max: int = 3

    def wait(self, *, failures: int, jitter: Jitter) -> timedelta:
        """How long to wait after so many failures in a row: half of it certain, half by chance."""
        growing = min(self.first * 2 ** min(failures - 1, 30), self.longest)
        whole = self.rest if failures >= self.budget else growing
        half = int(whole.total_seconds()) // 2
        return whole - timedelta(seconds=half) + timedelta(seconds=jitter(half))

    def ask_again(self, asked: int, *, now: datetime) -> datetime | None:
        """When rows are asked for again that did not come ``asked`` times; ``None``: no more."""
        return None if asked >= self.asked_max else now + self.longest * 2 ** (asked - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterStatus:
    """How the head-end stands with a meter.

    ``failures``   visits in a row that failed, the last of them for the reason ``fault``, ``detail``
    ``visit_at``   when it is talked to next; ``None`` when there is nothing to talk about
    ``clock_off``  seconds that its clock was ahead of ours when last read
    """

    link: MeterLink
    visit_at: datetime | None
    failures: int
    fault: FaultKind | None
    detail: str | None
    contacted_at: datetime | None
    clock_off: int | None
    visited: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to talk to a meter, until it runs out."""

    link: MeterLink
    holder: str
    urgent: bool
    failures: int


Trouble: TypeAlias = tuple[FaultKind | Literal["error"], str]
"""The kind of a failure, and its words."""


def put_meters(tx: Transaction, *, links: Sequence[MeterLink], now: datetime) -> None:
    """Say how these meters are reached; one that is known is reached this way from now on, and without patience."""
    fresh = {"urgent": False, "visit_at": None, "lease": None, "leased_until": None, "failures": 0, "not_before": None}
    rows = [
        {
            "meter_id": link.meter_id,
            "driver": link.driver,
            "address": link.address,
            "concentrator": link.concentrator,
            "companion": link.companion,
            "options": dict(link.options),
            **fresh,
        }
        for link in links
    ]
    told = ("driver", "address", "concentrator", "companion", "options")
    tx.upsert(t.meter, rows, update=[*told, "failures", "not_before"])
    reschedule(tx, meter_ids=[link.meter_id for link in links], now=now)


def meter_statuses(tx: Transaction, *, meter_ids: Collection[str] | None = None, now: datetime) -> list[MeterStatus]:
    """How the head-end stands with these meters (or all of them), by id."""
    select = sa.select(t.meter).order_by(t.meter.c.meter_id)
    if meter_ids is not None:
        select = select.where(tx.among(t.meter.c.meter_id, meter_ids))
    return [
        MeterStatus(
            link=_link(row),
            visit_at=row.visit_at,
            failures=row.failures,
            fault=row.fault,
            detail=row.detail,
            contacted_at=row.contacted_at,
            clock_off=row.clock_off,
            visited=row.leased_until is not None and row.leased_until > now,
        )
        for row in tx.rows(select)
    ]


def linked(tx: Transaction, *, meter_ids: Collection[str]) -> dict[str, MeterLink]:
    """How these meters are reached; raises :class:`MeterNotLinked` when one of them is not."""
    found = {
        row.meter_id: _link(row)
        for row in tx.rows(sa.select(t.meter).where(tx.among(t.meter.c.meter_id, set(meter_ids))))
    }
    missing = sorted(set(meter_ids) - found.keys())
    if missing:
        raise MeterNotLinked(
            f"the head-end does not know how to reach {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}",  # noqa: PLR2004 - enough to see which
            remedy="say its driver and address first",
        )
    return found


def linked_by(
    tx: Transaction, *, option: str, values: Collection[str] | None = None, meter_ids: Collection[str] | None = None
) -> dict[str, MeterLink]:
    """The links that have one of these values in an option, or those of these meters that have any, by the value.

    Values are compared, and given, in lower case. Without ``meter_ids`` every link is looked at. Of two links that say
    the same the one with the higher id counts.
    """
    select = sa.select(t.meter)
    if values is not None:
        select = select.where(sa.func.lower(t.meter.c.options[option].as_string()).in_(sorted(values)))
    if meter_ids is not None:
        select = select.where(tx.among(t.meter.c.meter_id, meter_ids))
    links = [_link(row) for row in tx.rows(select.order_by(t.meter.c.meter_id))] if values or meter_ids else []
    return {link.options[option].lower(): link for link in links if option in link.options}


def spoken_with(tx: Transaction, *, driver: str) -> list[MeterLink]:
    """The links that this driver speaks with, by meter."""
    return [
        _link(row) for row in tx.rows(sa.select(t.meter).where(t.meter.c.driver == driver).order_by(t.meter.c.meter_id))
    ]


def welcome(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> None:
    """These meters are there again: whatever waited for that waits no longer. A wrong key is as wrong as before."""
    patient = sa.or_(t.meter.c.fault.is_(None), t.meter.c.fault != "bad_key")
    tx.execute(t.meter.update().where(tx.among(t.meter.c.meter_id, meter_ids), patient).values(not_before=None))
    reschedule(tx, meter_ids=meter_ids, now=now)


def hurry(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> None:
    """Let these meters be talked to before all others, whatever failed before: somebody waits for an answer."""
    tx.execute(t.meter.update().where(tx.among(t.meter.c.meter_id, meter_ids)).values(urgent=True, visit_at=now))


def work_due(tx: Transaction, *, connected: Collection[str] = (), now: datetime) -> bool:
    """Whether a meter is to be talked to now that nobody talks to, or a command was not sent in its time."""
    visit = sa.exists().where(_due(tx, connected, now))
    late = sa.exists().where(t.command.c.state == "queued", t.command.c.expires_at <= now)
    return bool(tx.execute(sa.select(sa.or_(visit, late))).scalar_one())


def lease(  # noqa: PLR0913 - how many, whose, and until when
    tx: Transaction,
    *,
    holder: str,
    limit: int,
    per_concentrator: int,
    now: datetime,
    until: datetime,
    only: Collection[str] | None = None,
    connected: Collection[str] = (),
) -> list[Lease]:
    """Take up to ``limit`` meters that are to be talked to now: urgent ones first, then who waits longest.

    Of those that connect in only those that are ``connected``.

    Behind one concentrator at most ``per_concentrator`` are talked to at a time, in all processes together.
    """
    due = _due(tx, connected, now)
    if only is not None:
        due = sa.and_(due, tx.among(t.meter.c.meter_id, only))
    order = (t.meter.c.urgent.desc(), t.meter.c.visit_at, t.meter.c.meter_id)
    place = sa.func.row_number().over(partition_by=t.meter.c.concentrator, order_by=order)
    ranked = sa.select(t.meter.c.meter_id, t.meter.c.concentrator, place.label("place")).where(due).subquery()
    busy = (
        sa.select(t.meter.c.concentrator, sa.func.count().label("visits"))
        .where(t.meter.c.leased_until > now, t.meter.c.concentrator != "")
        .group_by(t.meter.c.concentrator)
        .subquery()
    )
    may = sa.or_(ranked.c.concentrator == "", ranked.c.place + sa.func.coalesce(busy.c.visits, 0) <= per_concentrator)
    chosen = (
        sa.select(ranked.c.meter_id)
        .select_from(ranked.outerjoin(busy, busy.c.concentrator == ranked.c.concentrator))
        .where(may)
    )
    # Whoever else took one of them meanwhile has made it not free: looked at again, under the lock.
    rows = tx.rows(
        tx.locked(sa.select(t.meter).where(t.meter.c.meter_id.in_(chosen), due).order_by(*order).limit(limit))
    )
    tx.execute_many(
        t.meter.update()
        .where(t.meter.c.meter_id == sa.bindparam("key"))
        .values(lease=sa.bindparam("by"), leased_until=sa.bindparam("ends"), urgent=sa.false()),
        [{"key": row.meter_id, "by": holder, "ends": until} for row in rows],
    )
    return [Lease(link=_link(row), holder=holder, urgent=row.urgent, failures=row.failures) for row in rows]


def _due(tx: Transaction, connected: Collection[str], now: datetime) -> sa.ColumnElement[bool]:
    free = sa.or_(t.meter.c.leased_until.is_(None), t.meter.c.leased_until <= now)
    there = t.meter.c.address != CONNECTS_IN
    if connected:
        there = sa.or_(there, tx.among(t.meter.c.meter_id, connected))
    return sa.and_(t.meter.c.visit_at <= now, free, there)


def drop_leases(tx: Transaction, *, now: datetime) -> int:
    """End every visit that is under way, and return how many: for whoever knows that those who talked are dead.

    Where one process collects, it may say so when it starts, and need not wait until their leases run out.
    """
    select = sa.select(t.meter.c.meter_id).where(t.meter.c.lease.is_not(None)).order_by(t.meter.c.meter_id)
    held = [row.meter_id for row in tx.rows(tx.locked(select))]
    tx.execute(t.meter.update().where(t.meter.c.lease.is_not(None)).values(lease=None, leased_until=None))
    reschedule(tx, meter_ids=held, now=now)
    return len(held)


def release(
    tx: Transaction,
    *,
    ended: Mapping[str, Trouble | None],
    holder: str,
    retry: RetryPolicy,
    jitter: Jitter,
    now: datetime,
) -> None:
    """End the visits to these meters: ``None`` for one that went well, else why it failed.

    Call it after everything that the visits brought is written down: it looks what there is to talk about next.
    """
    for piece in chunked(sorted(ended)):
        rows = tx.rows(
            tx.locked(
                sa.select(t.meter.c.meter_id, t.meter.c.failures, t.meter.c.lease, t.meter.c.contacted_at)
                .where(tx.among(t.meter.c.meter_id, piece))
                .order_by(t.meter.c.meter_id)
            )
        )
        changes = []
        for row in rows:
            trouble = ended[row.meter_id]
            failures = 0 if trouble is None else row.failures + 1
            changes.append(
                {
                    "key": row.meter_id,
                    "count": failures,
                    "patience": None if trouble is None else now + retry.wait(failures=failures, jitter=jitter),
                    "kind": None if trouble is None else trouble[0],
                    "words": None if trouble is None else trouble[1][:1000],
                    "contact": now if trouble is None else row.contacted_at,
                }
            )
        tx.execute_many(
            t.meter.update()
            .where(t.meter.c.meter_id == sa.bindparam("key"))
            .values(
                failures=sa.bindparam("count"),
                not_before=sa.bindparam("patience"),
                fault=sa.bindparam("kind"),
                detail=sa.bindparam("words"),
                contacted_at=sa.bindparam("contact"),
            ),
            changes,
        )
        # A lease that ran out may be another visit's by now.
        tx.execute(
            t.meter.update()
            .where(tx.among(t.meter.c.meter_id, piece), t.meter.c.lease == holder)
            .values(lease=None, leased_until=None)
        )
    reschedule(tx, meter_ids=list(ended), now=now)


def reschedule(tx: Transaction, *, meter_ids: Collection[str], now: datetime) -> None:
    """Look when there is something to talk about with these meters next."""
    for piece in chunked(sorted(set(meter_ids))):
        calls = _calls(tx, piece, now)
        rows = tx.rows(
            tx.locked(
                sa.select(t.meter.c.meter_id, t.meter.c.urgent, t.meter.c.not_before)
                .where(tx.among(t.meter.c.meter_id, piece))
                .order_by(t.meter.c.meter_id)
            )
        )
        changes = []
        for row in rows:
            at = min(calls[row.meter_id], default=None)
            if at is not None and row.not_before is not None:
                at = max(at, row.not_before)
            changes.append({"key": row.meter_id, "at": now if row.urgent else at})
        tx.execute_many(
            t.meter.update().where(t.meter.c.meter_id == sa.bindparam("key")).values(visit_at=sa.bindparam("at")),
            changes,
        )


def _calls(tx: Transaction, piece: Sequence[str], now: datetime) -> dict[str, list[datetime]]:
    """Every instant at which one of these meters has something to be asked, by meter."""
    calls: dict[str, list[datetime]] = defaultdict(list)
    among = {table.name: tx.among(table.c.meter_id, piece) for table in (t.profile, t.gap, t.ask, t.command, t.key)}
    for row in tx.rows(sa.select(t.profile).where(among[t.profile.name])):
        wanted = row.until + row.every if row.stop is None else min(row.until + row.every, row.stop)
        if wanted > row.until:
            calls[row.meter_id].append(from_epoch(wanted + row.grace))
    for row in tx.rows(
        sa.select(t.gap.c.meter_id, sa.func.min(t.gap.c.retry_at).label("at"))
        .where(among[t.gap.name], t.gap.c.retry_at.is_not(None))
        .group_by(t.gap.c.meter_id)
    ):
        calls[row.meter_id].append(row.at)
    for row in tx.rows(sa.select(t.event_log).where(tx.among(t.event_log.c.meter_id, piece))):
        calls[row.meter_id].append(now if row.read_at is None else row.read_at + timedelta(seconds=row.every))
    waiting = (
        sa.select(t.ask.c.meter_id).where(among[t.ask.name], t.ask.c.state == "waiting"),
        sa.select(t.command.c.meter_id).where(among[t.command.name], t.command.c.state.in_(OPEN_COMMANDS)),
        sa.select(t.key.c.meter_id).where(among[t.key.name], t.key.c.state == "new"),
    )
    for select in waiting:
        for row in tx.rows(select.distinct()):
            calls[row.meter_id].append(now)
    return calls


def _link(row: Row) -> MeterLink:
    return MeterLink(
        meter_id=row.meter_id,
        driver=row.driver,
        address=row.address,
        concentrator=row.concentrator,
        companion=row.companion,
        options=MappingProxyType(cast("dict[str, str]", row.options)),
    )
