from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger import headend
from wattledger.headend import MeterLink, ProfilePlan, RetryPolicy
from wattledger.headend._queue import Trouble, lease, release
from wattledger.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG = timedelta(minutes=10)
RETRY = RetryPolicy()
SILENCE: Trouble = ("timeout", "no answer")


def meters(store: Store, *names: str, concentrator: str = "") -> None:
    """Meters with something due for a day."""
    with store.write() as tx:
        links = [
            MeterLink(meter_id=name, driver="paper", address=name, concentrator=concentrator, options={"client": "1"})
            for name in names
        ]
        headend.put_meters(tx, links=links, now=NOW)
        headend.expect(
            tx,
            plans=[
                ProfilePlan(meter_id=name, profile="load", seconds=900, start=NOW - timedelta(days=3)) for name in names
            ],
            now=NOW,
        )


def claim(
    store: Store,
    *,
    now: datetime = NOW,
    limit: int = 100,
    per_concentrator: int = 2,
    holder: str = "t",
    only: Sequence[str] | None = None,
) -> list[str]:
    with store.write() as tx:
        leases = lease(
            tx, holder=holder, limit=limit, per_concentrator=per_concentrator, now=now, until=now + LONG, only=only
        )
    return [one.link.meter_id for one in leases]


def end(store: Store, *names: str, trouble: Trouble | None = None, now: datetime = NOW, holder: str = "t") -> None:
    with store.write() as tx:
        release(tx, ended=dict.fromkeys(names, trouble), holder=holder, retry=RETRY, jitter=lambda most: most, now=now)


def status(store: Store, name: str, *, now: datetime = NOW) -> headend.MeterStatus:
    with store.read() as tx:
        (found,) = headend.meter_statuses(tx, meter_ids=[name], now=now)
    return found


def test_a_link_comes_back_as_it_was(store: Store) -> None:
    meters(store, "a", concentrator="c1")
    link = status(store, "a").link
    assert (link.meter_id, link.driver, link.address, link.concentrator) == ("a", "paper", "a", "c1")
    assert dict(link.options) == {"client": "1"}


def test_two_visits_never_talk_to_one_meter(store: Store) -> None:
    meters(store, "a", "b", "c")
    assert claim(store, limit=2) == ["a", "b"]
    assert status(store, "a").visited
    assert claim(store) == ["c"]
    assert claim(store) == []


def test_the_lease_of_a_dead_process_runs_out_and_its_late_word_frees_nobody(store: Store) -> None:
    meters(store, "a")
    claim(store, holder="dead")
    later = NOW + LONG
    assert claim(store, now=later, holder="alive") == ["a"]
    end(store, "a", now=later, holder="dead")
    assert status(store, "a", now=later).visited
    assert claim(store, now=later) == []


def test_whoever_knows_that_the_others_are_dead_need_not_wait(store: Store) -> None:
    meters(store, "a", "b", "c")
    assert claim(store, limit=2, holder="dead") == ["a", "b"]
    with store.write() as tx:
        assert headend.drop_leases(tx, now=NOW) == 2
    assert claim(store) == ["a", "b", "c"]


def test_behind_one_concentrator_only_so_many_at_a_time(store: Store) -> None:
    meters(store, "a", "b", "c", "d", concentrator="c1")
    meters(store, "e", "f", concentrator="c2")
    meters(store, "x", "y", "z")
    assert claim(store, per_concentrator=2) == ["a", "b", "e", "f", "x", "y", "z"]
    assert claim(store, per_concentrator=2) == []
    end(store, "a", trouble=SILENCE)
    assert claim(store, per_concentrator=2) == ["c"]


def test_a_limit_is_no_obstacle_to_other_concentrators(store: Store) -> None:
    meters(store, "a", "b", "c", concentrator="c1")
    meters(store, "d", concentrator="c2")
    assert claim(store, per_concentrator=1, limit=2) == ["a", "d"]


def test_who_waits_for_an_answer_goes_first_and_past_all_patience(store: Store) -> None:
    meters(store, "a", "b", "z")
    claim(store, only=["z"])
    end(store, "z", trouble=SILENCE)
    assert claim(store, only=["z"]) == []
    with store.write() as tx:
        headend.hurry(tx, meter_ids=["z"], now=NOW)
    assert claim(store, limit=1) == ["z"]
    end(store, "z", trouble=SILENCE)
    assert claim(store, limit=1) == ["a"]  # tried at once, once: then patience again


def test_an_answer_asked_for_during_a_visit_leads_to_another(store: Store) -> None:
    meters(store, "a")
    claim(store)
    with store.write() as tx:
        headend.hurry(tx, meter_ids=["a"], now=NOW)
    assert claim(store) == []
    end(store, "a", trouble=SILENCE)
    assert claim(store) == ["a"]


def test_patience_grows_and_ends_with_success(store: Store) -> None:
    meters(store, "a")
    now, waits = NOW, []
    for _ in range(4):
        assert claim(store, now=now) == ["a"]
        end(store, "a", trouble=SILENCE, now=now)
        found = status(store, "a", now=now)
        assert found.visit_at is not None
        waits.append(found.visit_at - now)
        assert claim(store, now=found.visit_at - timedelta(seconds=1)) == []
        now = found.visit_at
    assert waits == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert (found.failures, found.fault, found.detail) == (4, "timeout", "no answer")
    assert found.contacted_at is None
    claim(store, now=now)
    end(store, "a", now=now)
    found = status(store, "a", now=now)
    assert (found.failures, found.fault, found.contacted_at) == (0, None, now)


def test_a_new_address_ends_all_patience(store: Store) -> None:
    meters(store, "a")
    claim(store)
    end(store, "a", trouble=SILENCE)
    assert claim(store) == []
    with store.write() as tx:
        headend.put_meters(tx, links=[MeterLink(meter_id="a", driver="paper", address="elsewhere")], now=NOW)
    assert claim(store) == ["a"]


@given(st.integers(1, 10_000), st.data())
def test_waits_lie_between_half_and_whole(failures: int, data: st.DataObject) -> None:
    def jitter(most: int) -> int:
        return data.draw(st.integers(0, most))

    wait = RETRY.wait(failures=failures, jitter=jitter)
    whole = RETRY.rest if failures >= RETRY.budget else min(RETRY.first * 2 ** min(failures - 1, 20), RETRY.longest)
    assert whole / 2 <= wait <= whole


def test_a_meter_that_failed_too_often_is_given_a_rest() -> None:
    waits = [RETRY.wait(failures=failures, jitter=lambda most: most) for failures in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[RETRY.budget - 2] == RETRY.longest
    assert waits[RETRY.budget - 1] == RETRY.rest


def test_nobody_is_visited_for_nothing(store: Store) -> None:
    with store.write() as tx:
        headend.put_meters(tx, links=[MeterLink(meter_id="idle", driver="paper", address="x")], now=NOW)
    assert claim(store) == []
    assert status(store, "idle").visit_at is None


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_rows_are_asked_for_again_later_each_time(asked: int) -> None:
    again = RETRY.ask_again(asked, now=NOW)
    assert again == (None if asked == 3 else NOW + RETRY.longest * 2 ** (asked - 1))
