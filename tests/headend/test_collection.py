"""Many meters at a time: bounds, failures that end one visit only, batches, and what Prometheus is told."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from paper_headend import POLICY, HeadEnd
from paper_meters import PaperSession

from wattledger import headend
from wattledger.headend import Metrics
from wattledger.kernel import from_epoch


def names(count: int, letter: str = "m") -> list[str]:
    return [f"{letter}{number:04d}" for number in range(count)]


def complete(head: HeadEnd, *meters: str) -> bool:
    """Whether every row of these meters reached the readings, once."""
    delivered = head.delivered()
    return all(delivered[name, start] == 1 for name in meters for start in head.meter(name).rows.starts.tolist())


def test_a_round_brings_everything_that_is_due_once(head: HeadEnd) -> None:
    head.add(*names(60))
    done = head.collect()
    assert (done.reached, done.failed, done.rows) == (60, {}, 60 * 8)
    assert head.gaps() == []
    assert complete(head, *names(60))
    again = head.collect()
    assert (again.reached, again.rows) == (0, 0)


def test_conversations_are_bounded_and_one_a_meter(head: HeadEnd) -> None:
    head.add(*names(40))
    head.add(*names(30, "c"), concentrator="roof")
    head.collect(policy=replace(POLICY, sessions=12, per_concentrator=3))
    assert head.gaps() == []
    assert 6 < head.driver.sessions_most <= 12
    assert {meter.sessions_most for meter in head.driver.meters.values()} == {1}


def test_behind_a_concentrator_only_so_many_at_a_time(head: HeadEnd) -> None:
    head.add(*names(20), concentrator="roof")
    done = head.collect(policy=replace(POLICY, per_concentrator=3))
    assert done.reached == 20
    assert head.driver.sessions_most == 3


def test_visits_are_kept_in_batches(head: HeadEnd) -> None:
    head.add(*names(100))
    before = head.store.last
    head.collect(policy=replace(POLICY, sessions=40, batch=50))
    assert head.store.last - before < 20  # and not a unit of work for each meter
    assert max(head.readings.taken_together) > 10
    assert sum(head.readings.taken_together) == 100


TROUBLES = {
    "unreachable": "unreachable",
    "silent": "timeout",
    "bad_tag": "bad_tag",
    "replay": "replay",
    "truncated": "malformed",
    "refusing": "refused",
}


def test_every_failure_is_told_apart_and_mended_once_the_meter_is(head: HeadEnd) -> None:
    head.add(*names(10))
    for trouble in TROUBLES:
        head.add(trouble, troubles={trouble})
    head.add("wrong_key")
    right = head.meter("wrong_key").keys
    head.meter("wrong_key").keys = replace(right, unicast=None)
    done = head.collect()
    assert done.reached == 10
    assert done.failed == {**dict.fromkeys(TROUBLES.values(), 1), "bad_key": 1}
    assert {name: head.status(name).fault for name in TROUBLES} == TROUBLES
    assert {gap.meter_id for gap in head.gaps()} == {*TROUBLES, "wrong_key"}
    assert complete(head, *names(10))
    head.collect()  # patience: nobody is asked again at once
    assert {head.status(name).failures for name in TROUBLES} == {1}
    for meter in head.driver.meters.values():
        meter.troubles.clear()
    head.meter("wrong_key").keys = right
    head.later()
    head.collect()
    assert head.gaps() == []
    assert complete(head, *names(10), *TROUBLES, "wrong_key")


def test_what_came_before_the_line_broke_is_kept(head: HeadEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    head.add("m")
    start = head.meter().rows.starts
    with head.store.write() as tx:  # two reads: rows 0 and 1 of 8, and the rest
        plan = headend.ProfilePlan(meter_id="m", profile="second", seconds=900, start=from_epoch(int(start[0])))
        headend.expect(tx, plans=[plan], now=head.clock.now())
    whole = PaperSession.read_profile

    async def breaks(self: PaperSession, *, profile: str, start: int, end: int) -> headend.ProfileRows:
        if profile == "second":
            raise headend.MeterTimeout("no answer")
        return await whole(self, profile=profile, start=start, end=end)

    monkeypatch.setattr(PaperSession, "read_profile", breaks)
    done = head.collect()
    assert (done.reached, done.failed, done.rows) == (0, {"timeout": 1}, 8)
    assert {gap.profile for gap in head.gaps()} == {"second"}


def test_a_slow_meter_is_kept_with_a_later_batch(head: HeadEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    head.add("slow", *names(5))
    whole = PaperSession.read_profile

    async def waits(self: PaperSession, *, profile: str, start: int, end: int) -> headend.ProfileRows:
        while self._meter is head.meter("slow") and not head.readings.taken_together:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)  # until the others have been kept
        return await whole(self, profile=profile, start=start, end=end)

    monkeypatch.setattr(PaperSession, "read_profile", waits)
    done = head.collect(policy=replace(POLICY, linger=0))
    assert (done.reached, done.failed) == (6, {})
    assert head.gaps() == []
    assert complete(head, "slow", *names(5))


def test_who_collects_steadily_waits_for_no_slow_meter(head: HeadEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    head.add("slow")
    whole = PaperSession.read_profile

    async def waits(self: PaperSession, *, profile: str, start: int, end: int) -> headend.ProfileRows:
        if self._meter is head.meter("slow"):
            head.add("late")
            while not head.readings.taken_together:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)  # until somebody who was due later has been kept
        return await whole(self, profile=profile, start=start, end=end)

    monkeypatch.setattr(PaperSession, "read_profile", waits)
    done = asyncio.run(headend.collect(tools=head.tools(), policy=replace(POLICY, linger=0), steadily=True))
    assert (done.reached, done.failed) == (2, {})
    assert complete(head, "slow", "late")


def test_a_lease_lasts_as_long_as_life_does_where_the_clock_runs_faster(
    head: HeadEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.add("m")
    whole = PaperSession.read_profile
    others: list[int] = []

    async def takes_long(self: PaperSession, *, profile: str, start: int, end: int) -> headend.ProfileRows:
        if not others:
            head.later()
            other = await headend.collect(tools=replace(head.tools(), clock_speed=600), policy=POLICY)
            others.append(other.reached)
        return await whole(self, profile=profile, start=start, end=end)

    monkeypatch.setattr(PaperSession, "read_profile", takes_long)
    asyncio.run(headend.collect(tools=replace(head.tools(), clock_speed=600), policy=POLICY))
    assert others == [0]
    assert head.meter().sessions_most == 1


def test_a_delivery_that_cannot_be_kept_fails_alone(head: HeadEnd) -> None:
    head.add(*names(30))
    head.readings.refuses = {"m0007"}
    done = head.collect()
    assert (done.reached, done.failed) == (29, {"error": 1})
    assert {gap.meter_id for gap in head.gaps()} == {"m0007"}
    assert complete(head, *(name for name in names(30) if name != "m0007"))
    assert ("m0007", 0) not in head.delivered()
    assert "cannot be kept" in (head.status("m0007").detail or "")
    head.readings.refuses.clear()
    head.later()
    head.collect()
    assert head.gaps() == []


def test_a_driver_that_goes_wrong_ends_one_visit_and_its_words_are_not_kept(
    head: HeadEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blabs(self: PaperSession, *, profile: str, start: int, end: int) -> headend.ProfileRows:  # noqa: ARG001 - as it is called
        raise KeyError("00112233445566778899aabbccddeeff")

    head.add("m", "n", due=False)
    head.add("o")
    monkeypatch.setattr(PaperSession, "read_profile", blabs)
    done = head.collect()
    assert done.failed == {"error": 1}
    assert head.status("o").detail == "paper failed with KeyError"


def test_a_link_without_a_driver_is_told(head: HeadEnd) -> None:
    head.add("m")
    with head.store.write() as tx:
        link = headend.MeterLink(meter_id="m", driver="morse", address="m")
        headend.put_meters(tx, links=[link], now=head.clock.now())
    assert head.collect().failed == {"error": 1}
    assert "no driver is called 'morse'" in (head.status().detail or "")


def test_only_some_meters(head: HeadEnd) -> None:
    head.add(*names(5))
    assert head.collect(only=["m0001", "m0003"]).reached == 2
    assert {gap.meter_id for gap in head.gaps()} == {"m0000", "m0002", "m0004"}


def test_a_long_backlog_is_read_in_pieces(head: HeadEnd) -> None:
    head.add("m", slots=96 * 70)
    done = head.collect(policy=replace(POLICY, reads_max=1))
    assert (done.reached, done.rows) == (3, 96 * 70)  # 3,000 rows a read
    assert head.gaps() == []


def test_two_processes_share_the_work(head: HeadEnd) -> None:
    head.add(*names(50))
    other = HeadEnd(head.store, clock=head.clock, driver=head.driver)

    async def both() -> list[headend.Collected]:
        policy = replace(POLICY, sessions=10)
        rounds = (headend.collect(tools=one.tools(), policy=policy) for one in (head, other))
        return await asyncio.gather(*rounds)

    done = asyncio.run(both())
    assert sum(one.reached for one in done) == 50
    assert complete(head, *names(50))
    assert {meter.sessions_most for meter in head.driver.meters.values()} == {1}


def test_a_round_that_is_cancelled_leaves_the_rest_due(head: HeadEnd) -> None:
    head.add(*names(20))
    head.meter("m0003").troubles.add("silent")

    async def cancelled() -> None:
        round_ = asyncio.create_task(headend.collect(tools=head.tools(), policy=replace(POLICY, sessions=4)))
        head.driver.noticed = asyncio.Event()
        await head.driver.noticed.wait()
        round_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await round_

    asyncio.run(cancelled())
    assert head.driver.sessions == 0
    head.meter("m0003").troubles.clear()
    head.later()
    head.collect()
    assert head.gaps() == []
    assert complete(head, *names(20))


def test_registers_are_read_at_each_visit_if_wanted(head: HeadEnd) -> None:
    head.add("m")
    head.collect(policy=replace(POLICY, registers=("1-0:1.8.0",)))
    assert head.facts("RegistersRead") == [{"meter_id": "m", "wh": "[1000]"}]


def test_a_meter_that_is_ahead_of_our_counter_is_caught_up_with(head: HeadEnd) -> None:
    head.add("m", counter=100_000)
    assert head.collect().reached == 1
    assert min(head.meter().tried) == 100_001


def test_a_frame_of_an_earlier_visit_is_a_replay(head: HeadEnd) -> None:
    head.add("m")
    head.collect()
    head.meter().said = 0  # whoever recorded the first conversation plays it again
    head.later()
    assert head.collect().failed == {"replay": 1}


def test_a_counter_that_is_used_up_is_told(head: HeadEnd) -> None:
    head.add("m", "n")
    with head.store.write() as tx:
        headend.raise_counter(tx, meter_id="m", value=2**32 - 1)
    assert head.collect().failed == {"error": 1}
    assert "4294967295" in (head.status("m").detail or "")


# --- Prometheus ---


def test_what_prometheus_is_told(head: HeadEnd) -> None:
    head.add(*names(3))
    head.add("x", troubles={"unreachable"})
    head.collect()
    text = head.metrics.text()
    assert "\nwattledger_headend_meters_reached_total 3\n" in text
    assert '\nwattledger_headend_meters_failed_total{kind="unreachable"} 1\n' in text
    assert "\nwattledger_headend_rows_total 24\n" in text
    assert "\nwattledger_headend_visits 0\n" in text


def test_every_line_is_in_the_text_format() -> None:
    metrics = Metrics()
    metrics.failed['a"b\\c\nd'] = 2
    metrics.spent = timedelta(seconds=12, microseconds=34)
    lines = metrics.text().splitlines()
    sample = re.compile(r'[a-z_]+(\{kind="(\\.|[^"\\\n])*"\})? [0-9]+(\.[0-9]+)?')
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    assert "wattledger_headend_visit_seconds_total 12.000034" in lines
    assert r'wattledger_headend_meters_failed_total{kind="a\"b\\c\nd"} 2' in lines
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))
