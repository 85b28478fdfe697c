"""The supply control's commands through the head-end: proved by what is read back, honest where that is not known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from paper_headend import POLICY, CutStore, HeadEnd

from wattledger.app._headend import LinkedSwitches, MeterDesk, vault_in
from wattledger.control import MeterUnreachable
from wattledger.headend import AskRequest, KeySet, MasterKeyUnusable, Secret, What


@pytest.fixture
def head(database_url: str) -> Iterator[HeadEnd]:
    store = CutStore(database_url)
    yield HeadEnd(store)
    store.close()


@pytest.fixture
def desk(head: HeadEnd) -> MeterDesk:
    head.add("m", due=False)
    return MeterDesk(tools=head.tools(), policy=POLICY)


def test_a_supply_goes_off_and_on(desk: MeterDesk, head: HeadEnd) -> None:
    switches = LinkedSwitches(desk)
    switches.disconnect(meter_id="m")
    relay = switches.read_relay(meter_id="m")
    assert (relay.output_on, relay.control_state) == (False, "disconnected")
    assert head.metrics.reached == 1  # it was read back in the conversation that switched it
    head.meter().output, head.meter().state = True, "connected"
    assert switches.read_relay(meter_id="m").output_on  # and is read anew when it is asked for anew
    assert head.metrics.reached == 2
    switches.disconnect(meter_id="m")
    switches.reconnect(meter_id="m")
    assert switches.read_relay(meter_id="m").output_on
    assert head.meter().state == "connected"


def test_where_a_button_is_to_be_pressed_the_supply_is_still_off(desk: MeterDesk, head: HeadEnd) -> None:
    head.meter().mode = 1
    switches = LinkedSwitches(desk)
    switches.disconnect(meter_id="m")
    switches.reconnect(meter_id="m")
    relay = switches.read_relay(meter_id="m")
    assert (relay.output_on, relay.control_state) == (False, "ready_for_reconnection")


def test_a_stuck_relay_is_seen_as_it_stands(desk: MeterDesk, head: HeadEnd) -> None:
    head.meter().troubles.add("stuck_relay")
    switches = LinkedSwitches(desk)
    switches.disconnect(meter_id="m")
    assert switches.read_relay(meter_id="m").output_on


@pytest.mark.parametrize(("trouble", "on"), [("unreachable", True), ("silent", True), ("silent_after_acting", False)])
def test_what_was_not_done_in_time_is_not_done_later(desk: MeterDesk, head: HeadEnd, trouble: str, *, on: bool) -> None:
    head.meter().troubles.add(trouble)
    switches = LinkedSwitches(desk)
    with pytest.raises(MeterUnreachable):
        switches.disconnect(meter_id="m")
    head.meter().troubles.clear()
    head.later()
    desk.collect()  # somebody may have paid meanwhile
    assert switches.read_relay(meter_id="m").output_on is on


def test_a_meter_that_is_not_linked_is_not_reached(desk: MeterDesk) -> None:
    switches = LinkedSwitches(desk)
    for ask in (switches.disconnect, switches.reconnect, switches.read_relay):
        with pytest.raises(MeterUnreachable, match="stranger"):
            ask(meter_id="stranger")


def test_several_questions_are_one_conversation(desk: MeterDesk, head: HeadEnd) -> None:
    wanted: tuple[What, ...] = ("clock", "relay", "limit")
    asks = [AskRequest(id=what, meter_id="m", what=what) for what in wanted]
    assert [one.state for one in desk.ask_all(asks)] == ["done"] * 3
    assert head.metrics.reached == 1


def test_the_master_key_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATTLEDGER_MASTER_KEY", "WATTLEDGER_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    sealed = vault_in(tmp_path).seal(KeySet(unicast=Secret(bytes(16)), generation=1), meter_id="m")
    again = vault_in(tmp_path).open(sealed, meter_id="m", generation=1)
    assert again.unicast == Secret(bytes(16))
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("WATTLEDGER_MASTER_KEY_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(MasterKeyUnusable, match="nowhere"):
        vault_in(tmp_path)
    monkeypatch.setenv("WATTLEDGER_MASTER_KEY", "too short")
    with pytest.raises(MasterKeyUnusable):
        vault_in(tmp_path)
