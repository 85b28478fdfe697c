"""Credit that a meter keeps: brought once, never blindly again, and as tokens that the keypad takes."""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from grid import MARCH, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import control, ledger, prepay, sts
from wattledger.kernel import Money
from wattledger.prepay import Delivered, Delivery, DeliveryDelayed, DeliveryFailed
from wattledger.store import Store

_runs = itertools.count()
KEY = sts.DecoderKey(sts.Algorithm.MISTY1, bytes(range(16)))


@dataclass(slots=True)
class Line:
    """A meter at the end of a line that fails as told: before anything happened, after it did, or for good."""

    plan: list[str]
    got: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def earlier(self, delivery: Delivery) -> Delivered | None:
        self.asked.append("earlier")
        return Delivered(None, "it was there") if delivery.id in self.got else None

    def deliver(self, delivery: Delivery) -> Delivered:
        self.asked.append("deliver")
        what = self.plan.pop(0) if self.plan else "fine"
        if what == "broken":
            raise DeliveryFailed("no such credit object")
        if what != "lost":
            self.got[delivery.id] = self.got.get(delivery.id, 0) + delivery.amount.micro
        if what != "fine":
            raise DeliveryDelayed("no answer")
        return Delivered()


def at_meter(grid: Grid, via: str, *, number: int = 0) -> None:
    grid.publish()
    grid.homes(1, mode="prepay", first=number)
    with grid.store.write() as tx:
        prepay.keep_credit(tx, contract_id=f"h{number}", via=via, now=grid.clock.now())


def bring(grid: Grid, way: prepay.CreditDelivery, name: str = "line") -> int:
    return prepay.deliver_due(grid.store, ways={name: way}, now=grid.clock.now())


def statuses(store: Store, home: str = "h0") -> list[prepay.DeliveryStatus]:
    with store.read() as tx:
        return prepay.deliveries_of(tx, contract_id=home)


def test_what_is_not_known_to_be_there_is_asked_about_before_it_is_brought_again(grid: Grid) -> None:
    at_meter(grid, "line")
    grid.recharge("h0", "20", key="1")
    line = Line(["lost", "unheard"])
    assert bring(grid, line) == 0
    assert bring(grid, line) == 0  # patience first
    grid.clock.advance(timedelta(minutes=1))
    assert bring(grid, line) == 0
    grid.clock.advance(timedelta(minutes=1))
    assert bring(grid, line) == 1
    assert line.asked == ["deliver", "earlier", "deliver", "earlier"]
    assert list(line.got.values()) == [20_000_000]
    (done,) = statuses(grid.store)
    assert (done.state, done.detail, done.attempts) == ("delivered", "it was there", 3)
    assert bring(grid, line) == 0


def test_what_cannot_be_brought_waits_for_an_operator(grid: Grid) -> None:
    at_meter(grid, "line")
    grid.recharge("h0", "20", key="1")
    assert bring(grid, prepay.WalletDelivery(), name="other") == 0  # another way does not take it
    assert bring(grid, Line(["broken"])) == 1
    with grid.store.read() as tx:
        (failed,) = prepay.failed_deliveries(tx)
    assert (failed.detail, failed.cause[:4]) == ("no such credit object", "rch_")


def test_what_is_in_the_wallet_goes_along_to_the_meter_which_cuts_off_by_itself(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("a", {"h0": intervals([1000])})
    with grid.store.write() as tx, pytest.raises(prepay.PlaceRefused):
        prepay.keep_credit(tx, contract_id="h0", via="line", now=grid.clock.now())
    grid.recharge("h0", "20", key="1")
    with grid.store.write() as tx:
        for _ in range(2):
            prepay.keep_credit(tx, contract_id="h0", via="line", now=grid.clock.now())
    assert [one.amount for one in statuses(grid.store)] == [Money.of("19.40", "CNY")]
    grid.deliver("b", {"h0": intervals([60_000], start=MARCH + timedelta(minutes=15))})
    wallet = grid.wallet("h0")
    assert (wallet.kept, wallet.state) == ("line", "empty")  # the mirror of what the meter has
    with grid.store.write() as tx:
        policy = control.CutOffPolicy()
        control.plan_cut_off(tx, contract_id="h0", policy=policy, cause="c", now=grid.clock.now())
        assert control.supply_of(tx, service_point_id="h0").cut_off_at is None
        assert ledger.check_book(tx) == []


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cents=st.lists(st.integers(1, 2000), min_size=1, max_size=6), dies=st.sets(st.integers(0, 5)))
def test_tokens_are_taken_once_and_sell_together_what_the_money_buys(
    grid: Grid, cents: list[int], dies: set[int]
) -> None:
    number = next(_runs)
    home = f"h{number}"
    at_meter(grid, "sts", number=number)
    ways = prepay.StsDelivery(
        store=grid.store,
        clock=grid.clock,
        meter_of=lambda _meter: prepay.TokenMeter(KEY, sts.BaseDate.Y2014),
        bits=lambda _count: 5,
    )
    for place, amount in enumerate(cents):
        grid.recharge(home, str(Money(amount * 10_000, "CNY").amount), key=str(place))
        if place in dies:  # the token was made, and whoever asked for it died before it was written down
            (first, *_) = [one for one in statuses(grid.store, home) if one.state == "waiting"]
            made = Delivery(first.id, home, f"m-{home}", first.amount, first.cause, first.asked_at)
            assert ways.deliver(made) == ways.deliver(made) == ways.earlier(made)
        assert bring(grid, ways, "sts") == 1
    keypad = sts.Keypad(sts.InstalledKey(KEY, 1, 1, "123456"))
    units = 0
    digits = [one.receipt for one in statuses(grid.store, home) if one.receipt is not None]
    for token in sorted(digits, key=lambda one: sts.decode_token(digits=one, key=KEY).tid or 0):
        entered = keypad.enter(digits=token)
        assert entered.outcome is sts.Outcome.TAKEN
        assert entered.token is not None
        keypad, units = entered.keypad, units + sts.field_to_amount(field=entered.token["payload16"])
        assert keypad.enter(digits=token).outcome is sts.Outcome.USED
    # A unit of 0.1 kWh costs 5 cents; the bill is rounded to cents, half up, and so is what money buys of it.
    assert abs(units - sum(cents) // 5) <= 1
