"""A bad tariff never becomes one: what is wrong is told in one line, with its line, its clause and its cause."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from wattledger.tariffs import Tariff, TariffRefused, parse_tariff, tariff_schema
from wattledger.tariffs._document import read_yaml

HOME = """\
id: home
version: 1.10
name: Home
currency: GBP
zone: Europe/London
seasons: {winter: 10-01 to 03-31, summer: 04-01 to 09-30}
day_types: {weekday: mon-fri, weekend: [sat, sun]}
periods:
  peak: {days: weekday, times: 16:00-21:00}
  night: {times: 22:30-06:00}
  day: otherwise
charges:
  - name: energy
    kind: energy
    tiers: {counter: all_periods, basis: month, allocation: chronological, limits: [200], proration: none}
    price:
      winter: {peak: [0.30, 0.40], day: [0.20, 0.25], night: [0.1, 0.1]}
      summer: [0.15, 0.2]
  - {name: standing, kind: fixed, price: 0.45, per: day}
"""

FULL = """\
id: full
version: 2
currency: USD
zone: America/New_York
supersedes: 1
valid: {from: 2026-01-01, to: 2027-01-01}
eligibility: {class: [home, farm], contracted_kw: {up_to: 20}}
seasons:
  summer: 06-01 to 09-30
  winter: 10-01 to 05-31
  fair: 2026-07-01 to 2026-07-04
holidays: {country: US, subdivision: NY, also: [2026-12-24], except: [2026-10-12]}
day_types:
  working: {days: mon-fri, holidays: excluded}
events: [heat, storm]
periods:
  critical: {events: [heat, storm], times: 14:00-20:00}
  peak: {days: working, times: 16:00-21:00}
  off-peak: otherwise
schedules:
  load:
    periods:
      busy: {days: working, seasons: summer, times: 12:00-18:00}
      quiet: otherwise
netting: {per: interval}
charges:
  - name: energy
    kind: energy
    price: {critical: 1.8, peak: 0.4, off-peak: 0.2}
  - name: steps
    kind: energy
    tiers:
      counter: all_periods
      basis: year
      starts: 07-01
      allocation: pro_rata
      limits: [2000, 4000]
      per: person
      adders: [0, 0.1, 0.2]
      proration: {standard_days: 365/12, unless: [25, 35], rounding: {places: 4}}
      rounding: {places: 0, mode: up}
    price: 0.01
  - name: market
    kind: energy
    channel: heating
    index: {series: spot, scale: 1.1, adder: 0.02, cap: 0.5, floor: -0.1, missing: {estimate: 0.1}}
  - name: demand
    kind: demand
    schedule: load
    window: {minutes: 15, sliding: true}
    statistic: {mean_of_highest: 3, on_different_days: true}
    limits: [50]
    price: {busy: [9, 8], quiet: [2, 2]}
    per: month
    minimum: 3
    ratchet: {percent: 80, months: 11, of: [jun, jul]}
    contracted: {kw: fact, billed: true, bands: [{over: 105, factor: 2}, {over: 120, factor: 3}]}
    rounding: {places: 1}
  - {name: overload, kind: load, over: {percent: 110}, window: 15, duration: 30, during: peak, adder: 0.4}
  - {name: notice, kind: load, over: 20, window: 15, action: notice}
  - {name: meter, kind: fixed, price: 3, per: month, times: meters, proration: days}
  - {name: least, kind: minimum, price: 60, per: year, starts: 07-01, covers: [energy, steps]}
  - {name: levy, kind: percentage, rate: 4, of: energy}
  - {name: VAT, kind: tax, rate: 20, of: [energy, levy], on: line}
  - {name: relief, kind: credit, price: 5, per: month, of: [energy, VAT], most: 9, when: {facts: {age: {over: 64}}}}
  - {name: rebate, kind: credit, rate: 2, of: energy, when: {usage: {over: 10, up_to: 90, proration: exact}}}
  - {name: feed-in, kind: export, price: 0.08}
rounding:
  quantity: {places: 3}
  bill: {places: 0}
