"""The OpenEI Utility Rate Database's JSON, rewritten in our language.

Every field is honoured, harmless, or refused by name: descriptive fields are ignored by the explicit list below, a
structure that can never charge anything is harmless, and what had to be decided is told in the tariff's remarks.

URDB does not say how tiers meet periods, so the convention is named: ``sam`` (NREL's System Advisor Model: the limits
apply to the month's sum over all periods, and every period gets the same shares of the tiers), ``chronological`` (the
same counter, filled in the order of time) or ``per-period`` (every period counts its own energy from zero). Under
``sam`` all else that URDB leaves open is as SAM has it too: a day's charge is for 365/12 days a month, and where
``dgrules`` settles energy interval by interval, the tiers fill in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from wattledger.tariffs._document import Fault, Faults, TariffRefused, plain_number, read_json, shown
from wattledger.tariffs._exact import exact_sum
from wattledger.tariffs._language import Tariff, parse_tariff
from wattledger.tariffs._urdb_calendar import MONTHS, Seasons, Weeks, always, line_of, read_index, read_weeks
from wattledger.tariffs._urdb_values import (
    KWH_DAILY,
    KWH_PER_KW_DAILY,
    NOTHING,
    PER_KW,
    Reading,
    Steps,
    amount_in,
    charges_anything,
    demand_steps,
    energy_steps,
    folded,
    number_in,
    numbers_in,
    says_nothing,
    twelve,
)

TierConvention = Literal["sam", "chronological", "per-period"]

_CONVENTIONS = {
    "sam": ("all_periods", "pro_rata", "every period gets the same shares of the month's tiers, as SAM has it"),
    "chronological": ("all_periods", "chronological", "the month's tiers fill in the order of time"),
    "per-period": ("per_period", "pro_rata", "every period counts its own tiers"),
}
_BY_INTERVAL = frozenset(("netbillinginstantaneous", "netbillinghourly", "buyallsellall"))
"""The ``dgrules`` under which SAM settles interval by interval."""

_TIMES = {"$/month": "month", "$/day": "day", "$/year": "year"}
_DAYS_A_YEAR = 365
_USUAL_WINDOW = 15
_DAY_MINUTES = 1440
_YEAR_BEFORE = 11  # months looked back to where no range is stated
_WHOLE = 100  # percent

# Fields that describe a rate, its paperwork or its eligibility, and charge nothing.
_DESCRIPTIVE = frozenset(
    (
        *("label", "uri", "name", "utility", "utilityname", "eiaid", "sector", "servicetype", "description", "source"),
        *("sourceparent", "country", "state", "basicinformationcomments", "energycomments", "demandcomments"),
        *("approved", "isdefault", "default", "active", "version", "revisions", "latestupdate", "supersedes"),
        *("supercedes", "startdate", "enddate", "effectivedate", "phasewiring", "voltagecategory", "voltageminimum"),
        *("voltagemaximum", "peakkwcapacitymin", "peakkwcapacitymax", "peakkwcapacityhistory", "peakkwhusagemin"),
        *("peakkwhusagemax", "peakkwhusagehistory", "demandunits", "demandunit", "coincidentrateunit"),
        *("energytoulabels", "demandtoulabels", "demandlabels", "fixedchargecomments", "mincomments"),
    )
)
_HANDLED = frozenset(
    (
        *("energyratestructure", "energyweekdayschedule", "energyweekendschedule", "fueladjustmentsmonthly"),
        *("demandratestructure", "demandweekdayschedule", "demandweekendschedule", "demandrateunit", "demandrateunits"),
        *("flatdemandstructure", "flatdemandmonths", "flatdemandunit", "flatdemandunits", "demandwindow"),
        *("coincidentratestructure", "coincidentrateschedule", "demandreactivepowercharge"),
        *("demandratchetpercentage", "lookbackpercent", "lookbackrange", "lookbackmonths"),
        *("fixedchargefirstmeter", "fixedchargeunits", "fixedmonthlycharge"),
        *("mincharge", "minchargeunits", "minmonthlycharge", "annualmincharge"),
    )
)
_REMARKED = {  # left aside, and said so
    "dgrules": "dgrules is about energy given back, which has no price here",
    "usenetmetering": "usenetmetering is about energy given back, which has no price here",
    "fixedchargeeaaddl": "fixedchargeeaaddl is for further meters; one meter is rated",
    "energyattrs": "energyattrs are notes in words and are not priced",
    "demandattrs": "demandattrs are notes in words and are not priced",
    "fixedattrs": "fixedattrs are notes in words and are not priced",
}
_KNOWN = frozenset((*_DESCRIPTIVE, *_HANDLED, *_REMARKED))
_SIGNS = frozenset(("items", *(key for key in _HANDLED if key.endswith(("structure", "schedule", "charge")))))


def is_urdb(document: Mapping[str, Any]) -> bool:
    """Whether a document is URDB's rather than ours."""
    keys = {folded(str(key)) for key in document}
    return "charges" not in keys and bool(keys & _SIGNS)


