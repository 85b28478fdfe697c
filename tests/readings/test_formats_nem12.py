"""NEM12: every interval of the samples once, with its quality; everything that does not add up refused."""

import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wattledger.kernel import Quality
from wattledger.readings.formats import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    read_file,
)

Reads = Callable[[str], ReadingsFile]
Refuses = Callable[[str], ReadingsFileRefused]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str) -> ReadingsFile:
        path = tmp_path / "readings"
        path.write_text(text)
        return read_file(path)

    return read


@pytest.fixture
def refuses(reads: Reads) -> Refuses:
    def refuse(text: str) -> ReadingsFileRefused:
        with pytest.raises(ReadingsFileRefused) as caught:
            reads(text)
        return caught.value

    return refuse


def only(file: ReadingsFile) -> Channel:
    (channel,) = file.channels
    return channel


def stream(suffix: str = "E1", uom: str = "kWh", minutes: int = 30, nmi: str = "NMI1", serial: str = "M1") -> str:
    return f"200,{nmi},E1B1,1,{suffix},N1,{serial},{uom},{minutes},\n"


def day(date: str, value: str = "1.5", quality: str = "A", updated: str = "", slots: int = 48) -> str:
    return f"300,{date},{','.join([value] * slots)},{quality},,,{updated},\n"


def nem12(*records: str) -> str:
    return "100,NEM12,202407020000,MDP,RET\n" + "".join(records) + "900\n"


# --- samples ------------------------------------------------------------------------------------------------------

SAMPLES = [
    "Example_NEM12_actual_interval.csv",
    "Example_NEM12_month_solar.csv",
    "Example_NEM12_multiple_quality.csv",
    "Example_NEM12_substituted_interval.csv",
    "NEM12_SCENARIO1_UNITEDDP.zip",
]


