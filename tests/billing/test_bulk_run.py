"""Bills that were made many at once are the bills that are made one by one: to the last digit and the last letter."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from grid import APRIL, MARCH, ZONE, Grid
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wattledger import billing, ledger, pricing, readings, registry, worker
from wattledger.billing import _bulk
from wattledger.billing._bills import rated_bill
from wattledger.kernel import IntervalSeries, ManualClock, Money, Period, Quality, epoch
from wattledger.pricing import _blocks
from wattledger.registry import Segment
from wattledger.store import Store, metadata
from wattledger.worker import WalletDeductions

MID = datetime.fromisoformat("2026-03-17T00:00+08:00")
FEBRUARY = MARCH - timedelta(days=28)
EACH = 4


def tariff(name: str, *charges: Mapping[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a document's members
    return {
        "id": name,
        "version": "1",
        "name": f'The "{name}" tariff, 分时',
        "currency": "CNY",
        "zone": ZONE,
        "charges": list(charges),
        **more,
    }


def energy(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {"name": "energy", "kind": "energy", "price": "0.5", **more}


def tiers(basis: str, allocation: str) -> dict[str, Any]:
    return {
        "counter": "all_periods",
        "basis": basis,
        "allocation": allocation,
        "limits": ["50.5", "200"],
        "adders": ["0", "0.05", "0.3"],
        "proration": "none",
    }


PERIODS = {"peak": {"times": "08:00-22:00"}, "valley": "otherwise"}
TOU = {"peak": "0.5683", "valley": "0.2883"}
FEE = {"name": "standing charge", "kind": "fixed", "price": "7.77", "per": "month"}

TARIFFS = [
    tariff("flat", energy(), FEE),
    tariff("tou", energy(price=TOU, tiers=tiers("month", "chronological")), FEE, periods=PERIODS),
    tariff("shares", energy(price=TOU, tiers=tiers("month", "pro_rata")), FEE, periods=PERIODS),
    tariff(
        "social",
        energy(price="0.123456"),
        {**FEE, "times": "persons"},
        {"name": "least", "kind": "minimum", "price": "90", "per": "month", "covers": ["energy"]},
        {"name": "grant", "kind": "credit", "rate": "12.5", "of": ["energy"], "when": {"facts": {"pensioner": True}}},
        {"name": "levy", "kind": "percentage", "rate": "-3.3", "of": "all"},
        {"name": "tax", "kind": "tax", "rate": "9", "of": "all"},
        rounding={"bill": {"places": 1, "mode": "half_up"}},
    ),
    tariff("market", energy(index={"series": "spot"}), FEE),
    tariff(
        "critical",
        energy(price={"usual": "0.4", "critical": "2.5"}),
        periods={"critical": {"events": "critical", "times": "10:00-20:00"}, "usual": "otherwise"},
        events=["critical"],
    ),
    tariff("both ways", energy(), {"name": "feed-in", "kind": "export", "price": "0.3"}),
    tariff("yearly", energy(tiers=tiers("year", "chronological")), FEE),
    tariff("demand", energy(), {"name": "demand", "kind": "demand", "window": 60, "price": "3.1"}),
]
for one in TARIFFS:
    if one["id"] == "market":
        del one["charges"][0]["price"]


@dataclass(frozen=True)
class Home:
    """A contract of the population, and what there is to say of its month."""

    name: str
    tariff: str
    mode: registry.PaymentMode = "postpay"
    since: datetime = FEBRUARY
    until: datetime | None = None
    point: str | None = None
    seconds: int = 3600
    lacking: int = 0
    estimated: int = 0
    export: bool = False
    facts: Mapping[str, str] | None = None
    together: bool = True

    @property
    def at(self) -> str:
        return self.point or self.name


def population() -> list[Home]:
    alike = {
        "flat": Home("", "flat"),
        "tou": Home("", "tou"),
        "quarters": Home("", "tou", seconds=900),
        "shares": Home("", "shares"),
        "wallets": Home("", "tou", "prepay"),
        "persons": Home("", "social", facts={"persons": "3", "pensioner": "false"}),
        "pensioners": Home("", "social", facts={"persons": "1", "pensioner": "true", "unasked": "9"}),
        "critical": Home("", "critical"),
        "estimated": Home("", "flat", estimated=7),
        "lacking": Home("", "tou", lacking=5),
        "lacking wallets": Home("", "flat", "prepay", lacking=1),
        "takers": Home("", "both ways"),
        "market": Home("", "market"),
        "in": Home("", "flat", since=MID),
        # what has no form for many
        "givers": Home("", "both ways", export=True, together=False),
        "yearly": Home("", "yearly", together=False),
        "demand": Home("", "demand", together=False),
        "unknown": Home("", "social", facts={"pensioner": "false"}, together=False),
        "silent": Home("", "flat", lacking=31 * 24, together=False),
        "versions": Home("", "versions", together=False),
    }
    homes = [replace(home, name=f"{kind} {n}") for kind, home in alike.items() for n in range(EACH)]
    moved = [Home(f"out {n}", "tou", until=MID, point=f"in {n}") for n in range(EACH)]
    changed = Home("changed 0", "flat", "prepay", until=MID)
    return [*homes, *moved, changed]


def raise_population(grid: Grid, homes: Sequence[Home]) -> None:
    for document in TARIFFS:
        grid.publish(document, valid_from=FEBRUARY)
    grid.publish(tariff("versions", energy()), valid_from=FEBRUARY)
    grid.publish({**tariff("versions", energy(price="0.7")), "version": "2"}, valid_from=MID)
    with grid.store.write() as tx:
        first = {home.at: home for home in reversed(homes)}
        registry.take_on(tx, supplies=[supply(home) for home in first.values()])
        contracts, terms = metadata.tables["contract"], metadata.tables["contract_term"]
        for home in homes:
            if first[home.at] is not home:
                tx.insert_new(
                    contracts,
                    [{"id": home.name, "account_id": home.at, "service_point_id": home.at, "currency": "CNY"}],
                )
                tx.insert_new(terms, [term(home)])
            if home.until is not None:
                of_home = sa.and_(terms.c.contract_id == home.name, terms.c.valid_from == home.since)
                tx.execute(terms.update().where(of_home).values(valid_to=home.until))
            for name, value in (home.facts or {}).items():
                registry.tell_fact(tx, contract_id=home.name, name=name, value=value, valid_from=FEBRUARY, now=FEBRUARY)
        tx.insert_new(terms, [{**term(Home("changed 0", "tou")), "valid_from": MID}])
        pricing.announce_event(tx, name="critical", period=Period(MID, MID + timedelta(hours=40)), now=FEBRUARY)
        prices = [(MARCH + timedelta(hours=n), Decimal(n % 17) / 100) for n in range(31 * 24)]
        pricing.publish_prices(tx, series="spot", prices=prices, seconds=3600, now=FEBRUARY)


def supply(home: Home) -> registry.Supply:
    return registry.Supply(
        service_point_id=home.at,
        premise_id=home.at,
        premise_kind="home",
        address="A street",
        zone=ZONE,
        account_id=home.at,
        account_name="A family",
        language="en",
        phone=None,
        contract_id=home.name,
        mode=home.mode,
        tariff_id=home.tariff,
        currency="CNY",
        valid_from=home.since,
    )


def term(home: Home) -> dict[str, object]:
    return {
        "contract_id": home.name,
        "valid_from": home.since,
        "valid_to": home.until,
        "mode": home.mode,
        "tariff_id": home.tariff,
    }


def used(home: Home, dice: np.random.Generator, *, since: datetime = MARCH) -> IntervalSeries:
    count = int((APRIL - since).total_seconds()) // home.seconds
    quality = np.full(count, Quality.ACTUAL, dtype=np.uint8)
    quality[dice.choice(count, home.estimated, replace=False)] = Quality.ESTIMATED
    there = np.ones(count, dtype=np.bool_)
    there[dice.choice(count, min(home.lacking, count), replace=False)] = False
    starts = epoch(since) + home.seconds * np.arange(count, dtype=np.int64)
    return IntervalSeries(starts, dice.integers(0, 900, count), quality, home.seconds).picked(there)


def deliver(grid: Grid, homes: Sequence[Home], *, seed: int) -> None:
    dice = np.random.default_rng(seed)
    points = {home.at: home for home in homes}
    series = {
        point: used(home, dice, since=FEBRUARY if home.tariff == "yearly" else MARCH) for point, home in points.items()
    }
    exported = {point: used(home, dice) for point, home in points.items() if home.export}
    grid.deliver("import", {point: one for point, one in series.items() if len(one)})
    grid.deliver("export", exported, channel=readings.EXPORT)


def one_by_one(store: Store) -> dict[tuple[str, datetime], billing.Bill]:
    """The month's bills as the way for each alone makes them."""
    with store.read() as tx:
        ids = registry.contract_ids(tx, period=Period(MARCH, APRIL))
        segments = registry.segments(tx, contract_ids=ids, period=Period(MARCH, APRIL))
        outcomes = pricing.counted(tx, segments=segments)
    groups: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in segments:
        groups[segment.contract_id, segment.mode].append(segment)
    bills = [
        rated_bill(
            run_id="run_2026-03",
            kind="statement" if mode == "prepay" else "bill",
            segments=group,
            outcomes=outcomes,
            deducted=None,
            now=APRIL,
        )
        for (_, mode), group in groups.items()
    ]
    return {(one.contract_id, one.start): one for one in bills}


