"""The OpenEI Utility Rate Database's JSON, read into our language.

Every field is honoured, harmless, or refused by name: descriptive fields are ignored by the explicit list below, a
structure that can never charge anything is harmless, and what is left is a charge that the engine does not know yet.

URDB does not say how tiers meet periods, so the convention is named: ``sam`` (NREL's System Advisor Model: the limits
apply to the month's sum over all periods, and every period gets the same shares of the tiers), ``chronological`` (the
same counter, filled in the order of time) or ``per-period`` (every period counts its own energy from zero).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from wattledger.tariffs._document import Faults, plain_number, read_json, shown
from wattledger.tariffs._exact import exact_sum
from wattledger.tariffs._language import Tariff, parse_tariff

TierConvention = Literal["sam", "chronological", "per-period"]

_CONVENTIONS = {
    "sam": ("all_periods", "pro_rata", "every period gets the same shares of the month's tiers, as SAM has it"),
    "chronological": ("all_periods", "chronological", "the month's tiers fill in the order of time"),
    "per-period": ("per_period", "pro_rata", "every period counts its own tiers"),
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_HOURS = 24
_ENDLESS = Decimal(10) ** 6  # kWh; a last tier "up to" at least this much is open-ended
_FIXED_UNITS = {"$/month": "month", "$/day": "day", "$/year": "year"}

# Fields that describe a rate, its paperwork or its eligibility, and charge nothing.
_DESCRIPTIVE = frozenset(
    (
        *("label", "uri", "name", "utility", "utilityname", "eiaid", "sector", "servicetype", "description", "source"),
        *("sourceparent", "country", "state", "basicinformationcomments", "energycomments", "demandcomments"),
        *("approved", "is_default", "default", "active", "version", "revisions", "latest_update", "latestupdate"),
        *("supersedes", "supercedes", "startdate", "enddate", "effectivedate", "phasewiring", "voltagecategory"),
        *("voltageminimum", "voltagemaximum", "peakkwcapacitymin", "peakkwcapacitymax", "peakkwcapacityhistory"),
        *("peakkwhusagemin", "peakkwhusagemax", "peakkwhusagehistory", "demandunits", "demandunit", "demandrateunit"),
        *("demandrateunits", "flatdemandunit", "flatdemandunits", "coincidentrateunit", "demandwindow"),
        *("energytoulabels", "demandtoulabels", "demandlabels"),
    )
)
# Fields that only bear on demand charges; those are refused by their own fields.
_OF_DEMAND = frozenset(
    (
        *("demandweekdayschedule", "demandweekendschedule", "flatdemandmonths", "coincidentrateschedule"),
        *("demandratchetpercentage", "lookbackpercent", "lookbackrange", "lookbackmonths"),
    )
)
_HANDLED = frozenset(
    (
        *("energyratestructure", "energyweekdayschedule", "energyweekendschedule"),
        *("fixedchargefirstmeter", "fixedchargeunits", "fixedmonthlycharge", "minchargeunits"),
    )
)
_DEMAND = {
    "demandratestructure": ("demandweekdayschedule", "demandweekendschedule"),
    "flatdemandstructure": ("flatdemandmonths",),
    "coincidentratestructure": ("coincidentrateschedule",),
}
_CHARGING = {  # nothing when zero; a clause to come when not
    "mincharge": "minimum",
    "minmonthlycharge": "minimum",
    "annualmincharge": "minimum",
    "demandreactivepowercharge": "reactive",
    "fueladjustmentsmonthly": "fuel adjustment",
}
_REMARKED = {  # left aside, and said so
    "dgrules": "dgrules is about energy given back, which has no price here",
    "usenetmetering": "usenetmetering is about energy given back, which has no price here",
    "fixedchargeeaaddl": "fixedchargeeaaddl is for further meters; one meter is rated",
    "energyattrs": "energyattrs are notes in words and are not priced",
    "demandattrs": "demandattrs are notes in words and are not priced",
    "fixedattrs": "fixedattrs are notes in words and are not priced",
}
_KNOWN = frozenset((*_DESCRIPTIVE, *_OF_DEMAND, *_HANDLED, *_DEMAND, *_CHARGING, *_REMARKED))


def is_urdb(document: Mapping[str, Any]) -> bool:
    """Whether a document is URDB's rather than ours."""
    keys = {str(key).lower() for key in document}
    return "charges" not in keys and bool(keys & {"energyratestructure", "items", *_DEMAND, *_HANDLED})


