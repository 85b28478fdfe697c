"""Bill runs: a month, all contracts, in shards that can be repeated without doubling anything."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal, cast

import sqlalchemy as sa

from wattledger import registry
from wattledger.billing._bills import BillKind, write_bills
from wattledger.billing._bulk import Document, rated_bills
from wattledger.billing._corrections import CorrectionPolicy
from wattledger.billing._late import correct_points, raise_horizon
from wattledger.billing._tables import bill, bill_run
from wattledger.billing.ports import Deductions, Stage, unwatched
from wattledger.kernel import Money, Period, Problem, from_epoch, zone_named
from wattledger.registry import Segment
from wattledger.store import Fact, Row, Transaction

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class MonthNotOver(Problem):
    """A month cannot be billed before it has ended everywhere, or its name is no month."""

    slug = "month-not-over"
    title = "This month cannot be billed"
    status = 409


class BillRunNotFound(Problem):
    """There is no such bill run."""

    slug = "bill-run-not-found"
    title = "No such bill run"
    status = 404


@dataclass(frozen=True, slots=True)
class BillRun:
    """A month's run and how far it has come. ``amounts`` are the posted bills' and statements', by currency."""

    id: str
    month: str
    state: Literal["running", "finished"]
    attempt: int
    contracts: int
    posted: int
    held: int
    statements: int
    statements_agreeing: int
    amounts: Mapping[str, Money]
    held_by_reason: Mapping[str, int]
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRunStarted(Fact):
    """A month's run began (``attempt`` 1) or began again with what was held."""

    run_id: str
    month: str
    attempt: int
    contracts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRunFinished(Fact):
    """A month's run came to its end."""

    run_id: str
    month: str
    attempt: int
    posted: int
    held: int


def month_period(month: str, *, zone: str) -> Period:
    """The local calendar month ``YYYY-MM`` of ``zone``; raises :class:`MonthNotOver` when it is no month."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise MonthNotOver(f"{month!r} is not a month", remedy="write it as YYYY-MM, such as 2026-03")
    year, number = int(match[1]), int(match[2])
    tz = zone_named(zone)
    following = (year + 1, 1) if number == 12 else (year, number + 1)  # noqa: PLR2004 - December
    return Period(datetime(year, number, 1, tzinfo=tz), datetime(*following, 1, tzinfo=tz))


def start_run(tx: Transaction, *, month: str, now: datetime) -> BillRun:
    """Begin the run of ``month``, or begin it again with what was held; one that is running is returned as it is.

    Raises :class:`MonthNotOver` while the month has not ended in the zone of every contract.
    """
    run_id = f"run_{month}"
    supplied = registry.month_contracts(tx, month_of=_month_of_zone(month))
    ends = {zone: month_period(month, zone=zone).end for zone in supplied}
    late = next((zone for zone, end in ends.items() if end > now), None)
    if late is not None:
        raise MonthNotOver(
            f"{month} ends at {ends[late].astimezone(zone_named(late)).isoformat()} for {supplied[late][0][1]}",
            remedy="start the run when the month is over",
        )
    tx.insert_new(
        bill_run,
        [
            {
                "id": run_id,
                "month": month,
                "state": "finished",
                "attempt": 0,
                "contracts": 0,
                "started_at": now,
                "finished_at": None,
            }
        ],
    )
    row = tx.execute(tx.locked(sa.select(bill_run).where(bill_run.c.id == run_id))).one()
    if row.state == "running":
        return bill_run_with_id(tx, run_id=run_id)
    raise_horizon(tx, until=max(ends.values(), default=from_epoch(0)))
    contracts = len({contract for placed in supplied.values() for _, contract in placed})
    tx.execute(
        bill_run.update()
        .where(bill_run.c.id == run_id)
        .values(state="running", attempt=row.attempt + 1, contracts=contracts, finished_at=None)
    )
    tx.emit(BillRunStarted(at=now, run_id=run_id, month=month, attempt=row.attempt + 1, contracts=contracts))
    return bill_run_with_id(tx, run_id=run_id)


def _month_of_zone(month: str) -> Callable[[str], Period]:
    return lambda zone: month_period(month, zone=zone)


def run_contracts(tx: Transaction, *, run_id: str) -> list[str]:
    """All contracts of a run: what its shards are cut from, the same at every start.

    They are in the order of their service points, near to that of the readings in the files.
    """
    supplied = registry.month_contracts(tx, month_of=_month_of_zone(_month_of(tx, run_id)))
    placed = sorted(one for of_zone in supplied.values() for one in of_zone)
    return list(dict.fromkeys(contract for _, contract in placed))


def bill_contracts(  # noqa: PLR0913 - what a run is made with
    tx: Transaction,
    *,
    run_id: str,
    contract_ids: Sequence[str],
    deductions: Deductions,
    now: datetime,
    policy: CorrectionPolicy = "next_bill",
    executor: Executor | None = None,
    stage: Stage = unwatched,
) -> int:
    """Make the bills of one shard of a run; those posted before are passed over. Returns how many were made.

    First the earlier bills of these contracts are corrected by what came late for them, as ``policy`` says, so that
    the new ones show it. With an ``executor`` (of threads) readings are read and rated side by side. ``stage`` is told
    what begins: ``registry``, ``scan``, ``rate``, ``bills``, ``write`` or ``ledger``.
    """
    stage("registry")
    month = _month_of(tx, run_id)
    segments = registry.month_segments(tx, contract_ids=contract_ids, month_of=_month_of_zone(month))
    points = {segment.service_point_id for segment in segments}
    ends = {segment.month.end for segment in segments}
    raise_horizon(
        tx, until=max(ends, default=now)
    )  # a contract may have come since the run was started, from farther west
    correct_points(tx, service_point_ids=points, deductions=deductions, policy=policy, now=now)
    documents = _not_yet_posted(tx, segments)
    prepaid = [segment for kind, group in documents if kind == "statement" for segment in group]
    deducted = deductions.close(tx, segments=prepaid, now=now)
    bills = rated_bills(
        tx, run_id=run_id, documents=documents, deducted=deducted, now=now, executor=executor, stage=stage
    )
    stage("write")
    write_bills(tx, bills=bills, month=month, deductions=deductions, stage=stage)
    return len(bills)


def _not_yet_posted(tx: Transaction, segments: Sequence[Segment]) -> list[Document]:
    """The documents that are to be made of a month's segments, without those that are posted."""
    posted: set[tuple[str, datetime, str]] = set()
    if segments:
        rows = tx.rows(
            sa.select(bill.c.contract_id, bill.c.start, bill.c.kind).where(
                tx.among(bill.c.contract_id, {segment.contract_id for segment in segments}),
                bill.c.start >= min(segment.period.start for segment in segments),
                bill.c.state == "posted",
            )
        )
        posted.update((row.contract_id, row.start, row.kind) for row in rows)
    documents: list[Document] = []
    for (contract_id, mode), members in groupby(segments, key=lambda s: (s.contract_id, s.mode)):
        group = list(members)
        kind: BillKind = "statement" if mode == "prepay" else "bill"
        if (contract_id, group[0].period.start, kind) not in posted:
            documents.append((kind, group))
    return documents


