"""Validation of what is stored, the queue of exceptions and what people decide, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa
from grid import Grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import billing, prepay, pricing, readings, registry
from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch, from_epoch
from wattledger.readings import Decision, DecisionPolicy, vee
from wattledger.store import Transaction

SLOT, DAY = 900, 86_400
FIRST = epoch(datetime(2026, 3, 1, tzinfo=UTC))
DAYS = 14
ALL = Period.of_epochs(FIRST, FIRST + DAYS * DAY)
LAST = Period.of_epochs(FIRST + (DAYS - 1) * DAY, FIRST + DAYS * DAY)
RULES = vee.shipped_rules()
_runs = itertools.count()


def usual(days: int = DAYS) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    slot = np.arange(days * 96)
    return 150 + 2 * np.minimum(slot % 96, 95 - slot % 96) + slot % 7


def series(
    values: np.ndarray[tuple[int], np.dtype[np.int64]], *, without: Sequence[int] = (), first: int = FIRST
) -> IntervalSeries:
    kept = np.setdiff1d(np.arange(len(values)), without)
    return IntervalSeries(first + SLOT * kept, values[kept], np.full(len(kept), Quality.ACTUAL, np.uint8), SLOT)


class Desk:
    """Validation and decisions as the program does them: money follows in the same unit of work."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        grid.publish()
        grid.homes(3, mode="postpay")
        grid.clock.move_to(ALL.end)

    def deliver(self, batch_id: str, of: dict[str, IntervalSeries]) -> None:
        self.grid.deliver(batch_id, of)

    def take_in(
        self, tx: Transaction, /, *, batches: Sequence[readings.IntervalBatch], now: datetime
    ) -> list[readings.Receipt]:
        found = []
        for batch in batches:
            found.append(readings.ingest(tx, batch=batch, now=now))
            billing.note_late(tx, changes=found[-1].changes, batch_id=batch.id, now=now)
            prepay.deduct(tx, changes=found[-1].changes, now=now)
        return found

    def validate(
        self, period: Period = LAST, *, rules: vee.Rules = RULES, points: Sequence[str] | None = None
    ) -> readings.Validated:
        with self.grid.store.write() as tx:
            return readings.validate(
                tx,
                period=period,
                rules=rules,
                now=self.grid.clock.now(),
                take_in=self.take_in,
                worth=pricing.worth_of,
                service_point_ids=points,
            )

    def decide(
        self,
        exception_id: str,
        action: readings.Action,
        *,
        actor: str = "ann",
        above: str | None = None,
        **said: object,
    ) -> readings.Decided:
        decision = Decision(action=action, actor=actor, reason="looked at it", **said)  # type: ignore[arg-type]
        with self.grid.store.write() as tx:
            return readings.decide(
                tx,
                exception_id=exception_id,
                decision=decision,
                rules=RULES,
                now=self.grid.clock.now(),
                policy=DecisionPolicy(second_person_above=None if above is None else Decimal(above)),
                take_in=self.take_in,
                worth=pricing.worth_of,
            )

    def queue(self, states: Sequence[readings.State] = readings.LIVE) -> list[readings.ReadingException]:
        with self.grid.store.read() as tx:
            return readings.exceptions(tx, states=states, limit=1000)

    def values(self, point: str, slots: Sequence[int]) -> list[tuple[int, int]]:
        with self.grid.store.read() as tx:
            known = readings.series(tx, service_point_id=point, period=ALL)
        at = {
            (start - FIRST) // SLOT: (value, quality)
            for start, value, quality in zip(
                known.starts.tolist(), known.values.tolist(), known.qualities.tolist(), strict=True
            )
        }
        return [at.get(slot, (0, 0)) for slot in slots]

    def steps(self, exception_id: str) -> list[readings.ExceptionStep]:
        with self.grid.store.read() as tx:
            return readings.exception_steps(tx, exception_id=exception_id)


@pytest.fixture
def desk(grid: Grid) -> Desk:
    return Desk(grid)


