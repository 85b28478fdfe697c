from datetime import timedelta
from decimal import Decimal

import pytest
from grid import APRIL, FLAT, MARCH, Grid

from wattledger import registry
from wattledger.kernel import Period
from wattledger.store import metadata, recent_facts


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


def test_a_segment_knows_its_bill_and_what_was_told_when_it_begins(street: Grid) -> None:
    cut = MARCH + timedelta(days=10)
    street.publish({**FLAT, "version": "2"}, valid_from=cut)
    with street.store.write() as tx:
        for value, since in (("6", MARCH), (9, cut), (Decimal("12.50"), APRIL)):
            registry.tell_fact(tx, contract_id="h0", name="kw", value=value, valid_from=since, now=MARCH)
        registry.tell_fact(tx, contract_id="h0", name="pensioner", value=True, valid_from=cut, now=MARCH)
        registry.tell_fact(tx, contract_id="h1", name="kw", value=1, valid_from=MARCH, now=MARCH)
    with street.store.read() as tx:
        found = registry.segments(tx, contract_ids=["h0"], period=Period(MARCH, APRIL + timedelta(hours=1)))
        assert registry.facts_of(tx, contract_id="h0", at=MARCH - timedelta(seconds=1)) == {}
        assert registry.facts_of(tx, contract_id="h1", at=APRIL) == {"kw": "1"}
    assert [s.facts for s in found] == [
        {"kw": "6"},
        {"kw": "9", "pensioner": "true"},
        {"kw": "12.5", "pensioner": "true"},
    ]
    assert [s.bill for s in found] == [s.month for s in found]
    assert {s.since for s in found} == {MARCH}


def test_a_fact_told_anew_replaces_and_is_recorded(street: Grid) -> None:
    with street.store.write() as tx:
        for value in ("6", "6", "7"):
            registry.tell_fact(tx, contract_id="h0", name="kw", value=value, valid_from=MARCH, now=MARCH)
    with street.store.read() as tx:
        assert registry.facts_of(tx, contract_id="h0", at=MARCH) == {"kw": "7"}
        told = [(fact.data["before"], fact.data["value"]) for fact in reversed(recent_facts(tx, limit=9))]
    assert told == [(None, "6"), ("6", "7")]


def test_a_fact_that_cannot_be_kept_is_refused(street: Grid) -> None:
    with street.store.write() as tx:
        for name, value in (("", "1"), ("kw", " "), ("kw", "x" * 201)):
            with pytest.raises(registry.FactRefused):
                registry.tell_fact(tx, contract_id="h0", name=name, value=value, valid_from=MARCH, now=MARCH)
        with pytest.raises(registry.ContractNotFound):
            registry.tell_fact(tx, contract_id="h9", name="kw", value=1, valid_from=MARCH, now=MARCH)


def test_terms_on_one_tariff_are_one_supply_and_a_change_of_tariff_begins_anew(street: Grid) -> None:
    street.publish({**FLAT, "id": "other"})
    days = [MARCH + timedelta(days=n) for n in (0, 5, 8)]
    term = metadata.tables["contract_term"]
    with street.store.write() as tx:
        tx.execute(term.update().where(term.c.contract_id == "h0").values(valid_to=days[1]))
        for since, until, mode, tariff in (
            (days[1], days[2], "postpay", "flat"),
            (days[2], None, "postpay", "other"),
        ):
            row = {"contract_id": "h0", "valid_from": since, "valid_to": until, "mode": mode, "tariff_id": tariff}
            tx.execute(term.insert().values(**row))
    with street.store.read() as tx:
        found = registry.segments(tx, contract_ids=["h0"], period=Period(MARCH, APRIL))
    assert [(s.bill, s.since) for s in found] == [
        (Period(days[0], days[1]), MARCH),
        (Period(days[1], days[2]), MARCH),
        (Period(days[2], APRIL), days[2]),
    ]
