"""Every reading of a file is stored, a duplicate, revised, missing in the file itself, or refused by name."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from grid import MARCH, Grid, intervals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import readings, registry
from wattledger.kernel import IntervalSeries, Period, Problem, Quality
from wattledger.readings import ImportPlan, ImportRules, plan_import, read_file
from wattledger.readings.formats import FileFormat
from wattledger.store import Store

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SAMPLES = sorted(
    path.relative_to(SHARED).as_posix()
    for folder, kinds in (("nem12", "*"), ("greenbutton", "*1.xml"), ("greenbutton", "TestGB*.xml"))
    for path in (SHARED / folder).glob(kinds)
)  # fmt: skip
NOW = datetime(2026, 11, 1, tzinfo=UTC)
EVER = Period(datetime(2000, 1, 1, tzinfo=UTC), NOW)


def stored(store: Store, plan: ImportPlan) -> tuple[int, int, int]:
    """Stored, duplicate and revised of all batches of a plan."""
    with store.write() as tx:
        unknown = registry.unknown_points(tx, service_point_ids=plan.points)
        for point in sorted(unknown):
            registry.add_premise(tx, premise_id=point, kind="home", address="", zone="UTC")
            registry.add_service_point(tx, service_point_id=point, premise_id=point)
    counts = [0, 0, 0]
    for batch in plan.batches():
        with store.write() as tx:
            receipt = readings.ingest(tx, batch=batch, now=NOW)
        counts[0] += receipt.stored + receipt.registers_stored
        counts[1] += receipt.duplicate + receipt.registers_duplicate
        counts[2] += receipt.revised + receipt.registers_revised
    return counts[0], counts[1], counts[2]


@pytest.mark.skipif(not SAMPLES, reason="the sample files are not here")
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_imported_once(store: Store, sample: str) -> None:
    path = SHARED / sample
    if "invalid__" in sample:
        with pytest.raises(Problem, match=r"line \d+"):
            read_file(path)
        return
    file = read_file(path)
    plan = plan_import(file, rules=ImportRules(points={"": "one"} if not all(c.point for c in file.channels) else {}))
    new, again, revised = stored(store, plan)
    refused = sum(one.count for one in plan.refused)
    assert new + again + revised + plan.duplicate + plan.missing + refused == file.readings
    assert (new, revised) == (plan.taken, 0)
    assert stored(store, plan) == (0, plan.taken, 0)
    with store.read() as tx:
        assert readings.verify(tx) == []
        for one in plan.intervals:
            known = readings.series(tx, service_point_id=one.service_point_id, period=EVER, channel=one.channel)
            assert known.values.tolist() == one.series.values.tolist()
            assert known.qualities.tolist() == one.series.qualities.tolist()


@pytest.mark.skipif(not SAMPLES, reason="the sample files are not here")
def test_the_london_household_keeps_its_sum_when_it_is_carried() -> None:
    file = read_file(SHARED / "loads" / "london_household_30min.csv", zone=ZoneInfo("Europe/London"))
    plain = plan_import(file, rules=ImportRules(points={"": "home"}))
    carried = plan_import(file, rules=ImportRules(points={"": "home"}, carry=True))
    (refused,) = plain.refused
    assert (refused.count, plain.taken + refused.count) == (75, file.readings)
    whole = sum(int(one.series.values.sum()) for one in carried.intervals)
    assert whole == int(file.channels[0].series.kilowatt_hours * 1000)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_who_is_not_named_must_be(tmp_path: Path) -> None:
    file = read_file(_written(tmp_path / "a.csv", "start,kwh\n2026-03-01T00:00:00Z,0.5\n2026-03-01T00:15:00Z,0.5\n"))
    with pytest.raises(readings.PointNotNamed, match="--point SERVICE_POINT"):
        plan_import(file, rules=ImportRules())
    assert plan_import(file, rules=ImportRules(points={"": "h0"})).points == ["h0"]


def nem12(*registers: tuple[str, str, str]) -> str:
    day = ["100,NEM12,202603020000,A,B"]
    for register, unit, value in registers:
        day.append(f"200,NMI0000001,E1E2Q1B1,{register},{register},N1,M1,{unit},30,")
        day.append(f"300,20260301,{','.join([value] * 48)},A,,,,")
    return "\n".join([*day, "900", ""])


def test_what_the_store_has_no_place_for_is_refused_by_name(tmp_path: Path) -> None:
    text = nem12(("E1", "kWh", "0.5"), ("E2", "kWh", "0.25"), ("Q1", "kvarh", "0.1"), ("B1", "kWh", "0.0005"))
    file = read_file(_written(tmp_path / "nem.csv", text))
    plan = plan_import(file, rules=ImportRules())
    assert [(one.channel, len(one.series)) for one in plan.intervals] == [("import", 48)]
    causes = {one.what: one.cause for one in plan.refused}
    assert "--channel" in causes["NMI0000001 E2"]
    assert "reactive energy" in causes["NMI0000001 Q1"]
    assert "finer than a watt-hour" in causes["NMI0000001 B1"]
    rules = ImportRules(channels={"E2": "controlled_load", "Q1": "reactive"}, carry=True)
    plan = plan_import(file, rules=rules)
    sums = {one.channel: int(one.series.values.sum()) for one in plan.intervals}
    assert sums == {"import": 24_000, "controlled_load": 12_000, "reactive": 4_800, "export": 24}


def test_what_a_file_calls_missing_takes_nothing_away(grid: Grid, tmp_path: Path) -> None:
    grid.publish()
    grid.homes(1, mode="postpay")
    grid.deliver("known", {"h0": intervals([500, 600])})
    head = "point,register,direction,commodity,unit,meter_serial,start,seconds,value,quality\n"
    row = "h0,E1,import,active energy,kWh,,{},900,{},{}\n"
    text = head + row.format(f"{MARCH:%Y-%m-%dT%H:%M:%SZ}", "", "missing")
    text += row.format(f"{MARCH + timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ}", "0.7", "actual")
    plan = plan_import(read_file(_written(tmp_path / "t.csv", text)), rules=ImportRules())
    assert (plan.missing, plan.taken) == (1, 1)
    assert stored(grid.store, plan) == (0, 0, 1)
    with grid.store.read() as tx:
        known = readings.series(tx, service_point_id="h0", period=Period(MARCH, MARCH + timedelta(days=1)))
    assert known.values.tolist() == [500, 700]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), form=st.sampled_from([FileFormat.CSV, FileFormat.PARQUET, FileFormat.ESPI]))
def test_what_is_exported_imports_as_duplicates(grid: Grid, tmp_path: Path, seed: int, form: FileFormat) -> None:
    dice = random.Random(seed)  # noqa: S311 - test data
    point = f"p{seed}"
    with grid.store.write() as tx:
        if registry.unknown_points(tx, service_point_ids=[point]):
            registry.add_premise(tx, premise_id=point, kind="home", address="", zone="UTC")
            registry.add_service_point(tx, service_point_id=point, premise_id=point)
    count = dice.randrange(2, 300)
    whole = intervals([dice.randrange(5000) for _ in range(count)])
    quality = np.array([dice.choice([1, 1, 1, 2, 3, 4]) for _ in range(count)], dtype=np.uint8)
    keep = np.array([dice.random() < 0.9 for _ in range(count)])
    keep[:1] = True
    series = IntervalSeries(whole.starts[keep], whole.values[keep], quality[keep], 900)
    grid.deliver(f"batch {seed} {form.value}", {point: series})
    period = Period(MARCH, MARCH + timedelta(days=5))
    with grid.store.read() as tx:
        channels = readings.exported_channels(
            tx, service_point_ids=[point], period=period, channels=[readings.IMPORT, readings.EXPORT]
        )
    readings.write_file(tmp_path / "out", channels, to=form, written=NOW)
    plan = plan_import(read_file(tmp_path / "out"), rules=ImportRules(points={"": point, "E1": point}))
    assert (plan.taken, stored(grid.store, plan)) == (len(series), (0, len(series), 0))
    assert Quality.MISSING not in series.qualities


def nem12_days(*streams: tuple[str, int, str]) -> str:
    """A file of one meter's days: the date, minutes and suffix of each."""
    days = [
        f"200,6203000001,E1,{suffix},{suffix},,M1,KWH,{minutes},\n300,{date},{'0.1,' * (1440 // minutes)}A,,,,"
        for date, minutes, suffix in streams
    ]
    return "\n".join(["100,NEM12,202603090900,X,X", *days, "900", ""])


