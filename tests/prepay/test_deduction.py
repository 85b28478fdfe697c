import itertools
from datetime import timedelta
from typing import Any

import pytest
from grid import APRIL, FLAT, MARCH, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import ledger, prepay, readings, registry, tariffs
from wattledger.kernel import IntervalSeries, Money, Period
from wattledger.store import recent_facts

_runs = itertools.count()


def cny(text: str) -> Money:
    return Money.of(text, "CNY")


@pytest.fixture
def home(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(1, mode="prepay")
    return grid


def facts(grid: Grid) -> list[str]:
    with grid.store.read() as tx:
        return [fact.kind for fact in reversed(recent_facts(tx, limit=50))]


def test_every_batch_moves_what_is_available(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1000, 1000])})
    wallet = home.wallet("h0")
    assert wallet.accrued == cny("1.10")  # 2 kWh at 0.50 and the day's standing charge
    assert wallet.available == cny("-1.10")
    assert wallet.ledger_balance == cny("0")
    home.deliver("b", {"h0": intervals([2000], start=MARCH + timedelta(minutes=30))})
    assert home.wallet("h0").available == cny("-2.10")


def test_the_same_batch_twice_is_deducted_once(home: Grid) -> None:
    for _ in range(2):
        home.deliver("a", {"h0": intervals([1000, 1000])})
    home.deliver("again", {"h0": intervals([1000, 1000])})
    assert home.wallet("h0").accrued == cny("1.10")


def test_a_corrected_reading_gives_the_difference_back(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1000, 9000])})
    home.deliver("b", {"h0": intervals([1000, 1000])})
    assert home.wallet("h0").accrued == cny("1.10")


def test_a_recharge_posts_what_was_accrued_and_credits_once(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1000, 1000])})
    first = home.recharge("h0", "20", key="k")
    again = home.recharge("h0", "20", key="k")
    assert first == again
    assert first.balance_after == cny("18.90")
    wallet = home.wallet("h0")
    assert (wallet.ledger_balance, wallet.accrued, wallet.available) == (cny("18.90"), cny("0"), cny("18.90"))
    with home.store.read() as tx:
        assert ledger.check_book(tx) == []
        assert [t.purpose for t in ledger.transfers_of(tx, account_id="wallet:h0")] == ["recharge", "deduction"]


def test_a_key_with_another_amount_is_refused(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1])})
    home.recharge("h0", "20", key="k")
    with pytest.raises(prepay.RechargeConflict):
        home.recharge("h0", "21", key="k")
    assert home.wallet("h0").ledger_balance < cny("20.01")


@pytest.mark.parametrize(("amount", "key"), [("0", "k"), ("-5", "k"), ("2000000", "k"), ("5", ""), ("5", "k" * 201)])
def test_a_recharge_that_cannot_be_is_refused(home: Grid, amount: str, key: str) -> None:
    home.deliver("a", {"h0": intervals([1])})
    with pytest.raises(prepay.RechargeRefused):
        home.recharge("h0", amount, key=key)


def test_a_contract_without_a_wallet_is_not_recharged(home: Grid) -> None:
    home.homes(1, mode="postpay", first=1)
    with pytest.raises(prepay.WalletNotFound):
        home.recharge("h1", "5")


def test_who_moves_in_pays_before_the_first_reading(home: Grid) -> None:
    assert (home.wallet("h0").available, home.wallet("h0").state) == (cny("0"), "empty")
    assert home.recharge("h0", "20").balance_after == cny("20")
    home.deliver("a", {"h0": intervals([1000])})
    assert home.wallet("h0").available == cny("19.40")


def test_thresholds_are_told_once_and_arm_again_after_a_recharge(home: Grid) -> None:
    home.deliver("0", {"h0": intervals([0])})
    home.recharge("h0", "13", key="1")
    for number in range(1, 16):  # 0.50 each: passes 10.00 soon, and zero much later
        home.deliver(str(number), {"h0": intervals([1000], start=MARCH + number * timedelta(minutes=15))})
    assert facts(home).count("BalanceLow") == 1
    home.recharge("h0", "20", key="2")
    for number in range(16, 76):
        home.deliver(str(number), {"h0": intervals([1000], start=MARCH + number * timedelta(minutes=15))})
    assert facts(home).count("BalanceLow") == 2
    assert facts(home).count("BalanceExhausted") == 2  # before the first recharge, and at the end


def test_standing_charges_accrue_and_are_posted_daily_without_any_reading(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1000])})
    home.clock.advance(timedelta(days=3))
    with home.store.write() as tx:
        assert prepay.settle_due(tx, now=home.clock.now()) == 1
        assert prepay.settle_due(tx, now=home.clock.now()) == 0
    wallet = home.wallet("h0")
    assert wallet.accrued == cny("0")
    assert wallet.ledger_balance == cny("-0.80")  # 0.50 and three days of 0.10


def test_a_tariff_changed_in_mid_month_prices_each_part_with_its_own_version(home: Grid) -> None:
    home.deliver("a", {"h0": intervals([1000] * 96 * 2)})
    dear = {**FLAT, "version": "2", "charges": [{"name": "energy", "kind": "energy", "price": "1.5"}]}
    home.publish(dear, valid_from=MARCH + timedelta(days=1))
    home.deliver("b", {"h0": intervals([0], start=MARCH + timedelta(days=2))})
    assert home.wallet("h0").accrued == cny("0.10") + cny("48.00") + cny("144.00")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_deductions_of_a_month_are_its_bill_to_the_last_micro_unit(
    grid: Grid, tou_tariff: dict[str, Any], data: st.DataObject
) -> None:
    grid.publish(tou_tariff)
    run = next(_runs)
    point = f"h{run}"
    grid.homes(1, mode="prepay", tariff=str(tou_tariff["id"]), first=run)
    values = data.draw(st.lists(st.integers(0, 9000), min_size=1, max_size=300))
    whole = intervals(values, start=APRIL - timedelta(days=2))  # runs over the month's end
    cuts = data.draw(st.lists(st.integers(1, max(1, len(values) - 1)), max_size=5, unique=True))
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    pieces = [
        IntervalSeries(whole.starts[a:b], whole.values[a:b], whole.qualities[a:b], 900)
        for a, b in itertools.pairwise(edges)
    ]
    order = data.draw(st.permutations(range(len(pieces))))
    for number in order:
        grid.deliver(f"{run}:{number}", {point: pieces[number]})
    march_and_april = Period(MARCH, APRIL + timedelta(days=30))
    with grid.store.write() as tx:
        segments = registry.segments(tx, contract_ids=[point], period=march_and_april)
        deducted = prepay.close_month(tx, segments=segments, now=grid.clock.now())[point]
        expected = Money.zero("CNY")
        for segment in segments:
            series = readings.series(tx, service_point_id=point, period=segment.period)
            expected += tariffs.rate(tariff=segment.tariff, series=series, period=segment.period).total
        assert deducted == expected
        assert ledger.balance(tx, account_id=f"wallet:{point}") == -expected
        assert ledger.check_book(tx) == []
