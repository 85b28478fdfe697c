"""Event logs are rings: of bounded size, in order, read by range and by entry."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from wattledger.dlms import AccessResult, NotReadable, Selection, array, structure, uint16, uint32
from wattledger.dlms import DateTime as Moment
from wattledger.virtual_meter import Fault

LOG = "0-0:99.98.1"


def entries(first: int, last: int, *, column: int = 1, until: int = 0) -> Selection:
    return Selection(2, structure(uint32(first), uint32(last), uint16(column), uint16(until)))


def test_the_oldest_entries_go(made: Callable[..., Any]) -> None:
    bench = made()
    for _ in range(150):
        bench.wait(minutes=1)
        bench.meter.show_fault(Fault.MAGNET)
        bench.wait(minutes=1)
        bench.meter.show_fault(Fault.MAGNET, shown=False)
    log = bench.read(7, LOG)
    instants = [Moment.decode(at).instant() for at, _ in log]
    assert len(log) == bench.read(7, LOG, 7) == bench.read(7, LOG, 8) == 200
    assert instants == sorted(instants)
    assert instants[-1] == bench.clock.now()
    assert [code for _, code in log[-2:]] == [42, 43]
    assert bench.read(1, "0-0:96.11.1") == 43
    assert bench.read(1, "0-0:96.20.15") == 150


def test_a_part_of_it_is_read(made: Callable[..., Any]) -> None:
    bench = made()
    begun = bench.clock.now()
    for number in range(6):
        bench.meter.show_fault(Fault.COVER_OPENED, shown=not number % 2)
        bench.wait(minutes=10)
    assert [code for _, code in bench.between(LOG, begun + timedelta(minutes=10), begun + timedelta(minutes=30))] == [
        45,
        44,
        45,
    ]
    assert [code for _, code in bench.read(7, LOG, selection=entries(2, 3))] == [45, 44]
    assert len(bench.read(7, LOG, selection=entries(5, 0))) == 2


def test_a_profile_gives_chosen_columns(made: Callable[..., Any]) -> None:
    bench = made(watts=400)
    bench.wait(hours=1)
    assert bench.read(7, "1-0:99.1.0", selection=entries(1, 0, column=3, until=3)) == [[100], [200], [300], [400]]
    assert bench.between("1-0:99.1.0", bench.clock.now() + timedelta(hours=1), bench.clock.now()) == []


@pytest.mark.parametrize("selection", [Selection(1, uint32(1)), Selection(2, array([])), Selection(9, uint32(1))])
def test_a_selection_that_is_none_is_refused(made: Callable[..., Any], selection: Selection) -> None:
    with pytest.raises(NotReadable) as refusal:
        made().read(7, LOG, selection=selection)
    assert refusal.value.result in {AccessResult.TYPE_UNMATCHED, AccessResult.SCOPE_OF_ACCESS_VIOLATED}


def test_daily_and_monthly_profiles_have_local_edges(made: Callable[..., Any]) -> None:
    bench = made(watts=1_000, zone="Asia/Kolkata")
    bench.wait(days=30)
    days = [Moment.decode(row[0]) for row in bench.read(7, "1-0:99.2.0")]
    assert len(days) == 30
    assert {(day.hour, day.minute, day.deviation_minutes) for day in days} == {(0, 0, -330)}
    months = bench.read(7, "0-0:98.1.0")
    assert [Moment.decode(row[0]).instant().isoformat() for row in months] == ["2026-03-31T18:30:00+00:00"]
    assert months[0][1] == 21 * 24_000 + 12_500
