from datetime import timedelta

import pytest
from grid import APRIL, FLAT, MARCH, Grid

from wattledger import registry
from wattledger.kernel import Period


@pytest.fixture
def street(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(2, mode="prepay")
    return grid


def test_a_meter_exchanged_answers_by_date(street: Grid) -> None:
    later = MARCH + timedelta(days=10)
    with street.store.write() as tx:
        registry.install_meter(tx, meter_id="new", serial="new", service_point_id="h0", interval_seconds=900, at=later)
    with street.store.read() as tx:
        assert registry.meter_at(tx, service_point_id="h0", at=later - timedelta(seconds=1)).meter_id == "m-h0"
        assert registry.meter_at(tx, service_point_id="h0", at=later).meter_id == "new"
        assert [one.meter_id for one in registry.installations(tx, at=later)] == ["new", "m-h1"]
        with pytest.raises(registry.ServicePointUnknown):
            registry.meter_at(tx, service_point_id="h0", at=MARCH - timedelta(days=1))


def test_a_segment_is_month_and_term_and_version_together(street: Grid) -> None:
    street.publish({**FLAT, "version": "2"}, valid_from=MARCH + timedelta(days=10))
    with street.store.read() as tx:
        found = registry.segments(tx, contract_ids=["h0"], period=Period(MARCH, APRIL + timedelta(hours=1)))
    assert [(s.tariff.version, s.period.start, s.period.end) for s in found] == [
        ("1", MARCH, MARCH + timedelta(days=10)),
        ("2", MARCH + timedelta(days=10), APRIL),
        ("2", APRIL, APRIL + timedelta(days=30)),
    ]
    assert {s.month for s in found[:2]} == {Period(MARCH, APRIL)}


def test_a_version_is_immutable(street: Grid) -> None:
    street.publish()  # the same again changes nothing
    changed = {**FLAT, "name": "Another"}
    with pytest.raises(registry.TariffVersionConflict, match="published before with other content"):
        street.publish(changed)


def test_a_tariff_comes_back_with_its_hash(street: Grid) -> None:
    with street.store.read() as tx:
        (segment, *_) = registry.segments(tx, contract_ids=["h0"], period=Period(MARCH, APRIL))
        assert registry.tariff_with_hash(tx, tariff_hash=segment.tariff.hash) == segment.tariff


def test_what_is_not_there_is_said(street: Grid) -> None:
    with street.store.read() as tx:
        with pytest.raises(registry.ContractNotFound):
            registry.contract(tx, contract_id="h9", at=MARCH)
        with pytest.raises(registry.ContractNotFound):
            registry.contract(tx, contract_id="h0", at=MARCH - timedelta(days=1))
        assert registry.unknown_points(tx, service_point_ids=["h0", "zz"]) == {"zz"}
