from datetime import timedelta

import pytest
from grid import MARCH, Grid

from wattledger import prepay
from wattledger.prepay import PolicyRefused, read_policy


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("currency: yuan", "currency: 'yuan' is no ISO 4217 code"),
        ("[", "it is not YAML"),
        ("just words", "the document: a mapping is wanted"),
        ("{currency: CNY, colour: red}", "colour: is none of"),
        ("{currency: CNY, order: [debts, debts]}", "order: debts is there twice"),
        ("{currency: CNY, order: [wallet]}", "order: 'wallet' is none of"),
        ("{currency: CNY, order: [fees], emergency: {amount: 10}}", "no recharge repays it"),
        ("{currency: CNY, emergency: {amount: 1e3}}", "emergency.amount: '1e3' is not an amount"),
        ("{currency: CNY, emergency: {amount: -1}}", "emergency.amount"),
        ("{currency: CNY, fees: [{name: card, percent: 101}]}", "fees[0].percent: is more than 100 percent"),
        ("{currency: CNY, fees: [{name: card}]}", "fees[0]: a fee is fixed, a percent, or both"),
        ("{currency: CNY, low: 1.0000001}", "low"),
        ("{currency: CNY, low: 2, second: 3}", "second"),
        ("{currency: CNY, days: 61}", "days"),
        ("{currency: CNY, arrears: {month_most: 5}}", "arrears: it is never paid off"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_and_says_where(text: str, fault: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        read_policy(text, source="p.yaml")
    assert fault in refused.value.detail
    assert refused.value.detail.startswith("p.yaml: ")


def test_a_policy_holds_from_its_instant_until_a_later_one(grid: Grid) -> None:
    text = "{currency: CNY, low: %s}"
    with grid.store.write() as tx:
        for days, low in ((1, 5), (3, 7)):
            for _ in range(2):  # the same again changes nothing
                prepay.publish_policy(tx, text=text % low, source="p", valid_from=MARCH + timedelta(days=days))
        with pytest.raises(prepay.PolicyConflict):
            prepay.publish_policy(tx, text=text % 6, source="p", valid_from=MARCH + timedelta(days=1))
        lows = [
            prepay.policy_named(tx, name="default", currency="CNY", at=MARCH + timedelta(days=day)).low // 1_000_000
            for day in range(4)
        ]
        assert lows == [10, 5, 5, 7]
        at = MARCH + timedelta(days=4)
        assert prepay.policy_named(tx, name="default", currency="EUR", at=at).low == 10_000_000
        prepay.publish_policy(tx, text="{currency: EUR, low: 2}", source="p", valid_from=at)
        both = [prepay.policy_named(tx, name="default", currency=one, at=at).low for one in ("EUR", "CNY")]
        assert both == [2_000_000, 7_000_000]
        with pytest.raises(prepay.PolicyNotFound):
            prepay.policy_named(tx, name="other", currency="CNY", at=MARCH)
