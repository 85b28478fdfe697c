"""URDB's values as they are found: numbers however they are written, rate structures with their tiers and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wattledger.tariffs._document import Faults, plain_number, shown
from wattledger.tariffs._exact import exact_sum

KWH, KWH_PER_KW, KWH_DAILY, KWH_PER_KW_DAILY, KW = "kWh", "kWh/kW", "kWh daily", "kWh/kW daily", "kW"
PER_KW = frozenset((KWH_PER_KW, KWH_PER_KW_DAILY))
_ENERGY_UNITS = {
    "kwh": KWH,
    "kwh/kw": KWH_PER_KW,
    "kwhdaily": KWH_DAILY,
    "kwh/day": KWH_DAILY,
    "kwh/kwdaily": KWH_PER_KW_DAILY,
    "kwh/kw/day": KWH_PER_KW_DAILY,
}
_DEMAND_UNITS = {"kw": KW}
# A last tier "up to" at least this much is open-ended. Of kWh per kW no month has more than its 745 hours.
_ENDLESS = {KWH: 10**6, KWH_DAILY: 10**5, KWH_PER_KW: 745, KWH_PER_KW_DAILY: 25, KW: 10**5}
_NINES = 5  # digits; 99999 stands for no limit too
_MEMBERS = frozenset(("rate", "adj", "sell", "max", "unit"))
_MOST_DIGITS, _MOST_PLACES = 15, 36
_FOLDED = str.maketrans("", "", " _-")


@dataclass(frozen=True, slots=True)
class Steps:
    """The prices of a period's tiers, the limits between them, and the unit of these; ``None`` where there are none."""

    prices: tuple[Decimal, ...]
    limits: tuple[Decimal, ...] = ()
    unit: str | None = None

    def raised(self, by: Decimal) -> Steps:
        """The steps with something added to every price."""
        return Steps(tuple(exact_sum((price, by)) for price in self.prices), self.limits, self.unit) if by else self


NOTHING = Steps((Decimal(0),))


@dataclass(slots=True)
class Reading:
    """Where what is wrong and what had to be decided goes."""

    faults: Faults
    remarks: list[str]

    def remark(self, sentence: str) -> None:
        """Tell a decision, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)


def number_in(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON
    """A number exactly as it was written; a float is the shortest decimal that it was read from."""
    text = repr(value) if isinstance(value, float) else value
    if isinstance(text, bool) or not isinstance(text, int | Decimal | str):
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    sane = number.is_finite() and -60 < number.adjusted() < 60  # noqa: PLR2004 - 1e38 stands for endless
    return number if sane or number == 0 else None


def amount_in(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON
    """A number that a price may have: within reason."""
    number = number_in(value)
    return None if number is None or number.adjusted() > _MOST_DIGITS or _places(number) > _MOST_PLACES else number


def _places(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def numbers_in(schedule: Any) -> set[Decimal]:  # noqa: ANN401 - JSON
    """All numbers of periods in a schedule of any depth."""
    if isinstance(schedule, list):
        return set().union(*(numbers_in(item) for item in schedule))
    number = number_in(schedule)
    return set() if number is None else {number}


def says_nothing(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a field might as well not be there."""
    return value is None or value is False or (isinstance(value, str | list | Mapping) and not value) or value == 0


