from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger import headend
from wattledger.headend import EventKind, LoggedEvent, MeterLink, TamperSuspected
from wattledger.headend._event_codes import EVENT_CODES, TAMPER, event_kind, plain_code
from wattledger.headend._events import LogRead, due_logs
from wattledger.kernel import epoch
from wattledger.store import Store, recent_facts

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
AT = epoch(NOW) - 7 * 86_400
FRAUD = "0-0:99.98.1"


def meters(store: Store, *names: str, companion: str = "idis") -> None:
    with store.write() as tx:
        links = [MeterLink(meter_id=name, driver="paper", address=name, companion=companion) for name in names]
        headend.put_meters(tx, links=links, now=NOW)


def record(
    store: Store, *events: tuple[str, int, int], read: Sequence[tuple[str, str]] = (), now: datetime = NOW
) -> int:
    """Entries of the fraud log: meter, code, seconds after AT."""
    with store.write() as tx:
        return headend.record_events(
            tx,
            events=[(meter, LoggedEvent(log=FRAUD, code=code, at=AT + after)) for meter, code, after in events],
            read=read,
            now=now,
        )


def suspected(store: Store) -> list[TamperSuspected]:
    with store.read() as tx:
        facts = reversed(recent_facts(tx, limit=100))
        return [TamperSuspected.from_recorded(one) for one in facts if one.kind == "TamperSuspected"]


# --- The tables ---


@pytest.mark.parametrize(
    ("companion", "code", "kind"),
    [
        ("idis", 40, EventKind.TERMINAL_COVER_OPENED),
        ("idis", 42, EventKind.MAGNET_DETECTED),
        ("idis", 44, EventKind.METER_COVER_OPENED),
        ("idis", 48, EventKind.KEYS_CHANGED),
        ("smr5", 48, EventKind.MODULE_COVER_OPENED),
        ("idis", 49, EventKind.DECRYPTION_FAILED),
        ("smr5", 49, EventKind.MODULE_COVER_CLOSED),
        ("idis", 51, EventKind.FIRMWARE_REJECTED),
        ("smr5", 51, EventKind.HARMONICS),
        ("idis", 59, EventKind.READY_FOR_RECONNECTION),
        ("smr5", 59, EventKind.HARMONICS),
        ("smr5", 62, EventKind.REMOTE_DISCONNECT),
        ("idis", 68, EventKind.DISCONNECTOR_FAILED),
        ("idis", 82, EventKind.OVERVOLTAGE),
        ("idis", 89, EventKind.UNKNOWN),
        ("idis", 255, EventKind.LOG_CLEARED),
        ("idis", 201, EventKind.UNKNOWN),
        ("is15959", 201, EventKind.MAGNET_DETECTED),
        ("is15959", 202, EventKind.MAGNET_GONE),
        ("is15959", 203, EventKind.NEUTRAL_DISTURBED),
        ("is15959", 251, EventKind.METER_COVER_OPENED),
        ("is15959", 301, EventKind.DISCONNECTED),
        ("is15959", 44, EventKind.UNKNOWN),
    ],
)
def test_a_code_means_what_its_companion_specification_says(companion: str, code: int, kind: EventKind) -> None:
    assert event_kind(code, companion=companion) is kind


@pytest.mark.parametrize(
    ("companion", "code", "plain"),
    [
        ("idis", -1, 255),
        ("idis", 255, 255),
        ("idis", 0x012A, 42),
        ("smr5", -208, 48),
        ("is15959", -55, 201),
        ("is15959", 301, 301),
        ("is15959", 201, 201),
    ],
)
def test_a_code_is_the_same_however_wide_it_comes(companion: str, code: int, plain: int) -> None:
    assert plain_code(code, companion=companion) == plain


@given(st.sampled_from(sorted(EVENT_CODES)), st.integers(-(2**15), 2**16 - 1))
def test_every_code_has_a_kind(companion: str, code: int) -> None:
    kind = event_kind(code, companion=companion)
    assert kind is EventKind.UNKNOWN or plain_code(code, companion=companion) in EVENT_CODES[companion]


def test_there_is_no_table_for_all() -> None:
    with pytest.raises(headend.CompanionUnknown, match="idis, is15959, smr5"):
        event_kind(40, companion="any")


