"""Energy, power and money as exact integers with their unit in the type."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import ClassVar, Self

from wattledger.kernel.problems import Problem

_MICRO_PLACES = 6


class CurrencyMismatch(Problem):
    """Two amounts of different currencies met in one sum or comparison."""

    slug = "currency-mismatch"
    title = "Amounts of different currencies cannot be added"
    status = 422


def _plain(value: Decimal) -> str:
    """``value`` without exponent and without trailing zeros beyond the point."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True, order=True)
class Energy:
    """Active energy in whole watt-hours.

    >>> Energy.from_kilowatt_hours("1.25")
    Energy(wh=1250)
    >>> str(Energy(1250) + Energy(50))
    '1.3 kWh'
    """

    wh: int

    @classmethod
    def from_kilowatt_hours(cls, kwh: Decimal | str | int) -> Self:
        """The energy of ``kwh``; refuses a value that is not a whole number of watt-hours."""
        scaled = Decimal(kwh).scaleb(3)
        whole = int(scaled)
        if whole != scaled:
            msg = f"{kwh} kWh is not a whole number of watt-hours"
            raise ValueError(msg)
        return cls(whole)

    @property
    def kilowatt_hours(self) -> Decimal:
        """The same energy as an exact decimal number of kilowatt-hours."""
        return Decimal(self.wh).scaleb(-3)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.wh + other.wh)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.wh - other.wh)

    def __neg__(self) -> Self:
        return type(self)(-self.wh)

    def __str__(self) -> str:
        return f"{_plain(self.kilowatt_hours)} kWh"


@dataclass(frozen=True, slots=True, order=True)
class Power:
    """Active power in whole watts."""

    watts: int

    @classmethod
    def mean_of(cls, energy: Energy, *, seconds: int) -> Self:
        """The mean power of ``energy`` used over ``seconds``, rounded to the nearest watt (half to even)."""
        return cls(int((Decimal(energy.wh) * 3600 / seconds).quantize(Decimal(1), ROUND_HALF_EVEN)))

    @property
    def kilowatts(self) -> Decimal:
        """The same power as an exact decimal number of kilowatts."""
        return Decimal(self.watts).scaleb(-3)

    def __str__(self) -> str:
        return f"{_plain(self.kilowatts)} kW"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in micro-units (millionths) of a currency (ISO 4217 code).

    >>> Money.of("12.34", "EUR") + Money.of("0.000001", "EUR")
    Money(micro=12340001, currency='EUR')
    >>> str(Money.of("12.5", "EUR"))
    '12.50 EUR'
    """

    micro: int
    currency: str

    PLACES: ClassVar[int] = _MICRO_PLACES

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: str) -> Self:
        """``amount`` of ``currency``; refuses an amount finer than a micro-unit."""
        scaled = Decimal(amount).scaleb(_MICRO_PLACES)
        whole = int(scaled)
        if whole != scaled:
            msg = f"{amount} {currency} is finer than a micro-unit"
            raise ValueError(msg)
        return cls(whole, currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        """Nothing, of ``currency``."""
        return cls(0, currency)

    @property
    def amount(self) -> Decimal:
        """The exact decimal amount in whole units of the currency."""
        return Decimal(self.micro).scaleb(-_MICRO_PLACES)

    @property
    def text(self) -> str:
        """The exact amount as text with at least two places: ``12.50``, ``0.000001``."""
        text = _plain(self.amount)
        whole, _, places = text.partition(".")
        return f"{whole}.{places.ljust(2, '0')}"

    def __add__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(self.micro + other.micro, self.currency)

    def __sub__(self, other: Self) -> Self:
        self._same_currency(other)
        return type(self)(self.micro - other.micro, self.currency)

    def __neg__(self) -> Self:
        return type(self)(-self.micro, self.currency)

    def __lt__(self, other: Self) -> bool:
        self._same_currency(other)
        return self.micro < other.micro

    def __le__(self, other: Self) -> bool:
        self._same_currency(other)
        return self.micro <= other.micro

    def __gt__(self, other: Self) -> bool:
        return other < self

    def __ge__(self, other: Self) -> bool:
        return other <= self

    def __str__(self) -> str:
        return f"{self.text} {self.currency}"

    def _same_currency(self, other: Self) -> None:
        if self.currency != other.currency:
            detail = f"{self} and {other} are of different currencies"
            raise CurrencyMismatch(detail)
