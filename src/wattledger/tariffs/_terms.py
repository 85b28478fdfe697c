"""Terms that several clauses share: roundings, prorations, conditions on facts and usage."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from wattledger.tariffs._calendar_clauses import named, one_or_list
from wattledger.tariffs._document import Clause, plain_number, shown
from wattledger.tariffs._model import WHOLE, Condition, FactTest, Places, Proration, ProrationRule, RoundingMode

MODES = ("half_up", "half_even", "half_down", "up", "down")
MONEY_PLACES = 6
"""Money counts millionths."""
ENERGY_PLACES = 9
"""Energy is counted in units of 1e-9 kWh, power likewise."""
PRICE_PLACES = 18

_RULES = ("none", "days", "exact")
_SHARE = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_FACT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_MOST_DAYS = 3660
_FIRST_OF_MONTH = re.compile(r"(0[1-9]|1[0-2])-([0-9]{2})")


def read_places(clause: Clause, *, most: int, usual: int | None = None) -> tuple[Places, dict[str, Any]] | None:
    """A rounding to at most ``most`` places; ``usual`` ones when left out, else they must be said."""
    before = len(clause.faults.found)
    given = clause.fields(known=("places", "mode"), required=("places",) if usual is None else ())
    places = given["places"].whole(0, most) if "places" in given else usual
    mode = given["mode"].one_of(MODES) if "mode" in given else "half_up"
    if len(clause.faults.found) > before or places is None or mode is None:
        return None
    return Places(places=places, mode=cast("RoundingMode", mode)), {"places": str(places), "mode": mode}


def read_proration(clause: Clause) -> tuple[Proration, Any] | None:
    """How what is for a month is cut: a word, or a mapping."""
    if not clause.is_mapping:
        word = clause.one_of(_RULES, also="{standard_days: N}")
        return None if word is None else (Proration(rule=cast("ProrationRule", word)), word)
    before = len(clause.faults.found)
    given = clause.fields(known=("by", "standard_days", "unless", "rounding"))
    if ("by" in given) == ("standard_days" in given):
        clause.refuse("either 'by' or 'standard_days' is expected")
    rule = given["by"].one_of(_RULES) if "by" in given else "standard_days"
    days = _read_standard_days(given["standard_days"]) if "standard_days" in given else None
    unless = _read_unless(given["unless"]) if "unless" in given else None
    places = read_places(given["rounding"], most=PRICE_PLACES) if "rounding" in given else None
    if rule == "none" and len(given) > 1:
        clause.refuse("what is not cut needs no more words")
    if len(clause.faults.found) > before or rule is None:
        return None
    written: dict[str, Any] = {"by": rule} if days is None else {"standard_days": _share_text(days)}
    if unless is not None:
        written["unless"] = [str(day) for day in unless]
    if places is not None:
        written["rounding"] = places[1]
    proration = Proration(
        rule=cast("ProrationRule", rule),
        days=(30, 1) if days is None else days.as_integer_ratio(),
        unless=unless,
        places=None if places is None else places[0],
    )
    return proration, rule if written == {"by": rule} else written


def _read_standard_days(clause: Clause) -> Fraction | None:
    share = _SHARE.fullmatch(clause.value) if isinstance(clause.value, str) else None
    number = clause.number() if share is None else Fraction(int(share[1]), int(share[2]))
    if number is None:
        return None
    if not 1 <= number <= _MOST_DAYS:
        clause.refuse(f"from 1 to {_MOST_DAYS} days are expected, not {shown(clause.value)}")
        return None
    return Fraction(number)


def _share_text(days: Fraction) -> str:
    return str(days.numerator) if days.denominator == 1 else f"{days.numerator}/{days.denominator}"


def _read_unless(clause: Clause) -> tuple[int, int] | None:
    bounds = [item.whole(1, _MOST_DAYS) for item in clause.items()]
    if len(bounds) != 2 or not clause.is_list:  # noqa: PLR2004 - from and to
        clause.refuse("two numbers of days such as [25, 35] are expected")
        return None
    first, last = bounds
    if first is None or last is None:
        return None
    if first > last:
        clause.refuse("the first number of days must not be greater than the second")
        return None
    return first, last


def read_first_of_month(clause: Clause, what: str) -> int | None:
    """The month of a month and day such as ``07-01``, whose day is always the first."""
    match = _FIRST_OF_MONTH.fullmatch(clause.value) if isinstance(clause.value, str) else None
    if match is None or match[2] != "01":
        clause.refuse(f"{what} is the first day of a month, such as '07-01', not {shown(clause.value)}")
        return None
    return int(match[1])


def read_fact_name(clause: Clause) -> str | None:
    """The name of a fact of the contract."""
    name = clause.text()
    if name is not None and _FACT.fullmatch(name) is None:
        clause.refuse(f"a fact's name is letters, digits and '_', such as contracted_kw, not {name!r}")
        return None
    return name


def read_above_zero(clause: Clause | None, what: str) -> Decimal | None:
    """A number above zero."""
    number = None if clause is None else clause.number()
    if clause is not None and number is not None and number <= 0:
        clause.refuse(f"{what} must be above zero")
        return None
    return number


def read_bounds(over: Clause | None, up_to: Clause | None) -> tuple[Decimal | None, Decimal | None]:
    """``over`` (not included) and ``up_to`` (included), not below zero and in order."""
    bounds = [None if clause is None else clause.number() for clause in (over, up_to)]
    for clause, bound in zip((over, up_to), bounds, strict=True):
        if clause is not None and bound is not None and bound < 0:
            clause.refuse("a bound must not be below zero")
    low, high = bounds
    if up_to is not None and low is not None and high is not None and low >= high:
        up_to.refuse(f"'up_to' must be above 'over', which is {plain_number(low)}")
    return low, high


def read_facts(clause: Clause) -> tuple[tuple[FactTest, ...], dict[str, Any]]:
    """Tests of facts: a text or number, a list of them, or ``{over, up_to}`` each."""
    tests: dict[str, FactTest] = {}
    written: dict[str, Any] = {}
    for name, test in named(clause, "fact").items():
        if _FACT.fullmatch(name) is None:
            test.refuse(f"a fact's name is letters, digits and '_', such as contracted_kw, not {name!r}")
        elif test.is_mapping:
            given = test.fields(known=("over", "up_to"))
            over, up_to = read_bounds(given.get("over"), given.get("up_to"))
            if not len(given):
                test.refuse("'over' or 'up_to' is missing")
            tests[name] = FactTest(fact=name, over=over, up_to=up_to)
            bounds = {"over": over, "up_to": up_to}
            written[name] = {key: plain_number(bound) for key, bound in bounds.items() if bound is not None}
        else:
            among = sorted({text for item in test.items() if (text := _fact_text(item)) is not None})
            if not test.items():
                test.refuse("a text or a number, a list of them, or {over: ..., up_to: ...} is expected")
            tests[name] = FactTest(fact=name, among=tuple(among))
            written[name] = one_or_list(among)
    return tuple(tests[name] for name in sorted(tests)), written


def _fact_text(clause: Clause) -> str | None:
    """The one spelling of a fact: numbers without needless zeros, truth as words."""
    if isinstance(clause.value, bool):
        return "true" if clause.value else "false"
    if isinstance(clause.value, float):
        clause.number()
        return None
    text = clause.text()
    return None if text is None else spelled(text)


def spelled(text: str) -> str:
    """A fact's text as it is compared: a number in its plain spelling, all else as it is."""
    if re.fullmatch(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?", text):
        return plain_number(Decimal(text))
    return text


def read_condition(clause: Clause) -> tuple[Condition, dict[str, Any]] | None:
    """When a charge applies: ``usage`` of the bill, ``facts`` of the contract, or both."""
    before = len(clause.faults.found)
    given = clause.fields(known=("usage", "facts"))
    written: dict[str, Any] = {}
    over = up_to = None
    proration = WHOLE
    facts: tuple[FactTest, ...] = ()
    if "usage" in given:
        usage = given["usage"].fields(known=("over", "up_to", "proration"))
        over, up_to = read_bounds(usage.get("over"), usage.get("up_to"))
        if given["usage"].is_mapping and "over" not in usage and "up_to" not in usage:
            given["usage"].refuse("'over' or 'up_to' is missing")
        bounds = {"over": over, "up_to": up_to}
        written["usage"] = {key: plain_number(bound) for key, bound in bounds.items() if bound is not None}
        cut = read_proration(usage["proration"]) if "proration" in usage else None
        if cut is not None and cut[0] != WHOLE:
            proration, written["usage"]["proration"] = cut
    if "facts" in given:
        facts, written["facts"] = read_facts(given["facts"])
    if clause.is_mapping and not len(given):
        clause.refuse("'usage' or 'facts' is missing")
    if len(clause.faults.found) > before:
        return None
    return Condition(over=over, up_to=up_to, proration=proration, facts=facts), written
