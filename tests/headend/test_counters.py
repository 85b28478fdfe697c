import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger.headend import Malformed, Replay, raise_counter
from wattledger.headend._counters import (
    BLOCK,
    COUNTER_MAX,
    Block,
    MeterCounters,
    Want,
    heard,
    remember_heard,
    reserve_counters,
)
from wattledger.store import Store


def reserve(store: Store, meter: str, want: Want) -> Block:
    with store.write() as tx:
        return reserve_counters(tx, wants={meter: want})[meter]


def counters(
    store: Store, meter: str, *, generation: int = 1, known: dict[tuple[int, str], int] | None = None
) -> MeterCounters:
    async def more(want: Want) -> Block:
        await asyncio.sleep(0)
        return reserve(store, meter, want)

    first = reserve(store, meter, Want())
    return MeterCounters(generation=generation, block=first, heard=known or {}, more=more)


def test_a_block_is_stored_as_used_before_it_is_given(store: Store) -> None:
    assert reserve(store, "m", Want(count=10)) == Block(0, 10)
    # The process dies here, whatever it used of them.
    assert reserve(store, "m", Want(count=10)) == Block(10, 20)
    assert reserve(store, "other", Want(count=10)) == Block(0, 10)


def test_many_meters_at_once(store: Store) -> None:
    reserve(store, "b", Want(count=3))
    with store.write() as tx:
        blocks = reserve_counters(tx, wants={name: Want(count=5) for name in "abc"})
    assert blocks == {"a": Block(0, 5), "b": Block(3, 8), "c": Block(0, 5)}


def test_what_is_not_committed_is_not_given(store: Store) -> None:
    def fails() -> None:
        with store.write() as tx:
            reserve_counters(tx, wants={"m": Want(count=10)})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert reserve(store, "m", Want(count=10)) == Block(0, 10)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 200)),
        st.tuples(st.just("resync"), st.integers(0, 5000)),
        st.tuples(st.just("die"), st.just(0)),
        st.tuples(st.just("rotate"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=steps, number=st.integers(0, 10**9))
def test_a_number_is_never_used_twice_and_never_falls(store: Store, story: list[tuple[str, int]], number: int) -> None:
    meter = f"m{number}"
    generation = 1

    async def live() -> list[int]:
        nonlocal generation
        used, mine = [], counters(store, meter)
        for what, value in story:
            if what == "send":
                await mine.reserve(value)
                used += [mine.outbound() for _ in range(value)]
            elif what == "resync":
                await mine.resync(value)
                await mine.reserve()
                used.append(mine.outbound())
                assert used[-1] >= value
            elif what == "rotate":
                generation += 1
                mine = mine.for_keys(generation)
            else:
                mine = counters(store, meter, generation=generation)
        return used

    before = reserve(store, meter, Want(count=1)).first
    used = asyncio.run(live())
    assert all(a < b for a, b in zip([before, *used], used, strict=False))


def test_numbers_are_at_hand_or_it_is_a_mistake(store: Store) -> None:
    mine = counters(store, "m")
    for _ in range(BLOCK):
        mine.outbound()
    with pytest.raises(RuntimeError, match="reserved"):
        mine.outbound()
    asyncio.run(mine.reserve(3))
    assert [mine.outbound() for _ in range(3)] == [BLOCK, BLOCK + 1, BLOCK + 2]


def test_a_conversation_under_other_keys_uses_the_same_numbers(store: Store) -> None:
    one = counters(store, "m", generation=1)
    two = one.for_keys(2)
    assert [one.outbound(), two.outbound(), one.outbound()] == [0, 1, 2]
    one.inbound(9)
    two.inbound(1)  # the meter counts anew under new keys
    assert one.risen == two.risen == {(1, "unicast"): 9, (2, "unicast"): 1}


def test_what_does_not_rise_is_a_replay(store: Store) -> None:
    mine = counters(store, "m", known={(1, "unicast"): 7, (1, "push"): 100})
    assert (mine.heard(), mine.heard(stream="push"), mine.heard(stream="else")) == (7, 100, -1)
    for again in (7, 6, 0):
        with pytest.raises(Replay, match=f"counter {again} after one with 7"):
            mine.inbound(again)
    mine.inbound(8)
    with pytest.raises(Replay):
        mine.inbound(8)
    with pytest.raises(Replay):
        mine.inbound(100, stream="push")
    assert mine.risen == {(1, "unicast"): 8}


def test_inbound_counters_are_remembered_and_never_lowered(store: Store) -> None:
    def told(highest: int) -> dict[tuple[int, str], int]:
        with store.write() as tx:
            remember_heard(tx, told={"m": {(1, "unicast"): highest}, "n": {}})
            return heard(tx, meter_ids=["m", "n"])["m"]

    assert told(5) == {(1, "unicast"): 5}
    assert told(3) == {(1, "unicast"): 5}
    assert told(6) == {(1, "unicast"): 6}


def run_out(store: Store) -> None:
    with store.write() as tx:
        raise_counter(tx, meter_id="m", value=COUNTER_MAX - 2)


def test_a_counter_is_used_to_its_end_and_not_beyond(store: Store) -> None:
    run_out(store)
    assert reserve(store, "m", Want(count=10)) == Block(COUNTER_MAX - 1, COUNTER_MAX + 1)
    with store.write() as tx:
        assert reserve_counters(tx, wants={"m": Want(), "n": Want()}).keys() == {"n"}


STRANGER: dict[tuple[int, str], int] = {}  # another system's meter until now
OURS = {(1, "unicast"): 5}


@pytest.mark.parametrize(("known", "value"), [(STRANGER, 2**31), (OURS, 2**24)])
def test_a_meter_that_is_ahead_is_caught_up_with(store: Store, known: dict[tuple[int, str], int], value: int) -> None:
    mine = counters(store, "m", known=known)
    asyncio.run(mine.resync(value))
    assert mine.outbound() == value
    assert reserve(store, "m", Want()).first > value


@pytest.mark.parametrize(
    ("known", "value"),
    [(STRANGER, 2**31 + 1), (OURS, 2**24 + 1), (STRANGER, -1), (STRANGER, COUNTER_MAX + 1)],
)
def test_nobody_burns_our_counter(store: Store, known: dict[tuple[int, str], int], value: int) -> None:
    mine = counters(store, "m", known=known)
    with pytest.raises(Malformed):
        asyncio.run(mine.resync(value))
    assert mine.outbound() == 0


def test_an_operator_raises_a_counter_and_cannot_lower_it(store: Store) -> None:
    with store.write() as tx:
        raise_counter(tx, meter_id="m", value=1000)
        raise_counter(tx, meter_id="m", value=5)
    assert reserve(store, "m", Want()).first > 1000
