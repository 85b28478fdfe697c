"""Laws of rating, for tariffs, readings, batches and orders of arrival that nobody thought of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Money, Period, Quality, epoch, from_epoch, local_months, zone_named
from wattledger.tariffs import (
    Rating,
    RatingState,
    Tariff,
    advance,
    by_period,
    open_state,
    parse_tariff,
    prices_between,
    rate,
    settle,
)

ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Asia/Kathmandu")
MONTHS = ((2024, 2), (2025, 3), (2025, 4), (2025, 10), (2025, 11), (2025, 12))
SPLITS = ("03-15", "04-06", "10-20", "11-02")


class Case(NamedTuple):
    tariff: Tariff
    period: Period
    series: IntervalSeries


price = st.decimals(min_value=-1, max_value=9, places=4).map(str)


@st.composite
def energy_charges(draw: st.DrawFn, name: str, periods: Sequence[str], seasons: Sequence[str]) -> dict[str, Any]:
    charge: dict[str, Any] = {"name": name, "kind": "energy"}
    limits: list[str] = []
    if draw(st.booleans()):
        wh = draw(st.lists(st.integers(1, 400_000), max_size=3, unique=True))
        limits = [str(Decimal(limit).scaleb(-3)) for limit in sorted(wh)]
        basis: str = draw(st.sampled_from(["month", "day"]))
        counter: str = draw(st.sampled_from(["all_periods", "per_period"]))
        allocation: str = draw(st.sampled_from(["chronological", "pro_rata"]))
        charge["tiers"] = {
            "counter": counter,
            "basis": basis,
            "allocation": allocation,
            "limits": limits,
            **({"proration": draw(st.sampled_from(["none", "days"]))} if basis == "month" else {}),
        }

    def leaf() -> Any:  # noqa: ANN401 - a document
        return [draw(price) for _ in range(len(limits) + 1)] if "tiers" in charge else draw(price)

    def of_periods() -> Any:  # noqa: ANN401 - a document
        return {period: leaf() for period in periods} if bool(periods) and draw(st.booleans()) else leaf()

    by_season = bool(seasons) and draw(st.booleans())
    charge["price"] = {season: of_periods() for season in seasons} if by_season else of_periods()
    return charge


@st.composite
def tariffs_(draw: st.DrawFn) -> Tariff:
    document: dict[str, Any] = {"id": "any", "version": "1", "currency": "EUR", "zone": draw(st.sampled_from(ZONES))}
    periods: list[str] = []
    seasons: list[str] = []
    if draw(st.booleans()):
        first = draw(st.sampled_from(SPLITS))
        last = f"{int(first[:2]):02d}-{int(first[3:]) - 1:02d}"
        document["seasons"] = {"one": f"{first} to 12-31", "two": f"01-01 to {last}"}
        seasons = ["one", "two"]
    if draw(st.booleans()):
        start, end = draw(st.lists(st.integers(0, 47), min_size=2, max_size=2, unique=True))
        window = f"{start // 2:02d}:{start % 2 * 30:02d}-{end // 2:02d}:{end % 2 * 30:02d}"
        document["day_types"] = {"some": draw(st.sampled_from(["mon-fri", "sat", "sun-tue"]))}
        document["periods"] = {"a": {"days": "some", "times": window}, "b": "otherwise"}
        periods = ["a", "b"]
    names = ["energy", "levy"][: draw(st.integers(1, 2))]
    document["charges"] = [draw(energy_charges(name, periods, seasons)) for name in names]
    if draw(st.booleans()):
        per = draw(st.sampled_from(["day", "month", "year"]))
        fixed = {"name": "fixed", "kind": "fixed", "price": str(abs(Decimal(draw(price)))), "per": per}
        proration = {} if per == "day" else {"proration": draw(st.sampled_from(["days", "none"]))}
        document["charges"].append({**fixed, **proration})
    places = str(draw(st.integers(0, 6)))
    mode = draw(st.sampled_from(["half_up", "half_even", "half_down", "up", "down"]))
    document["rounding"] = {"line": {"places": places, "mode": mode}}
    return parse_tariff(document, source="any")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    tariff = draw(tariffs_())
    zone = zone_named(tariff.zone or "UTC")
    year, number = draw(st.sampled_from(MONTHS))
    start = datetime(year, number, 1, tzinfo=zone)
    whole = next(local_months(Period(start, start + timedelta(days=1)), zone=zone))
    days = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    period = Period(whole.start + timedelta(hours=25 * days[0]), whole.end - timedelta(hours=23 * days[1]))
    seconds = draw(st.sampled_from([1800, 3600]))
    starts = np.arange(epoch(period.start), epoch(period.end), seconds, dtype=np.int64)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = random.integers(0, draw(st.sampled_from([1, 2000, 10**6])), len(starts), endpoint=True)
    qualities = random.choice(np.arange(5, dtype=np.uint8), len(starts), p=[0.05, 0.8, 0.05, 0.05, 0.05])
    keep = random.random(len(starts)) > draw(st.sampled_from([0, 0.1]))
    decimals = draw(st.sampled_from([3, 6, 9]))
    return Case(tariff, period, IntervalSeries(starts[keep], values[keep], qualities[keep], seconds, decimals))


def batches_of(series: IntervalSeries, cuts: Sequence[int]) -> list[IntervalSeries]:
    bounds = sorted({0, len(series), *(cut % (len(series) + 1) for cut in cuts)})
    return [
        IntervalSeries(series.starts[a:b], series.values[a:b], series.qualities[a:b], series.seconds, series.decimals)
        for a, b in pairwise(bounds)
    ]


def kept(state: RatingState) -> RatingState:
    return RatingState.from_json(state.to_json())


def reference(case: Case) -> dict[tuple[str, str | None, str | None, int | None], tuple[Fraction, Fraction]]:
    """Energy and amount of every line, interval by interval in fractions, from the clauses and the wall clock."""
    tariff, period, series = case
    zone = zone_named(tariff.zone or "UTC")
    local = [from_epoch(start).astimezone(zone) for start in series.starts.tolist()]
    cells = [next(i for i, c in enumerate(tariff.cells) if c == _cell(tariff, moment)) for moment in local]
    energy = [
        Fraction(value, 10**series.decimals) if quality != Quality.MISSING else Fraction(0)
        for value, quality in zip(series.values.tolist(), series.qualities.tolist(), strict=True)
    ]
    last = (period.end - timedelta.resolution).astimezone(zone).date()
    days = (last - period.start.astimezone(zone).date()).days + 1
    in_month = ((last.replace(day=1) + timedelta(days=32)).replace(day=1) - last.replace(day=1)).days
    found: dict[tuple[str, str | None, str | None, int | None], tuple[Fraction, Fraction]] = {}
    for charge in tariff.energy:
        factor = Fraction(1)
        if charge.tiers is not None and charge.tiers.basis == "day":
            factor = Fraction(days)
        elif charge.tiers is not None and charge.tiers.proration.rule == "days":
            factor = Fraction(days, in_month)
        counter_of = charge.counters(tariff.cells)
        totals: dict[int, Fraction] = {}
        for cell, used in zip(cells, energy, strict=True):
            totals[counter_of[cell]] = totals.get(counter_of[cell], Fraction(0)) + used
        counters: dict[int, Fraction] = {}
        for cell, used in zip(cells, energy, strict=True):
            before = counters.get(counter_of[cell], Fraction(0))
            counters[counter_of[cell]] = before + used
            bounds = [Fraction(limit) * factor for limit in charge.limits[cell]]
            total = totals[counter_of[cell]]
            label = _label(tariff, charge.lines, cell)
            for tier, unit_price in enumerate(charge.prices[cell]):
                lower = bounds[tier - 1] if tier else Fraction(0)
                upper = bounds[tier] if tier < len(bounds) else None
                if charge.tiers is not None and charge.tiers.allocation == "pro_rata":
                    share = used * _between(Fraction(0), total, lower, upper) / total if total else Fraction(0)
                else:
                    share = _between(before, before + used, lower, upper)
                key = (charge.name, *label, tier + 1 if len(charge.prices[cell]) > 1 else None)
                quantity, amount = found.get(key, (Fraction(0), Fraction(0)))
                found[key] = quantity + share, amount + share * Fraction(unit_price)
    return {key: value for key, value in found.items() if value[0]}


def _between(start: Fraction, end: Fraction, lower: Fraction, upper: Fraction | None) -> Fraction:
    top = end if upper is None else min(end, upper)
    return max(Fraction(0), top - max(start, lower))


def _cell(tariff: Tariff, moment: datetime) -> Any:  # noqa: ANN401 - a cell
    seasons = tariff.document.get("seasons")
    season = None
    if seasons is not None:
        season = next(name for name, span in seasons.items() if span[:5] <= f"{moment:%m-%d}" <= span[-5:])
    name = "any time"
    if "periods" in tariff.document:
        window = tariff.document["periods"]["a"]["times"]
        first, last, now = window[:5], window[-5:], f"{moment:%H:%M}"
        within = first <= now < last if first < last else now >= first or now < last
        on_day = f"{moment:%a}".lower() in tariff.document["day_types"]["some"]
        name = "a" if within and on_day else "b"
    return next(cell for cell in tariff.cells if (cell.season, cell.period) == (season, name))


def _label(tariff: Tariff, lines: Sequence[int], cell: int) -> tuple[str | None, str | None]:
    cells = [c for c, line in zip(tariff.cells, lines, strict=True) if line == lines[cell]]
    periods, seasons = {c.period for c in cells}, {c.season for c in cells}
    return (periods.pop() if len(periods) == 1 else None), (seasons.pop() if len(seasons) == 1 else None)


@settings(max_examples=25)  # the reference takes its time
@given(cases())
def test_the_engine_agrees_with_arithmetic_on_every_interval(case: Case) -> None:
    expected = reference(case)
    rating = rate(tariff=case.tariff, series=case.series, period=case.period, exact=True)
    lines = {(line.charge, line.period, line.season, line.tier): line for line in rating.lines if line.kind == "energy"}
    assert lines.keys() == expected.keys()
    for key, line in lines.items():
        quantity, amount = expected[key]
        assert isinstance(line.amount, Decimal)
        assert abs(Fraction(line.quantity) - quantity) <= Fraction(1, 2 * 10**18)
        assert abs(Fraction(line.amount) - amount) <= Fraction(1, 2 * 10**18)
    assert sum(Fraction(line.amount) for line in rating.lines if isinstance(line.amount, Decimal)) == rating.total


@given(cases(), st.lists(st.integers(0, 2000), max_size=12))
def test_any_batches_give_what_one_pass_gives(case: Case, cuts: list[int]) -> None:
    tariff, period, series = case
    state = open_state(tariff=tariff, period=period)
    for batch in batches_of(series, cuts):
        state = kept(advance(tariff=tariff, state=state, series=batch))
    whole = advance(tariff=tariff, state=open_state(tariff=tariff, period=period), series=series)
    assert state == whole
    assert settle(tariff=tariff, state=state) == rate(tariff=tariff, series=series, period=period)


@given(cases(), st.lists(st.integers(0, 2000), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_batches_does_not_matter_where_it_need_not(case: Case, cuts: list[int], random: Any) -> None:  # noqa: ANN401 - random.Random
    tariff, period, series = case
    assume(not tariff.order_matters)
    batches = batches_of(series, cuts)
    random.shuffle(batches)
    state = open_state(tariff=tariff, period=period)
    for batch in batches:
        state = advance(tariff=tariff, state=state, series=batch)
    assert state == advance(tariff=tariff, state=open_state(tariff=tariff, period=period), series=series)


@given(cases())
def test_the_sum_of_the_lines_is_the_total(case: Case) -> None:
    rating = rate(tariff=case.tariff, series=case.series, period=case.period)
    amounts = [line.amount for line in rating.lines if isinstance(line.amount, Money)]
    assert len(amounts) == len(rating.lines)
    assert sum(amounts, start=Money.zero("EUR")) == rating.total
    places = 10 ** (6 - case.tariff.rounding.line.places)
    assert all(amount.micro % places == 0 for amount in amounts)


@given(cases(), st.lists(st.integers(0, 2000), max_size=8))
def test_running_totals_end_at_the_bill(case: Case, cuts: list[int]) -> None:
    """What a wallet is charged in steps, each the difference of two running totals, is the bill."""
    tariff, period, series = case
    state = open_state(tariff=tariff, period=period)
    charged = 0
    for batch in batches_of(series, cuts):
        state = advance(tariff=tariff, state=state, series=batch)
        until = batch.period.end if batch.period is not None else period.start
        charged += settle(tariff=tariff, state=state, until=until).total.micro - charged
    charged += settle(tariff=tariff, state=state, until=period.end).total.micro - charged
    assert charged == rate(tariff=tariff, series=series, period=period).total.micro


@given(cases())
def test_fixed_charges_only_grow_and_energy_does_not_depend_on_until(case: Case) -> None:
    tariff, period, series = case
    state = advance(tariff=tariff, state=open_state(tariff=tariff, period=period), series=series)
    steps = [settle(tariff=tariff, state=state, until=period.start + timedelta(hours=h)) for h in (0, 1, 30, 100, 1000)]
    fixed = [_micro(step, "fixed") for step in steps]
    assert fixed[0] == 0
    assert fixed == sorted(fixed)
    assert len({_micro(step, "energy") for step in steps}) == 1


def _micro(rating: Rating, kind: str) -> int:
    return sum(line.amount.micro for line in rating.lines if line.kind == kind and isinstance(line.amount, Money))


@given(cases())
def test_every_interval_is_known_or_missing(case: Case) -> None:
    rating = rate(tariff=case.tariff, series=case.series, period=case.period)
    known = int((case.series.qualities != Quality.MISSING).sum())
    if known:
        assert rating.missing + known == rating.expected
    assert rating.missing <= rating.expected


@given(cases())
def test_spans_of_prices_are_unbroken_and_energy_by_period_adds_up(case: Case) -> None:
    tariff, period, series = case
    wide = Period(period.start - timedelta(days=40), period.end + timedelta(days=40))
    spans = prices_between(tariff=tariff, period=wide)
    assert [span.period.end for span in spans[:-1]] == [span.period.start for span in spans[1:]]
    assert (spans[0].period.start, spans[-1].period.end) == (wide.start, wide.end)
    assert all((a.period_name, a.season) != (b.period_name, b.season) for a, b in pairwise(spans))
    use = by_period(tariff=tariff, series=series)
    assert tuple(use) == tariff.period_names
    assert sum(use.values()) == series.kilowatt_hours


@given(tariffs_())
def test_a_stored_document_is_the_same_tariff(tariff: Tariff) -> None:
    again = Tariff.from_document(tariff.document)
    assert again == tariff
    assert again.document == tariff.document
    assert replace(again, calendar=tariff.calendar, document={}) == replace(tariff, document={})
    assert again.calendar.patterns == tariff.calendar.patterns
    assert (again.cells, again.charges, again.period_names) == (
        tariff.cells,
        tariff.charges,
        tariff.period_names,
    )
