"""The laws of what a recharge pays first: pure, for any amounts, shares, caps and order."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.kernel import Money
from wattledger.prepay import DebtCaps, DebtShare, Due, Fee, Part, Policy, Step, read_policy, split

MICRO = st.integers(0, 10**9)
CAP = st.none() | MICRO
SHARE = st.fractions(0, 1, max_denominator=10**6)
STEPS: tuple[Step, ...] = ("fees", "debts", "overdraft", "emergency")


@st.composite
def debts(draw: st.DrawFn) -> list[DebtShare]:
    return [
        DebtShare(
            debt_id=f"d{number}",
            name=f"debt {number}",
            owed=draw(MICRO),
            instalment=draw(MICRO),
            share=draw(SHARE),
            recharge_most=draw(CAP),
            month_most=draw(CAP),
            month_taken=draw(MICRO),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    order = draw(st.permutations(STEPS))[: draw(st.integers(0, 4))]
    fees = [
        Fee(name=f"fee {number}", fixed=draw(MICRO), share=draw(SHARE), most=draw(CAP))
        for number in range(draw(st.integers(0, 2)))
    ]
    caps = DebtCaps(share_most=draw(SHARE), recharge_most=draw(CAP), month_most=draw(CAP))
    return Policy(name="p", currency="CNY", order=tuple(order), fees=tuple(fees), debts=caps, low=0)


def taken(parts: tuple[Part, ...], kind: str) -> int:
    return sum(part.amount.micro for part in parts if part.kind == kind)


@settings(max_examples=200)
@given(st.integers(1, 10**9), policies(), debts(), MICRO, MICRO, MICRO)
def test_whatever_the_order_parts_add_up_debts_are_not_overpaid_and_caps_are_kept(
    amount: int, policy: Policy, owed: list[DebtShare], month_before: int, overdraft: int, emergency: int
) -> None:
    month_taken = month_before + sum(debt.month_taken for debt in owed)
    due = Due(debts=owed, month_taken=month_taken, overdraft=overdraft, emergency=emergency)
    parts = split(amount=Money(amount, "CNY"), method="m", policy=policy, due=due)

    assert sum(part.amount.micro for part in parts) == amount
    assert all(part.amount.micro > 0 for part in parts)
    assert taken(parts, "overdraft") <= overdraft
    assert taken(parts, "emergency") <= emergency
    for debt in owed:
        paid = sum(part.amount.micro for part in parts if part.debt_id == debt.debt_id)
        assert paid <= debt.owed
        assert paid <= debt.instalment + debt.share * amount
        assert paid <= (amount if debt.recharge_most is None else debt.recharge_most)
        assert debt.month_most is None or paid <= max(0, debt.month_most - debt.month_taken)
    caps, paid = policy.debts, taken(parts, "debt")
    assert paid <= caps.share_most * amount
    assert caps.recharge_most is None or paid <= caps.recharge_most
    assert caps.month_most is None or paid <= max(0, caps.month_most - month_taken)
    # The wallet gets something only when every step of the order has got all that it may have.
    if taken(parts, "wallet") and "emergency" in policy.order:
        assert taken(parts, "emergency") == emergency


@given(st.integers(1, 10**9), st.integers(1, 10**9), SHARE)
def test_what_recharges_pay_of_a_debt_does_not_grow_by_paying_in_pieces(one: int, other: int, share: Fraction) -> None:
    def paid(amount: int) -> int:
        debt = DebtShare(debt_id="d", name="d", owed=10**12, share=share)
        policy = Policy(name="p", currency="CNY", low=0)
        return taken(split(amount=Money(amount, "CNY"), method="m", policy=policy, due=Due(debts=[debt])), "debt")

    assert paid(one + other) - 1 <= paid(one) + paid(other) <= paid(one + other)


def test_the_order_is_the_policys() -> None:
    text = """
        name: cards
        currency: CNY
        order: [emergency, fees, overdraft, debts]
        fees:
          - {name: card fee, percent: 0.6, fixed: 0.10, most: 0.5, methods: [card]}
        debts: {percent_most: 30, month_most: 100}
        emergency: {amount: 10, offer: on_request, below: 2}
    """
    policy = read_policy(text, source="test")
    debt = DebtShare(debt_id="d", name="old bills", owed=80_000_000, share=Fraction(1, 2))
    due = Due(debts=[debt], overdraft=1_000_000, emergency=10_000_000)

    def told(method: str) -> list[tuple[str, str]]:
        parts = split(amount=Money.of(20, "CNY"), method=method, policy=policy, due=due)
        return [(part.name, part.amount.text) for part in parts]

    rest = [("used on account", "1.00"), ("old bills", "6.00")]
    assert told("cash") == [("emergency credit", "10.00"), *rest, ("wallet", "3.00")]
    assert told("card") == [("emergency credit", "10.00"), ("card fee", "0.22"), *rest, ("wallet", "2.78")]
