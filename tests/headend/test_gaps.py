from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_meters import rows_of

from wattledger import headend
from wattledger.headend import Delivery, MeterLink, ProfilePlan, ReadingSink, Register, RetryPolicy
from wattledger.headend._coverage import Coverage, merged, range_reads, runs_of
from wattledger.headend._gaps import wanted_reads
from wattledger.kernel import epoch, from_epoch
from wattledger.store import Fact, Store, Transaction, recent_facts

START = datetime(2026, 3, 1, tzinfo=UTC)
BASE = epoch(START)
SLOT = 900
GRACE = timedelta(minutes=5)
RETRY = RetryPolicy(asked_max=3)
SLOTS = 40
NOW = START + timedelta(seconds=SLOT * SLOTS) + GRACE

_numbers = count()


class Kept:
    """A sink that notes each delivery as a fact, in the unit of work it is given."""

    def __init__(self, *, refuse: set[str] | None = None) -> None:
        self.refuse = refuse or set()

    def take(self, tx: Transaction, /, *, deliveries: Sequence[Delivery], now: datetime) -> None:
        for one in deliveries:
            tx.emit(Fact(at=now, contract_id=one.meter_id))
            if one.meter_id in self.refuse:
                raise ValueError(one.meter_id)

    def take_registers(
        self, tx: Transaction, /, *, registers: Sequence[tuple[str, Sequence[Register]]], now: datetime
    ) -> None:
        raise NotImplementedError


KEPT: ReadingSink = Kept()


def slot(number: int) -> int:
    return BASE + SLOT * number


def delivery(
    meter: str, slots: Sequence[int], *, asked: tuple[int, int] | None = None, pushed: bool = False
) -> Delivery:
    """Rows of ``slots``, read by asking for the slots of ``asked``."""
    first, last = asked if asked is not None else (min(slots), max(slots) + 1)
    return Delivery(
        meter_id=meter,
        profile="load",
        seconds=SLOT,
        start=slot(first),
        end=slot(last),
        rows=rows_of([slot(number) for number in slots]),
        read_at=NOW,
        pushed=pushed,
    )


def expected_meter(store: Store, **plan: timedelta) -> str:
    meter = f"m{next(_numbers)}"
    with store.write() as tx:
        headend.put_meters(tx, links=[MeterLink(meter_id=meter, driver="paper", address=meter)], now=START)
        headend.expect(
            tx, plans=[ProfilePlan(meter_id=meter, profile="load", seconds=SLOT, start=START, **plan)], now=START
        )
    return meter


def take(store: Store, *deliveries: Delivery, now: datetime = NOW, retry: RetryPolicy = RETRY) -> None:
    with store.write() as tx:
        headend.take_deliveries(tx, deliveries=deliveries, sink=KEPT, retry=retry, now=now)
        headend.reschedule(tx, meter_ids=[one.meter_id for one in deliveries], now=now)