def finish_run(tx: Transaction, *, run_id: str, now: datetime) -> BillRun:
    """Mark a run as finished and tell it; a second time changes nothing."""
    row = tx.execute(tx.locked(sa.select(bill_run).where(bill_run.c.id == run_id))).one()
    if row.state == "running":
        tx.execute(bill_run.update().where(bill_run.c.id == run_id).values(state="finished", finished_at=now))
    run = bill_run_with_id(tx, run_id=run_id)
    if row.state == "running":
        tx.emit(
            BillRunFinished(
                at=now, run_id=run_id, month=run.month, attempt=run.attempt, posted=run.posted, held=run.held
            )
        )
    return run


def _month_of(tx: Transaction, run_id: str) -> str:
    month = tx.execute(sa.select(bill_run.c.month).where(bill_run.c.id == run_id)).scalar_one_or_none()
    if month is None:
        raise BillRunNotFound(f"no bill run is called {run_id!r}")
    return str(month)


def bill_run_with_id(tx: Transaction, *, run_id: str) -> BillRun:
    """One run with its counts as they are now; raises :class:`BillRunNotFound`."""
    row = tx.execute(sa.select(bill_run).where(bill_run.c.id == run_id)).one_or_none()
    if row is None:
        raise BillRunNotFound(f"no bill run is called {run_id!r}")
    return _run(tx, row)


def latest_run(tx: Transaction) -> BillRun | None:
    """The running run, else the one of the latest month."""
    row = tx.execute(
        sa.select(bill_run).order_by((bill_run.c.state == "running").desc(), bill_run.c.month.desc()).limit(1)
    ).one_or_none()
    return None if row is None else _run(tx, row)


def _run(tx: Transaction, row: Row) -> BillRun:
    counts: dict[str, int] = defaultdict(int)
    amounts: dict[str, Money] = {}
    reasons: dict[str, int] = {}
    rows = tx.rows(
        sa.select(
            bill.c.kind,
            bill.c.state,
            bill.c.held_because,
            bill.c.currency,
            sa.func.count(),
            sa.func.sum(bill.c.total),
            sa.func.sum(sa.case((bill.c.deducted == bill.c.total, 1), else_=0)),
        )
        .where(
            bill.c.run_id == row.id,
            bill.c.id.not_in(sa.select(bill.c.replaces).where(bill.c.replaces.is_not(None))),  # those were cancelled
        )
        .group_by(bill.c.kind, bill.c.state, bill.c.held_because, bill.c.currency)
    )
    for kind, state, reason, currency, count, total, agreeing in rows:
        counts[state] += count
        if kind == "statement":
            counts["statements"] += count
            counts["agreeing"] += int(agreeing)
        if state == "posted":
            amounts[currency] = amounts.get(currency, Money.zero(currency)) + Money(int(total), currency)
        else:
            reasons[reason] = reasons.get(reason, 0) + count
    return BillRun(
        id=row.id,
        month=row.month,
        state=cast("Literal['running', 'finished']", row.state),
        attempt=row.attempt,
        contracts=row.contracts,
        posted=counts["posted"],
        held=counts["held"],
        statements=counts["statements"],
        statements_agreeing=counts["agreeing"],
        amounts=amounts,
        held_by_reason=reasons,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