def import_urdb(document: Mapping[str, Any], *, tiers: TierConvention = "sam", source: str = "URDB") -> Tariff:
    """The tariff that a URDB document (one rate, alone or as the only member of ``items``) says.

    Its periods keep their labels, or the schedule's numbers; its zone is not known. ``Tariff.remarks`` says what had to
    be decided or was left aside. Raises ``TariffRefused`` with the name of each field that cannot be honoured.
    """
    faults = Faults(source)
    reader = _Urdb(_the_rate(document, faults), tiers, faults)
    rewritten = reader.rewritten()
    faults.stop()
    return parse_tariff(rewritten, source=source, remarks=reader.remarks)


def _the_rate(document: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    items = document.get("items")
    if items is not None:
        if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], Mapping):
            count = len(items) if isinstance(items, list) else "no list of"
            faults.add("items", f"one rate is expected, not {count}")
            faults.stop()
        document = items[0]
    rate: dict[str, Any] = {}
    for key, value in document.items():
        if key.lower() in rate:
            faults.add(key, "the field stands twice")
        rate[key.lower()] = value
    return rate


class _Urdb:
    """Rewrites one rate in our language."""

    def __init__(self, rate: Mapping[str, Any], tiers: TierConvention, faults: Faults) -> None:
        self.faults = faults
        self.tiers = tiers
        self.remarks: list[str] = []
        self.rate = {key: self._unpacked(key, value) for key, value in rate.items()}

    def rewritten(self) -> dict[str, Any]:
        self._account_for_fields()
        self._no_demand()
        document: dict[str, Any] = {**self._header()}
        calendar = self._calendar()
        if calendar is not None:
            document.update(calendar[0])
            document["charges"] = [*self._energy(*calendar[1:]), *self._fixed()]
        return document

    # --- every field has its place -----------------------------------------------------------------------------------

    def _unpacked(self, key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
        """A list that was written as text, as some tables of rates have it."""
        if isinstance(value, str) and value.lstrip().startswith("[") and key not in _DESCRIPTIVE:
            return read_json(value, source=f"{self.faults.source}: {key}")
        return value

    def _account_for_fields(self) -> None:
        for key, value in self.rate.items():
            if key in _REMARKED and not _says_nothing(value):
                self.remarks.append(f"{_REMARKED[key]}.")
            elif key in _CHARGING and not self._zero(value):
                self.faults.add(key, f"clause not supported yet: {_CHARGING[key]}")
            elif key not in _KNOWN and not _says_nothing(value):
                self.faults.add(key, "unknown field")
        if {"startdate", "enddate"} & self.rate.keys():
            self.remarks.append("URDB's start and end dates are not enforced.")

    def _zero(self, value: Any) -> bool:  # noqa: ANN401 - JSON
        values = value if isinstance(value, list) else [value]
        return all(_says_nothing(item) or _number(item) == 0 for item in values)

    def _no_demand(self) -> None:
        """Demand structures may be there as long as nothing that applies at any time charges anything."""
        for key, schedules in _DEMAND.items():
            structure = self.rate.get(key)
            if _says_nothing(structure):
                continue
            scheduled = {index for name in schedules for index in _indexes(self.rate.get(name))}
            for number, period in enumerate(structure if isinstance(structure, list) else [structure]):
                for tier_number, tier in enumerate(period if isinstance(period, list) else [period]):
                    rates = [tier.get("rate"), tier.get("adj")] if isinstance(tier, Mapping) else [tier]
                    if (not scheduled or number in scheduled) and not all(self._zero(rate) for rate in rates):
                        self.faults.add(f"{key}[{number}][{tier_number}]", "clause not supported yet: demand")

    # --- header ------------------------------------------------------------------------------------------------------

    def _header(self) -> dict[str, Any]:
        utility, name, label = (_line(self.rate.get(key)) for key in ("utility", "name", "label"))
        title = ": ".join(part for part in (utility, name) if part)
        identity = label or _slug(title) or _slug(Path(self.faults.source).stem)
        revisions = self.rate.get("revisions")
        revision = str(revisions[-1]) if isinstance(revisions, list) and revisions else ""
        return {
            "id": f"urdb-{identity}"[:80],
            "version": _day(self.rate.get("startdate")) or revision or "1",
            "name": title[:200] or f"URDB {identity}"[:200],
            "currency": "USD",
        }

    # --- calendar ----------------------------------------------------------------------------------------------------

    def _calendar(self) -> tuple[dict[str, Any], list[int], dict[int, str]] | None:
        """Our seasons, day types and periods; the periods that occur; and their names."""
        structure = self.rate.get("energyratestructure")
        if not isinstance(structure, list) or not structure:
            self.faults.add("energyratestructure", f"a list of periods is expected, not {shown(structure)}")
            return None
        weekday = self._schedule("energyweekdayschedule", len(structure))
        weekend = self._schedule("energyweekendschedule", len(structure))
        if weekday is None or weekend is None:
            return None
        occurring = sorted({period for row in (*weekday, *weekend) for period in row})
        names = self._names(occurring)
        if len(occurring) == 1:
            return {}, occurring, names
        document: dict[str, Any] = {}
        months: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for month in range(12):
            months.setdefault((weekday[month], weekend[month]), []).append(month)
        if len(months) > 1:
            document["seasons"] = {_season(group)[0]: _season(group)[1] for group in months.values()}
        if any(working != free for working, free in months):
            document["day_types"] = {"weekday": "mon-fri", "weekend": ["sat", "sun"]}
        rules: dict[int, list[dict[str, Any]]] = {period: [] for period in occurring}
        for (working, free), group in months.items():
            season = {"seasons": _season(group)[0]} if len(months) > 1 else {}
            rows = [({}, working)] if working == free else [({"days": "weekday"}, working), ({"days": "weekend"}, free)]
            for days, row in rows:
                for period in sorted(set(row)):
                    rules[period].append({**season, **days, "times": _windows(row, period)})
        document["periods"] = {names[period]: found for period, found in rules.items()}
        return document, occurring, names

    def _schedule(self, key: str, periods: int) -> list[tuple[int, ...]] | None:
        schedule = self.rate.get(key)
        if schedule is None and periods == 1:
            self.remarks.append(f"{key} is missing; the only period is taken to apply at all times.")
            return [(0,) * _HOURS] * 12
        if not isinstance(schedule, list) or len(schedule) != len(_MONTHS):
            self.faults.add(key, f"12 months are expected, not {_count(schedule)}")
            return None
        rows: list[tuple[int, ...]] = []
        before = len(self.faults.found)
        for month, row in enumerate(schedule):
            if not isinstance(row, list) or len(row) != _HOURS:
                self.faults.add(f"{key}[{month}]", f"24 hours are expected, not {_count(row)}")
                continue
            numbers = [_number(value) for value in row]
            for hour, (value, number) in enumerate(zip(row, numbers, strict=True)):
                if number is None or number != int(number) or not 0 <= number < periods:
                    cause = f"a number of a period from 0 to {periods - 1} is expected, not {shown(value)}"
                    self.faults.add(f"{key}[{month}][{hour}]", cause)
            if len(self.faults.found) == before:
                rows.append(tuple(int(number) for number in numbers if number is not None))
        return rows if len(self.faults.found) == before else None

    def _names(self, occurring: Sequence[int]) -> dict[int, str]:
        labels = self.rate.get("energytoulabels")
        given = [_line(label)[:40] for label in labels] if isinstance(labels, list) else []
        names = {period: given[period] if period < len(given) else "" for period in occurring}
        doubled = {name for name in names.values() if list(names.values()).count(name) > 1}
        return {
            period: f"{name} (period-{period})" if name in doubled and name else name or f"period-{period}"
            for period, name in names.items()
        }

    # --- charges -----------------------------------------------------------------------------------------------------

    def _energy(self, occurring: Sequence[int], names: Mapping[int, str]) -> list[dict[str, Any]]:
        prices: dict[str, list[Decimal]] = {}
        limits: dict[str, list[Decimal]] = {}
        units: set[str] = set()
        for period in occurring:
            read = self._tiers_of(period)
            prices[names[period]], limits[names[period]] = read[0], read[1]
            units |= read[2]
        charge: dict[str, Any] = {"name": "energy", "kind": "energy"}
        if len(units) > 1:
            self.faults.add("energyratestructure", f"tiers in {' and '.join(sorted(units))} cannot be counted together")
        if not units:
            charge["price"] = _per_period({name: steps[0] for name, steps in prices.items()})
            return [charge]
        counter, allocation, meaning = _CONVENTIONS[self.tiers]
        basis = "day" if "kwh daily" in units else "month"
        charge["tiers"] = {
            "counter": counter,
            "basis": basis,
            "allocation": allocation,
            "limits": _once(_per_period(limits)),
        }
        if basis == "month":
            charge["tiers"]["proration"] = "none"
            self.remarks.append("A month's tier limits stand whole in a bill of less than a month: URDB does not say.")
        charge["price"] = _per_period(prices)
        self.remarks.append(f"Tiers under the convention {self.tiers!r}: {meaning}.")
        return [charge]

    def _tiers_of(self, period: int) -> tuple[list[Decimal], list[Decimal], set[str]]:
        """The prices of a period's tiers, their limits but the last, and the limits' units."""
        steps = self.rate["energyratestructure"][period]
        path = f"energyratestructure[{period}]"
        if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
            self.faults.add(path, "a list of tiers is expected")
            return [Decimal(0)], [], set()
        prices: list[Decimal] = []
        limits: list[Decimal] = []
        units: set[str] = set()
        for number, step in enumerate(steps):
            where = f"{path}[{number}]"
            prices.append(self._price(step, where))
            unit = " ".join(str(step.get("unit") or "kWh").lower().split())
            limit = None if step.get("max") is None else _number(step["max"])
            if number == len(steps) - 1:
                self._open_end(step, limit, where)
            elif limit is None or limit <= (limits[-1] if limits else 0):
                self.faults.add(
                    f"{where}.max", f"a limit above the tier before is expected, not {shown(step.get('max'))}"
                )
            else:
                limits.append(limit)
                units.add(unit)
                if unit not in {"kwh", "kwh daily"}:
                    self.faults.add(f"{where}.unit", f"clause not supported yet: tiers in {step.get('unit')}")
        return prices, limits, units

    def _price(self, step: Mapping[str, Any], where: str) -> Decimal:
        for key in step:
            if key.lower() not in {"rate", "adj", "sell", "max", "unit"} and not _says_nothing(step[key]):
                self.faults.add(f"{where}.{key}", "unknown field")
        if not self._zero(step.get("sell")):
            remark = "The sell rates are for energy given back, which has no price here."
            self.remarks += [] if remark in self.remarks else [remark]
        rate = _number(step.get("rate"))
        adjustment = Decimal(0) if step.get("adj") is None else _number(step["adj"])
        if rate is None:
            self.faults.add(f"{where}.rate", f"a price is expected, not {shown(step.get('rate'))}")
        if adjustment is None:
            self.faults.add(f"{where}.adj", f"a number is expected, not {shown(step['adj'])}")
        return exact_sum((rate or Decimal(0), adjustment or Decimal(0)))

    def _open_end(self, step: Mapping[str, Any], limit: Decimal | None, where: str) -> None:
        if step.get("max") is None:
            return
        if limit is None or limit < _ENDLESS:
            self.faults.add(f"{where}.max", f"energy above {shown(step['max'])} kWh has no price")
        else:
            remark = "The last tier's max is so high that it is read as no limit."
            self.remarks += [] if remark in self.remarks else [remark]

    def _fixed(self) -> list[dict[str, Any]]:
        charges: dict[str, tuple[Decimal, str]] = {}
        for key in ("fixedchargefirstmeter", "fixedmonthlycharge"):
            value = self.rate.get(key)
            amount = Decimal(0) if _says_nothing(value) else _number(value)
            if amount is None:
                self.faults.add(key, f"a number is expected, not {shown(value)}")
            elif amount:
                charges[key] = amount, "month"
        if "fixedchargefirstmeter" in charges:
            units = self.rate.get("fixedchargeunits")
            per = "month" if _says_nothing(units) else _FIXED_UNITS.get("".join(str(units).lower().split()))
            if per is None:
                self.faults.add("fixedchargeunits", f"one of $/month, $/day, $/year is expected, not {shown(units)}")
            if _says_nothing(units):
                self.remarks.append("fixedchargeunits is missing; the fixed charge is taken to be for a month.")
            charges["fixedchargefirstmeter"] = charges["fixedchargefirstmeter"][0], per or "month"
        if len(set(charges.values())) > 1:
            self.faults.add("fixedmonthlycharge", "contradicts fixedchargefirstmeter")
        for amount, per in list(charges.values())[:1]:
            return [{"name": "fixed charge", "kind": "fixed", "price": plain_number(amount), "per": per}]
        return []


def _number(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON
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


def _says_nothing(value: Any) -> bool:  # noqa: ANN401 - JSON
    return value is None or value is False or (isinstance(value, str | list | Mapping) and not value) or value == 0


def _indexes(schedule: Any) -> Iterable[int]:  # noqa: ANN401 - JSON
    """All numbers of periods in a schedule of any depth."""
    if isinstance(schedule, list):
        return [index for item in schedule for index in _indexes(item)]
    number = _number(schedule)
    return [] if number is None else [int(number)]


def _line(value: Any) -> str:  # noqa: ANN401 - JSON
    text = " ".join(str(value).split()) if isinstance(value, str | int) else ""
    return "".join(character for character in text if character.isprintable())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _day(value: Any) -> str | None:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        match = re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
        return match[0] if match else None
    if isinstance(value, int) and 0 < value < 2**33:
        return f"{datetime.fromtimestamp(value, tz=UTC):%Y-%m-%d}"
    return None


def _count(value: Any) -> str:  # noqa: ANN401 - JSON
    return str(len(value)) if isinstance(value, list) else shown(value)


def _season(months: Sequence[int]) -> tuple[str, list[str]]:
    """The name and the spans of some months (not all twelve): their unbroken runs, across New Year's Eve too."""
    starts = [month for month in months if (month - 1) % 12 not in months]
    names, spans = [], []
    for first in starts:
        last = first
        while (last + 1) % 12 in months:
            last = (last + 1) % 12
        names.append(_MONTHS[first] if first == last else f"{_MONTHS[first]}-{_MONTHS[last]}")
        spans.append(f"{first + 1:02d}-01 to {last + 1:02d}-{_LAST_DAYS[last]:02d}")
    return ", ".join(names), spans


def _windows(row: Sequence[int], period: int) -> list[str]:
    """The windows of the day in which a period applies."""
    starts = [hour for hour in range(_HOURS) if row[hour] == period and (hour == 0 or row[hour - 1] != period)]
    windows = []
    for start in starts:
        end = next((hour for hour in range(start, _HOURS) if row[hour] != period), _HOURS)
        windows.append(f"{start:02d}:00-{end:02d}:00")
    return windows


def _per_period(values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """One value where there is one period, else one a period; numbers as text."""
    written = {name: _written(value) for name, value in values.items()}
    return next(iter(written.values())) if len(written) == 1 else written


def _once(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value of all periods where it is the same."""
    same = isinstance(value, Mapping) and all(other == next(iter(value.values())) for other in value.values())
    return next(iter(value.values())) if same else value


def _written(value: Any) -> Any:  # noqa: ANN401 - JSON
    return [plain_number(number) for number in value] if isinstance(value, list) else plain_number(value)
