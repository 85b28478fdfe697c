"""The disconnector does what the Blue Book's table says, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.virtual_meter import MODES, TRANSITIONS, Disconnector, State

OFF, ON, READY = State.DISCONNECTED, State.CONNECTED, State.READY
CAUSES = sorted({cause for _, _, cause in TRANSITIONS.values()})

# Blue Book 4.5.8, written out: where each cause leads from (off, on, ready) in each mode. What is not here
# does nothing.
TABLE = {
    0: {},
    1: {
        "remote reconnect": (READY, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "manual disconnect": (OFF, READY, READY),
        "local disconnect": (OFF, READY, READY),
    },
    2: {
        "remote reconnect": (ON, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "manual disconnect": (OFF, READY, READY),
        "local disconnect": (OFF, READY, READY),
    },
    3: {
        "remote reconnect": (READY, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "local disconnect": (OFF, READY, READY),
    },
    4: {
        "remote reconnect": (ON, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "local disconnect": (OFF, READY, READY),
    },
    5: {
        "remote reconnect": (READY, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "manual disconnect": (OFF, READY, READY),
        "local disconnect": (OFF, READY, READY),
        "local reconnect": (OFF, ON, ON),
    },
    6: {
        "remote reconnect": (READY, ON, READY),
        "remote disconnect": (OFF, OFF, OFF),
        "manual reconnect": (OFF, ON, ON),
        "local disconnect": (OFF, READY, READY),
        "local reconnect": (OFF, ON, ON),
    },
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("state", State)
def test_every_transition_of_every_mode(mode: int, cause: str, state: State) -> None:
    relay = Disconnector(mode=mode, state=state)
    ended = TABLE[mode].get(cause, (OFF, ON, READY))[state]
    codes = relay.act(cause)  # type: ignore[arg-type]
    assert relay.state is ended
    assert bool(codes) == (ended is not state)
    assert relay.closed == (ended is ON)


@given(mode=st.sampled_from(sorted(MODES)), causes=st.lists(st.sampled_from(CAUSES), max_size=12))
def test_a_stuck_relay_never_moves_and_says_so_whenever_it_should_have(mode: int, causes: list[str]) -> None:
    relay, free = Disconnector(mode=mode, stuck=True), Disconnector(mode=mode)
    for cause in causes:
        free.state = State.CONNECTED
        moved = bool(free.act(cause))  # type: ignore[arg-type]
        assert relay.act(cause) == ([68] if moved else [])  # type: ignore[arg-type]
        assert relay.closed


def test_what_the_log_says() -> None:
    relay = Disconnector(mode=1)
    said = [relay.act(cause) for cause in ("remote disconnect", "remote reconnect", "manual reconnect")]
    said += [relay.act(cause) for cause in ("manual disconnect", "manual reconnect", "local disconnect")]
    assert said == [[62], [59], [61], [60], [61], [64]]
    relay.mode = 5
    assert relay.act("local reconnect") == [69]
