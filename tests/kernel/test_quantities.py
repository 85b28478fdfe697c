from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.kernel import CurrencyMismatch, Energy, Money, Power

MICRO = st.integers(-(10**18), 10**18)


@given(MICRO)
def test_money_survives_its_text(micro: int) -> None:
    money = Money(micro, "EUR")
    assert Money.of(money.text, "EUR") == money
    assert Money.of(money.amount, "EUR") == money


@given(MICRO, MICRO)
def test_money_adds_exactly(a: int, b: int) -> None:
    assert (Money(a, "EUR") + Money(b, "EUR") - Money(b, "EUR")).micro == a
    assert (Money(a, "EUR") < Money(b, "EUR")) == (a < b)


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatch, match=r"1\.00 EUR and 1\.00 USD"):
        Money.of(1, "EUR") + Money.of(1, "USD")
    with pytest.raises(CurrencyMismatch):
        _ = Money.of(1, "EUR") <= Money.of(1, "USD")


@pytest.mark.parametrize("amount", ["0.0000001", "1.0000005"])
def test_nothing_finer_than_a_micro_unit(amount: str) -> None:
    with pytest.raises(ValueError, match="finer"):
        Money.of(amount, "EUR")


def test_energy_is_whole_watt_hours() -> None:
    assert Energy.from_kilowatt_hours("1.234").wh == 1234
    with pytest.raises(ValueError, match="whole number"):
        Energy.from_kilowatt_hours("1.2345")


def test_mean_power_of_a_quarter_hour() -> None:
    assert Power.mean_of(Energy(250), seconds=900) == Power(1000)
    assert Power(1000).kilowatts == Decimal(1)