def test_a_register_whose_interval_length_changed_is_one_channel(store: Store, tmp_path: Path) -> None:
    both = nem12_days(("20260301", 30, "E1"), ("20260302", 5, "E1"))
    plan = plan_import(read_file(_written(tmp_path / "both", both)), rules=ImportRules())
    assert (plan.taken, plan.refused, stored(store, plan)) == (48 + 288, [], (48 + 288, 0, 0))
    with store.read() as tx:
        channels = readings.exported_channels(
            tx, service_point_ids=["6203000001"], period=EVER, channels=[readings.IMPORT]
        )
    assert [(one.series.seconds, len(one.series)) for one in channels] == [(1800, 48), (300, 288)]
    for form in (FileFormat.CSV, FileFormat.PARQUET, FileFormat.ESPI, FileFormat.NEM12):
        readings.write_file(tmp_path / "out", channels, to=form, written=NOW)
        plan = plan_import(read_file(tmp_path / "out"), rules=ImportRules())
        assert (plan.refused, stored(store, plan)) == ([], (0, 48 + 288, 0))
    evening = replace(channels[1], series=replace(channels[1].series, starts=channels[1].series.starts - 3600))
    with pytest.raises(readings.NotWritable, match="a day in intervals of one length"):
        readings.write_file(tmp_path / "out", [channels[0], evening], to=FileFormat.NEM12, written=NOW)
    # Another register is another meter's side, and what overlaps would count twice.
    other = nem12_days(("20260301", 30, "E1"), ("20260302", 5, "E2"))
    refused = plan_import(read_file(_written(tmp_path / "other", other)), rules=ImportRules()).refused
    assert [(one.what, one.count) for one in refused] == [("6203000001 E2", 288)]
    readings.write_file(tmp_path / "out", [channels[0], evening], to=FileFormat.CSV, written=NOW)
    refused = plan_import(read_file(tmp_path / "out"), rules=ImportRules()).refused
    assert [(one.what, one.count) for one in refused] == [("6203000001 E1 (5 min)", 288)]