def test_every_tamper_is_in_some_table_and_no_end_of_one_is_a_tamper() -> None:
    named = {kind for table in EVENT_CODES.values() for kind in table.values()}
    assert named >= TAMPER
    assert not any(word in kind for kind in TAMPER for word in ("closed", "gone", "restored"))


# --- What is kept ---


def test_an_entry_is_kept_once_and_a_tamper_told_once(store: Store) -> None:
    meters(store, "m", "n")
    assert record(store, ("m", 44, 0), ("m", 45, 60), ("n", 42, 5), ("m", 44, 0)) == 3
    assert record(store, ("m", 44, 0), ("m", 44, 90), ("m", 1, 90)) == 2
    with store.read() as tx:
        found = headend.events_of(tx, meter_id="m")
    assert [(event.code, epoch(event.at) - AT, event.kind.value) for event in found] == [
        (1, 90, "power_down"),
        (44, 90, "meter_cover_opened"),
        (45, 60, "meter_cover_closed"),
        (44, 0, "meter_cover_opened"),
    ]
    facts = suspected(store)
    assert [(fact.meter_id, fact.kind) for fact in facts] == [
        ("m", "meter_cover_opened"),
        ("n", "magnet_detected"),
        ("m", "meter_cover_opened"),
    ]
    first = facts[0]
    assert datetime.fromisoformat(first.event_at) == NOW - timedelta(days=7)
    assert datetime.fromisoformat(first.around_start) == NOW - timedelta(days=8)
    assert datetime.fromisoformat(first.around_end) == NOW - timedelta(days=6)


def test_a_tamper_that_is_not_kept_is_not_told(store: Store) -> None:
    meters(store, "m")

    def fails() -> None:
        with store.write() as tx:
            headend.record_events(tx, events=[("m", LoggedEvent(log=FRAUD, code=44, at=AT))], now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert suspected(store) == []
    with store.read() as tx:
        assert headend.events_of(tx, meter_id="m") == []


def test_one_number_is_a_tamper_here_and_none_there(store: Store) -> None:
    meters(store, "european")
    meters(store, "british", companion="smr5")
    record(store, ("european", 48, 0), ("british", 48, 0))
    assert [(fact.meter_id, fact.kind) for fact in suspected(store)] == [("british", "module_cover_opened")]


def test_a_log_is_read_when_due_from_what_is_known(store: Store) -> None:
    meters(store, "m")
    start = NOW - timedelta(days=30)
    with store.write() as tx:
        headend.expect_events(tx, meter_ids=["m"], log=FRAUD, every=timedelta(hours=6), since=start, now=NOW)

    def due(now: datetime) -> list[LogRead]:
        with store.read() as tx:
            return due_logs(tx, meter_ids=["m"], now=now).get("m", [])

    assert due(NOW) == [LogRead(FRAUD, epoch(start))]
    record(store, ("m", 44, 0), read=[("m", FRAUD)])
    assert due(NOW + timedelta(hours=5)) == []
    assert due(NOW + timedelta(hours=6)) == [LogRead(FRAUD, AT - 86_400)]  # a clock set back logs behind
    record(store, read=[("m", FRAUD)], now=NOW + timedelta(hours=6))
    assert due(NOW + timedelta(hours=12)) == [LogRead(FRAUD, AT - 86_400)]
    with store.write() as tx:  # the same expectation again keeps what is known
        headend.expect_events(tx, meter_ids=["m"], log=FRAUD, every=timedelta(hours=1), since=start, now=NOW)
    assert due(NOW + timedelta(hours=12)) == [LogRead(FRAUD, AT - 86_400)]


def test_an_entry_from_the_future_hides_nothing(store: Store) -> None:
    meters(store, "m")
    with store.write() as tx:
        headend.expect_events(
            tx, meter_ids=["m"], log=FRAUD, every=timedelta(hours=6), since=NOW - timedelta(days=30), now=NOW
        )
    record(store, ("m", 44, 10**9), read=[("m", FRAUD)])
    with store.read() as tx:
        (read,) = due_logs(tx, meter_ids=["m"], now=NOW + timedelta(days=1))["m"]
    assert read.since <= epoch(NOW)