def is_zero(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a number, or each of a list, charges nothing."""
    values = value if isinstance(value, list) else [value]
    return all(says_nothing(item) or number_in(item) == 0 for item in values)


def folded(text: str) -> str:
    """A key or a unit without what spellings differ in."""
    return text.lower().replace(" per ", "/").translate(_FOLDED)


def twelve(value: Any, path: str, reading: Reading) -> list[Decimal]:  # noqa: ANN401 - JSON
    """A number for each month; zeros where the field says nothing or has a fault."""
    if is_zero(value):
        return [Decimal(0)] * 12
    if not isinstance(value, list) or len(value) != 12:  # noqa: PLR2004 - months
        count = len(value) if isinstance(value, list) else shown(value)
        reading.faults.add(path, f"12 months are expected, not {count}")
        return [Decimal(0)] * 12
    found = []
    for month, item in enumerate(value):
        number = Decimal(0) if says_nothing(item) else amount_in(item)
        if number is None:
            reading.faults.add(f"{path}[{month}]", f"a number is expected, not {shown(item)}")
        found.append(number or Decimal(0))
    return found


# --- rate structures -------------------------------------------------------------------------------------------------


def charges_anything(structure: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether any tier of any period has a rate other than zero."""
    if isinstance(structure, list):
        return any(charges_anything(part) for part in structure)
    if not isinstance(structure, Mapping):
        return not is_zero(structure)
    tier = {folded(str(key)): value for key, value in structure.items()}
    return not (is_zero(tier.get("rate")) and is_zero(tier.get("adj")))


def energy_steps(steps: Any, path: str, reading: Reading) -> Steps:  # noqa: ANN401 - JSON
    """The tiers of a period of energy."""
    return _Tiers(steps, path, reading, units=_ENERGY_UNITS, usual=KWH).read()


def demand_steps(steps: Any, path: str, reading: Reading) -> Steps:  # noqa: ANN401 - JSON
    """The tiers of a period, or of a month, of demand."""
    found = _Tiers(steps, path, reading, units=_DEMAND_UNITS, usual=KW).read()
    for number, price in enumerate(found.prices):
        if price < 0:
            reading.faults.add(f"{path}[{number}].rate", "a price per kW below zero cannot be honoured")
    return found


class _Tiers:
    def __init__(
        self,
        steps: Any,  # noqa: ANN401 - JSON
        path: str,
        reading: Reading,
        *,
        units: Mapping[str, str],
        usual: str,
    ) -> None:
        self.steps, self.path, self.reading, self.units, self.usual = steps, path, reading, units, usual

    def read(self) -> Steps:
        steps = self.steps
        if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
            self.reading.faults.add(self.path, "a list of tiers is expected")
            return NOTHING
        tiers = [{folded(str(key)): value for key, value in step.items()} for step in steps]
        for number, step in enumerate(steps):
            for key, value in step.items():
                if folded(str(key)) not in _MEMBERS and not says_nothing(value):
                    self.reading.faults.add(f"{self.path}[{number}].{key}", "unknown field")
        prices = tuple(self._price(tier, number) for number, tier in enumerate(tiers))
        units = [self._unit(tier, number) for number, tier in enumerate(tiers)]
        limits: list[Decimal] = []
        for number, tier in enumerate(tiers[:-1]):
            limit = None if tier.get("max") is None else number_in(tier["max"])
            if limit is None or limit <= (limits[-1] if limits else 0):
                cause = f"a limit above the tier before is expected, not {shown(tier.get('max'))}"
                self.reading.faults.add(f"{self.path}[{number}].max", cause)
            else:
                limits.append(limit)
        stated = list(dict.fromkeys(unit or self.usual for unit in units[:-1]))
        if not stated:
            self._open_end(tiers[-1], len(tiers) - 1, units[-1] or self.usual)
            return Steps(prices)
        if len(stated) > 1:
            self._refuse_mixed(stated)
        self._open_end(tiers[-1], len(tiers) - 1, units[-1] or stated[0])
        self._refuse_other_end(stated[0], units[-1], len(tiers) - 1)
        return Steps(prices, tuple(limits), stated[0])

    def _refuse_mixed(self, units: Sequence[str]) -> None:
        self.reading.faults.add(self.path, f"tiers in {' and '.join(units)} cannot be counted together")

    def _refuse_other_end(self, unit: str, last: str | None, number: int) -> None:
        """An open end needs no unit; but SAM lets a last tier in kWh end where the ones per kW do."""
        if last is None and unit in PER_KW:
            cause = f"the unit is missing after tiers in {unit}, and kWh would be meant"
            self.reading.faults.add(f"{self.path}[{number}].unit", cause)
        elif last is not None and (last in PER_KW) != (unit in PER_KW):
            self._refuse_mixed((unit, last))

    def _price(self, tier: Mapping[str, Any], number: int) -> Decimal:
        where = f"{self.path}[{number}]"
        if not is_zero(tier.get("sell")):
            self.reading.remark("The sell rates are for energy given back, which has no price here.")
        rate = amount_in(tier.get("rate"))
        adjustment = Decimal(0) if tier.get("adj") is None else amount_in(tier["adj"])
        if rate is None:
            self.reading.faults.add(f"{where}.rate", f"a price is expected, not {shown(tier.get('rate'))}")
        if adjustment is None:
            self.reading.faults.add(f"{where}.adj", f"a number is expected, not {shown(tier['adj'])}")
        return exact_sum((rate or Decimal(0), adjustment or Decimal(0)))

    def _unit(self, tier: Mapping[str, Any], number: int) -> str | None:
        if says_nothing(tier.get("unit")):
            return None
        unit = self.units.get(folded(str(tier["unit"])))
        if unit is None:
            known = ", ".join(dict.fromkeys(self.units.values()))
            cause = f"one of {known} is expected, not {shown(tier['unit'])}"
            self.reading.faults.add(f"{self.path}[{number}].unit", cause)
        return unit

    def _open_end(self, tier: Mapping[str, Any], number: int, unit: str) -> None:
        if says_nothing(tier.get("max")):
            return
        limit = number_in(tier["max"])
        nines = limit is not None and len(digits := plain_number(limit)) >= _NINES and set(digits) == {"9"}
        if limit is None or (limit < _ENDLESS[unit] and not nines):
            what = "demand" if unit == KW else "energy"
            self.reading.faults.add(
                f"{self.path}[{number}].max", f"{what} above {shown(tier['max'])} {unit} has no price"
            )
        else:
            self.reading.remark("The last tier's max is so high that it is read as no limit.")
