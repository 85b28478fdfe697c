"""Laws that hold for every kind of charge together: batches, sums, explanations, parts of a bill, energy for money."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Money, Period, epoch, zone_named
from wattledger.tariffs import (
    Fact,
    IndexPrices,
    NoEnergyForMoney,
    RatingState,
    Signals,
    Tariff,
    advance,
    explain,
    history_after,
    inverse,
    open_state,
    parse_tariff,
    rate,
    settle,
)

ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe")
MONTHS = ((2024, 2), (2025, 3), (2025, 4), (2025, 10), (2025, 11), (2025, 12))
FACTS: dict[str, Fact] = {"contracted_kw": Decimal("4.5"), "persons": 3, "pensioner": True}


class Case(NamedTuple):
    tariff: Tariff
    period: Period
    channels: Mapping[str, IntervalSeries]
    signals: Signals

    def __repr__(self) -> str:  # a failing example should be read
        sizes = {name: (len(s), s.seconds) for name, s in self.channels.items()}
        return f"Case({self.tariff.document}, {self.period}, {sizes}, {self.signals.events})"


money = st.decimals(min_value=0, max_value=9, places=3).map(str)
price = st.decimals(min_value="0.001", max_value=9, places=3).map(str)
any_price = st.decimals(min_value=-1, max_value=9, places=4).map(str)
proration = st.sampled_from(
    ["none", "days", "exact", {"standard_days": 30}, {"by": "days", "rounding": {"places": 4}}]
)  # fmt: skip


@st.composite
def tiers(draw: st.DrawFn, *, ordered: bool, plain: bool) -> dict[str, Any]:
    limits = sorted(draw(st.lists(st.integers(1, 400), min_size=1, max_size=3, unique=True)))
    basis = draw(st.sampled_from(["month", "bill", "quarter", "year", "day", "rolling"]))
    allocations = ["chronological"] * ordered + ["pro_rata", "reached_slab"] * (not plain)
    found: dict[str, Any] = {
        "counter": draw(st.sampled_from(["all_periods", "per_period"])),
        "basis": {"rolling": 3} if basis == "rolling" else basis,
        "allocation": draw(st.sampled_from(allocations)),
        "limits": [str(limit) for limit in limits],
    }
    if basis != "day":
        found["proration"] = draw(proration)
    if not plain and draw(st.booleans()):
        found["rounding"] = {"places": 0, "mode": "up"}
    per = draw(st.sampled_from([None, "person", "contracted_kw", "demand_kw"]))
    if per is not None and not (per == "demand_kw" and found["allocation"] == "chronological"):
        found["per"] = per
    return found


@st.composite
def energy(draw: st.DrawFn, *, ordered: bool, plain: bool) -> dict[str, Any]:
    charge: dict[str, Any] = {"name": "energy", "kind": "energy"}
    if plain or draw(st.booleans()):
        charge["tiers"] = draw(tiers(ordered=ordered, plain=plain))
        count = len(charge["tiers"]["limits"]) + 1
        charge["price"] = {name: [draw(any_price) for _ in range(count)] for name in ("a", "b")}
    else:
        charge["price"] = {name: draw(any_price) for name in ("a", "b")}
    return charge


@st.composite
def demand(draw: st.DrawFn, *, ordered: bool) -> dict[str, Any]:
    charge: dict[str, Any] = {"name": "demand", "kind": "demand", "proration": draw(proration)}
    sliding = ordered and draw(st.booleans())
    charge["window"] = {"minutes": 60, "sliding": True} if sliding else draw(st.sampled_from([30, 60]))
    charge["statistic"] = draw(
        st.sampled_from(
            [
                "max",
                {"mean_of_highest": 3},
                {"mean_of_highest": 2, "on_different_days": True},
                "daily_mean",
            ]
        )
    )
    if draw(st.booleans()):
        charge["price"] = {name: [draw(price), draw(price)] for name in ("a", "b")}
        charge["limits"] = [draw(st.sampled_from(["0.5", "1", "3"]))]
    else:
        charge["price"] = draw(price)
    if draw(st.booleans()):
        charge["minimum"] = "1.5"
    if draw(st.booleans()):
        charge["contracted"] = {
            "kw": draw(st.sampled_from(["fact", "1"])),
            "billed": draw(st.sampled_from(["true", "false"])),
            "bands": [{"over": "105", "factor": "2"}, {"over": "125", "factor": "3.5"}],
        }
    if draw(st.booleans()):
        charge["rounding"] = {"places": 1, "mode": draw(st.sampled_from(["up", "half_even"]))}
    return charge


@st.composite
def fixed(draw: st.DrawFn) -> dict[str, Any]:
    per = draw(st.sampled_from(["day", "month", "bill", "quarter", "year"]))
    charge: dict[str, Any] = {"name": "fixed", "kind": "fixed", "price": draw(money), "per": per}
    if per not in {"day", "bill"}:
        charge["proration"] = draw(proration)
    if draw(st.booleans()):
        charge["times"] = "contracted_kw"
    if draw(st.booleans()):
        charge["when"] = {"usage": {"over": draw(st.sampled_from(["0", "100"])), "up_to": "700"}}
    return charge


@st.composite
def given_back(draw: st.DrawFn, *, ordered: bool) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Charges of the kind export and a netting clause, which go together."""
    feed_in = {"name": "feed-in", "kind": "export", "price": draw(any_price)}
    kind = draw(st.sampled_from(["nothing", "feed-in", "netted", "kwh", "money"]))
    if kind == "nothing" or (ordered and kind != "feed-in"):
        return [], None
    if kind == "feed-in":
        return [feed_in], {"per": draw(st.sampled_from(["none", "interval"]))}
    netting: dict[str, Any] = {"per": draw(st.sampled_from(["day", "bill"]))}
    if kind == "kwh":
        netting["bank"] = {"unit": "kwh", "across": "true", "expires": "03-01", "cash_out": "0.03"}
    elif kind == "money":
        netting["bank"] = {"unit": "money"}
    return [feed_in] if kind == "money" else [], netting