@pytest.mark.parametrize("form", [FileFormat.CSV, FileFormat.PARQUET, FileFormat.ESPI])
def test_channels_with_names_come_back_as_what_they_were(grid: Grid, tmp_path: Path, form: FileFormat) -> None:
    head = "point,register,direction,commodity,unit,meter_serial,start,seconds,value,quality\n"
    rows = "".join(
        f"h0,{register},import,{commodity},{unit},,{MARCH:%Y-%m-%dT%H:%M:%SZ},900,{value},actual\n"
        for register, commodity, unit, value in (
            ("E1", "active energy", "kWh", "1"),
            ("E2", "active energy", "kWh", "2"),
            ("Q1", "reactive energy", "kvarh", "3"),
        )
    )
    grid.homes(1, mode="postpay")
    rules = ImportRules(channels={"E2": "controlled_load", "Q1": "reactive"})
    assert stored(grid.store, plan_import(read_file(_written(tmp_path / "t.csv", head + rows)), rules=rules)) == (
        3,
        0,
        0,
    )
    with grid.store.read() as tx:
        channels = readings.exported_channels(
            tx, service_point_ids=["h0"], period=EVER, channels=["import", "controlled_load", "reactive"]
        )
    assert {(one.commodity.value, one.unit) for one in channels} == {
        ("active energy", "kWh"),
        ("reactive energy", "kvarh"),
    }
    readings.write_file(tmp_path / "out", channels, to=form, written=NOW)
    plan = plan_import(read_file(tmp_path / "out"), rules=ImportRules())
    assert (plan.taken, stored(grid.store, plan)) == (3, (0, 3, 0))


def test_nothing_to_export(store: Store) -> None:
    with store.read() as tx, pytest.raises(readings.NothingToExport, match="readings stats"):
        readings.exported_channels(tx, service_point_ids=["h0"], period=EVER, channels=["import"])