GAP = list(range(13 * 96 + 40, 13 * 96 + 48))
SPIKE = 13 * 96 + 60


def spiked(times: int = 20) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    values = usual()
    values[SPIKE] *= times
    return values


def test_a_day_of_another_interval_length_is_no_gap(desk: Desk) -> None:
    whole, day = usual(), 11 * 96
    away = range(day - 8, day + 96)  # the day itself and two hours before it
    desk.deliver("quarters", {"h0": series(whole, without=[*away, 12 * 96 + 20])})
    starts = FIRST + SLOT * np.arange(day, day + 96, 2)
    halves = IntervalSeries(starts, whole[day : day + 96 : 2] * 2, np.full(48, Quality.ACTUAL, np.uint8), 2 * SLOT)
    desk.deliver("halves", {"h0": halves})
    done = desk.validate(ALL, points=["h0"])
    assert [
        (one.seconds, (epoch(one.period.start) - FIRST) // SLOT, one.period.seconds // SLOT, one.measured)
        for one in sorted(desk.queue(), key=lambda one: one.period)
        if one.rule == "missing"
    ] == [(SLOT, day - 8, 8, 8 * SLOT), (SLOT, 12 * 96 + 20, 1, SLOT)]
    assert done.estimated == 1  # what lacks beside the other length is for a person
    assert desk.validate(ALL, points=["h0"]).opened == 0
    with desk.grid.store.read() as tx:
        assert readings.verify(tx) == []


def test_gaps_are_filled_by_the_rules_and_spikes_doubted(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked(), without=GAP), "h1": series(usual())})
    done = desk.validate()
    assert (done.found, done.opened, done.estimated, done.doubted) == ({"missing": 1, "spike": 1}, 2, len(GAP), 1)
    assert (done.points, done.intervals) == (2, 2 * 96)
    gap, spike = sorted(desk.queue(), key=lambda one: one.rule)
    assert (gap.state, gap.method, spike.state) == ("filled", "linear", "open")
    assert gap.period == Period.of_epochs(FIRST + GAP[0] * SLOT, FIRST + GAP[-1] * SLOT + SLOT)
    assert {quality for _, quality in desk.values("h0", GAP)} == {Quality.ESTIMATED}
    assert desk.values("h0", [SPIKE]) == [(spiked()[SPIKE], Quality.SUSPECT)]
    assert spike.stake is not None
    assert spike.stake.micro > 0
    with desk.grid.store.read() as tx:
        given = readings.versions(tx, service_point_id="h0", period=gap.period)
    assert {(one.source, one.method, one.rule) for one in given} == {("vee", "linear", f"missing {RULES.digest}")}


def test_a_bill_waits_for_what_the_rules_do_not_let_a_run_estimate(desk: Desk) -> None:
    gap = list(range(12 * 96 - 40, 13 * 96 + 48))
    desk.deliver("a", {"h0": series(usual(), without=gap)})
    done = desk.validate()
    (one,) = desk.queue()
    assert (done.estimated, one.state, one.stake_wh > 0) == (0, "open", True)
    assert desk.values("h0", gap) == [(0, 0)] * len(gap)
    decided = desk.decide(one.id, "estimate")
    assert (decided.exception.state, decided.exception.method) == ("estimated", "like days")
    assert {quality for _, quality in desk.values("h0", gap)} == {Quality.ESTIMATED}
    assert desk.validate().opened == 0


def test_with_no_hours_by_run_every_gap_asks_a_person(desk: Desk) -> None:
    chosen = RULES.of("import")
    strict = replace(
        RULES, classes={"import": replace(chosen, estimate=replace(chosen.estimate, run_hours=Decimal(0)))}
    )
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    assert desk.validate().estimated == len(GAP)
    done = desk.validate(rules=strict)  # and what was estimated under other rules is taken back
    assert (done.put_aside, [one.state for one in desk.queue()]) == (len(GAP), ["open"])
    assert desk.values("h0", GAP) == [(0, 0)] * len(GAP)