def counted(path: Path) -> int:
    """The intervals in a file by another road: every 300 record has as many as its 200 record says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        text = path.read_text()
    total = minutes = 0
    for line in text.splitlines():
        fields = line.split(",")
        if fields[0] == "200":
            minutes = int(fields[8])
        elif fields[0] == "300":
            total += 24 * 60 // minutes
    return total


@pytest.mark.parametrize("name", SAMPLES)
def test_every_interval_of_a_sample_is_read_once(shared: Path, name: str) -> None:
    path = shared / "data" / "nem12" / name
    file = read_file(path)
    assert file.format is FileFormat.NEM12
    assert file.readings == file.stored == counted(path)
    assert sum(sum(channel.codes.values()) for channel in file.channels) == file.readings
    assert all(channel.missing == 0 for channel in file.channels)


def test_a_sample_with_several_qualities_and_one_with_two_commodities(shared: Path) -> None:
    varied = only(read_file(shared / "data" / "nem12" / "Example_NEM12_multiple_quality.csv"))
    assert varied.codes == {"F14": 20, "A": 4, "S14": 24}
    assert varied.series.qualities.tolist() == [3] * 20 + [1] * 4 + [3] * 24
    assert varied.series.values[:2].tolist() == [18_023, 19_150]
    assert datetime.fromtimestamp(int(varied.series.starts[0]), UTC).isoformat() == "2004-04-16T14:00:00+00:00"
    active, reactive = read_file(shared / "data" / "nem12" / "Example_NEM12_actual_interval.csv").channels
    assert (active.register, active.commodity, active.unit) == ("E1", Commodity.ACTIVE_ENERGY, "kWh")
    assert (reactive.register, reactive.commodity, reactive.unit) == ("Q1", Commodity.REACTIVE_ENERGY, "kvarh")
    assert active.meter_serial == "METSER123"
    solar = read_file(shared / "data" / "nem12" / "Example_NEM12_month_solar.csv")
    assert [channel.direction for channel in solar.channels] == [Direction.EXPORT, Direction.IMPORT]
    assert [channel.register for channel in solar.consumption] == ["E1"]


@pytest.mark.parametrize(
    ("name", "line", "cause"),
    [
        ("invalid__Example_NEM12_15min_200_30min_300.csv", 3, "48 values, and 15-minute intervals make 96"),
        ("invalid__Example_NEM12_incomplete_interval.csv", 3, "0 values"),
        ("invalid__Example_NEM12_missing_header.csv", 2, "no 100 record"),
        ("invalid__Example_empty_file.csv", 1, "empty"),
    ],
)
def test_an_invalid_sample_is_refused_with_line_and_cause(shared: Path, name: str, line: int, cause: str) -> None:
    with pytest.raises(ReadingsFileRefused) as caught:
        read_file(shared / "data" / "nem12" / name)
    assert (caught.value.line, caught.value.path.name) == (line, name)
    assert cause in caught.value.cause


# --- understanding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uom", "commodity", "unit", "value"),
    [
        ("KWH", Commodity.ACTIVE_ENERGY, "kWh", 1500),
        ("Wh", Commodity.ACTIVE_ENERGY, "kWh", 15),
        ("MWh", Commodity.ACTIVE_ENERGY, "kWh", 1_500_000),
        ("kvarh", Commodity.REACTIVE_ENERGY, "kvarh", 1500),
        ("kVAh", Commodity.APPARENT_ENERGY, "kVAh", 1500),
        ("kW", Commodity.ACTIVE_POWER, "kW", 1500),
        ("V", Commodity.VOLTAGE, "V", 1500),
        ("pf", Commodity.POWER_FACTOR, "", 1500),
    ],
)
def test_units_of_any_case(reads: Reads, uom: str, commodity: Commodity, unit: str, value: int) -> None:
    channel = only(reads(nem12(stream(uom=uom), day("20240701"))))
    assert (channel.commodity, channel.unit) == (commodity, unit)
    assert int(channel.series.values[0]) == value * 10 ** (channel.series.decimals - 3) // (10 if uom == "Wh" else 1)


@pytest.mark.parametrize(
    ("suffix", "direction"),
    [("E1", Direction.IMPORT), ("B2", Direction.EXPORT), ("Q1", Direction.IMPORT), ("K1", Direction.EXPORT),
     ("N1", Direction.NET), ("11", Direction.UNKNOWN)],
)  # fmt: skip
def test_directions_by_suffix(reads: Reads, suffix: str, direction: Direction) -> None:
    assert only(reads(nem12(stream(suffix), day("20240701")))).direction is direction


@pytest.mark.parametrize(("minutes", "slots"), [(5, 288), (15, 96), (30, 48)])
def test_interval_lengths(reads: Reads, minutes: int, slots: int) -> None:
    channel = only(reads(nem12(stream(minutes=minutes), day("20240701", slots=slots), day("20240702", slots=slots))))
    assert (channel.series.seconds, len(channel.series), channel.missing) == (minutes * 60, 2 * slots, 0)


def test_spans_of_quality_in_any_order_and_null_data(reads: Reads) -> None:
    spans = "400,31,48,E52,,\n400,1,29,A,,\n400,30,30,N,79,outage\n"
    values = ",".join(["1"] * 29 + [""] + ["2"] * 18)
    channel = only(
        reads(nem12(stream(), f"300,20240701,{values},V,,,20240702000000,\n", spans, "500,O,S1,20240702,\n"))
    )
    assert channel.series.qualities.tolist() == [1] * 29 + [0] + [2] * 18
    assert channel.missing == 1
    assert channel.codes == {"A": 29, "N": 1, "E52": 18}


def test_a_meter_exchange_keeps_one_channel(reads: Reads) -> None:
    text = nem12(stream(serial="OLD"), day("20240701"), stream(serial="NEW"), day("20240702"))
    assert only(reads(text)).meter_serial == "OLD, NEW"


def test_the_later_update_counts_and_the_earlier_is_told(reads: Reads) -> None:
    first, second = day("20240701", "1", "E52", "20240702010000"), day("20240701", "2", "A", "20240705010000")
    for records in ((first, second), (second, first)):
        file = reads(nem12(stream(), *records))
        channel = only(file)
        assert channel.series.values.tolist() == [2000] * 48
        assert set(channel.series.qualities.tolist()) == {Quality.ACTUAL}
        assert (file.readings, file.stored, file.duplicates, channel.superseded) == (96, 48, 48, 48)
        assert any("later update" in sentence for sentence in file.assumptions)


def test_equal_days_count_once_and_different_ones_without_an_update_time_are_refused(
    reads: Reads, refuses: Refuses
) -> None:
    file = reads(nem12(stream(), day("20240701"), day("20240701")))
    assert (file.stored, file.duplicates, only(file).superseded) == (48, 48, 0)
    refusal = refuses(nem12(stream(), day("20240701", "1"), day("20240701", "2")))
    assert (refusal.line, "in line 3" in refusal.cause) == (4, True)


def test_files_one_after_another_and_in_one_zip_are_one(reads: Reads, tmp_path: Path) -> None:
    first, second = nem12(stream(), day("20240701")), nem12(stream(), day("20240702"))
    assert len(only(reads(first + second)).series) == 96
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("a.csv", first)
        archive.writestr("b.csv", second)
    assert len(only(read_file(tmp_path / "both.zip")).series) == 96


def test_days_out_of_order_are_sorted(reads: Reads) -> None:
    file = reads(nem12(stream(), day("20240702", "2"), day("20240701", "1")))
    assert only(file).series.values[[0, 47, 48]].tolist() == [1000, 1000, 2000]
    assert any("out of order" in sentence for sentence in file.assumptions)


def test_short_records_blank_lines_and_quotes_are_forgiven(reads: Reads) -> None:
    values = ",".join(["1"] * 48)
    text = f'"100","NEM12"\r\n\r\n200,N,E1,1,E1,,,kWh,30\r\n300,20240701,{values},A\r\n900,,,\r\n\r\n'
    assert len(only(reads(text)).series) == 48


def test_index_reads_are_told_not_read(reads: Reads) -> None:
    file = reads(nem12(stream(), day("20240701"), "500,O,S1,20240702120000,1234.5\n"))
    assert any("Index reads" in sentence for sentence in file.assumptions)


def test_times_are_market_time(reads: Reads) -> None:
    channel = only(reads(nem12(stream(), day("20240101"))))
    assert datetime.fromtimestamp(int(channel.series.starts[0]), UTC) == datetime(2023, 12, 31, 14, tzinfo=UTC)
    assert channel.zone is not None
    assert channel.zone.utcoffset(None) == timedelta(hours=10)


# --- refusing -----------------------------------------------------------------------------------------------------

GOOD = day("20240701")


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("100,NEM12,202407020000,MDP,RET\n" + stream() + GOOD, 3, "without its 900 record"),
        ("100,NEM12,202407020000,MDP,RET\n" + stream() + GOOD[:60], 3, "the day has"),
        (nem12(stream(), GOOD) + stream(), 5, "after the 900 record"),
        (nem12(GOOD), 2, "before any 200"),
        (nem12(stream(), "400,1,48,A,,\n"), 3, "before any 300"),
        (nem12("500,O,S1,,\n"), 2, "before any 200"),
        (nem12(), 1, "no readings"),
        (nem12(stream()), 1, "no readings"),
        (nem12(stream(uom="apples"), GOOD), 2, "'apples'"),
        (nem12(stream(minutes=7), GOOD), 2, "'7' minutes"),
        (nem12("200,N,E1\n", GOOD), 2, "ends before its interval length"),
        (nem12("200,,E1,1,E1,,,kWh,30,\n", GOOD), 2, "no NMI"),
        (nem12(stream(), day("20240701", slots=47)), 3, "47 values"),
        (nem12(stream(), day("20240701", slots=49)), 3, "49 values"),
        (nem12(stream(), day("20240701", quality="Z")), 3, "'Z' is not a quality method"),
        (nem12(stream(), day("20240701", quality="A5x")), 3, "'A5x'"),
        (nem12(stream(), day("20240230")), 3, "'20240230' is not a date"),
        (nem12(stream(), day("2024-07-01")), 3, "not a date"),
        (nem12(stream(), day("20240701").replace("1.5", "x", 1)), 3, "interval 1: 'x' is not a number"),
        (nem12(stream(), day("20240701").replace("1.5", "", 1)), 3, "interval 1 has no value"),
        (nem12(stream(), day("20240701").replace("1.5", "-1", 1)), 3, "interval 1 is negative"),
        (nem12(stream(), day("20240701", quality="V")), 3, "no 400 record covers interval 1"),
        (nem12(stream(), day("20240701", quality="V"), "400,1,40,A,,\n"), 3, "covers interval 41"),
        (nem12(stream(), day("20240701", quality="V"), "400,1,40,A,,\n400,40,48,A,,\n"), 5, "have a quality method"),
        (nem12(stream(), day("20240701", quality="V"), "400,1,49,A,,\n"), 4, "a day that has 48"),
        (nem12(stream(), day("20240701", quality="V"), "400,0,48,A,,\n"), 4, "a day that has 48"),
        (nem12(stream(), day("20240701", quality="V"), "400,a,48,A,,\n"), 4, "'a' to '48'"),
        (nem12(stream(), day("20240701", quality="V"), "400,1,48,V,,\n"), 4, "'V' is not"),
        (nem12(stream(), GOOD, "400,1,48,A,,\n"), 4, "have a quality method already"),
        (nem12(stream(), GOOD, "600,x\n"), 4, "'600'"),
        (nem12(stream(), GOOD, stream(minutes=15), day("20240701", slots=96)), 5, "in line 3 with another interval"),
        ("100,NEM14,2024\n900\n", 1, "'NEM14'"),
        (nem12(stream(), '"300,20240701\n'), 3, "quotes"),
        ("100,NEM12,202407020000,MDP,RET\n" + nem12(), 2, "before the 900 record"),
    ],
)
def test_a_broken_file_names_line_and_cause(refuses: Refuses, text: str, line: int, cause: str) -> None:
    refusal = refuses(text)
    assert cause in refusal.cause
    assert refusal.line == line