OVER_ALL: list[dict[str, Any]] = [
    {"name": "minimum", "kind": "minimum", "price": "300", "per": "month", "covers": ["energy", "fixed"]},
    {"name": "off", "kind": "credit", "price": "40", "per": "month", "of": ["energy"], "most": "25"},
    {"name": "tax", "kind": "tax", "rate": "7.7", "of": ["energy", "fixed"]},
    {"name": "tax by line", "kind": "tax", "rate": "1.9", "of": ["energy", "fixed"], "on": "line"},
    {"name": "tax on tax", "kind": "percentage", "rate": "3", "of": "all"},
]
LOAD = {"name": "load", "kind": "load", "over": "1.2", "window": 60, "duration": 120}
MARKET = {"series": "spot", "scale": "1.05", "cap": "0.9", "missing": "last"}


@st.composite
def documents(draw: st.DrawFn, *, ordered: bool, plain: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": "any", "version": "1", "currency": "EUR", "zone": draw(st.sampled_from(ZONES))}
    document["periods"] = {"a": {"times": draw(st.sampled_from(["16:00-21:00", "22:30-06:00"]))}, "b": "otherwise"}
    exports, netting = draw(given_back(ordered=ordered))
    document.update({} if netting is None else {"netting": netting})
    charges = [draw(energy(ordered=ordered, plain=plain))]
    if draw(st.booleans()):
        charges.append(draw(demand(ordered=ordered)))
    if ordered and draw(st.booleans()):
        charges.append({**LOAD, "adder": draw(any_price)})
    if draw(st.booleans()) and (netting is None or netting["per"] in {"none", "interval"}):
        charges.append({"name": "market", "kind": "energy", "index": {**MARKET, "adder": {"a": "0.13", "b": "0"}}})
    charges += [draw(fixed()), *exports, *(charge for charge in OVER_ALL if draw(st.booleans()))]
    document["charges"] = with_event(document, charges) if draw(st.booleans()) else charges
    places = str(draw(st.integers(0, 6)))
    document["rounding"] = {"line": {"places": places, "mode": draw(st.sampled_from(["half_up", "down", "up"]))}}
    if not plain and draw(st.booleans()):
        document["rounding"].update({"quantity": {"places": 1}, "price": {"places": 3}, "bill": {"places": 0}})
        document["rounding"]["tax"] = {"places": 2, "mode": "up"}
    return document


def with_event(document: dict[str, Any], charges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The charges with prices for an event's period, which the document gets."""
    document["events"] = ["critical"]
    document["periods"]["c"] = {"events": "critical", "times": "10:00-18:30"}
    for where in [*charges, *(charge["index"] for charge in charges if "index" in charge)]:
        for key in {"price", "adder"} & where.keys():
            if isinstance(where[key], dict):
                where[key]["c"] = where[key]["a"]
    return charges


@st.composite
def cases(draw: st.DrawFn, *, ordered: bool = True, plain: bool = False) -> Case:
    """With ``plain`` the energy has chronological tiers that nothing rounds."""
    tariff = parse_tariff(draw(documents(ordered=ordered, plain=plain)), source="any")
    zone = zone_named(tariff.zone or "UTC")
    year, number = draw(st.sampled_from(MONTHS))
    start = datetime(year, number, 1, tzinfo=zone) + timedelta(days=draw(st.integers(0, 2)))
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone) + timedelta(days=draw(st.integers(-2, 9)))
    if any(c.tiers is not None and c.tiers.basis == "rolling" for c in tariff.energy):
        end = min(end, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone))
    period = Period(start.astimezone(UTC), end.astimezone(UTC))
    seconds = draw(st.sampled_from([900, 1800, 3600]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    channels = {}
    for name in tariff.channels:
        starts = np.arange(epoch(period.start), epoch(period.end), seconds, dtype=np.int64)
        values = random.integers(0, draw(st.sampled_from([1, 700, 4000])), len(starts), endpoint=True)
        qualities = random.choice(np.arange(5, dtype=np.uint8), len(starts), p=[0.05, 0.8, 0.05, 0.05, 0.05])
        channels[name] = IntervalSeries(starts, values, qualities, seconds)
    hours = [
        (period.start + timedelta(hours=h), str(Decimal(int(random.integers(-200, 700))).scaleb(-3)))
        for h in range(800)
    ]
    day = period.start + timedelta(days=draw(st.integers(0, 20)), hours=3)
    events = {"critical": (Period(day, day + timedelta(hours=draw(st.integers(1, 30)))),)}
    return Case(tariff, period, channels, Signals(events=events, prices={"spot": IndexPrices.of(hours, seconds=3600)}))


def opened(case: Case) -> RatingState:
    return open_state(tariff=case.tariff, period=case.period, facts=FACTS)


def pieces(case: Case, cuts: Sequence[int]) -> list[dict[str, IntervalSeries]]:
    size = len(next(iter(case.channels.values())))
    bounds = sorted({0, size, *(cut % (size + 1) for cut in cuts)})
    return [{name: s.picked(slice(a, b)) for name, s in case.channels.items()} for a, b in pairwise(bounds)]


@settings(max_examples=120, deadline=None)
@given(case=cases(), cuts=st.lists(st.integers(0, 10**6), max_size=8))
def test_any_cut_into_batches_gives_the_state_and_the_bill_of_one_pass(case: Case, cuts: list[int]) -> None:
    whole = advance(tariff=case.tariff, state=opened(case), series=case.channels, signals=case.signals)
    state = opened(case)
    for piece in pieces(case, cuts):
        state = advance(tariff=case.tariff, state=state, series=piece, signals=case.signals)
        state = RatingState.from_json(state.to_json())
    assert state == whole
    bill = rate(tariff=case.tariff, series=case.channels, period=case.period, facts=FACTS, signals=case.signals)
    assert settle(tariff=case.tariff, state=state) == bill


@settings(max_examples=80, deadline=None)
@given(case=cases(ordered=False), cuts=st.lists(st.integers(0, 10**6), max_size=8), seed=st.integers(0, 2**32))
def test_where_the_order_does_not_matter_any_order_gives_the_same(case: Case, cuts: list[int], seed: int) -> None:
    assert not case.tariff.order_matters
    batches = pieces(case, cuts)
    np.random.default_rng(seed).shuffle(batches)
    state = opened(case)
    for piece in batches:
        state = advance(tariff=case.tariff, state=state, series=piece, signals=case.signals)
    assert state == advance(tariff=case.tariff, state=opened(case), series=case.channels, signals=case.signals)


@settings(max_examples=80, deadline=None)
@given(case=cases() | cases(ordered=False), exact=st.booleans())
def test_every_line_adds_up_from_its_explanation_and_the_lines_to_the_total(case: Case, *, exact: bool) -> None:
    told = explain(
        tariff=case.tariff,
        series=case.channels,
        period=case.period,
        facts=FACTS,
        signals=case.signals,
        exact=exact,
    )
    for one in told.lines:
        assert one.recomputed == one.line.amount, one.line
        if not one.line.averaged and one.line.kind not in {"minimum", "credit", "bank", "rounding"}:
            ratio = Fraction(one.line.quantity) * Fraction(one.line.price)
            amount = one.line.amount.amount if isinstance(one.line.amount, Money) else one.line.amount
            assert abs(Fraction(amount) - ratio) <= Fraction(1, 10 ** (6 if one.places is None else one.places))
    if exact:
        plain = rate(
            tariff=case.tariff, series=case.channels, period=case.period, facts=FACTS, signals=case.signals, exact=True
        )
        assert told.rating == plain
        assert plain.total == sum((line.amount for line in plain.lines), start=Decimal(0))
    else:
        bill = rate(tariff=case.tariff, series=case.channels, period=case.period, facts=FACTS, signals=case.signals)
        assert told.rating == bill
        assert bill.total.micro == sum(line.amount.micro for line in bill.lines if isinstance(line.amount, Money))


@settings(max_examples=60, deadline=None)
@given(case=cases(plain=True), day=st.integers(1, 25))
def test_counters_go_on_from_one_part_of_a_bill_to_the_next(case: Case, day: int) -> None:
    cut = case.period.start + timedelta(days=day)
    assume(cut < case.period.end)
    history = open_state(tariff=case.tariff, period=case.period, facts=FACTS).history
    found: dict[tuple[Any, ...], Decimal] = {}
    for part in (Period(case.period.start, cut), Period(cut, case.period.end)):
        state = open_state(tariff=case.tariff, period=part, bill=case.period, facts=FACTS, history=history)
        state = advance(tariff=case.tariff, state=state, series=case.channels, signals=case.signals)
        for line in settle(tariff=case.tariff, state=state, exact=True).lines:
            key = (line.charge, line.period, line.season, line.tier)
            found[key] = found.get(key, Decimal(0)) + line.quantity
        history = history_after(tariff=case.tariff, state=state)
    whole = rate(
        tariff=case.tariff, series=case.channels, period=case.period, facts=FACTS, signals=case.signals, exact=True
    )
    for line in whole.lines:
        if line.charge == "energy":
            assert found[line.charge, line.period, line.season, line.tier] == line.quantity


@settings(max_examples=60, deadline=None)
@given(case=cases(), amount=st.integers(0, 500_000_000), hours=st.integers(1, 500))
def test_money_buys_exactly_the_energy_that_costs_no_more(case: Case, amount: int, hours: int) -> None:
    at = case.period.start + timedelta(hours=hours)
    assume(at < case.period.end)
    state = opened(case)
    before = {name: s.picked(s.starts < epoch(at)) for name, s in case.channels.items()}
    state = advance(tariff=case.tariff, state=state, series=before, signals=case.signals)
    money_given = Money(amount, "EUR")
    try:
        bought = inverse(tariff=case.tariff, state=state, amount=money_given, at=at, signals=case.signals)
    except NoEnergyForMoney:
        return

    def cost(wh: int) -> int:
        from wattledger.tariffs._counting import energy_added  # noqa: PLC0415 - what inverse searches over

        more = energy_added(tariff=case.tariff, state=state, wh=wh, at=at, signals=case.signals)
        return settle(tariff=case.tariff, state=more).total.micro - settle(tariff=case.tariff, state=state).total.micro

    assert cost(bought.wh) <= amount < cost(bought.wh + 1)
