"""The job that collects: by itself, one round at a time, and true however it is ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from paper_headend import NOW, POLICY, CutStore, HeadEnd

from wattledger import headend
from wattledger.worker._collection import Collector

MINUTE = timedelta(minutes=1)
SOON = 20  # seconds until a test that hangs is ended


@pytest.fixture
def head(database_url: str) -> Iterator[HeadEnd]:
    store = CutStore(database_url)
    yield HeadEnd(store)
    store.close()


class Watched:
    """A collector, and an event for each round that it ended."""

    def __init__(self, head: HeadEnd, *, poll: timedelta = MINUTE) -> None:
        self.rounds = threading.Semaphore(0)
        self.collector = Collector(tools=head.tools(), policy=POLICY, wake=self.rounds.release, poll=poll)

    def ended(self) -> bool:
        return self.rounds.acquire(timeout=SOON)


def test_nothing_is_written_while_no_meter_is_due(head: HeadEnd) -> None:
    collector = Watched(head).collector
    assert asyncio.run(collector.once()) is None
    head.add("m")
    assert asyncio.run(collector.once()) is not None
    commits = head.store.last
    assert asyncio.run(collector.once()) is None
    assert head.store.last == commits


def test_what_is_due_is_collected_by_itself_and_a_wake_does_not_wait_for_the_poll(head: HeadEnd) -> None:
    head.add("m", slots=4)
    watched = Watched(head)
    watched.collector.start()
    assert watched.ended()
    assert head.gaps() == []
    assert sum(head.delivered().values()) == 4
    head.submit("c1", "switch_off")
    watched.collector.wake()
    assert watched.ended()
    watched.collector.stop()
    assert head.command("c1").state == "confirmed"


def test_a_stop_leaves_a_silent_meter_and_the_next_collector_takes_it_up(head: HeadEnd) -> None:
    head.add("m", slots=4)
    head.meter().troubles.add("silent")
    watched = Watched(head)
    asked = threading.Event()
    step = head.meter().step
    head.meter().step = lambda: (step(), asked.set())[0]  # type: ignore[method-assign,func-returns-value]
    watched.collector.start()
    assert asked.wait(SOON)
    watched.collector.stop()
    assert sum(head.delivered().values()) == 0
    head.meter().troubles.clear()
    head.later()
    asyncio.run(Watched(head).collector.once())
    assert sorted(head.delivered().values()) == [1, 1, 1, 1]


def test_a_command_that_was_not_sent_in_its_time_is_expired_though_its_meter_rests(head: HeadEnd) -> None:
    head.add("m", due=False)
    head.meter().troubles.add("unreachable")
    head.submit("c1", "switch_off", valid_for=timedelta(seconds=10))
    collector = Watched(head).collector
    asyncio.run(collector.once())
    assert head.command("c1").state == "queued"
    head.later(timedelta(seconds=11))
    with head.store.read() as tx:
        assert headend.work_due(tx, now=head.clock.now())
    asyncio.run(collector.once())
    assert head.command("c1").state == "expired"


def test_a_round_that_fails_does_not_end_the_job(head: HeadEnd) -> None:
    head.add("m", slots=4)
    watched = Watched(head, poll=timedelta(milliseconds=10))
    head.readings.refuses.add("m")
    watched.collector.start()
    assert watched.ended()
    head.readings.refuses.clear()
    head.later()
    watched.collector.wake()
    for _ in range(100):
        if not head.gaps() or not watched.ended():
            break
    watched.collector.stop()
    assert sum(head.delivered().values()) == 4
    contacted_at = head.status().contacted_at
    assert contacted_at is not None
    assert contacted_at > NOW
