from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from wattledger import headend
from wattledger.headend import CommandRequest, MeterLink, Relay
from wattledger.headend._commands import (
    TRANSITIONS,
    Action,
    CommandEvent,
    CommandState,
    advance,
    judge_unknown,
    note_relay,
    open_commands,
    verdict_on_limit,
    verdict_on_relay,
)
from wattledger.headend._queue import OPEN_COMMANDS
from wattledger.headend.ports import ControlState
from wattledger.store import Store, recent_facts

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OFF = CommandRequest(id="c1", meter_id="m", action="switch_off", actor="ada", reason="unpaid")
ON = CommandRequest(id="c2", meter_id="m", action="switch_on", actor="ada", reason="paid")


@pytest.fixture(autouse=True)
def meter(store: Store) -> None:
    with store.write() as tx:
        headend.put_meters(tx, links=[MeterLink(meter_id="m", driver="paper", address="m")], now=NOW)


def submit(store: Store, request: CommandRequest, *, now: datetime = NOW) -> headend.Command:
    with store.write() as tx:
        return headend.submit(tx, request=request, now=now)


def happen(store: Store, *events: CommandEvent, command: str = "c1", now: datetime = NOW) -> headend.Command:
    with store.write() as tx:
        for event in events:
            found = advance(tx, command_id=command, event=event, now=now)
    return found


def settled(store: Store) -> list[tuple[str, str]]:
    with store.read() as tx:
        facts = [headend.CommandSettled.from_recorded(one) for one in reversed(recent_facts(tx, limit=50))]
    return [(fact.command_id, fact.state) for fact in facts]


# --- The table ---


def test_every_state_is_reached_and_every_event_happens() -> None:
    assert set(TRANSITIONS.values()) == set(get_args(CommandState))
    assert {event for _, event in TRANSITIONS} == set(get_args(CommandEvent))


def test_confirmed_is_reached_by_reading_back_alone() -> None:
    assert {event for (_, event), after in TRANSITIONS.items() if after == "confirmed"} == {"see_done"}
    assert {before for (before, _), after in TRANSITIONS.items() if after == "confirmed"} == {
        "accepted",
        "unknown",
        "ready_for_reconnection",
    }


def test_what_may_have_been_done_never_becomes_expired_or_withdrawn() -> None:
    ends = {"expired", "withdrawn"}
    assert {before for (before, _), after in TRANSITIONS.items() if after in ends} == {"queued"}


def test_every_open_state_has_a_way_to_an_end() -> None:
    ways = defaultdict[CommandState | None, set[CommandState]](set)
    for (before, _), after in TRANSITIONS.items():
        ways[before].add(after)
    for state in OPEN_COMMANDS:
        seen = new = {cast("CommandState", state)}
        while new:
            new = {after for before in new for after in ways[before]} - seen
            seen = seen | new
        assert "confirmed" in seen


# --- What is read back ---

relays = st.builds(
    Relay,
    output_state=st.booleans(),
    control_state=st.sampled_from(get_args(ControlState)),
    control_mode=st.integers(0, 6),
)


@given(relays, st.sampled_from(["switch_on", "switch_off"]))
def test_both_attributes_have_to_say_so(relay: Relay, action: Action) -> None:
    event, seen = verdict_on_relay(action=action, relay=relay)
    wanted = {"switch_on": (True, "connected"), "switch_off": (False, "disconnected")}[action]
    assert (event == "see_done") == ((relay.output_state, relay.control_state) == wanted)
    assert (event == "see_ready") == (not relay.output_state and relay.control_state == "ready_for_reconnection")
    assert f"mode {relay.control_mode}" in seen


def test_a_limit_is_done_when_it_is_that_limit() -> None:
    assert verdict_on_limit(wanted=3000, watts=3000) == ("see_done", "limit 3000 W")
    assert verdict_on_limit(wanted=3000, watts=2999)[0] == "see_undone"


# --- In the database ---


def test_a_command_from_its_request_to_its_proof(store: Store) -> None:
    first = submit(store, OFF)
    assert (first.state, first.expires_at, first.done_at) == ("queued", NOW + timedelta(hours=24), None)
    happen(store, "send", now=NOW + timedelta(seconds=1))
    happen(store, "accept", now=NOW + timedelta(seconds=2))
    with store.write() as tx:
        done = advance(tx, command_id="c1", event="see_done", seen="output off", now=NOW + timedelta(seconds=3))
    assert (done.state, done.attempts, done.seen) == ("confirmed", 1, "output off")
    assert done.sent_at == NOW + timedelta(seconds=1)
    assert done.accepted_at == NOW + timedelta(seconds=2)
    assert done.done_at == NOW + timedelta(seconds=3)
    assert settled(store) == [("c1", "confirmed")]
    with store.read() as tx:
        steps = headend.command_steps(tx, command_id="c1")
    assert [(step.actor, step.event, step.after) for step in steps] == [
        ("ada", "request", "queued"),
        ("head-end", "send", "sent"),
        ("head-end", "accept", "accepted"),
        ("head-end", "see_done", "confirmed"),
    ]


def test_the_same_request_again_is_the_same_command(store: Store) -> None:
    submit(store, OFF)
    happen(store, "send")
    again = submit(store, OFF, now=NOW + timedelta(hours=1))
    assert (again.state, again.requested_at) == ("sent", NOW)
    with store.read() as tx:
        assert len(headend.commands(tx, meter_id="m")) == 1
        assert len(headend.command_steps(tx, command_id="c1")) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"meter_id": "other"},
        {"action": "switch_on"},
        {"action": "set_limit", "watts": 5},
        {"actor": "bob"},
        {"reason": "for fun"},
        {"valid_for": timedelta(hours=1)},
    ],
)
def test_the_same_id_with_other_content_is_refused(store: Store, other: dict[str, Any]) -> None:
    submit(store, OFF)
    with pytest.raises(headend.CommandConflict, match="c1"):
        submit(store, replace(OFF, **other))