def import_urdb(document: Mapping[str, Any], *, tiers: TierConvention = "sam", source: str = "URDB") -> Tariff:
    """The tariff that a URDB document (one rate, alone or as the only member of ``items``) says.

    Its periods keep their labels, or the schedule's numbers; its zone is not known. Demand is measured over
    ``demandwindow`` minutes, 15 when it is not there; a charge for reactive power is for the channel ``reactive``.
    ``Tariff.remarks`` says what had to be decided or was left aside. Raises ``TariffRefused`` with the name of each
    field that cannot be honoured.
    """
    faults = Faults(source)
    reader = _Urdb(_the_rate(document, faults), tiers, faults)
    rewritten = reader.rewritten()
    faults.stop()
    return parse_tariff(rewritten, source=source, remarks=reader.remarks)


def _the_rate(document: Mapping[str, Any], faults: Faults) -> Mapping[str, Any]:
    items = document.get("items")
    if items is None:
        return document
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], Mapping):
        count = len(items) if isinstance(items, list) else "no list of"
        faults.add("items", f"one rate is expected, not {count}")
        faults.stop()
    rate: Mapping[str, Any] = items[0]
    return rate


class _Urdb:
    """Rewrites one rate in our language."""

    def __init__(self, rate: Mapping[str, Any], tiers: TierConvention, faults: Faults) -> None:
        self.faults = faults
        self.tiers = tiers
        self.remarks: list[str] = []
        self.reading = Reading(faults, self.remarks)
        self.spelt: dict[str, str] = {}
        self.rate: dict[str, Any] = {}
        for spelt, value in rate.items():
            key = folded(str(spelt))
            if key in self.rate:
                faults.add(str(spelt), "the field stands twice")
            self.spelt[key] = str(spelt)
            self.rate[key] = self._unpacked(key, value)

    def rewritten(self) -> dict[str, Any]:
        """The document in our language; to be thrown away where there were faults."""
        self._account_for_fields()
        structure = self.rate.get("energyratestructure")
        if not isinstance(structure, list) or not structure:
            self._refuse("energyratestructure", f"a list of periods is expected, not {shown(structure)}")
            return {}
        weeks = self._energy_weeks(len(structure))
        demand_weeks, demand = self._demand()
        flat = self._flat_demand()
        ratchet = _Ratchet.of(self)
        fuel = twelve(self.rate.get("fueladjustmentsmonthly"), self._path("fueladjustmentsmonthly"), self.reading)
        reactive, further = self._reactive(), [*self._fixed(), *self._minimums()]
        energy = {} if weeks is None else {p: self._energy_steps(structure, p) for p in weeks.occurring}
        if weeks is None or self.faults.found:
            return {}
        told_apart = [
            (weeks.of(month), demand_weeks and demand_weeks.of(month), flat[month], fuel[month], ratchet.percent[month])
            for month in range(12)
        ]
        seasons = Seasons.of(told_apart)
        if ratchet and demand:
            self._refuse(ratchet.field, "does not say to which of several periods' demand it looks back")
        if ratchet and any(steps.unit in PER_KW for steps in energy.values()):
            self._refuse(ratchet.field, "does not say whether the tiers' limits per kW look back too")
        charges = _Energy(self, weeks, seasons, energy, fuel).charges()
        charges += self._demand_charges(demand_weeks, demand) + self._flat_charges(seasons, flat, ratchet)
        charges += reactive
        covered = [charge["name"] for charge in charges]
        for charge in further:
            if charge["kind"] == "minimum":
                charge["covers"] = covered
            else:
                covered.append(charge["name"])
        document = {**self._header(), **seasons.clause(), **seasons.day_types(weeks, demand_weeks)}
        if len(weeks.occurring) > 1:
            document["periods"] = seasons.periods(weeks)
        if demand_weeks is not None and len(demand_weeks.occurring) > 1:
            document["schedules"] = {"demand": {"periods": seasons.periods(demand_weeks)}}
        return {**document, "charges": charges + further}

    # --- every field has its place -----------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        return self.spelt.get(key, key)

    def _refuse(self, key: str, cause: str) -> None:
        self.faults.add(self._path(key), cause)

    def _unpacked(self, key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
        """A list that was written as text, as some tables of rates have it."""
        if isinstance(value, str) and value.lstrip().startswith("[") and key not in _DESCRIPTIVE:
            path = self._path(key)
            try:
                return read_json(value, source=self.faults.source)
            except TariffRefused as refused:
                cause = f"the list that is written as text here is {refused.faults[0].cause}"
                raise TariffRefused(source=self.faults.source, faults=[Fault(path, None, cause)]) from refused
        return value

    def _account_for_fields(self) -> None:
        for key, value in self.rate.items():
            if key in _REMARKED and not says_nothing(value):
                self.reading.remark(f"{_REMARKED[key]}.")
            elif key not in _KNOWN and not says_nothing(value):
                self._refuse(key, "unknown field")
        if {"startdate", "enddate"} & self.rate.keys():
            self.reading.remark("URDB's start and end dates are not enforced.")
        structure, scheduled = self.rate.get("coincidentratestructure"), self.rate.get("coincidentrateschedule")
        if isinstance(structure, list) and not says_nothing(scheduled):
            structure = [period for number, period in enumerate(structure) if number in numbers_in(scheduled)]
        if charges_anything(structure):
            self._refuse("coincidentratestructure", "demand coincident with the system's peak cannot be honoured")

    # --- header ------------------------------------------------------------------------------------------------------

    def _header(self) -> dict[str, Any]:
        utility, name, label = (line_of(self.rate.get(key)) for key in ("utility", "name", "label"))
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

    # --- energy ------------------------------------------------------------------------------------------------------

    def _energy_weeks(self, count: int) -> Weeks | None:
        keys = ("energyweekdayschedule", "energyweekendschedule")
        labels = self.rate.get("energytoulabels")
        if count == 1 and all(self.rate.get(key) is None for key in keys):
            self.reading.remark("The energy schedules are missing; the only period is taken to apply at all times.")
            return always(labels)
        return read_weeks(self.rate, keys, (self._path(keys[0]), self._path(keys[1])), labels, count, self.reading)

    def _energy_steps(self, structure: Sequence[Any], period: int) -> Steps:
        return energy_steps(structure[period], f"{self._path('energyratestructure')}[{period}]", self.reading)

    # --- demand ------------------------------------------------------------------------------------------------------

    def _window(self) -> str:
        value = self.rate.get("demandwindow")
        if says_nothing(value):
            return str(_USUAL_WINDOW)
        minutes = number_in(value)
        if minutes is None or minutes != int(minutes) or minutes < 1 or _DAY_MINUTES % int(minutes):
            self._refuse("demandwindow", f"minutes that divide a day are expected, not {shown(value)}")
            return str(_USUAL_WINDOW)
        if minutes != _USUAL_WINDOW:
            self.reading.remark(f"Demand is the mean of {int(minutes)} minutes; SAM has that of each interval.")
        return str(int(minutes))

    def _must_be_kw(self, *keys: str) -> None:
        for key in keys:
            unit = self.rate.get(key)
            if not says_nothing(unit) and folded(str(unit)) != "kw":
                self._refuse(key, f"demand in {shown(unit)} cannot be honoured, only in kW")

    def _demand(self) -> tuple[Weeks | None, dict[int, Steps]]:
        """The schedule and the steps of each period's own maximum; nothing where it charges nothing."""
        key, keys = "demandratestructure", ("demandweekdayschedule", "demandweekendschedule")
        structure = self.rate.get(key)
        if not charges_anything(structure):
            return None, {}
        if not isinstance(structure, list):
            self._refuse(key, f"a list of periods is expected, not {shown(structure)}")
            return None, {}
        labels = self.rate.get("demandtoulabels") or self.rate.get("demandlabels")
        paths = (self._path(keys[0]), self._path(keys[1]))
        weeks = read_weeks(self.rate, keys, paths, labels, len(structure), self.reading)
        if weeks is None or not any(charges_anything(structure[period]) for period in weeks.occurring):
            return None, {}
        self._must_be_kw("demandrateunit", "demandrateunits")
        path = self._path(key)
        return weeks, {
            period: demand_steps(structure[period], f"{path}[{period}]", self.reading) for period in weeks.occurring
        }

    def _demand_charges(self, weeks: Weeks | None, steps: Mapping[int, Steps]) -> list[dict[str, Any]]:
        if weeks is None:
            return []
        charge: dict[str, Any] = {"name": "TOU demand", "kind": "demand", "window": self._window()}
        if len(weeks.occurring) == 1:
            return [{**charge, **_demand_prices(next(iter(steps.values())))}]
        written = {weeks.names[period]: _demand_prices(found) for period, found in steps.items()}
        limited = any("limits" in found for found in written.values())
        charge["schedule"] = "demand"
        charge["price"] = {name: found["price"] for name, found in written.items()}
        if limited:
            charge["limits"] = _once({name: found.get("limits", []) for name, found in written.items()})
        return [charge]

    def _flat_demand(self) -> list[Steps]:
        """The steps of each month's maximum at any time."""
        structure = self.rate.get("flatdemandstructure")
        nothing = [NOTHING] * len(MONTHS)
        if not charges_anything(structure):
            return nothing
        if not isinstance(structure, list):
            self._refuse("flatdemandstructure", f"a list of periods is expected, not {shown(structure)}")
            return nothing
        months, path = self.rate.get("flatdemandmonths"), self._path("flatdemandmonths")
        if not isinstance(months, list) or len(months) != len(MONTHS):
            count = len(months) if isinstance(months, list) else shown(months)
            self.faults.add(path, f"12 months are expected, not {count}")
            return nothing
        periods = [read_index(v, f"{path}[{n}]", len(structure), self.reading) for n, v in enumerate(months)]
        if any(period is not None and charges_anything(structure[period]) for period in periods):
            self._must_be_kw("flatdemandunit", "flatdemandunits")
        path = self._path("flatdemandstructure")
        steps = {
            period: demand_steps(structure[period], f"{path}[{period}]", self.reading)
            for period in dict.fromkeys(periods)
            if period is not None and charges_anything(structure[period])
        }
        return [NOTHING if period is None else steps.get(period, NOTHING) for period in periods]

    def _flat_charges(self, seasons: Seasons, flat: Sequence[Steps], ratchet: _Ratchet) -> list[dict[str, Any]]:
        if all(steps == NOTHING for steps in flat):
            return []
        written = {name: _demand_prices(flat[months[0]]) for name, months in seasons.months.items()}
        limits = seasons.by_season({name: found.get("limits", []) for name, found in written.items()})
        charge: dict[str, Any] = {
            "name": "flat demand",
            "kind": "demand",
            "window": self._window(),
            "price": seasons.by_season({name: found["price"] for name, found in written.items()}),
        }
        if limits:
            charge["limits"] = limits
        if ratchet:
            charge["ratchet"] = ratchet.clause(seasons)
        return [charge]

    def _reactive(self) -> list[dict[str, Any]]:
        key = "demandreactivepowercharge"
        price = self._amount(key)
        if not price:
            return []
        if price < 0:
            self._refuse(key, "a price per kVAR below zero cannot be honoured")
        self.reading.remark("The charge for reactive power is for the highest kVAR of the channel 'reactive'.")
        charge = {"name": "reactive demand", "kind": "demand", "channel": "reactive", "window": self._window()}
        return [{**charge, "price": plain_number(price)}]

    # --- time and minimums -------------------------------------------------------------------------------------------

    def _amount(self, key: str) -> Decimal:
        value = self.rate.get(key)
        amount = Decimal(0) if says_nothing(value) else amount_in(value)
        if amount is None:
            self._refuse(key, f"a number is expected, not {shown(value)}")
        return amount or Decimal(0)

    def _timed(self, key: str, units_key: str, what: str) -> tuple[Decimal, str] | None:
        """An amount and whether it is for a day, a month or a year."""
        amount = self._amount(key)
        if not amount:
            return None
        units = self.rate.get(units_key)
        if says_nothing(units):
            self.reading.remark(f"{units_key} is missing; the {what} is taken to be for a month.")
            return amount, "month"
        per = _TIMES.get(folded(str(units)))
        if per is None:
            self._refuse(units_key, f"one of {', '.join(_TIMES)} is expected, not {shown(units)}")
        return amount, per or "month"

    def _time(self, amount: Decimal, per: str) -> dict[str, Any]:
        """The price of time; under SAM's conventions a month has 365/12 days."""
        if per == "day" and self.tiers == "sam":
            self.reading.remark("A charge by the day is for 365/12 days a month, as SAM has it.")
            return {"price": plain_number(exact_sum([amount] * _DAYS_A_YEAR)), "per": "year"}
        return {"price": plain_number(amount), "per": per}

    def _fixed(self) -> list[dict[str, Any]]:
        first = self._timed("fixedchargefirstmeter", "fixedchargeunits", "fixed charge")
        monthly = self._amount("fixedmonthlycharge")
        found = self._agreed(first, monthly, "month", ("fixedchargefirstmeter", "fixedmonthlycharge"))
        return [] if found is None else [{"name": "fixed charge", "kind": "fixed", **self._time(*found)}]

    def _minimums(self) -> list[dict[str, Any]]:
        """The minimums: of a month, and of a year, which looks at the charges and not at the monthly minimums."""
        first = self._timed("mincharge", "minchargeunits", "minimum")
        yearly = first if first is not None and first[1] == "year" else None
        of_month = self._agreed(
            None if yearly else first, self._amount("minmonthlycharge"), "month", ("mincharge", "minmonthlycharge")
        )
        of_year = self._agreed(yearly, self._amount("annualmincharge"), "year", ("mincharge", "annualmincharge"))
        charges: list[dict[str, Any]] = []
        if of_month is not None:
            time = self._time(*of_month)
            cut = {"proration": "days"} if time["per"] == "year" else {}  # in twelfths, month by month
            charges.append({"name": "minimum", "kind": "minimum", **time, **cut})
        if of_year is not None:
            least = plain_number(of_year[0])
            charges.append({"name": "annual minimum", "kind": "minimum", "price": least, "per": "year"})
        for charge in charges:
            if charge["price"].startswith("-"):
                self._refuse("mincharge", "a minimum below zero cannot be honoured")
        return charges

    def _agreed(
        self, first: tuple[Decimal, str] | None, other: Decimal, per: str, keys: tuple[str, str]
    ) -> tuple[Decimal, str] | None:
        """What two fields for the same thing say."""
        if first is not None and other and first != (other, per):
            self._refuse(keys[1], f"contradicts {self._path(keys[0])}")
        return first or ((other, per) if other else None)


class _Energy:
    """The charges for energy: one for each unit in which tiers are counted."""

    def __init__(
        self, rate: _Urdb, weeks: Weeks, seasons: Seasons, steps: Mapping[int, Steps], fuel: Sequence[Decimal]
    ) -> None:
        self.rate, self.weeks, self.seasons, self.steps, self.fuel = rate, weeks, seasons, steps, fuel

    def charges(self) -> list[dict[str, Any]]:
        if any(price < 0 for steps in self.steps.values() for price in steps.prices):
            self.rate.reading.remark("A price below zero is a credit; under SAM's net metering a month is at least 0.")
        units: dict[str, str | None] = {}
        for name, months in self.seasons.months.items():
            found = [self.steps[period].unit for period in self.weeks.occurring_in(months)]
            counted = list(dict.fromkeys(unit for unit in found if unit is not None))
            if len(counted) > 1:
                cause = f"tiers in {' and '.join(counted)} cannot be counted together"
                self.rate.faults.add(self.rate.spelt["energyratestructure"], cause)
            units[name] = counted[0] if counted else None
        stated = list(dict.fromkeys(unit for unit in units.values() if unit is not None))
        if len(stated) <= 1:
            unit = stated[0] if stated else None
            return [self._charge("energy", unit, list(units))]
        charges = []
        for unit in stated:
            mine = [name for name, of in units.items() if of == unit or (of is None and unit == stated[0])]
            charges.append(self._charge(f"energy, tiers in {unit}", unit, mine))
        return charges

    def _charge(self, name: str, unit: str | None, seasons: Sequence[str]) -> dict[str, Any]:
        """A charge for the energy of these seasons; in others it has no price."""
        names = self.weeks.names
        steps: dict[str, dict[str, Steps]] = {}
        for season, months in self.seasons.months.items():
            periods = self.weeks.occurring_in(months)
            raised = {names[period]: self.steps[period].raised(self.fuel[months[0]]) for period in periods}
            steps[season] = raised if season in seasons else dict.fromkeys(raised, NOTHING)
        charge: dict[str, Any] = {"name": name, "kind": "energy"}
        if unit is not None:
            charge["tiers"] = self._tiers(unit, steps)
            charge["tiers"]["limits"] = self._told(steps, lambda found: [plain_number(n) for n in found.limits])
            charge["price"] = self._told(steps, lambda found: [plain_number(n) for n in found.prices], once=False)
        else:
            charge["price"] = self._told(steps, lambda found: plain_number(found.prices[0]), once=False)
        return charge

    def _told(self, steps: Mapping[str, Mapping[str, Steps]], write: Any, *, once: bool = True) -> Any:  # noqa: ANN401
        """What is to be written for each season and period, branched only where it differs."""
        written = {season: {name: write(one) for name, one in of.items()} for season, of in steps.items()}
        by_period: dict[str, list[Any]] = {}
        for of in written.values():
            for name, value in of.items():
                by_period.setdefault(name, []).append(value)
        if all(value == values[0] for values in by_period.values() for value in values):
            return _once({name: by_period[name][0] for name in self.weeks.names.values()}, always=once)
        return {season: _once(of, always=once) for season, of in written.items()}

    def _tiers(self, unit: str, steps: Mapping[str, Mapping[str, Steps]]) -> dict[str, Any]:
        rate, reading = self.rate, self.rate.reading
        counter, allocation, meaning = _CONVENTIONS[rate.tiers]
        rules = folded(str(rate.rate.get("dgrules") or ""))
        if rate.tiers == "sam" and rules in _BY_INTERVAL:
            allocation, meaning = (
                "chronological",
                "the month's tiers fill in the order of time, as SAM has it by dgrules",
            )
        if allocation == "chronological" and unit in PER_KW:
            allocation = "pro_rata"  # the same, as long as there is only one price in each tier
            if any(len(set(of.values())) > 1 for of in steps.values()):
                key = "dgrules" if rate.tiers == "sam" else "energyratestructure"
                cause = f"tiers in {unit} cannot fill in the order of time: the month's peak is known at its end"
                rate.faults.add(rate.spelt[key], cause)
        written = {"counter": counter, "basis": "month", "allocation": allocation}
        if unit in PER_KW:
            written["per"] = "demand_kw"
            reading.remark(f"Tiers in {unit} are for each kW of the month's highest mean of 15 minutes.")
        if unit in {KWH_DAILY, KWH_PER_KW_DAILY}:
            written["basis"] = "day"
        else:
            written["proration"] = "none"
            reading.remark("A month's tier limits stand whole in a bill of less than a month: URDB does not say.")
        reading.remark(f"Tiers under the convention {rate.tiers!r}: {meaning}.")
        return written


class _Ratchet:
    """The billed demand of a month is at least so many percent of what was measured in months before."""

    def __init__(self, field: str, percent: Sequence[Decimal], months: int, of: Sequence[int]) -> None:
        self.field, self.percent, self.months, self.counted = field, percent, months, of

    def __bool__(self) -> bool:
        return any(self.percent)

    @classmethod
    def of(cls, urdb: _Urdb) -> _Ratchet:
        """What ``demandratchetpercentage`` or ``lookbackPercent`` say, with their range and months."""
        rate, reading, spelt = urdb.rate, urdb.reading, urdb.spelt
        field = "demandratchetpercentage"
        percent = twelve(rate.get(field), spelt.get(field, field), reading)
        key = "lookbackpercent"
        looked_back = Decimal(0) if says_nothing(rate.get(key)) else number_in(rate[key])
        if looked_back is None:
            urdb.faults.add(spelt[key], f"a number is expected, not {shown(rate[key])}")
        elif looked_back:
            if any(percent) and any(one != looked_back for one in percent):
                urdb.faults.add(spelt[key], f"contradicts {spelt[field]}")
            field, percent = key, [looked_back] * len(MONTHS)
        if not any(percent):
            return cls(field, percent, 0, ())
        if max(percent) <= 1:
            percent = [one.scaleb(2) for one in percent]
        if not 0 <= min(percent) <= max(percent) <= _WHOLE:
            urdb.faults.add(spelt[field], "a share of the highest demand, from 0 to 1, is expected")
        months = number_in(rate.get("lookbackrange")) or Decimal(0)
        if months != int(months) or not 0 <= months <= 60:  # noqa: PLR2004 - five years
            cause = f"a number of months is expected, not {shown(rate['lookbackrange'])}"
            urdb.faults.add(spelt["lookbackrange"], cause)
            months = Decimal(0)
        if not months:
            months = Decimal(_YEAR_BEFORE)
            reading.remark("lookbackRange is missing; the ratchet looks back to the 11 months before.")
        flags = twelve(
            [int(flag) if isinstance(flag, bool) else flag for flag in rate["lookbackmonths"]]
            if isinstance(rate.get("lookbackmonths"), list)
            else rate.get("lookbackmonths"),
            spelt.get("lookbackmonths", "lookbackMonths"),
            reading,
        )
        return cls(field, percent, int(months), [month for month, flag in enumerate(flags) if flag])

    def clause(self, seasons: Seasons) -> dict[str, Any]:
        """``ratchet``."""
        percent = seasons.by_season({name: plain_number(self.percent[of[0]]) for name, of in seasons.months.items()})
        written: dict[str, Any] = {"percent": percent, "months": str(self.months)}
        if 0 < len(self.counted) < len(MONTHS):
            written["of"] = [MONTHS[month] for month in self.counted]
        return written


def _demand_prices(steps: Steps) -> dict[str, Any]:
    prices = [plain_number(price) for price in steps.prices]
    if not steps.limits:
        return {"price": prices[0]}
    return {"price": prices, "limits": [plain_number(limit) for limit in steps.limits]}


def _once(values: Mapping[str, Any], *, always: bool = True) -> Any:  # noqa: ANN401 - JSON
    """The value of all periods where there is one (``always``: or where all have the same), else one a period."""
    first = next(iter(values.values()))
    same = len(values) == 1 or (always and all(value == first for value in values.values()))
    return first if same else dict(values)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _day(value: Any) -> str | None:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        match = re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
        return match[0] if match else None
    if isinstance(value, int) and 0 < value < 2**33:
        return f"{datetime.fromtimestamp(value, tz=UTC):%Y-%m-%d}"
    return None
