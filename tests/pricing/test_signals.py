from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from grid import MARCH, ZONE, Grid

from wattledger import pricing
from wattledger.kernel import Period
from wattledger.store import recent_facts
from wattledger.tariffs import NO_SIGNALS, Signals, Tariff, parse_tariff

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@pytest.fixture
def tariff() -> Tariff:
    document: dict[str, Any] = {
        "id": "asks",
        "version": "1",
        "currency": "CNY",
        "zone": ZONE,
        "events": ["saving"],
        "periods": {"saving": {"events": "saving"}, "other": "otherwise"},
        "charges": [
            {"name": "energy", "kind": "energy", "index": {"series": "spot"}},
            {"name": "more", "kind": "energy", "price": {"saving": "1", "other": "0"}},
        ],
    }
    return parse_tariff(document, source="test")


def asked(grid: Grid, tariff: Tariff, period: Period) -> Signals:
    with grid.store.read() as tx:
        return pricing.signals(tx, tariffs=[tariff], period=period)


def test_a_tariff_that_asks_for_nothing_is_told_nothing(grid: Grid) -> None:
    flat = grid.publish()
    assert asked(grid, flat, Period(MARCH, MARCH + _DAY)) is NO_SIGNALS


def test_an_event_is_found_wherever_it_touches(grid: Grid, tariff: Tariff) -> None:
    on = Period(MARCH + 5 * _HOUR, MARCH + 8 * _HOUR)
    other = Period(MARCH + 5 * _DAY, MARCH + 6 * _DAY)
    with grid.store.write() as tx:
        for period in (on, other):
            pricing.announce_event(tx, name="saving", period=period, now=MARCH)
        pricing.announce_event(tx, name="another", period=on, now=MARCH)
        pricing.call_off_event(tx, name="saving", start=other.start, now=MARCH)
        pricing.call_off_event(tx, name="saving", start=MARCH, now=MARCH)  # never announced
    found = asked(grid, tariff, Period(MARCH + 7 * _HOUR, MARCH + 9 * _HOUR)).events
    assert found == {"saving": (on,)}
    assert asked(grid, tariff, Period(MARCH + 8 * _HOUR, MARCH + 9 * _DAY)).events == {}
    with grid.store.read() as tx:
        facts = [(fact.kind, fact.data["start"], fact.data["end"]) for fact in recent_facts(tx, limit=9)]
    called_off = ("EventAnnounced", other.start.isoformat(), other.end.isoformat())
    assert facts.count(called_off) == 2  # announced, then called off
    assert len(facts) == 4


def test_an_event_that_is_moved_tells_what_changed(grid: Grid) -> None:
    with grid.store.write() as tx:
        pricing.announce_event(tx, name="saving", period=Period(MARCH, MARCH + 2 * _HOUR), now=MARCH)
        pricing.announce_event(tx, name="saving", period=Period(MARCH, MARCH + 5 * _HOUR), now=MARCH)
    with grid.store.read() as tx:
        (last, _) = recent_facts(tx, limit=9)
    assert (last.data["start"], last.data["end"]) == (
        (MARCH + 2 * _HOUR).isoformat(),
        (MARCH + 5 * _HOUR).isoformat(),
    )


def test_the_price_before_a_period_holds_when_it_begins(grid: Grid, tariff: Tariff) -> None:
    with grid.store.write() as tx:
        prices = [(MARCH + n * _HOUR, f"0.{n}") for n in range(6)]
        assert pricing.publish_prices(tx, series="spot", prices=prices, seconds=3600, now=MARCH) == 6
        pricing.publish_prices(tx, series="elsewhere", prices=prices, seconds=3600, now=MARCH)
    found = asked(grid, tariff, Period(MARCH + timedelta(minutes=90), MARCH + 3 * _HOUR)).prices
    assert list(found) == ["spot"]
    assert found["spot"].starts.tolist() == [int((MARCH + n * _HOUR).timestamp()) for n in (1, 2)]
    assert (found["spot"].values, found["spot"].decimals, found["spot"].seconds) == ((1, 2), 1, 3600)


def test_prices_of_different_lengths_keep_their_lengths(grid: Grid, tariff: Tariff) -> None:
    with grid.store.write() as tx:
        pricing.publish_prices(tx, series="spot", prices=[(MARCH, 1)], seconds=3600, now=MARCH)
        pricing.publish_prices(tx, series="spot", prices=[(MARCH + _HOUR / 2, 2)], seconds=1200, now=MARCH)
    spot = asked(grid, tariff, Period(MARCH, MARCH + _DAY)).prices["spot"]
    minutes = [(start - int(MARCH.timestamp())) // 60 for start in spot.starts.tolist()]
    assert list(zip(minutes, spot.values, strict=True)) == [(0, 1), (20, 1), (30, 2)]
    assert spot.seconds == 1200


@pytest.mark.parametrize("price", ["x", "NaN", 0.5, None, "1" * 40])
def test_a_price_that_is_not_exact_is_refused(grid: Grid, price: Any) -> None:  # noqa: ANN401 - anything at all
    with grid.store.write() as tx, pytest.raises(pricing.SignalRefused, match="is not an exact price"):
        pricing.publish_prices(tx, series="spot", prices=[(MARCH, price)], seconds=3600, now=MARCH)


def test_what_makes_no_sense_is_refused(grid: Grid) -> None:
    prices = [(MARCH, Decimal(1))]
    with grid.store.write() as tx:
        with pytest.raises(pricing.SignalRefused, match="for no time"):
            pricing.announce_event(tx, name="saving", period=Period(MARCH, MARCH), now=MARCH)
        with pytest.raises(pricing.SignalRefused, match="no name"):
            pricing.publish_prices(tx, series="", prices=prices, seconds=3600, now=MARCH)
        with pytest.raises(pricing.SignalRefused, match="0 seconds"):
            pricing.publish_prices(tx, series="spot", prices=prices, seconds=0, now=MARCH)
        with pytest.raises(pricing.SignalRefused, match="not an instant"):
            pricing.publish_prices(
                tx,
                series="spot",
                prices=[(datetime(2026, 3, 1), 1)],  # noqa: DTZ001 - the point
                seconds=3600,
                now=MARCH,
            )