def missing(store: Store, meter: str, *, now: datetime = NOW) -> set[int]:
    """The slots that the ledger calls gaps."""
    with store.read() as tx:
        found = headend.gaps(tx, meter_ids=[meter], now=now)
    slots = [
        number
        for gap in found
        for number in range((epoch(gap.period.start) - BASE) // SLOT, (epoch(gap.period.end) - BASE) // SLOT)
    ]
    assert len(slots) == len(set(slots)), "gaps overlap"
    return set(slots)


def asked_for(store: Store, meter: str, *, now: datetime = NOW) -> list[tuple[int, int]]:
    with store.read() as tx:
        reads = wanted_reads(tx, meter_ids=[meter], now=now, bridge=0).get(meter, [])
    return [((read.start - BASE) // SLOT, (read.end - BASE) // SLOT) for read in reads]


def visit_at(store: Store, meter: str) -> datetime | None:
    with store.read() as tx:
        (status,) = headend.meter_statuses(tx, meter_ids=[meter], now=NOW)
    return status.visit_at


# --- The arithmetic ---

stretches = st.sets(st.integers(0, SLOTS - 1)).map(sorted)


@given(st.lists(st.tuples(stretches, st.booleans(), st.integers(0, SLOTS), st.integers(0, SLOTS))))
def test_what_came_in_any_cut_and_order_leaves_exactly_the_rest(
    steps: list[tuple[list[int], bool, int, int]],
) -> None:
    coverage, came = Coverage(BASE, BASE), set[int]()
    for slots, answered, a, b in steps:
        coverage = coverage.came(runs_of(rows_of([slot(n) for n in slots]).starts, seconds=SLOT), now=NOW)
        came.update(slots)
        if answered:
            coverage = coverage.answered((slot(a), slot(b)), wait=lambda _: NOW, now=NOW)
        again = coverage.came(runs_of(rows_of([slot(n) for n in slots]).starts, seconds=SLOT), now=NOW)
        assert again == coverage  # twice is once
    gaps = coverage.missing(slot(SLOTS))
    assert {n for a, b in gaps for n in range((a - BASE) // SLOT, (b - BASE) // SLOT)} == set(range(SLOTS)) - came
    assert all(a[1] < b[0] for a, b in pairwise(gaps)), "coalesced"
    holes = coverage.holes
    assert all(a.start < a.end <= b.start for a, b in pairwise(holes))
    assert coverage.wanted(slot(SLOTS), now=NOW) == gaps


@given(st.lists(st.tuples(st.integers(0, SLOTS), st.integers(0, SLOTS)), max_size=30))
def test_a_stretch_is_given_up_when_it_was_answered_often_enough(answers: list[tuple[int, int]]) -> None:
    coverage = Coverage(BASE, BASE)
    counts = [0] * SLOTS
    for a, b in answers:
        coverage = coverage.answered((slot(a), slot(b)), wait=lambda asked: None if asked >= 3 else NOW, now=NOW)
        for number in range(a, b):
            counts[number] += 1
    wanted = {
        n for a, b in coverage.wanted(slot(SLOTS), now=NOW) for n in range((a - BASE) // SLOT, (b - BASE) // SLOT)
    }
    assert wanted == {number for number in range(SLOTS) if counts[number] < 3}


@given(stretches, st.integers(0, 5), st.integers(1, 10))
def test_range_reads_bring_all_that_is_wanted_and_no_more_than_the_bridges(
    slots: list[int], bridge: int, rows_max: int
) -> None:
    wanted = runs_of(rows_of([slot(n) for n in slots]).starts, seconds=SLOT)
    reads = range_reads(wanted, seconds=SLOT, bridge=bridge, rows_max=rows_max)
    read = [n for a, b in reads for n in range((a - BASE) // SLOT, (b - BASE) // SLOT)]
    assert len(read) == len(set(read))
    assert set(slots) <= set(read)
    assert all(0 < b - a <= rows_max * SLOT for a, b in reads)
    for extra in set(read) - set(slots):
        assert any(n < extra for n in slots)
        gap = min(n for n in slots if n > extra) - max(n for n in slots if n < extra) - 1
        assert gap <= bridge


def test_a_row_that_was_written_late_covers_the_interval_it_lies_in() -> None:
    starts = np.array([BASE + 7, BASE + 899, BASE + 900, BASE + 2 * 900 + 1], dtype=np.int64)
    assert runs_of(starts, seconds=900) == [(BASE, BASE + 2700)]


def test_stretches_that_touch_are_one() -> None:
    assert list(merged([(0, 1), (1, 2), (3, 4)])) == [(0, 2), (3, 4)]
    assert list(merged([(0, 1), (1, 2), (3, 4)], bridge=1)) == [(0, 4)]
    assert list(merged([])) == []


# --- The ledger ---


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(stretches.filter(bool), st.booleans()), max_size=6), st.randoms(use_true_random=False))
def test_the_ledger_keeps_the_law(store: Store, cuts: list[tuple[list[int], bool]], chance: object) -> None:
    meter = expected_meter(store)
    pieces = [delivery(meter, slots, pushed=pushed) for slots, pushed in cuts]
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    half = len(pieces) // 2
    take(store, *pieces[:half])
    take(store, *pieces[half:])
    came = {number for slots, _ in cuts for number in slots}
    assert missing(store, meter) == set(range(SLOTS)) - came
    take(store, *pieces)
    assert missing(store, meter) == set(range(SLOTS)) - came
    with store.read() as tx:
        periods = headend.come(tx, meter_id=meter, profile="load")
    assert {
        number
        for period in periods
        for number in range((epoch(period.start) - BASE) // SLOT, (epoch(period.end) - BASE) // SLOT)
    } == came


def test_nothing_is_due_before_its_grace_is_over(store: Store) -> None:
    meter = expected_meter(store, grace=timedelta(minutes=10))
    assert missing(store, meter, now=START + timedelta(minutes=24)) == set()
    assert missing(store, meter, now=START + timedelta(minutes=25)) == {0}


def test_readings_and_the_closing_of_the_gap_are_one(store: Store) -> None:
    meter = expected_meter(store)
    with pytest.raises(ValueError, match=meter), store.write() as tx:
        headend.take_deliveries(
            tx, deliveries=[delivery(meter, [0, 1])], sink=Kept(refuse={meter}), retry=RETRY, now=NOW
        )
    assert missing(store, meter) == set(range(SLOTS))
    with store.read() as tx:
        assert recent_facts(tx, limit=5, contract_id=meter) == []
    take(store, delivery(meter, [0, 1]))
    assert missing(store, meter) == set(range(2, SLOTS))
    with store.read() as tx:
        assert len(recent_facts(tx, limit=5, contract_id=meter)) == 1


def test_rows_that_a_meter_has_not_are_asked_for_again_then_no_more_and_close_the_gap_if_they_come(
    store: Store,
) -> None:
    meter = expected_meter(store)
    present = [number for number in range(SLOTS) if not 10 <= number < 14]
    take(store, delivery(meter, present))
    assert asked_for(store, meter) == []
    now = NOW
    for _ in range(2):
        with store.read() as tx:
            (gap,) = headend.gaps(tx, meter_ids=[meter], now=NOW)
        assert not gap.given_up
        at = visit_at(store, meter)
        assert at is not None
        assert at > now
        now = at
        assert asked_for(store, meter, now=now)[0] == (10, 14)
        take(store, delivery(meter, [], asked=(10, 14)), now=now)
    with store.read() as tx:
        (gap,) = headend.gaps(tx, meter_ids=[meter], now=NOW)
    assert (gap.given_up, gap.asked) == (True, 3)
    assert all(b <= 10 or a >= 14 for a, b in asked_for(store, meter, now=now + timedelta(days=30)))
    take(store, delivery(meter, [11, 12], pushed=True))
    assert missing(store, meter) == {10, 13}


def test_a_push_says_nothing_about_rows_that_it_does_not_bring(store: Store) -> None:
    meter = expected_meter(store)
    take(store, delivery(meter, [0, 5], pushed=True))
    assert asked_for(store, meter) == [(1, 5), (6, SLOTS)]


def test_a_clock_gone_wrong_makes_no_gaps_in_the_future(store: Store) -> None:
    meter = expected_meter(store)
    take(store, delivery(meter, [0, 1, 10_000]))
    assert missing(store, meter) == set(range(2, SLOTS))


def test_an_earlier_start_opens_a_gap_and_the_same_plan_again_changes_nothing(store: Store) -> None:
    meter = expected_meter(store)
    take(store, delivery(meter, range(SLOTS)))
    with store.write() as tx:
        plan = ProfilePlan(meter_id=meter, profile="load", seconds=SLOT, start=START)
        headend.expect(tx, plans=[plan], now=NOW)
    assert missing(store, meter) == set()
    with store.write() as tx:
        plan = ProfilePlan(meter_id=meter, profile="load", seconds=SLOT, start=START - timedelta(hours=1))
        headend.expect(tx, plans=[plan], now=NOW)
    assert missing(store, meter) == {-4, -3, -2, -1}
    assert visit_at(store, meter) == NOW


@pytest.mark.parametrize(
    ("seconds", "start", "every"),
    [
        (900, START + timedelta(seconds=1), timedelta(days=1)),
        (900, START, timedelta(minutes=1)),
        (0, START, timedelta(days=1)),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(store: Store, seconds: int, start: datetime, every: timedelta) -> None:
    meter = expected_meter(store)
    with pytest.raises(headend.PlanRefused), store.write() as tx:
        headend.expect(
            tx,
            plans=[ProfilePlan(meter_id=meter, profile="x", seconds=seconds, start=start, every=every)],
            now=NOW,
        )


def test_a_profile_keeps_its_interval_length(store: Store) -> None:
    meter = expected_meter(store)
    with pytest.raises(headend.PlanRefused, match="900 s, not 1800"), store.write() as tx:
        headend.expect(tx, plans=[ProfilePlan(meter_id=meter, profile="load", seconds=1800, start=START)], now=NOW)


def test_a_meter_nobody_linked_is_told(store: Store) -> None:
    with pytest.raises(headend.MeterNotLinked, match="nowhere"), store.write() as tx:
        headend.expect(tx, plans=[ProfilePlan(meter_id="nowhere", profile="x", seconds=900, start=START)], now=NOW)


def test_a_meter_that_was_taken_down_owes_what_came_before(store: Store) -> None:
    meter = expected_meter(store)
    with store.write() as tx:
        headend.stop_expecting(tx, meter_id=meter, at=from_epoch(slot(3)), now=NOW)
    assert missing(store, meter, now=NOW + timedelta(days=9)) == {0, 1, 2}
    take(store, delivery(meter, [0, 1, 2]))
    assert visit_at(store, meter) is None


def test_a_schedule_asks_when_enough_is_due(store: Store) -> None:
    meter = expected_meter(store, every=timedelta(hours=4), grace=GRACE)
    assert visit_at(store, meter) == START + timedelta(hours=4) + GRACE
    take(store, delivery(meter, range(20)))
    assert visit_at(store, meter) == START + timedelta(hours=9) + GRACE
