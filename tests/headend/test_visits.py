"""Conversations that go well, go wrong, and end in the middle: commands, clocks, reads on demand, keys."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from paper_headend import HeadEnd
from paper_meters import PowerCut

from wattledger import headend
from wattledger.headend import AskRequest, EventKind, LoggedEvent
from wattledger.headend._keys import candidates
from wattledger.kernel import Period, epoch, from_epoch


def ask(head: HeadEnd, **request: Any) -> None:  # noqa: ANN401 - as AskRequest has it
    with head.store.write() as tx:
        headend.ask(tx, request=AskRequest(id="a1", meter_id="m", **request), now=head.clock.now())


def asked(head: HeadEnd) -> headend.Ask:
    with head.store.read() as tx:
        return headend.asked(tx, ask_id="a1")


# --- Commands ---


@pytest.mark.parametrize("action", ["switch_off", "switch_on"])
def test_a_switch_is_confirmed_by_reading_back(head: HeadEnd, action: headend.Action) -> None:
    head.add(
        "m", due=False, output=action == "switch_off", state="connected" if action == "switch_off" else "disconnected"
    )
    head.submit("c", action)
    head.collect()
    done = head.command("c")
    assert (done.state, head.meter().output) == ("confirmed", action == "switch_on")
    assert done.seen == f"output {'on' if head.meter().output else 'off'}, {head.meter().state}, mode 4"
    assert head.facts("CommandSettled")[0]["state"] == "confirmed"
    assert head.pauses == []


def test_a_limit_is_confirmed_by_reading_back(head: HeadEnd) -> None:
    head.add("m", due=False)
    head.submit("c", "set_limit", watts=3000)
    head.collect()
    assert (head.command("c").state, head.meter().limit) == ("confirmed", 3000)


@pytest.mark.parametrize(("action", "watts"), [("switch_off", None), ("set_limit", 5)])
def test_what_is_accepted_and_not_done_is_told_so(head: HeadEnd, action: headend.Action, watts: int | None) -> None:
    head.add("m", due=False, troubles={"stuck_relay"})
    head.submit("c", action, watts=watts)
    head.collect()
    assert head.command("c").state == "not_performed"
    assert head.pauses == [1, 1]
    assert head.status().fault is None


@pytest.mark.parametrize("mode", [1, 3, 5, 6])
def test_a_reconnect_that_waits_for_its_button_is_not_done_until_it_is_pressed(head: HeadEnd, mode: int) -> None:
    head.add("m", due=False, output=False, state="disconnected", mode=mode)
    head.submit("c", "switch_on")
    head.collect()
    assert head.command("c").state == "ready_for_reconnection"
    head.meter().press_button()
    ask(head, what="relay")
    head.collect()
    assert head.command("c").state == "confirmed"


def test_a_slow_relay_is_read_back_again(head: HeadEnd) -> None:
    head.add("m", due=False, moves_after=1)
    head.submit("c", "switch_off")
    head.collect()
    assert (head.command("c").state, head.pauses) == ("confirmed", [1])


def test_a_refused_command_has_failed(head: HeadEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise headend.RefusedByMeter("not in this mode")

    head.add("m", due=False)
    monkeypatch.setattr("paper_meters.PaperSession.switch", refuses)
    head.submit("c", "switch_off")
    head.collect()
    assert (head.command("c").state, head.command("c").detail) == ("failed", "not in this mode")


def test_a_lost_answer_is_unknown_until_it_is_read_back(head: HeadEnd) -> None:
    head.add("m", due=False, troubles={"silent_after_acting"})
    head.submit("c", "switch_off")
    head.collect()
    assert (head.command("c").state, head.meter().output) == ("unknown", False)
    assert head.status().fault == "timeout"
    head.meter().troubles.clear()
    head.later()
    head.collect()
    assert (head.command("c").state, head.command("c").attempts) == ("confirmed", 1)
    assert head.meter().asked.count("switch off") == 1


def test_a_meter_that_is_not_reached_gets_its_command_later_or_never(head: HeadEnd) -> None:
    head.add("m", due=False, troubles={"unreachable"})
    head.submit("c", "switch_off", valid_for=timedelta(hours=3))
    head.collect()
    assert (head.command("c").state, head.command("c").attempts) == ("queued", 0)
    head.later(timedelta(hours=4))
    head.meter().troubles.clear()
    head.collect()
    assert head.command("c").state == "expired"
    assert head.meter().output


def test_commands_are_carried_out_in_their_order(head: HeadEnd) -> None:
    head.add("m", due=False)
    for number, action in enumerate(("switch_off", "switch_on", "switch_off")):
        head.submit(f"c{number}", action)  # type: ignore[arg-type]
    head.collect()
    assert [head.command(f"c{number}").state for number in range(3)] == ["confirmed"] * 3
    assert not head.meter().output


# --- Reads on demand ---


def test_a_read_on_demand_is_answered_and_its_rows_are_kept(head: HeadEnd) -> None:
    head.add("m", slots=8)
    starts = head.meter().rows.starts.tolist()
    period = Period(from_epoch(starts[2]), from_epoch(starts[4]))
    ask(head, what="profile", profile="load", seconds=900, period=period)
    head.meter().troubles.add("nothing")
    head.collect()
    found = asked(head)
    assert found.state == "done"
    assert found.answer is not None
    assert [row[0] for row in found.answer["rows"]] == starts[2:4]
    assert found.answer["rows"][0][1] == head.meter().rows.values[2].tolist()
    assert head.gaps() == []


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"what": "clock"}, {"at": 1773100801 - 1, "valid": True, "off": 0}),
        ({"what": "relay"}, {"output": True, "control_state": "connected", "control_mode": 4}),
        ({"what": "limit"}, {"watts": 10_000}),
        (
            {"what": "registers", "names": ["1-0:2.8.0"]},
            {"registers": [{"name": "1-0:2.8.0", "value": 1000, "scale": 0, "unit": "Wh", "at": 1773100800}]},
        ),
    ],
)
def test_what_can_be_asked(head: HeadEnd, request_: dict[str, object], answer: dict[str, object]) -> None:
    head.add("m", due=False)
    ask(head, **request_)
    head.collect()
    assert (asked(head).state, asked(head).answer) == ("done", answer)


def test_a_read_that_nobody_could_make_in_time_is_expired(head: HeadEnd) -> None:
    head.add("m", due=False, troubles={"unreachable"})
    ask(head, what="clock")
    head.collect()
    assert asked(head).state == "waiting"
    head.later()
    head.collect()
    assert asked(head).state == "expired"


def test_a_refused_read_says_so_and_hinders_nothing_else(head: HeadEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise headend.NoData("there is no limiter")

    monkeypatch.setattr("paper_meters.PaperSession.read_limit", refuses)
    head.add("m")
    ask(head, what="limit")
    head.collect()
    assert (asked(head).state, asked(head).detail) == ("failed", "there is no limiter")
    assert head.gaps() == []


def test_one_id_is_one_read(head: HeadEnd) -> None:
    head.add("m", due=False)
    ask(head, what="clock")
    ask(head, what="clock")
    with pytest.raises(headend.AskConflict):
        ask(head, what="relay")
    with pytest.raises(headend.AskUnknown), head.store.read() as tx:
        headend.asked(tx, ask_id="a2")


@pytest.mark.parametrize(
    "request_", [{"what": "weather"}, {"what": "registers"}, {"what": "profile", "profile": "load"}]
)
def test_a_read_that_makes_no_sense_is_refused(head: HeadEnd, request_: dict[str, object]) -> None:
    head.add("m", due=False)
    with pytest.raises(headend.AskRefused):
        ask(head, **request_)


# --- Clocks and logs ---


def clock_story(head: HeadEnd) -> list[tuple[int, str, bool]]:
    with head.store.read() as tx:
        steps = headend.clock_steps(tx, meter_id="m")
    return [(step.off, step.outcome, step.crossed) for step in reversed(steps)]


@pytest.mark.parametrize(
    ("off", "story"),
    [(0, []), (10, []), (-10, []), (60, [(60, "set", False)]), (301, [(301, "too_far", False)])],
)
def test_a_clock_is_set_within_limits(head: HeadEnd, off: int, story: list[tuple[int, str, bool]]) -> None:
    head.add("m", clock_off=timedelta(seconds=off))
    head.collect()
    assert clock_story(head) == story
    assert head.status().clock_off == off
    assert head.meter().clock_off == timedelta(seconds=off if not story or story[0][1] != "set" else 0)


def test_a_step_across_an_edge_is_put_off_once_and_then_told(head: HeadEnd) -> None:
    head.add("m", clock_off=timedelta(seconds=-60))  # it is midnight here, and a minute before there
    head.collect()
    head.later()
    head.collect()
    assert clock_story(head) == [(-60, "put_off", False), (-60, "set", True)]
    assert head.meter().clock_off == timedelta()


def test_a_step_that_was_put_off_is_made_where_no_edge_is(head: HeadEnd) -> None:
    head.add("m", clock_off=timedelta(seconds=-60))
    head.collect()
    head.later(timedelta(minutes=20))
    head.collect()
    assert clock_story(head) == [(-60, "put_off", False), (-60, "set", False)]


def test_logs_are_read_when_due_and_tampers_told(head: HeadEnd) -> None:
    at = epoch(head.clock.now()) - 3600
    head.add("m", due=False, events=[LoggedEvent(log="fraud", code=44, at=at)])
    with head.store.write() as tx:
        since = head.clock.now() - timedelta(days=1)
        headend.expect_events(
            tx, meter_ids=["m"], log="fraud", every=timedelta(hours=6), since=since, now=head.clock.now()
        )
    for _ in range(3):
        head.collect()
        head.later(timedelta(hours=6))
    with head.store.read() as tx:
        (event,) = headend.events_of(tx, meter_id="m")
    assert event.kind is EventKind.METER_COVER_OPENED
    assert [fact["kind"] for fact in head.facts("TamperSuspected")] == ["meter_cover_opened"]
    assert len([what for what in head.meter().asked if what.startswith("read events")]) == 3


# --- Keys ---


def settled(head: HeadEnd, meter: str) -> bool:
    """Whether the meter is talked to under its one ACTIVE generation."""
    with head.store.read() as tx:
        found = candidates(tx, meter_ids=[meter], vault=head.vault)[meter]
    assert isinstance(found, list)
    return len(found) == 1 and replace(found[0].keys, generation=0) == replace(head.meter(meter).keys, generation=0)


def test_a_rotation_is_proved_by_a_conversation_under_the_new_keys(head: HeadEnd) -> None:
    head.add("m", due=False)
    before = head.meter().keys
    assert head.rotate() == 2
    head.collect()
    assert head.key_states() == [(1, "retired"), (2, "active")]
    assert head.meter().keys.unicast != before.unicast
    assert settled(head, "m")
    assert head.facts("KeysRotated") == [{"meter_id": "m", "generation": 2}]
    head.rotate()
    head.collect()
    assert head.key_states() == [(1, "retired"), (2, "retired"), (3, "active")]


@pytest.mark.parametrize(
    ("trouble", "visits"),
    [
        ("silent_after_acting", 1),  # it took them, its answer was lost
        ("half_keys", 2),  # its power went between the two keys
        ("lost_keys", 2),  # it said yes and forgot
    ],
)
def test_whatever_becomes_of_the_transfer_the_meter_stays_reachable(head: HeadEnd, trouble: str, visits: int) -> None:
    head.add("m", troubles={trouble})
    head.rotate()
    head.collect()
    if visits > 1:
        assert head.key_states() == [(1, "active"), (2, "new")]
        with head.store.read() as tx:
            new = headend.key_statuses(tx, meter_id="m")[-1]
        assert new.attempts == 1
        assert new.detail
        assert head.status().fault == "bad_key"
    head.meter().troubles.clear()
    for _ in range(visits - 1):
        head.later()
        head.collect()
    assert head.key_states() == [(1, "retired"), (2, "active")]
    assert settled(head, "m")
    assert head.gaps() == []


def test_keys_that_the_meter_took_before_we_died_are_not_sent_again(head: HeadEnd) -> None:
    head.add("m", due=False)
    head.rotate()
    with head.store.read() as tx:
        found = candidates(tx, meter_ids=["m"], vault=head.vault)["m"]
    assert isinstance(found, list)
    head.meter().keys = found[1].keys
    head.collect()
    assert head.key_states() == [(1, "retired"), (2, "active")]
    assert "install keys" not in head.meter().asked


def test_readings_are_collected_while_a_rotation_is_not_settled(head: HeadEnd) -> None:
    head.add("m", troubles={"lost_keys"})
    head.rotate()
    head.collect()
    assert head.key_states()[-1] == (2, "new")
    assert head.gaps() == []


def test_a_meter_that_takes_neither_keeps_both(head: HeadEnd) -> None:
    head.add("m", due=False)
    head.rotate()
    head.meter().keys = replace(head.meter().keys, unicast=None)
    head.collect()
    assert head.key_states() == [(1, "active"), (2, "new")]
    assert head.status().fault == "bad_key"


def test_keys_that_cannot_be_opened_end_one_visit_and_no_other(head: HeadEnd) -> None:
    head.add("m", "n")
    other = headend.LocalMasterKey(bytes(32), random=bytes)
    with head.store.write() as tx:
        vault = headend.Vault(other, random=bytes)
        headend.put_keys(tx, meter_id="m", keys=head.meter().keys, vault=vault, now=head.clock.now())
    done = head.collect()
    assert (done.reached, done.failed) == (1, {"error": 1})
    assert "was not given" in (head.status("m").detail or "")
    assert {gap.meter_id for gap in head.gaps()} == {"m"}


# --- Power cuts of the head-end, at every step ---


@dataclass
class Cuts:
    """Lets the process die at every step of a conversation, and before and after every commit, and starts it again.

    Each cut has a meter of its own, in ``names``.
    """

    head: HeadEnd
    begin: Callable[[str], object]
    meter: dict[str, Any]
    names: list[str] = field(default_factory=list)

    def everywhere(self) -> list[str]:
        steps = 1
        while self._cut_short(step=steps):
            steps += 1
        commits = 1
        while self._cut_short(commit=(commits, "before")):
            assert self._cut_short(commit=(commits, "after"))
            commits += 1
        assert steps > 3
        assert commits > 2
        return self.names

    def _cut_short(self, *, step: int | None = None, commit: tuple[int, str] | None = None) -> bool:
        """Whether it died; afterwards everything that could be done is done."""
        head, name = self.head, f"m{len(self.names)}"
        self.names.append(name)
        head.add(name, **self.meter)
        self.begin(name)
        if step is not None:
            head.meter(name).cut_at = head.meter(name).steps + step
        if commit is not None:
            head.store.cut = (head.store.last + commit[0], commit[1])
        died = False
        try:
            head.collect(only=[name])
        except PowerCut:
            died = True
        head.store.cut = head.meter(name).cut_at = None
        for _ in range(3):  # the lease runs out, and patience ends
            head.later()
            head.collect(only=[name])
        return died


def every_cut(head: HeadEnd, begin: Callable[[str], object], **meter: Any) -> list[str]:  # noqa: ANN401 - as a paper meter has it
    return Cuts(head, begin, meter).everywhere()


def assert_counters_only_rise(head: HeadEnd, name: str) -> None:
    tried = head.meter(name).tried
    assert all(a < b for a, b in pairwise(tried)), tried


def test_a_collection_that_is_killed_anywhere_loses_and_doubles_nothing(head: HeadEnd) -> None:
    names = every_cut(head, lambda _: None, slots=4)
    assert head.gaps() == []
    delivered = head.delivered()
    wanted = {(name, start) for name in names for start in head.meter(name).rows.starts.tolist()}
    assert delivered.keys() == wanted
    assert set(delivered.values()) == {1}
    for name in names:
        assert_counters_only_rise(head, name)


def test_a_rotation_that_is_killed_anywhere_locks_nobody_out(head: HeadEnd) -> None:
    names = every_cut(head, head.rotate, due=False)
    for name in names:
        assert head.key_states(name) == [(1, "retired"), (2, "active")], name
        assert settled(head, name)
        assert head.meter(name).keys.generation == 2
        assert_counters_only_rise(head, name)


def test_a_disconnect_that_is_killed_anywhere_ends_in_the_truth(head: HeadEnd) -> None:
    names = every_cut(head, lambda name: head.submit(f"c-{name}", "switch_off", meter=name), due=False)
    for name in names:
        done = head.command(f"c-{name}")
        assert (done.state, head.meter(name).output) == ("confirmed", False), name
        assert head.meter(name).asked.count("switch off") <= 2
        assert_counters_only_rise(head, name)


def test_a_disconnect_at_a_stuck_relay_is_never_done_wherever_it_is_killed(head: HeadEnd) -> None:
    def begin(name: str) -> None:
        head.meter(name).troubles.add("stuck_relay")
        head.submit(f"c-{name}", "switch_off", meter=name)

    names = every_cut(head, begin, due=False)
    for name in names:
        assert head.command(f"c-{name}").state == "not_performed", name