@pytest.mark.parametrize(
    "other",
    [
        {"id": " "},
        {"id": "x" * 121},
        {"action": "explode"},
        {"actor": ""},
        {"reason": " "},
        {"valid_for": timedelta()},
        {"watts": 5},
        {"action": "set_limit"},
        {"action": "set_limit", "watts": -1},
        {"action": "set_limit", "watts": 2**32},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(store: Store, other: dict[str, Any]) -> None:
    with pytest.raises(headend.CommandRefused):
        submit(store, replace(OFF, **other))


def test_a_command_to_nobody_is_refused(store: Store) -> None:
    with pytest.raises(headend.MeterNotLinked):
        submit(store, replace(OFF, meter_id="nowhere"))


def test_what_is_not_sent_in_its_time_is_not_sent(store: Store) -> None:
    submit(store, replace(OFF, valid_for=timedelta(hours=1)))
    submit(store, ON)
    with store.write() as tx:
        assert headend.expire_commands(tx, now=NOW + timedelta(minutes=59)) == 0
        assert headend.expire_commands(tx, now=NOW + timedelta(hours=1)) == 1
        assert headend.expire_commands(tx, now=NOW + timedelta(hours=1)) == 0
        found = open_commands(tx, meter_ids=["m"], now=NOW + timedelta(hours=1))
    assert [one.id for one in found["m"]] == ["c2"]
    assert settled(store) == [("c1", "expired")]


def test_a_queued_command_is_taken_back_and_a_sent_one_is_not(store: Store) -> None:
    submit(store, OFF)
    submit(store, ON)
    with store.write() as tx:
        taken = headend.withdraw(tx, command_id="c2", actor="bob", reason="wrong flat", now=NOW)
    assert (taken.state, taken.detail) == ("withdrawn", "wrong flat")
    happen(store, "send")
    with pytest.raises(headend.CommandUnderWay, match="c1 is sent"), store.write() as tx:
        headend.withdraw(tx, command_id="c1", actor="bob", reason="wrong flat", now=NOW)


@pytest.mark.parametrize("way", [("send",), ("send", "accept")])
def test_a_command_left_by_a_dead_process_is_unknown(store: Store, way: tuple[CommandEvent, ...]) -> None:
    submit(store, OFF)
    happen(store, *way)
    with store.write() as tx:
        (found,) = open_commands(tx, meter_ids=["m"], now=NOW)["m"]
    assert found.state == "unknown"
    assert settled(store) == []


@pytest.mark.parametrize(
    ("event", "after"),
    [("see_done", "confirmed"), ("see_ready", "ready_for_reconnection"), ("see_undone", "queued")],
)
def test_an_unknown_command_is_what_is_read_back(store: Store, event: CommandEvent, after: str) -> None:
    submit(store, OFF)
    happen(store, "send", "lose")
    with store.write() as tx:
        assert judge_unknown(tx, command_id="c1", event=event, seen="so", now=NOW).state == after


def test_an_unknown_command_that_was_not_done_is_not_sent_after_its_time(store: Store) -> None:
    submit(store, OFF)
    happen(store, "send", "lose")
    with store.write() as tx:
        late = NOW + timedelta(hours=24)
        assert judge_unknown(tx, command_id="c1", event="see_undone", seen="so", now=late).state == "not_performed"


def test_an_unknown_command_is_not_sent_again_for_ever(store: Store) -> None:
    submit(store, OFF)
    states = []
    for _ in range(6):
        happen(store, "send", "lose")
        with store.write() as tx:
            states.append(judge_unknown(tx, command_id="c1", event="see_undone", seen="so", now=NOW).state)
        if states[-1] != "queued":
            break
    assert states == ["queued"] * 4 + ["not_performed"]


def test_an_unknown_command_gives_way_to_a_later_one(store: Store) -> None:
    submit(store, OFF)
    happen(store, "send", "lose")
    submit(store, replace(ON, action="set_limit", watts=5))
    with store.write() as tx:
        assert judge_unknown(tx, command_id="c1", event="see_undone", seen="so", now=NOW).state == "queued"
    happen(store, "send", "lose")
    submit(store, replace(ON, id="c3"))
    with store.write() as tx:
        assert judge_unknown(tx, command_id="c1", event="see_undone", seen="so", now=NOW).state == "not_performed"


def test_a_button_that_is_pressed_later_makes_it_done(store: Store) -> None:
    submit(store, ON)
    happen(store, "send", "accept", "see_ready", command="c2")
    waiting = Relay(output_state=False, control_state="ready_for_reconnection", control_mode=3)
    with store.write() as tx:
        note_relay(tx, meter_id="m", relay=waiting, now=NOW)
        assert headend.command(tx, command_id="c2").state == "ready_for_reconnection"
        pressed = Relay(output_state=True, control_state="connected", control_mode=3)
        note_relay(tx, meter_id="m", relay=pressed, now=NOW)
        assert headend.command(tx, command_id="c2").state == "confirmed"
    assert settled(store) == [("c2", "ready_for_reconnection"), ("c2", "confirmed")]


def test_the_audit_is_never_changed(store: Store) -> None:
    submit(store, OFF)
    for statement in ("UPDATE headend_command_step SET actor = 'nobody'", "DELETE FROM headend_command_step"):
        with pytest.raises(sa.exc.DBAPIError, match="never changed"), store.write() as tx:
            tx.execute(sa.text(statement))


def test_a_command_that_is_not_there(store: Store) -> None:
    with pytest.raises(headend.CommandUnknown, match="nothing"), store.read() as tx:
        headend.command(tx, command_id="nothing")
