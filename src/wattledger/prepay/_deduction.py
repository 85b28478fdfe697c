"""The running deduction: what a wallet has used so far, priced by the same engine as a bill.

``charged now = total so far - total before``: so the deductions of a month add up to exactly the bill of that month,
to the last micro-unit, whatever the batches were and in whatever order they came. What changes an earlier stretch of
time prices again those after it that remember it: the steps of a year, ratchets, banks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from wattledger import ledger, pricing, registry
from wattledger.kernel import Energy, IntervalSeries, Money, Period, Problem, epoch, from_epoch
from wattledger.prepay import _tables as t
from wattledger.prepay._debts import collect_daily
from wattledger.prepay._shards import DEDUCTING, with_charge
from wattledger.prepay._social import add_grant, cover
from wattledger.prepay._standing import Moved, keep_standing, stand
from wattledger.prepay._together import FEWEST, Running, deduct_together, put_in
from wattledger.prepay._wallets import (
    ensure_wallets,
    locked_wallets,
    post_accrual,
    prepaid_currency,
    wallet_account,
)
from wattledger.pricing import Kept
from wattledger.readings import Change, Changes
from wattledger.registry import Segment
from wattledger.store import Row, Transaction, chunked
from wattledger.tariffs import Rating, RatingState, Tariff

_DAY = 86_400

_Key = tuple[str, datetime]
_Changes = Mapping[str, Sequence[Change]]
"""What came, by service point."""


@dataclass(frozen=True, slots=True)
class _Priced:
    """A segment brought up to date; ``charged`` is by how much its total moved.

    ``waits`` says what keeps it from being priced further: then the rest is as it was.
    """

    segment: Segment
    state: dict[str, object]
    until: datetime
    total: int
    charged: int
    waits: str | None


def deduct(tx: Transaction, *, changes: Sequence[Change], now: datetime) -> None:
    """Price what a batch of readings changed and take it from the wallets; for the batch's own unit of work.

    Tells :class:`BalanceLow`, :class:`BalanceExhausted` and :class:`BalanceRestored` where a wallet crosses its bounds.
    Late and corrected readings re-price the segment they fall into with the tariff version that was in force then, and
    the later ones that depend on it. What has no price yet (none is published, a fact is not told) waits for it.
    """
    tx.hold(DEDUCTING, shared=False)
    terms = registry.terms_changes(tx).revision
    if isinstance(changes, Changes):
        changes = changes.without(deduct_together(tx, changes=changes, now=now))
    by_point: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if len(change.series):
            by_point[change.service_point_id].append(change)
    spans = [c.series.period for of_point in by_point.values() for c in of_point if c.series.period is not None]
    if not spans:
        return
    period = Period(min(span.start for span in spans), max(span.end for span in spans))
    segments = registry.segments_of_points(tx, service_point_ids=list(by_point), period=period)
    priced = _price(tx, segments=segments, changes=by_point, now=now)
    running = [
        Running(segment=one.segment, state=RatingState.from_json(one.state), until=one.until, total=one.total)
        for one in (priced if len(priced) >= FEWEST else ())
        if one.waits is None
    ]
    put_in(tx, running=running, others=segments, terms=terms, now=now)


def reprice(tx: Transaction, *, contract_ids: Collection[str], period: Period, now: datetime) -> None:
    """Price again from what is stored all that wallets were charged for time in ``period``, and what depends on it."""
    segments = registry.segments(tx, contract_ids=contract_ids, period=period)
    _reprice(tx, segments, now)


def reprice_event(tx: Transaction, *, event: str, start: datetime, end: datetime, now: datetime) -> None:
    """As :func:`reprice`, for everybody whose tariff goes by this event; for when it was announced or called off."""
    _reprice(tx, _priced_by(tx, lambda tariff: event in tariff.events, start, end), now)


def reprice_series(tx: Transaction, *, series: str, start: datetime, end: datetime | None, now: datetime) -> None:
    """As :func:`reprice`, for everybody whose tariff goes by this series; ``end``: from when other prices hold."""
    _reprice(tx, _priced_by(tx, lambda tariff: series in tariff.index_series, start, end), now)


def grant_units(
    tx: Transaction, *, contract_id: str, name: str, amount: Money | Energy, month: datetime, now: datetime
) -> str:
    """Grant free units for the local calendar month that ``month`` lies in; returns the grant's id.

    They cover what the month has cost already and will cost, and lapse with it; energy is worth what a kWh of the month
    costs on average. One name counts once a month. Raises :class:`~wattledger.prepay.GrantRefused`.
    """
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    wallets = locked_wallets(tx, [contract_id])
    grant_id = add_grant(tx, contract_id=contract_id, name=name, amount=amount, month=month, now=now)
    covered = cover(tx, contract_ids=[contract_id], span=Period(month, month + timedelta(seconds=1)))
    _move_accruals(tx, wallets=wallets, charged={one: -micro for one, micro in covered.items()}, now=now)
    return grant_id


def begin_prepay(tx: Transaction, *, contract_id: str, since: datetime, now: datetime) -> None:
    """Open the wallet of a contract that pays before from ``since`` on, and charge it for what was used since then."""
    currency = prepaid_currency(tx, contract_id=contract_id, now=now)
    ensure_wallets(tx, contracts={contract_id: currency}, now=now)
    if since < now:
        segments = registry.segments(tx, contract_ids=[contract_id], period=Period(since, now))
        _price(tx, segments=[one for one in segments if one.period.end > since], until=now, now=now)


def _reprice(tx: Transaction, segments: Sequence[Segment], now: datetime) -> None:
    since = min((segment.period.start for segment in segments), default=now)
    rows = _segment_rows(tx, {segment.contract_id for segment in segments}, since=since)
    charged = [segment for segment in segments if segment.key in rows]
    _price(tx, segments=charged, anew={segment.key for segment in charged}, now=now)


def _priced_by(
    tx: Transaction, concerns: Callable[[Tariff], bool], start: datetime, end: datetime | None
) -> list[Segment]:
    """The segments in wallets, under the tariffs that a change within ``[start, end)`` concerns, that it may change."""
    row = t.wallet_segment.c
    touched = [row.end > start, sa.or_(row.until > start, row.waits.is_not(None))]
    if end is not None:
        touched.append(row.start < end)
    hashes = [r.tariff_hash for r in tx.rows(sa.select(row.tariff_hash).where(*touched).distinct())]
    concerned = [h for h in hashes if concerns(registry.tariff_with_hash(tx, tariff_hash=h))]
    rows = [
        one
        for piece in chunked(concerned)
        for one in tx.rows(sa.select(row.contract_id, row.start, row.end).where(*touched, row.tariff_hash.in_(piece)))
    ]
    if not rows:
        return []
    keys = {(one.contract_id, one.start) for one in rows}
    span = Period(min(one.start for one in rows), max(one.end for one in rows))
    found = registry.segments(tx, contract_ids={contract for contract, _ in keys}, period=span)
    return [segment for segment in found if segment.key in keys]


def settlement_due(tx: Transaction, *, now: datetime) -> bool:
    """Whether a day has begun for which some wallet was not settled yet."""
    oldest = tx.execute(sa.select(sa.func.min(t.wallet.c.posted_day))).scalar_one_or_none()
    return oldest is not None and oldest < epoch(now) // _DAY


def settle_due(tx: Transaction, *, now: datetime, limit: int = 1000) -> int:
    """The daily work on up to ``limit`` wallets: accrue standing charges to ``now`` and post to the ledger.

    Accrual does not wait for readings: a meter that is silent or switched off still owes its standing charge. Returns
    how many wallets were settled; call again until it is 0.
    """
    today = epoch(now) // _DAY
    due = [
        row[0]
        for row in tx.rows(
            sa.select(t.wallet.c.contract_id)
            .where(t.wallet.c.posted_day < today)
            .order_by(t.wallet.c.contract_id)
            .limit(limit)
        )
    ]
    if not due:
        return 0
    wallets = locked_wallets(tx, due)
    _collect(tx, wallets, now)
    since = min(row.posted_day for row in wallets.values()) * _DAY
    period = Period.of_epochs(since - _DAY, epoch(now))
    _price(tx, segments=registry.segments(tx, contract_ids=due, period=period), until=now, now=now)
    post_accrual(tx, contract_ids=due, now=now)
    for piece in chunked(due):
        tx.execute(t.wallet.update().where(t.wallet.c.contract_id.in_(piece)).values(posted_day=today))
    return len(due)


def _collect(tx: Transaction, wallets: Mapping[str, Row], now: datetime) -> None:
    """What debts take by day: it has its own transfers, and moves what is available at once."""
    taken = collect_daily(tx, contract_ids=wallets, now=now)
    balances = ledger.balances(tx, account_ids=[wallet_account(contract) for contract in taken])
    for contract, row in sorted(wallets.items()):
        if contract in taken:
            available = balances[wallet_account(contract)] - Money(row.accrued, row.currency)
            keep_standing(tx, row=row, available=available, now=now, tells=True)


def close_month(tx: Transaction, *, segments: Sequence[Segment], now: datetime) -> Mapping[str, Money]:
    """Reckon whole segments to their end, post them, and return what each contract was deducted for them."""
    _price(tx, segments=segments, until=max((s.period.end for s in segments), default=now), now=now)
    contracts = sorted({segment.contract_id for segment in segments})
    post_accrual(tx, contract_ids=contracts, now=now)
    rows = _segment_rows(tx, contracts, since=min((s.period.start for s in segments), default=now))
    totals: dict[str, Money] = {}
    for segment in segments:
        row = rows[segment.contract_id, segment.period.start]
        so_far = totals.get(segment.contract_id, Money.zero(segment.currency))
        totals[segment.contract_id] = so_far + Money(row.total, segment.currency)
    return totals


def mark_stated(tx: Transaction, *, statements: Mapping[str, tuple[str, Period]]) -> None:
    """Remember by its id which statement told a contract what it was deducted for a period (see ``post_accrual``)."""
    row = t.wallet_segment.c
    if statements:
        tx.execute(
            t.wallet_segment.update()
            .where(
                row.contract_id == sa.bindparam("key"),
                row.start >= sa.bindparam("first"),
                row.start < sa.bindparam("last"),
            )
            .values(stated=sa.bindparam("by")),
            [
                {"key": contract, "first": period.start, "last": period.end, "by": statement}
                for statement, (contract, period) in sorted(statements.items())
            ],
        )


def _price(
    tx: Transaction,
    *,
    segments: Sequence[Segment],
    now: datetime,
    changes: _Changes | None = None,
    anew: Collection[_Key] = (),
    until: datetime | None = None,
) -> Sequence[_Priced]:
    """Bring the prepaid ``segments`` up to date, move the accruals by the difference and tell what was crossed.

    Without ``until`` only those are looked at that have new readings, are to be priced ``anew``, or that a tariff
    change, a fact told late or a missing price left behind. Later segments that depend on them follow.
    """
    if not segments:
        return ()
    prepaid = [segment for segment in segments if segment.mode == "prepay"]
    ensure_wallets(tx, contracts={s.contract_id: s.currency for s in prepaid}, now=now)
    wallets = locked_wallets(tx, [segment.contract_id for segment in segments])
    book = _Book(tx, segments=[s for s in segments if s.contract_id in wallets], changes=changes or {}, anew=anew)
    followers = book.followers(tx)
    concerned = [s for s in prepaid if until is not None or s.key in book.moved]
    concerned += [s for s in followers if s.key not in {one.key for one in concerned}]
    counted = pricing.counted(tx, segments=concerned, kept=book.kept(concerned, stale={s.key for s in followers}))
    priced = [_priced(segment, counted[segment.key], book.rows.get(segment.key), until) for segment in concerned]
    charged: dict[str, int] = defaultdict(int)
    for one in priced:
        charged[one.segment.contract_id] += one.charged
    _write_segments(tx, priced)
    _cover(tx, charged, [one.segment for one in priced])
    _move_accruals(tx, wallets=wallets, charged=charged, now=now)
    return priced


def _cover(tx: Transaction, charged: dict[str, int], segments: Sequence[Segment]) -> None:
    """Take from what was charged what free units cover of it."""
    if segments:
        span = Period(min(s.period.start for s in segments), max(s.period.end for s in segments))
        for contract, micro in cover(tx, contract_ids={s.contract_id for s in segments}, span=span).items():
            charged[contract] -= micro


class _Book:
    """What wallets keep of these segments and those after them, beside what has come.

    ``rows``   what is kept, by segment
    ``moved``  the segments of which what was used, or what it costs, is not what it was
    """

    def __init__(
        self, tx: Transaction, *, segments: Sequence[Segment], changes: _Changes, anew: Collection[_Key]
    ) -> None:
        self._segments, self._changes, self._anew = segments, changes, anew
        contracts = {segment.contract_id for segment in segments}
        since = min((s.period.start for s in segments), default=from_epoch(0))
        self.rows = _segment_rows(tx, contracts, since=since)
        self._of_contract: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            self._of_contract[row.contract_id].append(row)
        self._states = {segment.key: self._state(segment) for segment in segments}
        self._fresh = {segment.key: self._news(segment) for segment in segments}
        self.moved = {segment.key for segment in segments if self._is_moved(segment)}

    def _state(self, segment: Segment) -> RatingState | None:
        """The state that is kept of a segment, if it is still one of it."""
        row = self.rows.get(segment.key)
        if row is None or row.waits is not None or row.end != segment.period.end:
            return None
        state = RatingState.from_json(row.state)
        return state if pricing.fits(segment=segment, state=state) else None

    def _is_moved(self, segment: Segment) -> bool:
        if segment.key in self._anew or self._fresh[segment.key]:
            return True
        row = self.rows.get(segment.key)
        return (row is not None and self._states[segment.key] is None) or any(
            other.start < segment.period.end
            and other.end > segment.period.start
            and other.start != segment.period.start
            for other in self._of_contract[segment.contract_id]
        )

    def _news(self, segment: Segment) -> dict[str, tuple[IntervalSeries, bool]]:
        """What came within the segment on channels that its tariff prices, and whether it corrects what was known."""
        found: dict[str, tuple[IntervalSeries, bool]] = {}
        for change in self._changes.get(segment.service_point_id, ()):
            series = change.series.within(segment.period)
            if change.channel in segment.tariff.channels and len(series):
                found[change.channel] = series, change.revised or change.channel in found
        return found

    def followers(self, tx: Transaction) -> list[Segment]:
        """The later segments in wallets whose memory reaches to one that moved."""
        moved: dict[str, list[Segment]] = defaultdict(list)
        for segment in self._segments:
            if segment.key in self.moved:
                moved[segment.contract_id].append(segment)
        after = {
            contract: [row for row in self._of_contract[contract] if row.start > of_contract[0].period.start]
            for contract, of_contract in moved.items()
        }
        asked = {contract: rows for contract, rows in after.items() if rows}
        if not asked:
            return []
        ends = [row.end for rows in asked.values() for row in rows]
        span = Period(min(moved[contract][0].period.start for contract in asked), max(ends))
        return [
            segment
            for segment in registry.segments(tx, contract_ids=asked, period=span)
            if segment.mode == "prepay"
            and any(row.start == segment.period.start for row in asked.get(segment.contract_id, ()))
            and any(pricing.reaches(earlier=one, later=segment) for one in moved[segment.contract_id])
        ]

    def kept(self, segments: Iterable[Segment], *, stale: Collection[_Key]) -> dict[_Key, Kept]:
        """What of these segments can be gone on from."""
        found: dict[_Key, Kept] = {}
        for segment in segments:
            state = self._states.get(segment.key)
            if state is None or segment.key in self._anew or segment.key in stale:
                continue
            news = self._fresh.get(segment.key, {})
            corrected = any(revised for _, revised in news.values())
            fresh = {channel: series for channel, (series, _) in news.items()}
            found[segment.key] = Kept(state, None if corrected else fresh)
        return found


def _segment_rows(tx: Transaction, contract_ids: Collection[str], *, since: datetime) -> dict[_Key, Row]:
    found: dict[_Key, Row] = {}
    for piece in chunked(sorted(contract_ids)):
        select = sa.select(t.wallet_segment).where(
            t.wallet_segment.c.contract_id.in_(piece), t.wallet_segment.c.end > since
        )
        found.update(((row.contract_id, row.start), row) for row in tx.rows(select))
    return found


def _priced(segment: Segment, counted: pricing.Outcome, row: Row | None, until: datetime | None) -> _Priced:
    begin, end = segment.period.start, segment.period.end
    reached = begin if row is None else min(row.until, end)
    before = 0 if row is None else row.total
    rating: Rating | Problem
    if isinstance(counted, RatingState):
        heard = from_epoch(max(channel.last for channel in counted.channels))
        reached = min(max(reached, heard, reached if until is None else until), end)
        rating = pricing.settled(segment=segment, outcome=counted, until=reached)
        if isinstance(rating, Rating):
            total = rating.total.micro
            return _Priced(segment, counted.to_json(), reached, total, total - before, None)
    else:
        rating = counted
    return _Priced(segment, {} if row is None else row.state, reached, before, 0, rating.slug)


def _write_segments(tx: Transaction, priced: Iterable[_Priced]) -> None:
    tx.upsert(
        t.wallet_segment,
        [
            {
                "contract_id": one.segment.contract_id,
                "start": one.segment.period.start,
                "end": one.segment.period.end,
                "tariff_hash": one.segment.tariff.hash,
                "state": one.state,
                "until": one.until,
                "total": one.total,
                "waits": one.waits,
                "posted": 0,
                "postings": 0,
            }
            for one in priced
        ],
        update=("end", "tariff_hash", "state", "until", "total", "waits"),
    )


def _move_accruals(tx: Transaction, *, wallets: Mapping[str, Row], charged: Mapping[str, int], now: datetime) -> None:
    moved = {contract: micro for contract, micro in charged.items() if micro}
    if not moved:
        return
    balances = ledger.balances(tx, account_ids=[wallet_account(contract) for contract in moved])
    today = epoch(now) // _DAY
    after: dict[str, Moved] = {}
    for contract, micro in moved.items():
        row = wallets[contract]
        available = balances[wallet_account(contract)].micro - row.accrued - micro
        after[contract] = Moved(row=row, available=available, recent=with_charge(row.recent, day=today, micro=micro))
    standings = stand(tx, moved=after, now=now)
    tx.execute(
        t.wallet.update()
        .where(t.wallet.c.contract_id == sa.bindparam("key"))
        .values(
            accrued=sa.bindparam("new_accrued"),
            recent=sa.bindparam("new_recent"),
            state=sa.bindparam("new_state"),
            emergency_armed=sa.bindparam("new_armed"),
            emergency_loans=sa.bindparam("new_loans"),
            second_told=sa.bindparam("new_second_told"),
            auto_armed=sa.bindparam("new_auto_armed"),
            auto_crossings=sa.bindparam("new_auto_crossings"),
        ),
        [
            {
                "key": contract,
                "new_accrued": one.row.accrued + moved[contract],
                "new_recent": one.recent,
                "new_state": standings[contract].state,
                "new_armed": standings[contract].emergency_armed,
                "new_loans": standings[contract].emergency_loans,
                "new_second_told": standings[contract].second_told,
                "new_auto_armed": standings[contract].auto_armed,
                "new_auto_crossings": standings[contract].auto_crossings,
            }
            for contract, one in sorted(after.items())
        ],
    )
