"""What is written reads back equal: every known reading once, with its quality; and what cannot be said is refused."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Quality
from wattledger.readings.formats import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    NotWritable,
    ReadingsFile,
    read_file,
    write_file,
)

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Known = dict[tuple[str, int], tuple[int, int, int]]
Back = Callable[[list[Channel], FileFormat], ReadingsFile]

needs_samples = pytest.mark.skipif(not SHARED.is_dir(), reason="the sample files are not here")


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Back:
    path = tmp_path_factory.mktemp("out") / "readings.out"

    def written_and_read(channels: list[Channel], to: FileFormat) -> ReadingsFile:
        assert write_file(path, channels, to=to, written=NOW) == sum(len(one.series) for one in channels)
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        return read_file(path)

    return written_and_read


def known(channels: list[Channel] | tuple[Channel, ...], *, by_register: bool = True) -> Known:
    """Every known reading in billionths of a unit, with quality and length."""
    found: Known = {}
    for channel in channels:
        series = channel.series
        for start, value, quality in zip(
            series.starts.tolist(), series.values.tolist(), series.qualities.tolist(), strict=True
        ):
            if quality != Quality.MISSING:
                name = f"{channel.point}/{channel.register if by_register else channel.direction}"
                assert (name, start) not in found
                found[name, start] = (value * 10 ** (9 - series.decimals), quality, series.seconds)
    return found


NAMES = st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]) | st.just(" "), min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and text
)


@st.composite
def channels(
    draw: st.DrawFn,
    *,
    lengths: tuple[int, ...] = (60, 300, 600, 900, 1800, 3600),
    nem: bool = False,
) -> list[Channel]:
    made = []
    qualities = [quality for quality in Quality if not (nem and quality is Quality.SUSPECT)]
    points = st.text("ABCDEFGH0123456789", min_size=10, max_size=10) if nem else NAMES
    for point, register in draw(st.lists(st.tuples(points, NAMES), min_size=1, max_size=3, unique=True)):
        seconds, decimals = draw(st.sampled_from(lengths)), draw(st.integers(3, 9))
        direction = draw(st.sampled_from(list(Direction)))
        slots = sorted(draw(st.sets(st.integers(0, 400), min_size=1, max_size=30)))
        low = -(10**6) if direction is Direction.NET else 0
        values = draw(st.lists(st.integers(low, 10**6), min_size=len(slots), max_size=len(slots)))
        grades = draw(st.lists(st.sampled_from(qualities), min_size=len(slots), max_size=len(slots)))
        first = 19_800 * 86_400
        made.append(
            Channel(
                point=point,
                register=register,
                direction=direction,
                commodity=draw(st.sampled_from([Commodity.ACTIVE_ENERGY, Commodity.REACTIVE_ENERGY])),
                unit="",
                series=IntervalSeries(
                    np.array([first + slot * seconds for slot in slots], dtype=np.int64),
                    np.array(
                        [0 if g is Quality.MISSING else v for v, g in zip(values, grades, strict=True)], dtype=np.int64
                    ),
                    np.array(grades, dtype=np.uint8),
                    seconds,
                    decimals,
                ),
            )
        )
    return [replace(c, unit="kWh" if c.commodity is Commodity.ACTIVE_ENERGY else "kvarh") for c in made]


@given(made=channels())
@settings(max_examples=40)
@pytest.mark.parametrize("to", [FileFormat.CSV, FileFormat.PARQUET, FileFormat.ESPI])
def test_what_is_written_reads_back_equal(back: Back, made: list[Channel], to: FileFormat) -> None:
    file = back(made, to)
    assert file.format is to
    assert known(file.channels) == known(made)
    assert (file.readings, file.duplicates) == (sum(len(one.series) for one in made), 0)
    facts = {(one.point, one.register): (one.direction, one.commodity, one.unit, len(one.series)) for one in made}
    assert facts == {
        (one.point, one.register): (one.direction, one.commodity, one.unit, len(one.series)) for one in file.channels
    }


@given(made=channels(lengths=(300, 900, 1800), nem=True))
@settings(max_examples=40)
def test_nem12_reads_back_equal_in_whole_days(back: Back, made: list[Channel]) -> None:
    made = [replace(one, register=f"X{number}") for number, one in enumerate(made)]
    file = back(made, FileFormat.NEM12)
    assert [one.point for one in file.channels] == [one.point for one in made]
    for one, read in zip(made, file.channels, strict=True):
        assert list(known([replace(one, register="")]).values()) == list(known([replace(read, register="")]).values())
        assert {start for _, start in known([one])} == {start for _, start in known([read])}
        assert read.direction is (Direction.IMPORT if one.direction is Direction.UNKNOWN else one.direction)
        assert (read.commodity, read.series.seconds) == (one.commodity, one.series.seconds)
        assert not len(read.series) % (86_400 // one.series.seconds)
    assert file.duplicates == 0


@pytest.fixture
def one() -> Channel:
    return Channel(
        point="NMI1234567".replace("I", "1"),
        register="E1",
        direction=Direction.IMPORT,
        commodity=Commodity.ACTIVE_ENERGY,
        unit="kWh",
        series=IntervalSeries.of([(datetime(2026, 1, 1, 14 + i // 2, i % 2 * 30, tzinfo=UTC), i) for i in range(4)],
                                 seconds=1800),
        meter_serial="M1",
    )  # fmt: skip


def test_nem12_says_each_thing_in_its_record(one: Channel, tmp_path: Path) -> None:
    one.series.qualities[1:3] = Quality.ESTIMATED, Quality.SUBSTITUTED
    write_file(tmp_path / "f", [one], to=FileFormat.NEM12, written=NOW)
    lines = (tmp_path / "f").read_text().splitlines()
    assert lines[0] == "100,NEM12,202603012200,WATTLEDGER,WATTLEDGER"
    assert lines[1] == "200,NM11234567,E1,E1,E1,E1,M1,kWh,30,"
    assert lines[2].startswith("300,20260102,0.000,0.001,0.002,0.003,0,")
    assert lines[2].endswith(",0,V,,,20260301220000,")
    assert lines[3:] == ["400,1,1,A,,", "400,2,2,E16,,", "400,3,3,S16,0,Substituted", "400,4,4,A,,", "400,5,48,N,,",
                         "500,O,,,", "900"]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"point": "MAC000002"}, "NMI of ten letters"),
        ({"meter_serial": "a,b"}, "meter serials"),
        ({"commodity": Commodity.VOLTAGE}, "active and reactive energy, not voltage"),
    ],
)
def test_what_nem12_cannot_say_is_refused_by_name(
    one: Channel, tmp_path: Path, change: dict[str, str], cause: str
) -> None:
    with pytest.raises(NotWritable, match=cause):
        write_file(tmp_path / "f", [replace(one, **change)], to=FileFormat.NEM12, written=NOW)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_doubts_lengths_and_signs_nem12_does_not_know_are_refused(one: Channel, tmp_path: Path) -> None:
    series = one.series
    hourly = IntervalSeries(series.starts[::2], series.values[::2], series.qualities[::2], 3600)
    negative = IntervalSeries(series.starts, series.values - 1, series.qualities, 1800)
    doubtful = IntervalSeries(series.starts, series.values, series.qualities + np.uint8(3), 1800)
    for bad, cause in ((hourly, "not 60"), (negative, "no negative values"), (doubtful, "doubtful value")):
        with pytest.raises(NotWritable, match=cause):
            write_file(tmp_path / "f", [replace(one, series=bad)], to=FileFormat.NEM12, written=NOW)


def test_nothing_twice_and_nothing_at_all_are_refused(one: Channel, tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match="two channels"):
        write_file(tmp_path / "f", [one, one], to=FileFormat.CSV, written=NOW)
    with pytest.raises(NotWritable, match="nothing to write"):
        write_file(tmp_path / "f", [], to=FileFormat.CSV, written=NOW)


@needs_samples
@pytest.mark.parametrize("sample", ["nem12/Example_NEM12_month_solar.csv", "nem12/Example_NEM12_multiple_quality.csv",
                                    "nem12/NEM12_SCENARIO1_UNITEDDP.zip",
                                    "greenbutton/TestGBDataHourlyNineDaysBinnedDaily.xml"])  # fmt: skip
def test_real_files_go_through_every_format(back: Back, sample: str) -> None:
    # Only what both the sample and the format can say.
    energy = (Commodity.ACTIVE_ENERGY, Commodity.REACTIVE_ENERGY)
    made = [one for one in read_file(SHARED / sample).channels if one.commodity in energy]
    assert known(made)
    for to in (FileFormat.CSV, FileFormat.PARQUET, FileFormat.ESPI):
        assert known(back(made, to).channels) == known(made)
    if sample.startswith("nem12") and all(re.fullmatch(r"[A-HJ-NP-Z0-9]{10}", one.point) for one in made):
        named = [replace(one, meter_serial=None) for one in made]
        assert known(back(named, FileFormat.NEM12).channels) == known(made)


@needs_samples
@pytest.mark.filterwarnings("ignore:Import of namespace")  # Atom's own schema is not among the samples
def test_our_green_button_validates_against_the_schema(one: Channel, tmp_path: Path) -> None:
    xmlschema = pytest.importorskip("xmlschema")
    schema = xmlschema.XMLSchema(str(SHARED / "greenbutton" / "espi.xsd"))
    solar = list(read_file(SHARED / "nem12" / "Example_NEM12_month_solar.csv").channels)
    nine = list(read_file(SHARED / "greenbutton" / "TestGBDataHourlyNineDaysBinnedDaily.xml").channels)
    one.series.qualities[:] = [Quality.MISSING, Quality.ESTIMATED, Quality.SUBSTITUTED, Quality.SUSPECT]
    seen = set()
    for made in (solar, nine, [one]):
        write_file(tmp_path / "f.xml", made, to=FileFormat.ESPI, written=NOW)
        feed = ET.parse(tmp_path / "f.xml").getroot()  # noqa: S314 - our own file
        for content in feed.iter("{http://www.w3.org/2005/Atom}content"):
            for resource in content:
                schema.validate(resource)
                seen.add(resource.tag.rpartition("}")[2])
        assert [(c.name, c.zone) for c in read_file(tmp_path / "f.xml").channels] == [(c.name, c.zone) for c in made]
    assert seen == {"UsagePoint", "LocalTimeParameters", "MeterReading", "ReadingType", "IntervalBlock"}
    reading = feed.find(".//{http://naesb.org/espi}IntervalReading")
    assert reading is not None
    reading.append(reading[0])
    assert not schema.is_valid(feed.find(".//{http://naesb.org/espi}IntervalBlock"))


@needs_samples
@pytest.mark.filterwarnings("ignore:Import of namespace")  # as above
@pytest.mark.parametrize(("decimals", "seconds"), [(3, 300), (5, 60), (9, 3600)])
def test_green_button_of_odd_data_validates_and_reads_back(
    back: Back, tmp_path: Path, decimals: int, seconds: int
) -> None:
    xmlschema = pytest.importorskip("xmlschema")
    schema = xmlschema.XMLSchema(str(SHARED / "greenbutton" / "espi.xsd"))
    starts = 1_772_323_200 + seconds * np.array([0, 1, 5, 6, 7, 300, 4000], dtype=np.int64)
    values = np.array([0, 1, 10**decimals + 1, 7, 0, 12_345_678_901, 5], dtype=np.int64)
    grades = np.array([1, 2, 3, 4, 0, 1, 4], dtype=np.uint8)
    made = [
        Channel(
            point=point,
            register=register,
            direction=direction,
            commodity=commodity,
            unit=unit,
            series=IntervalSeries(starts, values, grades, seconds, decimals),
        )
        for point, register, direction, commodity, unit in (
            ("Ä & <b>", "E1", Direction.IMPORT, Commodity.ACTIVE_ENERGY, "kWh"),
            ("Ä & <b>", "B1", Direction.EXPORT, Commodity.ACTIVE_ENERGY, "kWh"),
            ("a/b?c#d", "Q1", Direction.IMPORT, Commodity.REACTIVE_ENERGY, "kvarh"),
            ("a/b?c#d", "U", Direction.UNKNOWN, Commodity.VOLTAGE, "V"),
        )
    ]
    assert known(back(made, FileFormat.ESPI).channels) == known(made)
    write_file(tmp_path / "f.xml", made, to=FileFormat.ESPI, written=NOW)
    for content in ET.parse(tmp_path / "f.xml").getroot().iter("{http://www.w3.org/2005/Atom}content"):  # noqa: S314 - ours
        for resource in content:
            schema.validate(resource)


def test_a_parquet_table_of_other_people_is_read_as_a_table(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    starts = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    pq.write_table(pa.table({"timestamp": starts, "usage_kwh": [0.1, None, 0.3]}), tmp_path / "f")
    file = read_file(tmp_path / "f")
    assert file.channels[0].series.values.tolist() == [100, 0, 300]
    assert file.channels[0].missing == 1
    assert any("usage_kwh" in said for said in file.assumptions)
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.write(tmp_path / "f", "table.parquet")
    assert read_file(tmp_path / "z").stored == 3