def test_a_late_reading_replaces_an_estimate_and_closes_its_exception(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    desk.validate()
    (one,) = desk.queue()
    late = series(usual()).picked(np.isin(np.arange(DAYS * 96), GAP))
    desk.deliver("late", {"h0": late})
    done = desk.validate()
    assert (done.superseded, desk.queue()) == (1, [])
    assert desk.values("h0", GAP) == [(int(value), Quality.ACTUAL) for value in usual()[GAP]]
    assert [(s.action, s.state_after) for s in desk.steps(one.id)] == [("find", "filled"), ("supersede", "superseded")]


def test_a_late_reading_closes_by_itself_as_it_arrives(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    desk.validate()
    with desk.grid.store.write() as tx:
        batch = desk.grid.batch("late", {"h0": series(usual())})
        receipt = readings.ingest(tx, batch=batch, now=ALL.end)
        assert readings.note_arrivals(tx, changes=receipt.changes, now=ALL.end) == 1
    assert desk.queue() == []
    assert desk.validate().opened == 0


def test_part_of_a_gap_that_comes_shrinks_it(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    desk.validate()
    (before,) = desk.queue()
    desk.deliver("part", {"h0": series(usual(), without=GAP[2:])})
    desk.validate()
    (after,) = desk.queue()
    assert (after.id, after.period.start) == (before.id, before.period.start + timedelta(seconds=2 * SLOT))
    assert after.revision == before.revision + 1
    assert {quality for _, quality in desk.values("h0", GAP[2:])} == {Quality.ESTIMATED}


def test_accepted_values_are_actual_again_and_stay_so(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    decided = desk.decide(spike.id, "accept")
    assert (decided.exception.state, decided.exception.decided_by) == ("accepted", "ann")
    assert desk.values("h0", [SPIKE]) == [(spiked()[SPIKE], Quality.ACTUAL)]
    done = desk.validate()
    assert (done.opened, done.doubted, desk.queue()) == (0, 0, [])
    desk.deliver("other", {"h0": series(spiked(30))})  # another value is another matter
    assert desk.validate().opened == 1


def test_an_edit_changes_the_value_and_says_its_effect(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    decided = desk.decide(spike.id, "edit", wh=[200])
    before = int(spiked()[SPIKE])
    assert decided.effect == Money((200 - before) * 500, "CNY")  # 0.5 a kWh
    assert (decided.before.wh.tolist(), decided.after.wh.tolist()) == ([before], [200])
    assert desk.values("h0", [SPIKE]) == [(200, Quality.SUBSTITUTED)]
    (_, step) = desk.steps(spike.id)
    assert (step.actor, step.reason, step.effect) == ("ann", "looked at it", decided.effect)
    with desk.grid.store.read() as tx:
        given = readings.versions(tx, service_point_id="h0", period=spike.period)
    assert [(one.quality, one.actor) for one in given] == [(1, ""), (4, ""), (3, "ann")]
    assert given[-1].batch_id == step.batch_id
    assert desk.validate().opened == 0


@pytest.mark.parametrize("by_validation", [True, False])
def test_a_reading_that_comes_after_an_edit_asks_a_person(desk: Desk, *, by_validation: bool) -> None:
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    desk.validate()
    (gap,) = desk.queue()
    desk.decide(gap.id, "edit", wh=[7] * len(GAP))
    if by_validation:
        desk.deliver("late", {"h0": series(usual())})
        desk.validate()
    else:
        with desk.grid.store.write() as tx:
            receipt = readings.ingest(tx, batch=desk.grid.batch("late", {"h0": series(usual())}), now=ALL.end)
            readings.note_arrivals(tx, changes=receipt.changes, now=ALL.end)
        desk.validate()
    (asking,) = desk.queue(readings.ASKING)
    assert (asking.rule, asking.allowed, asking.measured) == (readings.EDIT_REPLACED, 56, int(usual()[GAP].sum()))
    assert desk.validate().opened == 0
    desk.decide(asking.id, "edit", wh=[7] * len(GAP))  # no, it was as the person said
    assert desk.values("h0", GAP) == [(7, Quality.SUBSTITUTED)] * len(GAP)
    assert (desk.validate().opened, desk.queue()) == (0, [])


def test_a_rejected_estimate_is_not_made_again(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(usual(), without=GAP)})
    desk.validate()
    (gap,) = desk.queue()
    desk.decide(gap.id, "reject")
    assert desk.values("h0", GAP) == [(0, 0)] * len(GAP)
    done = desk.validate()
    (again,) = desk.queue()
    assert (done.estimated, again.state, again.id != gap.id) == (0, "open", True)


def test_a_rejected_value_is_taken_out_and_then_estimated_by_the_rules(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    desk.decide(spike.id, "reject")
    assert desk.values("h0", [SPIKE]) == [(0, 0)]
    desk.validate()
    (gap,) = desk.queue()
    assert (gap.rule, gap.state) == ("missing", "filled")


def test_more_than_the_fuse_lets_through_is_put_aside_and_estimated(desk: Desk) -> None:
    def fuse(_tx: Transaction, /, *, service_point_ids: Sequence[str], period: Period, seconds: int) -> vee.Known:
        assert (period.end, seconds) == (ALL.end, SLOT)
        return vee.Known(watts=np.full(len(service_point_ids), 5_000))

    desk.deliver("a", {"h0": series(spiked(30))})
    for _ in range(2):
        with desk.grid.store.write() as tx:
            done = readings.validate(tx, period=LAST, rules=RULES, now=ALL.end, beside=fuse)
    assert (done.found, done.opened, done.changed) == ({"bound": 1, "spike": 1}, 0, 0)
    spike, bound = sorted(desk.queue(), key=lambda one: one.rule, reverse=True)
    assert (bound.state, spike.state) == ("filled", "open")
    assert [quality for _, quality in desk.values("h0", [SPIKE])] == [Quality.ESTIMATED]
    assert bound.seen.wh.tolist() == [spiked(30)[SPIKE]]
    desk.decide(spike.id, "accept")  # the other rule doubts it still
    assert [quality for _, quality in desk.values("h0", [SPIKE])] == [Quality.ESTIMATED]
    desk.decide(bound.id, "accept")
    assert desk.values("h0", [SPIKE]) == [(spiked(30)[SPIKE], Quality.ACTUAL)]


def test_two_persons_above_a_limit(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    first = desk.decide(spike.id, "edit", wh=[200], above="0.1")
    assert (first.waits, first.exception.state) == (True, "waiting")
    assert desk.values("h0", [SPIKE])[0][1] == Quality.SUSPECT
    assert desk.validate().changed == 0  # it waits on
    with pytest.raises(readings.SecondPersonNeeded, match="ann has proposed this"):
        desk.decide(spike.id, "edit", wh=[200], above="0.1")
    with pytest.raises(readings.ExceptionDecided, match="waits for a second person"):
        desk.decide(spike.id, "edit", wh=[300], above="0.1", actor="bob")
    second = desk.decide(spike.id, "edit", above="0.1", actor="bob")
    assert (second.waits, second.exception.state, second.exception.decided_by) == (False, "edited", "bob")
    assert desk.values("h0", [SPIKE]) == [(200, Quality.SUBSTITUTED)]
    told = [(s.actor, s.action, s.state_before, s.state_after) for s in desk.steps(spike.id)]
    assert told == [
        ("vee", "find", None, "open"),
        ("ann", "propose", "open", "waiting"),
        ("bob", "edit", "waiting", "edited"),
    ]


def test_who_proposed_may_think_better_of_it(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    desk.decide(spike.id, "edit", wh=[2], above="0.1")
    again = desk.decide(spike.id, "edit", wh=[200], above="0.1")
    assert (again.waits, again.after.wh.tolist()) == (True, [200])
    assert desk.decide(spike.id, "accept", above="0.1").exception.state == "accepted"  # no effect: one person is enough


def test_the_second_of_two_is_told_that_it_was_decided(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked(), without=GAP)})
    desk.validate()
    gap, spike = sorted(desk.queue(), key=lambda one: one.rule)
    desk.decide(spike.id, "accept")
    with pytest.raises(readings.ExceptionDecided, match=r"was accepted .* by ann"):
        desk.decide(spike.id, "edit", wh=[1], actor="bob")
    with pytest.raises(readings.ExceptionDecided, match="revision 1, what was looked at is 7"):
        desk.decide(gap.id, "accept", revision=7)
    desk.deliver("late", {"h0": series(usual())})  # nobody has validated since
    with pytest.raises(readings.ExceptionDecided, match="8 of its intervals have other values"):
        desk.decide(gap.id, "edit", wh=[1] * len(GAP))
    assert desk.values("h0", GAP[:1]) == [(int(usual()[GAP[0]]), Quality.ACTUAL)]


def test_what_cannot_be_decided_is_refused_and_nothing_changes(desk: Desk) -> None:
    gap = list(range(12 * 96, 14 * 96))
    desk.deliver("a", {"h0": series(usual(), without=gap)})
    desk.validate()
    (one,) = desk.queue()
    for said, why in (
        ({"action": "accept"}, "no value that could stand"),
        ({"action": "reject"}, "no value that could be taken out"),
        ({"action": "edit"}, "0 values for 192 intervals"),
        ({"action": "edit", "wh": [-1] * 192}, "below nothing"),
        ({"action": "estimate", "method": vee.Method.LINEAR}, "no estimate by linear"),
        ({"action": "accept", "actor": " "}, "actor: 0 characters"),
    ):
        with pytest.raises(readings.DecisionRefused, match=why):
            desk.decide(one.id, **said)
    with pytest.raises(readings.ExceptionNotFound):
        desk.decide("exc_none", "accept")
    assert desk.queue()[0].revision == 1
    assert len(desk.steps(one.id)) == 1


def test_before_and_after_can_be_seen_first(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    (spike,) = desk.queue()
    with desk.grid.store.read() as tx:
        shown = readings.decide(
            tx,
            exception_id=spike.id,
            decision=Decision(action="estimate", actor="ann", reason="?"),
            rules=RULES,
            now=ALL.end,
            policy=DecisionPolicy(second_person_above=Decimal("0.1")),
            worth=pricing.worth_of,
            preview=True,
        )
    assert (shown.waits, shown.after.quality.tolist()) == (True, [Quality.ESTIMATED])
    assert desk.queue()[0].state == "open"


def test_money_follows_an_edit_of_a_prepaid_home(desk: Desk) -> None:
    desk.grid.homes(1, mode="prepay", first=3)
    desk.deliver("a", {"h3": series(spiked())})
    before = desk.grid.wallet("h3").available
    desk.validate()
    assert desk.grid.wallet("h3").available == before  # a doubt alone costs nothing
    (spike,) = desk.queue()
    decided = desk.decide(spike.id, "edit", wh=[200])
    assert decided.effect is not None
    assert desk.grid.wallet("h3").available == before - decided.effect


def test_the_queue_is_in_the_order_of_the_money_at_stake(desk: Desk) -> None:
    values = {f"h{number}": spiked(10 + 5 * number) for number in range(3)}
    desk.deliver(
        "a", {point: series(of, without=GAP[: number + 1]) for number, (point, of) in enumerate(values.items())}
    )
    desk.validate()
    found = desk.queue()
    stakes = [one.stake.micro for one in found if one.stake is not None]
    assert len(stakes) == len(found) == 6
    assert stakes == sorted(stakes, reverse=True)
    with desk.grid.store.read() as tx:
        assert readings.exception_count(tx, states=readings.LIVE) == 6
        assert [one.id for one in readings.exceptions(tx, states=readings.LIVE, limit=2, offset=1)] == [
            one.id for one in found[1:3]
        ]
        assert {one.service_point_id for one in readings.exceptions(tx, states=["filled"], rule="missing")} == set(
            values
        )
        assert readings.exceptions(tx, service_point_id="h9") == []


def test_a_step_is_never_changed(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(spiked())})
    desk.validate()
    for statement in ("UPDATE reading_exception_step SET actor = 'x'", "DELETE FROM reading_exception_step"):
        with pytest.raises(sa.exc.DBAPIError, match="never changed"), desk.grid.store.write() as tx:
            tx.execute(sa.text(statement))


def test_what_lies_before_the_first_meter_is_no_gap(desk: Desk) -> None:
    begun = FIRST + 12 * DAY
    with desk.grid.store.write() as tx:
        registry.add_service_point(tx, service_point_id="new", premise_id="h0")
        registry.install_meter(
            tx, meter_id="m-new", serial="new", service_point_id="new", interval_seconds=900, at=from_epoch(begun)
        )
    desk.deliver("a", {"new": series(usual(2), first=begun, without=[0, 1])})
    desk.validate(ALL)
    (gap,) = desk.queue()
    assert gap.period == Period.of_epochs(begun, begun + 2 * SLOT)


def test_what_is_still_to_come_is_no_gap(desk: Desk) -> None:
    desk.deliver("a", {"h0": series(usual(13))})
    with desk.grid.store.write() as tx:
        now = from_epoch(FIRST + 13 * DAY + SLOT // 2)
        assert readings.validate(tx, period=LAST, rules=RULES, now=now).opened == 0


# --- Laws -----------------------------------------------------------------------------------------------------------

cells = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(8 * 96, 12 * 96 - 1),
        st.integers(1, 130),
        st.sampled_from(["gap", "gap", "spike", "zero"]),
    ),
    max_size=4,
)


def spoilt(
    spoils: list[tuple[int, int, int, str]],
) -> list[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], list[int]]]:
    homes = [(usual(12), list[int]()) for _ in range(2)]
    for home, first, length, how in spoils:
        values, gaps = homes[home]
        if how == "gap":
            gaps += range(first, min(first + length, len(values)))
        elif how == "spike":
            values[first] = min(values[first] * (length + 5), 10**6)
        else:
            values[first : first + length] = 0
    return homes


def picture(desk: Desk, points: list[str]) -> tuple[list[object], list[object]]:
    """Everything that is stored and that is live of these points, by their place."""
    with desk.grid.store.read() as tx:
        known = readings.series_of_points(tx, service_point_ids=points, period=ALL)
        live = [
            one for p in points for one in readings.exceptions(tx, states=readings.LIVE, service_point_id=p, limit=999)
        ]
    stored: list[object] = [
        (known[p].starts.tolist(), known[p].values.tolist(), known[p].qualities.tolist()) for p in points
    ]
    found = sorted(
        (points.index(e.service_point_id), e.rule, e.period, e.state, e.measured, e.stake_wh, e.stake, e.method)
        for e in live
    )
    return stored, list(found)


def new_points(desk: Desk) -> list[str]:
    run = next(_runs)
    points = [f"r{run}-{number}" for number in range(2)]
    with desk.grid.store.write() as tx:
        for point in points:
            registry.add_service_point(tx, service_point_id=point, premise_id="h0")
    return points


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoils=cells)
def test_to_validate_twice_is_to_validate_once(desk: Desk, spoils: list[tuple[int, int, int, str]]) -> None:
    points = new_points(desk)
    homes = spoilt(spoils)
    desk.deliver(points[0], {p: series(v, without=gaps) for p, (v, gaps) in zip(points, homes, strict=True)})
    desk.validate(ALL, points=points)
    once = picture(desk, points)
    with desk.grid.store.read() as tx:
        version = readings.stats(tx).batches
    again = desk.validate(ALL, points=points)
    assert (again.opened, again.changed, again.superseded, again.estimated, again.restored) == (0, 0, 0, 0, 0)
    assert picture(desk, points) == once
    with desk.grid.store.read() as tx:
        assert readings.stats(tx).batches == version


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoils=cells, order=st.permutations(range(4)), looks=st.lists(st.booleans(), min_size=4, max_size=4))
def test_whatever_came_when_and_was_looked_at_in_between_the_end_is_the_same(
    desk: Desk, spoils: list[tuple[int, int, int, str]], order: list[int], looks: list[bool]
) -> None:
    homes = spoilt(spoils)
    pictures = []
    for parts, checks in ((range(4), [False] * 4), (order, looks)):
        points = new_points(desk)
        for number in parts:
            batch = {}
            for point, (values, gaps) in zip(points, homes, strict=True):
                others = [slot for slot in range(len(values)) if slot // 17 % 4 != number]
                batch[point] = series(values, without=[*gaps, *others])
            desk.deliver(f"{points[0]}:{number}", batch)
            if checks[number]:
                desk.validate(ALL, points=points)
        desk.validate(ALL, points=points)
        pictures.append(picture(desk, points))
    assert pictures[0] == pictures[1]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoils=cells, order=st.permutations(range(8, DAYS)))