def made(store: Store) -> dict[tuple[str, datetime], billing.Bill]:
    with store.read() as tx:
        ids = registry.contract_ids(tx, period=Period(MARCH, APRIL))
        return {(one.contract_id, one.start): one for id_ in ids for one in billing.bills_of(tx, contract_id=id_)}


def texts(store: Store) -> dict[str, str]:
    bill = metadata.tables["bill"]
    with store.read() as tx:
        return {row[0]: row[1] for row in tx.rows(sa.select(bill.c.id, sa.cast(bill.c.parts, sa.Text)))}


def begin(grid: Grid) -> billing.BillRun:
    grid.clock.move_to(APRIL)
    with grid.store.write() as tx:
        return billing.start_run(tx, month="2026-03", now=APRIL)


def run_shards(grid: Grid, size: int) -> int:
    """All shards of the run in turn; returns how many bills they made."""
    with grid.store.read() as tx:
        contracts = billing.run_contracts(tx, run_id="run_2026-03")
    count = 0
    with ThreadPoolExecutor(2) as pool:
        for at in range(0, len(contracts), size):
            with grid.store.write() as tx:
                count += billing.bill_contracts(
                    tx,
                    run_id="run_2026-03",
                    contract_ids=contracts[at : at + size],
                    deductions=WalletDeductions(),
                    now=APRIL,
                    executor=pool if size % 2 else None,
                )
    return count


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small population in blocks of several."""
    monkeypatch.setattr(_blocks, "_FEWEST", 2)
    monkeypatch.setattr(_blocks, "_POINTS_TOGETHER", 13)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("seed", "size"), [(1, 1000), (2, 41)])
def test_bills_made_together_are_those_made_one_by_one(grid: Grid, tmp_path: Path, seed: int, size: int) -> None:
    homes = population()
    raise_population(grid, homes)
    deliver(grid, homes, seed=seed)
    if size == 1000:  # straight from the files
        settings = worker.CompactionSettings(
            files=str(tmp_path / "files"), day_settles=timedelta(0), month_settles=timedelta(0)
        )
        assert worker.compact(grid.store, clock=ManualClock(APRIL + timedelta(days=2)), settings=settings).pieces
    expected = one_by_one(grid.store)
    begin(grid)
    assert run_shards(grid, size) == len(expected)
    found = made(grid.store)
    assert found.keys() == expected.keys()
    written = texts(grid.store)
    for key, bill in expected.items():
        got = found[key]
        deducted = got.deducted if bill.kind == "statement" else None
        assert replace(got, parts=()) == replace(bill, parts=(), deducted=deducted, corrections=[], carried=[])
        assert list(got.parts) == list(bill.parts)
        kept = json.dumps([asdict(part) for part in bill.parts])
        assert written[bill.id] == kept
        if bill.kind == "statement" and bill.state == "posted":
            assert got.deducted == bill.total
    states = {kind: {b.held_because for (name, _), b in found.items() if name.startswith(kind)} for kind in KINDS}
    assert {kind for kind, why in states.items() if why != {None}} == {"lacking", "silent", "unknown"}
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
        owed = {
            f"receivable:{b.contract_id}": -b.total for b in found.values() if b.kind == "bill" and b.state == "posted"
        }
        assert ledger.balances(tx, account_ids=owed) == {id_: total for id_, total in owed.items() if total.micro}
    assert run_shards(grid, 1000) == sum(b.state == "held" for b in found.values())
    assert made(grid.store) == found


def cents(count: int) -> int:
    return count * 10_000


@given(
    values=st.lists(st.integers(-(2**60), 2**60) | st.integers(-(10**7), 10**7) | st.integers(-99, 99).map(cents)),
    places=st.integers(0, 8),
    whole=st.sampled_from([np.int64, object]),
)
def test_numbers_of_a_column_are_written_as_each_alone(values: list[int], places: int, whole: type) -> None:
    column: NDArray[Any] = np.array(values, dtype=whole)
    assert list(_bulk._amounts(column)) == [Money(value, "CNY").text for value in values]
    plain = [f"{Decimal(value).scaleb(-places):f}" if value else "0" for value in values]
    expected = [text.rstrip("0").rstrip(".") if "." in text else text for text in plain]
    assert list(_bulk._plain(column, places)) == expected


KINDS = (
    *("flat", "tou", "quarters", "shares", "wallets", "persons", "pensioners", "critical", "estimated", "lacking"),
    *("takers", "market", "in", "out", "givers", "yearly", "demand", "unknown", "silent", "versions", "changed"),
)


@pytest.mark.usefixtures("few")
def test_what_can_be_priced_together_is(grid: Grid) -> None:
    homes = population()
    raise_population(grid, homes)
    deliver(grid, homes, seed=3)
    with grid.store.read() as tx:
        ids = registry.contract_ids(tx, period=Period(MARCH, APRIL))
        segments = registry.segments(tx, contract_ids=ids, period=Period(MARCH, APRIL))
        alone = [s for s in segments if sum(s.contract_id == o.contract_id for o in segments) == 1]
        blocks = pricing.priced_together(tx, segments=alone)
    together = {segment.contract_id for block in blocks for _, segment in block.members}
    assert together == {home.name for home in homes if home.together and not home.name.startswith("changed")}
    members = [segment.key for block in blocks for _, segment in block.members]
    assert len(members) == len(set(members))
