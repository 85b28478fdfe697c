"""Who comes and goes: arrears that move to a wallet, free units, agents, wallets that recharge themselves, closing."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from grid import APRIL, FLAT, MARCH, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import billing, ledger, payments, prepay, registry
from wattledger.kernel import Energy, Money
from wattledger.prepay import DebtTerms
from wattledger.store import recent_facts
from wattledger.worker import Worker

_runs = itertools.count()


def cny(text: str) -> Money:
    return Money.of(text, "CNY")


@pytest.fixture
def home(grid: Grid) -> Grid:
    grid.publish()
    grid.homes(1, mode="prepay")
    return grid


def sound(grid: Grid) -> None:
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []


def test_unpaid_bills_become_a_debt_when_the_contract_goes_to_prepay(
    grid: Grid, worker_of: Callable[[Grid], Worker]
) -> None:
    grid.publish()
    grid.homes(1, mode="postpay")
    rule = "{currency: CNY, arrears: {name: old bills, least: 5, percent: 20, month_most: 30}}"
    owed_on = billing.receivable_account("h0")
    with grid.store.write() as tx:
        prepay.publish_policy(tx, text=rule, source="test", valid_from=MARCH)
        revenue = ledger.Account("revenue", "revenue", "CNY")
        bill = ledger.Transfer("bill", owed_on, "revenue", cny("48.10"), "bill", "b", MARCH)
        ledger.post(tx, transfers=[bill], opening=[ledger.Account(owed_on, "receivable", "CNY"), revenue])
    grid.deliver("before", {"h0": intervals([1000] * 8)})
    grid.clock.advance(timedelta(hours=2))
    for _ in range(2):
        with grid.store.write() as tx:
            at = MARCH + timedelta(hours=1)
            registry.change_terms(tx, contract_id="h0", mode="prepay", valid_from=at, now=grid.clock.now())
    worker_of(grid).settle()
    with grid.store.read() as tx:
        (debt,) = prepay.debts_of(tx, contract_id="h0")
        assert (debt.name, debt.owed, debt.terms.percent) == ("old bills", cny("48.10"), Decimal(20))
        assert ledger.balance(tx, account_id=owed_on) == cny("0")
    assert grid.wallet("h0").available == cny("-2.10")  # the hour since then, and the day
    assert [(part.kind, part.amount) for part in grid.recharge("h0", "10").parts] == [
        ("debt", cny("2")),
        ("overdraft", cny("2.10")),
        ("wallet", cny("5.90")),
    ]
    sound(grid)


def test_terms_do_not_change_in_the_past_of_others_nor_ahead_of_time(home: Grid) -> None:
    with home.store.write() as tx:
        for at in (MARCH, MARCH + timedelta(days=1)):
            with pytest.raises(registry.TermsRefused):
                registry.change_terms(tx, contract_id="h0", mode="postpay", valid_from=at, now=home.clock.now())
        registry.end_contract(tx, contract_id="h0", at=APRIL, now=home.clock.now())
        with pytest.raises(registry.TermsRefused):
            registry.end_contract(tx, contract_id="h0", at=APRIL + timedelta(days=1), now=home.clock.now())
        with pytest.raises(registry.ContractNotFound):
            registry.end_contract(tx, contract_id="nobody", at=APRIL, now=home.clock.now())


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_free_units_cover_what_the_month_cost_as_far_as_they_go_whatever_came_when(
    grid: Grid, data: st.DataObject
) -> None:
    run = next(_runs)
    grid.publish({**FLAT, "id": f"t{run}", "rounding": {"line": {"places": 6}}})
    grid.homes(1, mode="prepay", tariff=f"t{run}", first=run)
    point = f"h{run}"
    march, april = (data.draw(st.lists(st.integers(0, 9000), min_size=1, max_size=6)) for _ in range(2))
    batches = [("m", march, MARCH), ("a", april, APRIL), ("c", march[::-1], MARCH)]
    kwh, money = data.draw(st.integers(1, 40_000)), data.draw(st.integers(1, 20 * 10**6))
    before = data.draw(st.integers(0, 3))
    for number, (name, values, start) in enumerate([*batches, ("none", [], MARCH)]):
        if number == before:
            with grid.store.write() as tx:
                for _ in range(2):
                    for label, amount in (("units", Energy(kwh)), ("gift", Money(money, "CNY"))):
                        prepay.grant_units(
                            tx, contract_id=point, name=label, amount=amount, month=MARCH, now=grid.clock.now()
                        )
        if values:
            grid.deliver(f"{run}{name}", {point: intervals(values, start=start)})
        if data.draw(st.booleans()):
            with grid.store.write() as tx:
                prepay.post_accrual(tx, contract_ids=[point], now=grid.clock.now())
    with grid.store.write() as tx:
        prepay.post_accrual(tx, contract_ids=[point], now=grid.clock.now())
        grants = {grant.name: grant.covered.micro for grant in prepay.grants_of(tx, contract_id=point)}
    march_cost = 500 * sum(march) + 100_000
    # One kWh costs 0.50 all month: free energy is worth just that; what is left the gift covers, as far as it goes.
    assert grants["gift"] == min(money, march_cost)
    assert grants["units"] == min(500 * min(kwh, sum(march)), march_cost - grants["gift"])
    cost = march_cost + 500 * sum(april) + 100_000 - sum(grants.values())
    assert grid.wallet(point).ledger_balance == grid.wallet(point).available == Money(-cost, "CNY")
    sound(grid)


def test_a_grant_that_cannot_be_is_refused(home: Grid) -> None:
    def grant(amount: Money | Energy, name: str = "units") -> None:
        with home.store.write() as tx:
            prepay.grant_units(tx, contract_id="h0", name=name, amount=amount, month=MARCH, now=home.clock.now())

    grant(Energy(5000))
    for amount, name in ((Energy(0), "x"), (Money(1, "EUR"), "x"), (Energy(1), ""), (Energy(6000), "units")):
        with pytest.raises(prepay.GrantRefused):
            grant(amount, name)


def test_an_agent_sells_no_more_than_the_float(home: Grid) -> None:
    def sell(amount: str, key: str) -> prepay.Recharge:
        with home.store.write() as tx:
            return prepay.recharge(
                tx, contract_id="h0", amount=cny(amount), method="agent:corner", key=key, now=home.clock.now()
            )

    with pytest.raises(ledger.AccountUnknown):
        sell("1", "0")
    with home.store.write() as tx:
        for _ in range(2):
            prepay.fund_agent(tx, agent="corner", amount=cny("50"), paid_by="bank", key="1", now=home.clock.now())
        prepay.lend_float(tx, agent="corner", amount=cny("20"), key="1", now=home.clock.now())
    assert sell("60", "1") == sell("60", "1")
    with pytest.raises(ledger.BalanceRuleBroken):
        sell("11", "2")
    assert home.wallet("h0").available == cny("60")
    with home.store.write() as tx:
        prepay.take_back(
            tx, contract_id="h0", amount=cny("60"), method="agent:corner", refund_id="r", now=home.clock.now()
        )
        settled = prepay.settle_float(
            tx, agent="corner", amount=cny("15"), paid_by="bank", key="1", now=home.clock.now()
        )
        assert settled == prepay.Agent("corner", cny("70"), cny("5"))
        sales = prepay.agent_sales(tx, agent="corner", currency="CNY")
        assert [one.purpose for one in sales] == ["refund", "recharge", "agent_lent", "agent_funded"]
        with pytest.raises(ledger.BalanceRuleBroken):
            prepay.settle_float(tx, agent="corner", amount=cny("6"), paid_by="bank", key="2", now=home.clock.now())
    sound(home)


def test_a_wallet_asks_for_a_recharge_once_per_crossing(home: Grid, worker_of: Callable[[Grid], Worker]) -> None:
    def wanted() -> list[str]:
        with home.store.read() as tx:
            told = recent_facts(tx, limit=100)
        return sorted(fact.data["key"] for fact in told if fact.kind == "RechargeWanted")

    home.recharge("h0", "10", key="1")
    with home.store.write() as tx:
        prepay.set_auto_recharge(
            tx, contract_id="h0", below=cny("5"), amount=cny("20"), method="wechat", now=home.clock.now()
        )
        with pytest.raises(prepay.AutoRechargeRefused):
            prepay.set_auto_recharge(
                tx, contract_id="h0", below=cny("5"), amount=cny("0"), method="wechat", now=home.clock.now()
            )
    for number in range(8):
        home.deliver(str(number), {"h0": intervals([2000], start=MARCH + number * timedelta(minutes=15))})
    assert wanted() == ["auto:h0:1"]  # far below, and asked once: the collection may have failed
    home.recharge("h0", "1", key="2")
    home.deliver("8", {"h0": intervals([2000], start=MARCH + timedelta(hours=2))})
    assert wanted() == ["auto:h0:1"]  # still below: no new crossing
    home.recharge("h0", "20", key="3")
    home.deliver("9", {"h0": intervals([40_000], start=MARCH + timedelta(hours=3))})
    assert wanted() == ["auto:h0:1", "auto:h0:2"]
    worker_of(home).settle()
    with home.store.write() as tx:
        order = payments.NewOrder(contract_id="h0", provider="wechat", amount=cny("20"), key="auto:h0:1")
        placed = payments.place_order(tx, wanted=order, now=home.clock.now() + timedelta(minutes=1))
        assert placed.changed_at == home.clock.now()  # it was there already
        prepay.stop_auto_recharge(tx, contract_id="h0")
    home.recharge("h0", "50", key="4")
    home.deliver("10", {"h0": intervals([99_000], start=MARCH + timedelta(hours=4))})
    assert len(wanted()) == 2


def test_who_moves_out_is_charged_to_the_end_pays_what_is_owed_and_gets_the_rest(home: Grid) -> None:
    end = MARCH + timedelta(days=1, hours=12)

    def close() -> prepay.Closing:
        with home.store.write() as tx:
            return prepay.close_wallet(tx, contract_id="h0", ended_at=end, now=home.clock.now())

    with home.store.write() as tx:
        ledger.open_accounts(tx, accounts=[ledger.Account("receivable:h0", "receivable", "CNY")])
        prepay.agree_debt(
            tx,
            contract_id="h0",
            name="old bills",
            amount=cny("7"),
            owed_to="receivable:h0",
            terms=DebtTerms(percent=Decimal(10)),
            key="k",
            now=MARCH,
        )
        for _ in range(2):
            kept = prepay.take_deposit(
                tx, contract_id="h0", amount=cny("30"), method="bank", key="d", now=home.clock.now()
            )
        assert kept == cny("30")
    home.recharge("h0", "100")  # 10 of it for the debt, at most 7
    home.deliver("a", {"h0": intervals([1000] * 143)})
    home.clock.move_to(end + timedelta(hours=2))
    with pytest.raises(prepay.FinalReadingMissing, match="in force"):
        close()
    with home.store.write() as tx:
        registry.end_contract(tx, contract_id="h0", at=end, now=home.clock.now())
    with pytest.raises(prepay.FinalReadingMissing, match="readings to"):
        close()
    home.deliver("b", {"h0": intervals([1000, 9000], start=end - timedelta(minutes=15))})  # the last is of another
    done = close()
    assert (done.deposit, done.repaid, done.owed) == (cny("30"), cny("0"), cny("0"))
    assert done.refund == cny("93") + cny("30") - cny("72") - cny("0.20")
    assert close().refund == cny("0")  # nothing twice
    with home.store.write() as tx:
        home.clock.advance(timedelta(days=3))
        assert prepay.settle_due(tx, now=home.clock.now()) == 0  # no standing charge any more
        assert ledger.balance(tx, account_id=prepay.refund_account("h0")) == done.refund
        assert ledger.balance(tx, account_id="wallet:h0") == cny("0")
    sound(home)