def test_days_one_by_one_come_to_what_all_at_once_do(
    desk: Desk, spoils: list[tuple[int, int, int, str]], order: list[int]
) -> None:
    whole = Period.of_epochs(FIRST + 8 * DAY, FIRST + DAYS * DAY)
    days = [Period.of_epochs(FIRST + day * DAY, FIRST + day * DAY + DAY) for day in order]
    pictures = []
    for pieces in ([whole], days):
        points = new_points(desk)
        homes = zip(points, spoilt(spoils), strict=True)
        desk.deliver(points[0], {point: series(values, without=gaps) for point, (values, gaps) in homes})
        for piece in pieces:
            desk.validate(piece, points=points)
        pictures.append(picture(desk, points))
    assert pictures[0] == pictures[1]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoils=cells, chosen=st.lists(st.sampled_from(["accept", "edit", "estimate", "reject", "late"]), max_size=6))
def test_every_change_of_state_and_of_a_value_has_its_step(
    desk: Desk, spoils: list[tuple[int, int, int, str]], chosen: list[str]
) -> None:
    points = new_points(desk)
    homes = spoilt(spoils)
    desk.deliver(points[0], {p: series(v, without=gaps) for p, (v, gaps) in zip(points, homes, strict=True)})
    desk.validate(ALL, points=points)
    for number, action in enumerate(chosen):
        if action == "late":
            desk.deliver(f"{points[0]}:{number}", {points[0]: series(usual(12))})
            desk.validate(ALL, points=points)
            continue
        mine = [one for one in desk.queue() if one.service_point_id in points]
        if not mine:
            break
        one = mine[number % len(mine)]
        wh = [number] * len(one.seen) if action == "edit" else None
        try:
            desk.decide(one.id, action, actor=f"p{number}", wh=wh)  # type: ignore[arg-type]
        except (readings.DecisionRefused, readings.ExceptionDecided):
            desk.validate(ALL, points=points)
    with desk.grid.store.read() as tx:
        every = [
            one
            for state in (*readings.LIVE, "accepted", "edited", "estimated", "rejected", "superseded")
            for p in points
            for one in readings.exceptions(tx, states=[state], service_point_id=p, limit=999)
        ]
        for one in every:
            steps = readings.exception_steps(tx, exception_id=one.id)
            assert steps[0].state_before is None
            assert [a.state_after for a in steps[:-1]] == [b.state_before for b in steps[1:]]
            assert (steps[-1].state_after, steps[-1].at) == (one.state, one.changed_at)
            assert len(steps) == one.revision
            of_people = [step for step in steps if step.actor != "vee"]
            assert all(step.reason and step.before is not None for step in of_people)
            assert (one.decided_by, one.closed_at is not None) == (
                of_people[-1].actor if of_people and not one.live else "",
                not one.live,
            )