"""

# What stands in the tariff, what is written instead, the clause that is blamed, and words of the cause.
Malformed = tuple[str, str, str, str]

TIERS = "{counter: all_periods, basis: month, allocation: chronological, limits: [200], proration: none}"
ENERGY = (
    "    price:\n      winter: {peak: [0.30, 0.40], day: [0.20, 0.25], night: [0.1, 0.1]}\n      summer: [0.15, 0.2]\n"
)
STANDING = "{name: standing, kind: fixed, price: 0.45, per: day}"

IN_HOME: list[Malformed] = [
    # header
    ("id: home\n", "", "", "'id' is missing"),
    ("version: 1.10\n", "", "", "'version' is missing"),
    ("currency: GBP\n", "", "", "'currency' is missing"),
    ("id: home", "id: ''", "id", "a line of up to 200 printable characters is expected"),
    ("GBP", "pounds", "currency", "an ISO 4217 code such as EUR is expected, not 'pounds'"),
    ("GBP", "GPB", "currency", "an ISO 4217 code such as EUR is expected, not 'GPB'"),
    ("Europe/London", "Europe/Lodnon", "zone", "no time zone is called 'Europe/Lodnon'"),
    ("name: Home", "nmae: Home", "nmae", "unknown key 'nmae'"),
    ("name: Home", "name: [Home]", "name", "text is expected, not a list"),
    ("name: Home", "taxes: []", "taxes", "unknown key 'taxes'"),
    ("name: Home", "supersedes: 1.10", "supersedes", "a version cannot follow itself"),
    ("name: Home", "valid: {from: 2026-02-30}", "valid.from", "a date such as 2026-03-31 is expected"),
    ("name: Home", "valid: {from: 2026-02-01, to: 2026-02-01}", "valid", "must come after 'from'"),
    ("name: Home", "valid: {}", "valid", "'from' or 'to' is missing"),
    # seasons
    ("10-01 to 03-31", "10-01 to 02-28", "seasons", "no season covers 02-29 to 03-31"),
    ("10-01 to 03-31", "09-30 to 03-31", "seasons", "winter and summer both cover 09-30 to 09-30"),
    ("10-01 to 03-31", "[10-01 to 03-31, 01-01 to 01-02]", "seasons.winter", "winter has a day twice"),
    ("10-01 to 03-31", "october to march", "seasons.winter", "first and last day such as '04-01 to 09-30'"),
    ("10-01 to 03-31", "10-01 to 02-30", "seasons.winter", "first and last day such as"),
    ("10-01 to 03-31", "[]", "seasons.winter", "at least one span of days is expected"),
    # days
    ("mon-fri", "mon-fry", "day_types.weekday", "weekdays such as 'mon-fri' or 'sun' are expected, not 'mon-fry'"),
    ("mon-fri", "[mon-fri, fri]", "day_types.weekday[1]", "'fri' names a weekday twice"),
    ("mon-fri", "{days: mon-fri, holidays: excluded}", "day_types.weekday.holidays", "no holidays are listed"),
    ("mon-fri", "{days: mon-fri, on: holidays}", "day_types.weekday.on", "unknown key 'on'"),
    ("mon-fri", "[]", "day_types.weekday", "at least one weekday is expected"),
    ("mon-fri", "{}", "day_types.weekday", "'days' or 'holidays' is missing"),
    ("zone: ", "holidays: [2026-12-25]\nzone: ", "holidays", "no day type says whether these are 'excluded'"),
    ("zone: ", "holidays: [christmas]\nzone: ", "holidays[0]", "a date such as 2026-03-31 is expected"),
    # periods
    ("16:00-21:00", "16:00-25:00", "periods.peak.times", "has no minute, or one that no day has"),
    ("16:00-21:00", "16:00-16:00", "periods.peak.times", "has no minute"),
    ("16:00-21:00", "4pm-9pm", "periods.peak.times", "a window such as '16:00-21:00' is expected, not '4pm-9pm'"),
    ("16:00-21:00", "16:60-21:00", "periods.peak.times", "a window such as"),
    ("16:00-21:00", "[]", "periods.peak.times", "at least one window is expected"),
    (
        "16:00-21:00",
        "[16:00-21:00, 20:00-21:30]",
        "periods",
        "peak covers 20:00-21:00 twice on mon, tue, wed, thu, fri",
    ),
    ("16:00-21:00", "16:00-23:00", "periods", "peak and night both cover 22:30-23:00 on mon, tue, wed, thu, fri"),
    ("day: otherwise", "day: {times: 06:00-16:00}", "periods", "no period covers 16:00-22:30 on sat, sun"),
    ("night: {times: 22:30-06:00}", "night: otherwise", "periods", "only one period can be 'otherwise'"),
    ("days: weekday", "days: workday", "periods.peak.days", "unknown day type 'workday'"),
    ("{times: 22:30-06:00}", "{seasons: autumn}", "periods.night.seasons", "unknown season 'autumn'"),
    ("{times: 22:30-06:00}", "{seasons: [summer, summer]}", "periods.night.seasons[1]", "'summer' is named twice"),
    ("{times: 22:30-06:00}", "{}", "periods.night", "'seasons', 'days' or 'times' is missing"),
    ("{times: 22:30-06:00}", "[]", "periods.night", "'otherwise', a rule or a list of rules is expected"),
    ("{times: 22:30-06:00}", "{hours: 22-6}", "periods.night.hours", "unknown key 'hours'"),
    ("{times: 22:30-06:00}", "{events: heat}", "periods.night.events", "unknown event 'heat'"),
    ("peak: {days", "winter: {days", "periods.winter", "'winter' is the name of a season too"),
    # charges
    ("charges:\n", "charges: none\nx:\n", "charges", "a list of charges is expected"),
    ("    kind: energy\n", "", "charges[0]", "'kind' is missing"),
    ("kind: fixed", "kind: flat", "charges[1].kind", "unknown kind of charge 'flat': one of energy, export, demand"),
    ("kind: fixed", "kind: [fixed]", "charges[1].kind", "unknown kind of charge a list"),
    (STANDING, "standing", "charges[1]", "a charge is expected, not 'standing'"),
    (STANDING, "{kind: fixed, price: 1, per: day}", "charges[1]", "'name' is missing"),
    (STANDING, "{name: energy, kind: fixed, price: 1, per: day}", "charges[1].name", "two charges are called 'energy'"),
    (STANDING, "{name: all, kind: fixed, price: 1, per: day}", "charges[1].name", "cannot be called 'all'"),
    (STANDING, "{name: standing, kind: fixed, price: 1}", "charges[1]", "'per' is missing"),
    ("per: day", "per: week", "charges[1].per", "one of day, month, bill, quarter, year is expected, not 'week'"),
    ("per: day", "per: day, proration: none", "charges[1].proration", "it needs no proration"),
    ("per: day", "per: bill, proration: days", "charges[1].proration", "it needs no proration"),
    ("per: day", "per: day, limits: [1]", "charges[1].limits", "unknown key 'limits'"),
    ("per: day", "per: day, times: 'the meters'", "charges[1].times", "a fact's name is letters, digits and '_'"),
    ("price: 0.45", "price: -0.45", "charges[1].price", "what is taken off is of kind credit"),
    ("price: 0.45", "price: 45p", "charges[1].price", "a number is expected, not '45p'"),
    ("price: 0.45", "price: 1e400", "charges[1].price", "out of all proportion"),
    ("price: 0.45", "price: 0x10", "charges[1].price", "a number is expected"),
    ("price: 0.45", "price: inf", "charges[1].price", "a number is expected"),
    # prices
    (ENERGY, "", "charges[0]", "'price' is missing"),
    (ENERGY, "    price: 0.1\n", "charges[0].price", "2 prices are expected for winter day, one a tier; 1 are given"),
    ("summer: [0.15, 0.2]", "spring: [0.15, 0.2]", "charges[0].price.spring", "unknown season 'spring'"),
    ("      summer: [0.15, 0.2]\n", "", "charges[0].price", "no price for season summer"),
    ("day: [0.20, 0.25], ", "", "charges[0].price.winter", "no price for period day in winter"),
    ("day: [0.20", "dya: [0.20", "charges[0].price.winter.dya", "unknown period 'dya'"),
    ("[0.30, 0.40]", "[0.30, dear]", "charges[0].price.winter.peak[1]", "a number is expected, not 'dear'"),
    ("[0.30, 0.40]", "{first: 0.3}", "charges[0].price.winter.peak", "a number, or a list of them, is expected"),
    ("[0.30, 0.40]", "{}", "charges[0].price.winter.peak", "a number, or a list of them, is expected, not a mapping"),
    ("[0.30, 0.40]", "[]", "charges[0].price.winter.peak", "at least one number is expected"),
    (f"    tiers: {TIERS}\n", "", "charges[0].price.winter.peak", "several prices need 'tiers'"),
    # tiers
    ("counter: all_periods, ", "", "charges[0].tiers", "'counter' is missing"),
    ("limits: [200], ", "", "charges[0].tiers", "'limits' is missing"),
    ("counter: all_periods", "counter: all", "charges[0].tiers.counter", "one of all_periods, per_period, per_channel"),
    ("basis: month", "basis: week", "charges[0].tiers.basis", "one of month, day, bill, quarter, year, {rolling: N}"),
    ("basis: month", "basis: rolling", "charges[0].tiers.basis", "of how many months?"),
    ("basis: month", "basis: {rolling: 0}", "charges[0].tiers.basis.rolling", "a whole number from 1 to 120"),
    ("basis: month", "basis: day", "charges[0].tiers.proration", "a daily basis is for the days of the bill"),
    ("basis: month", "basis: month, starts: 04-01", "charges[0].tiers.starts", "only a year and its quarters"),
    ("allocation: chronological", "allocation: slabs", "charges[0].tiers.allocation", "one of chronological, pro_rata"),
    (", proration: none", "", "charges[0].tiers", "'proration' is missing: are a month's limits cut by 'days'"),
    (", proration: none", ", proration: weeks", "charges[0].tiers.proration", "one of none, days, exact"),
    (", proration: none", ", proration: none, rounding: up", "charges[0].tiers.rounding", "a mapping is expected"),
    (", proration: none", ", proration: none, rounding: {}", "charges[0].tiers.rounding", "'places' is missing"),
    (", proration: none", ", proration: none, cap: 1", "charges[0].tiers.cap", "unknown key 'cap'"),
    (
        "allocation: chronological",
        "allocation: chronological, per: demand_kw",
        "charges[0].tiers.per",
        "demand is known",
    ),
    ("[200]", "[-200]", "charges[0].tiers.limits", "limits must be above zero, each higher than the one before"),
    ("[200]", "[200, 200]", "charges[0].tiers.limits", "limits must be above zero"),
    ("[200]", "{winter: [200]}", "charges[0].tiers.limits", "no limits for season summer"),
    ("[200]", "[200, 400]", "charges[0].price", "3 prices are expected for winter day, one a tier; 2 are given"),
    ("kind: energy\n", "kind: energy\n    channel: export\n", "charges[0].channel", "has charges of kind export"),
    ("kind: energy\n", "kind: energy\n    channel: [import, b]\n", "charges[0].tiers", "several channels together"),
    ("kind: energy\n", "kind: energy\n    channel: [import, import]\n", "charges[0].channel", "named twice"),
    ("kind: energy\n", "kind: energy\n    schedule: other\n", "charges[0].schedule", "unknown schedule 'other'"),
    ("kind: energy\n", "kind: energy\n    index: {series: x}\n", "charges[0].tiers", "an index price has no 'tiers'"),
    ("zone: ", "netting: {per: bill}\nzone: ", "charges[0].tiers", "netting by the bill"),
    ("zone: ", "netting: {per: day}\nzone: ", "charges[0].tiers", "netting by the day"),
    # rounding
    (
        "zone: ",
        "rounding: {line: {places: 7}}\nzone: ",
        "rounding.line.places",
        "a whole number from 0 to 6 is expected",
    ),
    ("zone: ", "rounding: {line: {places: 0.5}}\nzone: ", "rounding.line.places", "a whole number from 0 to 6"),
    ("zone: ", "rounding: {line: {mode: nearest}}\nzone: ", "rounding.line.mode", "one of half_up, half_even"),
    ("zone: ", "rounding: {quantity: {mode: up}}\nzone: ", "rounding.quantity", "'places' is missing"),
    ("zone: ", "rounding: {}\nzone: ", "rounding", "'line', 'quantity', 'price', 'tax' or 'bill' is missing"),
]

IN_FULL: list[Malformed] = [
    ("off-peak: otherwise", "off-peak: {times: 06:00-16:00}", "periods", "no period covers 00:00-06:00"),
    # who may have it, when a charge applies
    ("class: [home, farm]", "class: []", "eligibility.class", "a text or a number, a list of them"),
    ("class: [home", "the class: [home", "eligibility.the class", "a fact's name is letters, digits and '_'"),
    ("{up_to: 20}", "{}", "eligibility.contracted_kw", "'over' or 'up_to' is missing"),
    ("{up_to: 20}", "{below: 20}", "eligibility.contracted_kw.below", "unknown key 'below'"),
    ("{up_to: 20}", "{over: 20, up_to: 20}", "eligibility.contracted_kw.up_to", "must be above 'over', which is 20"),
    ("{over: 64}", "{over: -64}", "charges[10].when.facts.age.over", "a bound must not be below zero"),
    ("{over: 64}", "{over: old}", "charges[10].when.facts.age.over", "a number is expected, not 'old'"),
    ("when: {facts: {age: {over: 64}}}", "when: {}", "charges[10].when", "'usage' or 'facts' is missing"),
    ("when: {facts: {age: {over: 64}}}", "when: summer", "charges[10].when", "a mapping is expected, not 'summer'"),
    ("up_to: 90", "up_to: 9", "charges[11].when.usage.up_to", "must be above 'over', which is 10"),
    ("over: 10, up_to: 90, ", "", "charges[11].when.usage", "'over' or 'up_to' is missing"),
    ("proration: exact", "proration: whole", "charges[11].when.usage.proration", "one of none, days, exact"),
    # exact dates, holidays by rule
    ("2026-07-01 to 2026-07-04", "2026-07-05 to 2026-07-04", "seasons.fair", "first and last date such as"),
    ("2026-07-01 to 2026-07-04", "2026-06-31 to 2026-07-04", "seasons.fair", "first and last date such as"),
    (
        "  fair: 2026-07-01 to 2026-07-04",
        "  fair: [2026-07-01 to 2026-07-04, 2026-07-04 to 2026-07-09]",
        "seasons",
        "fair has 2026-07-04 twice: spans of exact dates must not overlap",
    ),
    ("country: US", "country: USA", "holidays.country", "an ISO 3166 code such as DE with known holidays is expected"),
    ("country: US, subdivision: NY, ", "", "holidays", "'country' is missing"),
    ("subdivision: NY", "subdivision: XX", "holidays.subdivision", "unknown subdivision 'XX' of US"),
    ("except: [2026-10-12]", "except: [2026-12-24]", "holidays.except", "2026-12-24 is in 'also' too"),
    ("also: [2026-12-24]", "also: [2026-12-24, 2026-12-24]", "holidays.also", "a holiday is listed twice"),
    ("holidays: excluded", "holidays: never", "day_types.working.holidays", "one of included, excluded, only"),
    # events and schedules
    ("[heat, storm], times", "[heat, strom], times", "periods.critical.events[1]", "unknown event 'strom'"),
    ("events: [heat, storm]\n", "events: [heat, storm, hail]\n", "events", "no period says what applies while 'hail'"),
    ("events: [heat, storm]\n", "events: [heat, storm, heat]\n", "events[2]", "the event 'heat' is named twice"),
    ("events: [heat, storm]\n", "events: {heat: hot}\n", "events", "a list of names of events is expected"),
    (
        "  peak: {days: working, times: 16:00-21:00}",
        "  peak: {days: working, times: 16:00-21:00}\n  severe: {events: heat, times: 19:00-22:00}",
        "periods",
        "critical and severe both cover 19:00-20:00 while heat is on on every day",
    ),
    ("critical: 1.8, ", "", "charges[0].price", "no price for period critical"),
    ("    periods:\n", "    times:\n", "schedules.load.times", "unknown key 'times'"),
    (
        "seasons: summer, times",
        "seasons: autumn, times",
        "schedules.load.periods.busy.seasons",
        "unknown season 'autumn'",
    ),
    ("quiet: otherwise", "quiet: {times: 00:00-12:00}", "schedules.load.periods", "no period covers 12:00-24:00"),
    ("schedule: load", "schedule: lode", "charges[3].schedule", "unknown schedule 'lode'"),
    (
        "{busy: [9, 8], quiet: [2, 2]}",
        "{peak: [9, 8], off-peak: [2, 2]}",
        "charges[3].price.peak",
        "unknown period 'peak'",
    ),
    # tiers
    ("adders: [0, 0.1, 0.2]", "adders: [0, 0.1]", "charges[1].tiers.adders", "3 adders are expected for"),
    ("    price: 0.01", "    price: [0.01, 0.02, 0.03]", "charges[1].price", "'adders' say what each tier adds to it"),
    ("starts: 07-01\n", "starts: 07-15\n", "charges[1].tiers.starts", "a year's start is the first day of a month"),
    ("per: person", "per: head", "charges[1].tiers.per", "one of demand_kw, contracted_kw, person is expected"),
    ("standard_days: 365/12", "standard_days: 0", "charges[1].tiers.proration.standard_days", "from 1 to 3660 days"),
    (
        "standard_days: 365/12",
        "standard_days: 365/0",
        "charges[1].tiers.proration.standard_days",
        "a number is expected",
    ),
    ("standard_days: 365/12, ", "", "charges[1].tiers.proration", "either 'by' or 'standard_days' is expected"),
    ("standard_days: 365/12", "by: none", "charges[1].tiers.proration", "what is not cut needs no more words"),
    ("unless: [25, 35]", "unless: [35, 25]", "charges[1].tiers.proration.unless", "must not be greater"),
    ("unless: [25, 35]", "unless: 25", "charges[1].tiers.proration.unless", "two numbers of days such as [25, 35]"),
    ("rounding: {places: 4}", "rounding: {mode: up}", "charges[1].tiers.proration.rounding", "'places' is missing"),
    # index prices
    ("series: spot, ", "", "charges[2].index", "'series' is missing"),
    ("cap: 0.5", "cap: -0.5", "charges[2].index.cap", "the cap is below the floor, which is -0.1"),
    (
        "missing: {estimate: 0.1}",
        "missing: guess",
        "charges[2].index.missing",
        "one of refuse, last, {estimate: PRICE}",
    ),
    ("missing: {estimate: 0.1}", "missing: {}", "charges[2].index.missing", "'estimate' is missing"),
    ("adder: 0.02", "adder: {peak: 0.02}", "charges[2].index.adder", "no adder for period"),
    ("    index: {series", "    price: 1\n    index: {series", "charges[2].price", "an index price has no 'price'"),
    # demand
    ("    window: {minutes: 15, sliding: true}\n", "", "charges[3]", "'window' is missing"),
    ("minutes: 15", "minutes: 7", "charges[3].window.minutes", "a window must divide the day, which 7 minutes do not"),
    ("minutes: 15", "minutes: 0", "charges[3].window.minutes", "a whole number from 1 to 1440 is expected, not 0"),
    ("sliding: true", "sliding: often", "charges[3].window.sliding", "true or false is expected, not 'often'"),
    (
        "{mean_of_highest: 3, on_different_days: true}",
        "mean",
        "charges[3].statistic",
        "one of max, daily_mean, {mean_of",
    ),
    (
        "mean_of_highest: 3",
        "mean_of_highest: 2.5",
        "charges[3].statistic.mean_of_highest",
        "a whole number from 1 to 366",
    ),
    ("    limits: [50]\n", "", "charges[3].price.busy", "several prices need 'limits'"),
    ("limits: [50]", "limits: [50, 90]", "charges[3].price", "3 prices are expected for winter quiet"),
    ("busy: [9, 8]", "busy: [9, -8]", "charges[3].price.busy", "a price per kW is not below zero"),
    ("{busy: [9, 8], quiet: [2, 2]}", "{busy: [0, 0], quiet: [0, 0]}", "charges[3].price", "no period has a price"),
    ("    per: month", "    per: year", "charges[3].per", "one of month, day, bill is expected, not 'year'"),
    ("minimum: 3", "minimum: 0", "charges[3].minimum", "a minimum of kW must be above zero"),
    ("percent: 80", "percent: 0", "charges[3].ratchet.percent", "a ratchet's percent must be above zero"),
    ("percent: 80", "percent: -5", "charges[3].ratchet.percent", "a ratchet's percent is above 0 and at most 100"),
    ("percent: 80", "percent: 110", "charges[3].ratchet.percent", "a ratchet's percent is above 0 and at most 100"),
    ("of: [jun, jul]", "of: [jun, july]", "charges[3].ratchet.of[1]", "one of jan, feb"),
    ("of: [jun, jul]", "of: [jun, jun]", "charges[3].ratchet.of[1]", "jun is named twice"),
    ("months: 11, ", "", "charges[3].ratchet", "'months' is missing"),
    ("over: 105", "over: 125", "charges[3].contracted.bands", "each band must begin above the one before"),
    ("[{over: 105, factor: 2}, {over: 120, factor: 3}]", "[]", "charges[3].contracted.bands", "at least one band"),
    ("over: 105, factor: 2", "over: 105", "charges[3].contracted.bands[0]", "'factor' is missing"),
    ("factor: 2}", "factor: 0}", "charges[3].contracted.bands[0].factor", "a band's factor must be above zero"),
    ("kw: fact", "kw: -4", "charges[3].contracted.kw", "contracted kW must be above zero"),
    (
        ", billed: true, bands: [{over: 105, factor: 2}, {over: 120, factor: 3}]",
        "",
        "charges[3].contracted",
        "'billed: true' or 'bands' is missing",
    ),
    # loads
    ("{percent: 110}", "{percent: 0}", "charges[4].over.percent", "a threshold's percent must be above zero"),
    ("over: {percent: 110}, ", "", "charges[4]", "'over' is missing"),
    ("duration: 30", "duration: 20", "charges[4].duration", "one or more whole windows of 15 minutes"),
    ("during: peak", "during: noon", "charges[4].during", "unknown period 'noon'"),
    ("adder: 0.4}", "adder: 0.4, factor: 2}", "charges[4]", "one of 'adder', 'factor' or 'action' is expected"),
    (", adder: 0.4}", "}", "charges[4]", "one of 'adder', 'factor' or 'action' is expected"),
    ("adder: 0.4}", "factor: 2}", "charges[4].factor", "a factor needs one price a period, and 'steps' has tiers"),
    ("adder: 0.4}", "factor: 2, channel: heating}", "charges[4].factor", "and 'market' has an index price"),
    ("action: notice", "action: shout", "charges[5].action", "one of notice, curtail is expected, not 'shout'"),
    # charges on charges
    ("covers: [energy, steps]", "covers: [energy, least]", "charges[7].covers[1]", "'least' is this charge itself"),
    ("covers: [energy, steps]", "covers: []", "charges[7].covers", "at least one charge, or all, is expected"),
    ("price: 60", "price: 0", "charges[7].price", "a minimum must be above zero"),
    ("per: year, starts", "per: month, starts", "charges[7].starts", "only a minimum for a year has a first month"),
    ("rate: 4, of: energy", "rate: 4, of: VAT", "charges[8].of", "'VAT' stands after this charge: charges can only be"),
    ("rate: 4, of: energy", "rate: 4, of: levy", "charges[8].of", "'levy' is this charge itself: charges can only be"),
    ("rate: 4, of: energy", "rate: 4, of: engery", "charges[8].of", "no charge is called 'engery'"),
    ("rate: 4, of: energy", "rate: 4, of: notice", "charges[8].of", "'notice' charges nothing"),
    ("rate: 4, of: energy", "rate: 4, of: [energy, all]", "charges[8].of", "'all' stands for every charge before"),
    ("rate: 4, of: energy", "rate: 0, of: energy", "charges[8].rate", "a percentage must not be zero"),
    ("of: [energy, levy]", "of: [energy, energy, levy]", "charges[9].of[1]", "'energy' is named twice"),
    ("rate: 20, ", "", "charges[9]", "'rate' is missing"),
    ("rate: 20", "rate: -20", "charges[9].rate", "a tax is not below zero percent"),
    ("on: line", "on: bill", "charges[9].on", "one of line, sum is expected, not 'bill'"),
    ("price: 5, per: month", "price: 5", "charges[10]", "'per' is missing"),
    ("price: 5, per: month", "price: -5, per: month", "charges[10].price", "a credit is written above zero"),
    ("price: 5, per: month", "price: 5, rate: 5, per: month", "charges[10]", "either 'price' or 'rate' is expected"),
    ("most: 9", "most: 0", "charges[10].most", "the most that a credit takes off must be above zero"),
    ("rate: 2, of: energy", "rate: 0, of: energy", "charges[11].rate", "a credit's percentage must be above zero"),
    ("rate: 2, of: energy", "rate: 2", "charges[11]", "'of' is missing: of which charges are these percent?"),
    ("rate: 2, of: energy", "rate: 2, per: month, of: energy", "charges[11].per", "a credit in percent has no 'per'"),
    # export
    ("price: 0.08", "channel: sun, price: 0.08", "charges[12].channel", "unknown key 'channel'"),
    ("{per: interval}", "{per: hour}", "netting.per", "one of none, interval, day, bill is expected, not 'hour'"),
    ("{per: interval}", "{per: bill, bank: {unit: kwh}}", "netting.bank", "or is paid by 'feed-in', not both"),
    ("{per: interval}", "{per: bill, bank: {unit: mwh}}", "netting.bank.unit", "one of kwh, money is expected"),
    (
        "{per: interval}",
        "{per: bill, bank: {unit: money, across: true}}",
        "netting.bank.across",
        "money has no periods",
    ),
    (
        "{per: interval}",
        "{per: bill, bank: {unit: money, cash_out: 1}}",
        "netting.bank.cash_out",
        "'expires' is missing",
    ),
    (
        "{per: interval}",
        "{per: bill, bank: {unit: money, expires: 04-01, cash_out: 0.5}}",
        "netting.bank.cash_out",
        "money is paid out (1) or not (0)",
    ),
    (
        "{per: interval}",
        "{per: bill, bank: {unit: money, expires: 04-02}}",
        "netting.bank.expires",
        "the day on which a bank expires is the first day of a month",
    ),
]


@cache
def refused(text: str) -> TariffRefused:
    with pytest.raises(TariffRefused) as raised:
        parse_tariff(text, source="bad.yaml")
    return raised.value


def malformed(base: str, fault: Malformed) -> str:
    old, new, _, _ = fault
    assert old in base
    return base.replace(old, new, 1)


def test_what_is_changed_for_the_worse_is_sound_before() -> None:
    assert parse_tariff(HOME, source="home.yaml").charges
    assert len(parse_tariff(FULL, source="full.yaml").charges) == 13
    assert len(IN_HOME) + len(IN_FULL) > 180


@pytest.mark.parametrize(
    ("base", "fault"),
    [(HOME, fault) for fault in IN_HOME] + [(FULL, fault) for fault in IN_FULL],
    ids=lambda value: f"{value[2]}: {value[3]}" if isinstance(value, tuple) else "home" if value is HOME else "full",
)
def test_a_malformed_tariff_is_refused_in_one_line_with_clause_and_cause(base: str, fault: Malformed) -> None:
    text = malformed(base, fault)
    _, _, path, cause = fault
    problem = refused(text)
    assert "\n" not in str(problem)
    assert str(problem).startswith("bad.yaml: line ")
    found = [one for one in problem.faults if one.path == path and cause in one.cause]
    assert found, problem.faults
    lines = text.splitlines()
    for one in problem.faults:
        assert one.line is not None
        keys = re.findall(r"[^.\[\]]+|\[[0-9]+\]", one.path)
        if keys and not keys[-1].startswith("["):
            assert keys[-1] in lines[one.line - 1], one
        assert str(one).startswith(f"line {one.line}: ")


def test_one_mistake_is_not_told_over_and_over() -> None:
    several = {
        cause
        for base, faults in ((HOME, IN_HOME), (FULL, IN_FULL))
        for old, new, path, cause in faults
        if len(refused(malformed(base, (old, new, path, cause))).faults) > 2
    }
    assert several == {
        "several prices need 'tiers'",  # each of them
        "unknown period 'peak'",  # two that are unknown, two that are missing
        "no period covers 00:00-06:00",  # three times of kinds of days
        "no period covers 12:00-24:00",  # likewise
    }


def test_the_schema_sees_what_is_wrong_with_the_shape() -> None:
    validator = Draft202012Validator(tariff_schema())
    seen = {True: 0, False: 0}
    for base, faults in ((HOME, IN_HOME), (FULL, IN_FULL)):
        assert validator.is_valid(read_yaml(base, source="base")[0])
        for fault in faults:
            seen[not validator.is_valid(read_yaml(malformed(base, fault), source="bad")[0])] += 1
    assert seen[True] >= 140  # the rest is for the reader: names, order, coverage


def test_all_faults_are_told_at_once() -> None:
    text = HOME.replace("GBP", "pounds").replace("mon-fri", "mon-fry").replace("kind: fixed", "kind: flat")
    assert [fault.line for fault in refused(text).faults] == [4, 7, 19]


def test_charges_are_judged_although_the_calendar_is_not_sound() -> None:
    text = FULL.replace("06-01 to 09-30", "06-02 to 09-30").replace("of: energy, when", "of: engery, when")
    text = text.replace("minutes: 15", "minutes: 11").replace("busy: [9, 8]", "busy: [9, x]")
    found = [(fault.path, fault.line) for fault in refused(text).faults]
    assert found == [
        ("seasons", 8),
        ("charges[3].window.minutes", 50),
        ("charges[3].price.busy[1]", 53),
        ("charges[11].of", 66),
    ]


def test_a_season_that_is_not_sound_is_known_by_name() -> None:
    text = FULL.replace("fair: 2026-07-01 to 2026-07-04", "fair: in July")
    assert [fault.path for fault in refused(text).faults] == ["seasons.fair"]


def test_no_charge_for_energy_is_a_fault() -> None:
    text = "id: a\nversion: 1\ncurrency: EUR\ncharges: [{name: s, kind: fixed, price: 1, per: day}]\n"
    assert [str(fault) for fault in refused(text).faults] == ["line 4: no charge gives energy a price at charges"]


def test_a_period_that_never_comes_is_a_fault() -> None:
    text = HOME.replace("night: {times: 22:30-06:00}", "night: {times: [22:30-06:00, 06:00-16:00, 21:00-22:30]}")
    text = text.replace("{days: weekday, times: 16:00-21:00}", "{times: 16:00-21:00}")
    assert str(refused(text).faults[0]) == "line 11: no minute of the year is day at periods.day"


def test_a_price_for_a_period_that_does_not_occur_in_a_season_is_a_fault() -> None:
    text = HOME.replace("peak: {days: weekday, ", "peak: {seasons: winter, ").replace(
        "summer: [0.15, 0.2]", "summer: {peak: [1, 2], day: [1, 2], night: [1, 2]}"
    )
    assert [str(fault) for fault in refused(text).faults] == [
        "line 18: peak does not occur in summer at charges[0].price.summer.peak"
    ]


def test_a_money_bank_without_a_price_for_what_is_given_back_is_a_fault() -> None:
    text = "id: a\nversion: 1\ncurrency: EUR\nnetting: {per: bill, bank: {unit: money}}\n"
    text += "charges: [{name: e, kind: energy, price: 1}]\n"
    assert [fault.path for fault in refused(text).faults] == ["netting.bank"]
    more = text.replace("price: 1}", "price: 1}, {name: g, kind: export, price: 1}")
    assert parse_tariff(more, source="a").netting.bank is not None


def test_a_tax_cannot_be_a_base_of_itself_by_way_of_another() -> None:
    text = "id: a\nversion: 1\ncurrency: EUR\ncharges:\n  - {name: e, kind: energy, price: 1}\n"
    text += "  - {name: a, kind: tax, rate: 1, of: [e, b]}\n  - {name: b, kind: tax, rate: 1, of: [e, a]}\n"
    assert [str(fault) for fault in refused(text).faults] == [
        "line 6: 'b' stands after this charge: charges can only be based on charges before them at charges[1].of[1]"
    ]


# --- whatever is done to a document ---

WHOLE_DOCUMENTS = tuple(read_yaml(text, source="base")[0] for text in (HOME, FULL))
ODDITIES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("", " 5 ", "-1", "0", "2.5", "1e50", "x", "all", "peak", "energy", "otherwise", "export", "days", "none"),
        *("06-01 to 09-30", "2026-01-01", None, True, False, 1.5, 10, [], {}, [[]], [{}], ["1", "2"], ["x"]),
        *({"": "1"}, {"peak": "1"}, {"a": {"b": {"c": "1"}}}, {"percent": "5"}, {"over": "1"}, {"days": {}}),
    ]
)  # fmt: skip


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_in(inner, (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:  # noqa: ANN401 - JSON
    for key in path:
        document = document[key]
    return document


@st.composite
def spoilt(draw: st.DrawFn) -> Any:  # noqa: ANN401 - JSON
    """A tariff in which a few values are left out, replaced by oddities, or by values from elsewhere in it."""
    document = deepcopy(draw(st.sampled_from(WHOLE_DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(places_in(document))
        *around, key = draw(st.sampled_from(places[1:]))
        if draw(st.booleans()):
            at(document, tuple(around))[key] = deepcopy(draw(ODDITIES))
        elif draw(st.booleans()):
            at(document, tuple(around))[key] = deepcopy(at(document, draw(st.sampled_from(places))))
        elif len(document) > 1:
            del at(document, tuple(around))[key]
    return document


@settings(max_examples=150)
@given(document=spoilt())
def test_whatever_is_done_to_a_document_it_is_a_tariff_or_refused_in_one_line(document: Any) -> None:  # noqa: ANN401
    try:
        tariff = parse_tariff(document, source="spoilt")
    except TariffRefused as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 - either outcome will do
        return
    again = Tariff.from_document(tariff.document)
    assert (again.document, again.cells, again.charges) == (tariff.document, tariff.cells, tariff.charges)
    assert Draft202012Validator(tariff_schema()).is_valid(tariff.document)
