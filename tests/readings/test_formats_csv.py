"""Tables of readings: what is guessed, what is asked, what is refused, and that nothing is lost on the way."""

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wattledger.kernel import Period, Quality, epoch
from wattledger.readings.formats import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    ZoneNeeded,
    read_file,
)

LONDON = ZoneInfo("Europe/London")

Reads = Callable[..., ReadingsFile]
Refuses = Callable[..., ReadingsFileRefused]


@pytest.fixture
def loads(shared: Path) -> Path:
    return shared / "data" / "loads"


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    """Writes a text to a file and reads it."""

    def read(text: str | bytes, zone: timezone | ZoneInfo | None = UTC) -> ReadingsFile:
        path = tmp_path / "readings"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_file(path, zone=zone)

    return read


@pytest.fixture
def refuses(reads: Reads) -> Refuses:
    """Reads a text that has to be refused and gives the refusal."""

    def refuse(text: str | bytes, zone: timezone | ZoneInfo | None = UTC) -> ReadingsFileRefused:
        with pytest.raises(ReadingsFileRefused) as caught:
            reads(text, zone)
        return caught.value

    return refuse


def starts(channel: Channel) -> list[str]:
    return [datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M") for start in channel.series.starts.tolist()]


def only(file: ReadingsFile) -> Channel:
    (channel,) = file.channels
    return channel


def day(text: str) -> datetime:
    """Midnight on the wall clock."""
    return datetime.fromisoformat(text)


def told(file: ReadingsFile, *words: str) -> bool:
    """Whether one of the assumptions holds all the words."""
    return any(all(word in sentence for word in words) for sentence in file.assumptions)


def half_hours(first: datetime, count: int, form: str = "%Y-%m-%d %H:%M", names: str = "start,kwh") -> str:
    rows = [f"{first + timedelta(minutes=30 * i):{form}},0.{i % 7 + 1}" for i in range(count)]
    return "\n".join([names, *rows]) + "\n"


# --- samples ------------------------------------------------------------------------------------------------------


def test_the_london_household_shows_its_three_missing_days_and_keeps_winter_time(loads: Path) -> None:
    file = read_file(loads / "london_household_30min.csv", zone=LONDON)
    channel = only(file)
    assert (file.format, file.readings, file.stored, file.duplicates) == (FileFormat.CSV, 38_784, 38_784, 0)
    assert channel.series.seconds == 1800
    assert channel.missing == 3 * 48
    days = [datetime(2012, 10, 18, tzinfo=UTC), datetime(2012, 12, 12, tzinfo=UTC), datetime(2012, 12, 29, tzinfo=UTC)]
    assert channel.gaps() == tuple(Period(day, day + timedelta(days=1)) for day in days)
    assert told(file, "line 5092 has 2012-03-25 01:00", "taken as UTC, all year")
    # Summed as text by another road: the kernel's sum is of the exact values.
    lines = (loads / "london_household_30min.csv").read_text().splitlines()[1:]
    assert channel.series.kilowatt_hours == sum(Decimal(line.partition(",")[2]) for line in lines)


def test_a_gzipped_sample_with_offsets_needs_no_zone_and_tells_what_was_rounded(loads: Path) -> None:
    file = read_file(loads / "uk_household_hourly.csv.gz")
    channel = only(file)
    assert (file.readings, file.stored) == (23_508, 23_508)
    assert starts(channel)[0] == "2020-04-01 01:00"
    # 0.028999999999999998 is a float's way to write 0.029: rounded to a billionth it is that again.
    assert channel.series.decimals == 3
    assert told(file, "rounded", "5,429")


def test_a_sample_of_power_becomes_energy(loads: Path) -> None:
    file = read_file(loads / "us_600kw_15min_2025.csv.gz", zone=UTC)
    channel = only(file)
    assert (channel.unit, channel.commodity, channel.series.seconds) == ("kWh", Commodity.ACTIVE_ENERGY, 900)
    assert channel.series.kilowatt_hours.quantize(Decimal("0.001")) == Decimal("5256000.000")
    assert told(file, "kW, a power")


@pytest.mark.parametrize("name", ["us_residential_hourly_kw.csv", "us_commercial_hourly_kw.csv"])
def test_a_sample_without_times_is_refused(loads: Path, name: str) -> None:
    with pytest.raises(ReadingsFileRefused, match="no times") as caught:
        read_file(loads / name, zone=UTC)
    assert caught.value.line == 1


@pytest.mark.parametrize("name", ["h25.csv", "g25.csv"])
def test_a_standard_load_profile_is_no_reading(loads: Path, name: str) -> None:
    with pytest.raises(ReadingsFileRefused, match="time of day without a date"):
        read_file(loads / name, zone=UTC)


# --- forms of time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-03-13 00:00", "2024-03-13 00:30"),
        ("2024-03-13T00:00:00", "2024-03-13T00:30:00.000"),
        ("2024-03-13T00:00:00Z", "2024-03-13T00:30:00Z"),
        ("2024-03-13T02:00:00+02:00", "2024-03-13T02:30:00+0200"),
        ("2024-03-12 14:00:00-10:00", "2024-03-12 14:30:00-10:00"),
        ("13/03/2024 00:00", "13/03/2024 00:30"),
        ("03/13/2024 12:00 AM", "03/13/2024 12:30 AM"),
        ("3/13/24 0:00", "3/13/24 0:30"),
        ("13.03.2024 00:00", "13.03.2024 00:30"),
        ("2024/03/13 00:00", "2024/03/13 00:30"),
        ("20240313 0000", "20240313 0030"),
        ("20240313T000000Z", "20240313T003000Z"),
        ("202403130000", "202403130030"),
        ("13-Mar-2024 00:00", "13-Mar-2024 00:30"),
        ("13 March 2024 00:00", "13 March 2024 00:30"),
        ("Mar 13, 2024 12:00 am", "Mar 13, 2024 12:30 am"),
        ("2024-03-12 24:00", "2024-03-13 00:30"),
        ("1710288000", "1710289800"),
        ("1710288000000", "1710289800000"),
        (" 2024-03-13T00:00:00+00:00", " 2024-03-13T00:30:00+00:00"),
    ],
)
def test_many_forms_of_one_time(reads: Reads, first: str, second: str) -> None:
    quote = '"' if "," in first else ""
    channel = only(reads(f"start,kwh\n{quote}{first}{quote},1.5\n{quote}{second}{quote},0.25\n"))
    assert starts(channel) == ["2024-03-13 00:00", "2024-03-13 00:30"]
    assert channel.series.values.tolist() == [1500, 250]
    assert channel.series.seconds == 1800


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("start,kwh\n01/02/2024 23:30,1\n02/02/2024 00:00,1\n02/02/2024 00:30,1\n", "2024-02-01 23:30"),
        ("start,kwh\n02/01/2024 23:30,1\n02/02/2024 00:00,1\n02/02/2024 00:30,1\n", "2024-02-01 23:30"),
        ("start,kwh\n05/05/2024 23:00,1\n05/05/2024 23:30,1\n", "2024-05-05 23:00"),
        ("start;kwh\n01.02.2024 00:00;1\n01.02.2024 00:30;1\n", "2024-02-01 00:00"),
    ],
    ids=["day first", "month first", "the same either way", "dots"],
)
def test_day_and_month_are_told_apart_by_what_follows(reads: Reads, text: str, day: str) -> None:
    file = reads(text)
    assert starts(only(file))[0] == day
    assert told(file, "Dates are")


def test_a_date_that_may_be_two_is_asked_for(refuses: Refuses) -> None:
    refusal = refuses("start,kwh\n01/02/2024 00:00,1\n01/02/2024 00:30,1\n")
    assert refusal.line == 2
    assert "2024-02-01 or 2024-01-02" in refusal.cause
    assert refusal.remedy == "write dates as YYYY-MM-DD"


def test_dates_of_both_orders_are_refused_naming_both(refuses: Refuses) -> None:
    refusal = refuses("start,kwh\n13/02/2024 00:00,1\n13/02/2024 00:30,1\n02/13/2024 01:00,1\n")
    assert (refusal.line, "13/02/2024" in refusal.cause, "02/13/2024" in refusal.cause) == (4, True, True)


def test_two_columns_of_date_and_time(reads: Reads) -> None:
    text = "Date,Start Time,End Time,Usage (kWh)\n2024-07-01,00:00,00:14,1\n2024-07-01,00:15,00:29,2\n"
    channel = only(reads(text))
    assert starts(channel) == ["2024-07-01 00:00", "2024-07-01 00:15"]
    assert channel.register == "Usage (kWh)"


def test_dates_that_a_spreadsheet_wrote_as_midnights(reads: Reads) -> None:
    text = "Date,Time,kWh\n2024-07-01 00:00:00,00:00,1\n2024-07-01 00:00:00,00:30,2\n2024-07-01 00:00:00,01:00,3\n"
    assert starts(only(reads(text))) == ["2024-07-01 00:00", "2024-07-01 00:30", "2024-07-01 01:00"]


@pytest.mark.parametrize("name", ["end", "Interval End", "Read Date and End Time", "PERIOD_ENDING", "endDateTime"])
def test_ends_become_starts(reads: Reads, name: str) -> None:
    file = reads(f"{name},kwh\n2024-07-01 00:30,1\n2024-07-01 01:00,2\n2024-07-01 24:00,3\n2024-07-02 00:30,4\n")
    assert starts(only(file))[:2] == ["2024-07-01 00:00", "2024-07-01 00:30"]
    assert starts(only(file))[2:] == ["2024-07-01 23:30", "2024-07-02 00:00"]
    assert told(file, "ends of the intervals")


def test_a_start_is_preferred_to_an_end(reads: Reads) -> None:
    text = "end,start,kwh\n2024-07-01 00:30,2024-07-01 00:00,1\n2024-07-01 01:00,2024-07-01 00:30,2\n"
    assert starts(only(reads(text))) == ["2024-07-01 00:00", "2024-07-01 00:30"]


def test_a_day_in_a_row(reads: Reads) -> None:
    labels = [f"{i // 2:02}:{i % 2 * 30:02}" for i in range(48)]
    values = [f"0.{i:02}" for i in range(48)]
    text = "MPAN,Date,{}\n1900,2024-07-01,{}\n1900,2024-07-02,{}\n".format(
        ",".join(labels), ",".join(values), ",".join(["1", "", *values[2:]])
    )
    file = reads(text)
    channel = only(file)
    assert (file.readings, len(channel.series), channel.point, channel.missing) == (96, 96, "1900", 1)
    assert starts(channel)[0] == "2024-07-01 00:00"
    ends = reads(text.replace(",".join(labels), ",".join([*labels[1:], "00:00"])))
    assert starts(only(ends)) == starts(channel)


def test_naive_times_ask_for_their_zone(reads: Reads) -> None:
    with pytest.raises(ZoneNeeded) as caught:
        reads("start,kwh\n2024-07-01 00:00,1\n2024-07-01 00:30,1\n", None)
    assert "--zone" in str(caught.value)
    assert caught.value.line == 2


def test_a_column_in_utc_needs_no_zone(reads: Reads) -> None:
    file = reads("timestamp (UTC),energyConsumption (kWh)\n2024-07-01 00:00,1\n2024-07-01 00:30,1\n", None)
    assert starts(only(file))[0] == "2024-07-01 00:00"


def test_offsets_are_kept_or_missing_but_never_both(refuses: Refuses) -> None:
    refusal = refuses("start,kwh\n2024-07-01T00:00Z,1\n2024-07-01T00:30Z,1\n2024-07-01T01:00,1\n")
    assert (refusal.line, "no offset" in refusal.cause) == (4, True)


# --- the clock of the meter ---------------------------------------------------------------------------------------


def local_clock(first: datetime, count: int, minutes: int = 30) -> list[str]:
    """Wall-clock labels of consecutive intervals, as a meter that follows the zone writes them."""
    zone = first.tzinfo
    at = first.astimezone(UTC)
    return [f"{(at + timedelta(minutes=minutes * i)).astimezone(zone):%Y-%m-%d %H:%M}" for i in range(count)]


def table(labels: list[str], name: str = "start") -> str:
    return f"{name},kwh\n" + "".join(f"{label},{i}.5\n" for i, label in enumerate(labels))


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        (LONDON, day("2024-03-30")),
        (LONDON, day("2024-10-26")),
        (ZoneInfo("America/New_York"), day("2024-11-02")),
        (ZoneInfo("Australia/Lord_Howe"), day("2024-04-06")),
        (ZoneInfo("America/Sao_Paulo"), day("2018-02-17")),
        (ZoneInfo("Africa/Cairo"), day("2024-10-31")),
        (ZoneInfo("Asia/Kathmandu"), day("2024-10-31")),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [1, -1], ids=["rising", "falling"])
@pytest.mark.parametrize("labelled", ["start", "end"])
def test_a_clock_that_follows_its_zone_leaves_no_gap(
    reads: Reads, zone: ZoneInfo, first: datetime, order: int, labelled: str
) -> None:
    first = first.replace(tzinfo=zone)
    begin = first.astimezone(UTC) + timedelta(minutes=30 if labelled == "end" else 0)
    labels = local_clock(begin.astimezone(zone), 48 * 3)
    file = reads(f"{labelled},kwh\n" + "".join([f"{label},{i}.5\n" for i, label in enumerate(labels)][::order]), zone)
    channel = only(file)
    assert channel.series.starts.tolist() == [epoch(first) + 1800 * i for i in range(48 * 3)]
    assert channel.series.values.tolist() == [i * 1000 + 500 for i in range(48 * 3)]
    assert (file.duplicates, channel.missing) == (0, 0)


def test_ends_made_by_adding_to_the_wall_clock(reads: Reads) -> None:
    begins = local_clock(datetime(2024, 10, 27, tzinfo=LONDON), 10)
    labels = [f"{datetime.fromisoformat(label) + timedelta(minutes=30):%Y-%m-%d %H:%M}" for label in begins]
    assert labels.count("2024-10-27 02:00") == 2
    channel = only(reads(table(labels, "end"), LONDON))
    assert (len(channel.series), channel.missing) == (10, 0)
    assert channel.series.values.tolist() == [i * 1000 + 500 for i in range(10)]


def test_a_repeated_export_of_the_autumn_day_adds_nothing(reads: Reads) -> None:
    labels = local_clock(datetime(2024, 10, 26, tzinfo=LONDON), 144)
    once = reads(table(labels), LONDON)
    rows = table(labels).splitlines()
    twice = reads("\n".join([*rows, *rows[1:]]), LONDON)
    assert only(twice).series.starts.tolist() == only(once).series.starts.tolist()
    assert only(twice).series.values.tolist() == only(once).series.values.tolist()
    assert (twice.readings, twice.stored, twice.duplicates) == (288, 144, 144)


def test_a_copied_file_does_not_make_the_single_autumn_hour_double(reads: Reads) -> None:
    rows = table(list(dict.fromkeys(local_clock(datetime(2024, 10, 26, tzinfo=LONDON), 146)))).splitlines()
    once, twice = reads("\n".join(rows), LONDON), reads("\n".join([*rows, *rows[1:]]), LONDON)
    assert only(twice).series.starts.tolist() == only(once).series.starts.tolist()
    assert (twice.stored, twice.duplicates) == (144, 144)


def test_a_clock_that_stands_still_is_found_by_the_hour_that_is_not(reads: Reads) -> None:
    labels = [f"{day('2024-03-30') + timedelta(minutes=30 * i):%Y-%m-%d %H:%M}" for i in range(144)]
    file = reads(table(labels), ZoneInfo("Europe/Berlin"))
    assert starts(only(file))[0] == "2024-03-29 23:00"
    assert only(file).missing == 0
    assert told(file, "not changed", "2024-03-31 02:00", "UTC+01:00")
    twice = reads(table(labels) + table(labels).partition("\n")[2], ZoneInfo("Europe/Berlin"))
    assert (twice.stored, twice.duplicates) == (144, 144)


def test_a_clock_that_both_skips_and_stands_still_is_refused(refuses: Refuses) -> None:
    spring = [f"{day('2024-03-31') + timedelta(minutes=30 * i):%Y-%m-%d %H:%M}" for i in range(48)]
    autumn = local_clock(datetime(2024, 10, 27, tzinfo=LONDON), 50)
    refusal = refuses(table([*spring, *autumn]), LONDON)
    assert refusal.line == 4
    assert "2024-03-31 01:00 does not exist" in refusal.cause


def test_empty_rows_in_the_hour_that_does_not_exist_are_left_out_by_name(reads: Reads) -> None:
    labels = [f"{day('2024-03-31') + timedelta(minutes=30 * i):%Y-%m-%d %H:%M}" for i in range(48)]
    rows = [f"{label},{'' if ' 01:' in label else '0.5'}" for label in labels]
    file = reads("start,kwh\n" + "\n".join(rows), LONDON)
    assert (file.readings, file.stored, file.refused_count) == (48, 46, 2)
    assert file.refused[0].line == 4
    assert only(file).missing == 0


def test_an_autumn_hour_that_stands_once_leaves_its_second_half_missing(reads: Reads) -> None:
    labels = local_clock(datetime(2024, 3, 30, tzinfo=LONDON), 96)
    autumn = list(dict.fromkeys(local_clock(datetime(2024, 10, 26, tzinfo=LONDON), 98)))
    file = reads(table([*labels, *autumn]), LONDON)
    assert told(file, "stands once on 2024-10-27 01:00")
    assert Period(datetime(2024, 10, 27, 1, tzinfo=UTC), datetime(2024, 10, 27, 2, tzinfo=UTC)) in only(file).gaps()


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "decimals"),
    [
        ("start,kwh\n{a},1.5\n{b},0.25\n", [1500, 250], 3),
        ("start,kwh\n{a},.5\n{b},2.\n", [500, 2000], 3),
        ("start,kwh\n{a},0.4069999\n{b},1\n", [4069999, 10_000_000], 7),
        ("start,Wh\n{a},1500\n{b},250.5\n", [15_000, 2505], 4),
        ("start,MWh\n{a},0.0015\n{b},1\n", [1500, 1_000_000], 3),
        ("start,kW\n{a},3\n{b},0.5\n", [1500, 250], 3),
        ("start;kwh\n{a};1,5\n{b};0,25\n", [1500, 250], 3),
        ("start;kwh\n{a};1.234,5\n{b};0,25\n", [1_234_500, 250], 3),
        ("start;kwh\n{a};1,234\n{b};2,345\n", [1234, 2345], 3),
        ("start\tkwh\n{a}\t1.5\n{b}\t0.25\n", [1500, 250], 3),
        ("start|kwh\n{a}|1.5\n{b}|0.25\n", [1500, 250], 3),
        ('start,kwh\n"{a}","1,234.5"\n"{b}","0.25"\n', [1_234_500, 250], 3),
        ('start,kwh\n"{a}","0,082"\n"{b}","1,5"\n', [82, 1500], 3),
        ("start,kwh\n{a},1.5e0\n{b},2.5E-1\n", [1500, 250], 3),
        ("start,kwh\n{a},+1.5\n{b},0.250000\n", [1500, 250], 3),
        ("\ufeffstart,kwh\r\n{a},1.5\r\n{b},0.25\r\n", [1500, 250], 3),
        ("{a},1.5\n{b},0.25\n", [1500, 250], 3),
        ("start,kwh\n\n{a},1.5\n\n{b},0.25\n\n\n", [1500, 250], 3),
    ],
)
def test_many_forms_of_numbers(reads: Reads, text: str, values: list[int], decimals: int) -> None:
    channel = only(reads(text.format(a="2024-07-01 00:00", b="2024-07-01 00:30")))
    assert channel.series.values.tolist() == values
    assert channel.series.decimals == decimals
    assert channel.unit == "kWh"


def test_what_is_finer_than_a_billionth_is_rounded_half_to_even_and_told(reads: Reads) -> None:
    rows = "2024-07-01 00:00,0.0000000005\n2024-07-01 00:30,0.0000000015\n2024-07-01 01:00,0.00000000250001\n"
    file = reads("start,kwh\n" + rows)
    assert only(file).series.values.tolist() == [0, 2, 3]
    assert only(file).series.decimals == 9
    assert told(file, "rounded", ": 3.")


def test_power_over_five_minutes_is_rounded_only_where_it_must(reads: Reads) -> None:
    file = reads("start,kW\n2024-07-01 00:00,12\n2024-07-01 00:05,1\n2024-07-01 00:10,6\n")
    assert only(file).series.kilowatt_hours == Decimal("1.583333333")
    assert told(file, "rounded", ": 1.")


@pytest.mark.parametrize("empty", ["", "NaN", "null", "-", "n/a", "Null"])
def test_an_empty_value_is_missing_not_zero(reads: Reads, empty: str) -> None:
    channel = only(reads(f"start,kwh\n2024-07-01 00:00,1\n2024-07-01 00:30,{empty}\n2024-07-01 01:00,1\n"))
    assert channel.series.qualities.tolist() == [Quality.ACTUAL, Quality.MISSING, Quality.ACTUAL]
    assert channel.missing == 1
    assert channel.series.kilowatt_hours == 2


def test_negative_values_make_a_net_channel_unless_the_name_forbids_it(reads: Reads, refuses: Refuses) -> None:
    rows = "\n2024-07-01 00:00,1\n2024-07-01 00:30,-0.5\n"
    file = reads("start,kwh" + rows)
    assert only(file).direction is Direction.NET
    assert told(file, "line 3", "net")
    refusal = refuses("start,import kwh" + rows)
    assert (refusal.line, "negative" in refusal.cause) == (3, True)


def test_a_value_too_large_to_add_up_is_refused(refuses: Refuses) -> None:
    refusal = refuses("start,kwh\n2024-07-01 00:00,0.000000001\n2024-07-01 00:30,99999999999999999\n")
    assert (refusal.line, "larger" in refusal.cause) == (3, True)


def test_a_comma_that_may_mean_two_things_is_asked_for(refuses: Refuses) -> None:
    refusal = refuses('start,kwh\n2024-07-01 00:00,"1,234"\n2024-07-01 00:30,"2,345"\n')
    assert (refusal.line, refusal.remedy) == (2, "write numbers with a decimal point")


# --- columns ------------------------------------------------------------------------------------------------------

A, B = "2024-07-01 00:00", "2024-07-01 00:30"


def test_a_utility_file_with_a_preamble_and_more_columns_than_needed(reads: Reads) -> None:
    text = (
        'Name,A PERSON\nAddress,"1 STREET, TOWN"\nAccount Number,123\nService,Service 1\n\n'
        "TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES\n"
        "Electric usage,2024-07-01,00:00,00:29,0.29,$0.10\nElectric usage,2024-07-01,00:30,00:59,0.34,$0.12,\n"
    )
    file = reads(text)
    assert only(file).direction is Direction.IMPORT
    assert only(file).series.values.tolist() == [290, 340]
    assert told(file, "Rows before the names", ": 4.")
    assert told(file, "Not read", "'COST'")


def test_points_and_directions_are_channels_of_their_own(reads: Reads) -> None:
    text = f"nmi,direction,start,kwh\nA,import,{A},1\nA,export,{A},2\nB,import,{A},3\n"
    text += f"A,import,{B},4\nA,export,{B},5\nB,import,{B},6\n"
    file = reads(text)
    found = {(c.point, c.direction): c.series.values.tolist() for c in file.channels}
    assert found == {
        ("A", Direction.IMPORT): [1000, 4000],
        ("A", Direction.EXPORT): [2000, 5000],
        ("B", Direction.IMPORT): [3000, 6000],
    }
    assert [(c.point, c.direction) for c in file.consumption] == [("A", Direction.IMPORT), ("B", Direction.IMPORT)]


def test_two_columns_of_energy_are_two_channels(reads: Reads) -> None:
    file = reads(f"start,Bezug_kWh,Einspeisung_kWh,load_kW\n{A},1,2,9\n{B},3,4,9\n")
    assert [(c.register, c.direction) for c in file.channels] == [
        ("Bezug_kWh", Direction.IMPORT),
        ("Einspeisung_kWh", Direction.EXPORT),
    ]
    assert (file.readings, file.stored) == (4, 4)
    assert told(file, "Not read", "load_kW")


def test_the_unit_may_stand_in_the_type_and_the_direction_too(reads: Reads) -> None:
    head = "MPRN,Meter Serial Number,Read Value,Read Type,Read Date and End Time\n"
    rows = [
        f"100,S1,{value},Active {kind} Interval (kW),01-07-2024 {time}"
        for time, value in (("01:00", "3"), ("00:30", "1"))
        for kind in ("Import", "Export")
    ]
    file = reads(head + "\n".join(rows) + "\n100,S1,8,Active Import Interval (kW),30-06-2024 23:30\n")
    channel = next(c for c in file.channels if c.direction is Direction.IMPORT)
    assert starts(channel) == ["2024-06-30 23:00", "2024-07-01 00:00", "2024-07-01 00:30"]
    assert channel.series.values.tolist() == [4000, 500, 1500]
    assert (channel.point, channel.meter_serial) == ("100", "S1")


def test_qualities_are_taken_where_their_words_are_known(reads: Reads) -> None:
    rows = [(A, "A"), (B, "E"), ("2024-07-01 01:00", "S14"), ("2024-07-01 01:30", "N"), ("2024-07-01 02:00", "X")]
    file = reads("start,kwh,quality\n" + "".join(f"{at},1,{code}\n" for at, code in rows))
    assert only(file).series.qualities.tolist() == [1, 2, 3, 0, 4]
    assert only(file).codes == {"a": 1, "e": 1, "s14": 1, "n": 1, "x": 1}
    assert told(file, "'x'", "suspect")
    assert told(reads(f"start,kwh,status\n{A},1,7\n{B},1,8\n"), "not understood")
    assert only(reads(f"start,kwh,estimated\n{A},1,no\n{B},1,yes\n")).series.qualities.tolist() == [1, 2]
    assert only(reads(f"start,kwh,Read Type\n{A},1,Actual\n{B},1,Estimate\n")).series.qualities.tolist() == [1, 2]


def test_what_is_not_electricity_is_left_out_by_name(reads: Reads) -> None:
    rows = [f"{kind} usage,{at},1,{unit}" for at in (A, B) for kind, unit in (("Electric", "kWh"), ("Gas", "therms"))]
    file = reads("type,start,usage,units\n" + "\n".join(rows))
    assert (file.readings, file.stored, file.refused_count) == (4, 2, 2)
    assert (file.refused[0].what, file.refused[0].line) == ("Gas usage", 3)
    assert "therms" in file.refused[0].cause


def test_a_line_of_units_and_a_report_date_are_no_readings(reads: Reads) -> None:
    text = f"Report Date,Start,Energy\n,,[kWh]\n2024-07-05 08:00,{A},1\n2024-07-05 08:00,{B},2\n"
    file = reads(text)
    assert starts(only(file)) == [A, B]
    assert told(file, "Units were taken from the line under the names")
    assert not told(file, "taken as kWh")
    assert told(file, "Not read", "Report Date")


def test_a_register_that_only_grows_is_no_interval(refuses: Refuses, reads: Reads) -> None:
    refusal = refuses(f"start,Meter Reading (kWh)\n{A},1000\n{B},1001\n")
    assert "running total" in refusal.cause
    assert told(reads(f"start,kwh,meter reading\n{A},1,1000\n{B},1,1001\n"), "Not read", "meter reading")


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("start,kwh\n", 1, "no readings"),
        ("", 1, "empty"),
        ("\n\n  \n", 1, "empty"),
        (f"start,kwh\n{A},1\n{B},1\nTotal,2\n{B},3\n", 4, "'Total'"),
        (f"start,kwh\n{A},1\n{B},abc\n", 3, "'abc'"),
        (f"start,kwh\n{A},1\n{B},0,5\n", 3, "3 cells"),
        (f"start,kwh\n{A},1\n{B}\n", 3, "1 cells"),
        (f"start,kwh\n{A},1\n2024-02-30 00:30,1\n", 3, "2024-02-30"),
        (f"start,kwh\n{A},1\n2024-07-01 25:30,1\n", 3, "25:30"),
        (f"start,kwh\n{A},1\n{B},1\n2024-07-01 01:10,1\n", 4, "grid"),
        (f"start,kwh\n{A},1\n{B},1\n{B},2\n", 4, "line 3"),
        ("start,kwh\n2024-07-01,1\n2024-07-02,1\n", 2, "without a time of day"),
        ("start,kwh\n2024-07-01 00:00,1\n2024-07-02 00:00,1\n", 3, "a day apart"),
        (f"start,kwh\n{A},1\n", 2, "one time alone"),
        (f"start,a,b\n{A},1,2\n{B},1,2\n", 1, "not clear"),
        ("start,kwh\n2024-07-01 00:07,1\n2024-07-01 00:37,1\n", 2, "begin 420 s"),
        (f"start,usage,unit\n{A},1,therms\n{B},1,therms\n", 2, "therms"),
        (f"type,start,usage,unit\nx,{A},1,m3\ny,{A},1,therms\nx,{B},1,m3\ny,{B},1,therms\n", 3, "therms"),
        (f"start,usage,unit\n{A},1,kWh\n{B},1,Wh\n", 3, "'Wh' here"),
        (f'start,kwh\n{A},"1\n', 3, "not a row"),
        ("hello world\nthis is,a letter\n", 1, "no column"),
    ],
)
def test_a_broken_table_names_line_and_cause(refuses: Refuses, text: str, line: int, cause: str) -> None:
    refusal = refuses(text)
    assert cause in refusal.cause
    assert refusal.line == line
    assert f"line {line}" in refusal.detail
    assert refusal.path.name == "readings"


def test_rows_out_of_order_and_repeated_are_sorted_counted_and_told(reads: Reads) -> None:
    file = reads(f"start,kwh\n{B},2\n{A},1\n{B},2\n{B},\n")
    assert only(file).series.values.tolist() == [1000, 2000]
    assert (file.readings, file.stored, file.duplicates) == (4, 2, 2)
    assert told(file, "out of order")
    assert told(file, "count once: 2.")


def test_a_file_whose_interval_changes_is_refused_where_it_does(refuses: Refuses) -> None:
    quarter = [f"{day('2024-07-01') + timedelta(minutes=15 * i):%Y-%m-%d %H:%M}" for i in range(96)]
    hours = [f"{day('2024-07-02') + timedelta(hours=i):%Y-%m-%d %H:%M}" for i in range(24)]
    refusal = refuses(table(quarter + hours))
    assert (refusal.line, "60 minutes apart" in refusal.cause) == (98, True)


# --- what a file becomes ------------------------------------------------------------------------------------------


def test_a_file_whose_counts_do_not_add_up_cannot_be(reads: Reads) -> None:
    file = reads(f"start,kwh\n{A},1\n{B},1\n")
    with pytest.raises(ValueError, match="3 readings in the file, 2 accounted for"):
        replace(file, readings=3)


def test_gaps_are_joined_and_counted(reads: Reads) -> None:
    at = [f"2024-07-01 {i // 2:02}:{i % 2 * 30:02}" for i in range(12)]
    rows = [f"{at[i]},{value}" for i, value in ((0, ""), (1, "1"), (2, "1"), (3, ""), (6, "-"), (7, "1"), (11, ""))]
    channel = only(reads("start,kwh\n" + "\n".join(rows)))
    assert (channel.expected, channel.missing) == (12, 9)
    assert [(f"{gap.start:%H:%M}", f"{gap.end:%H:%M}") for gap in channel.gaps()] == [
        ("00:00", "00:30"),
        ("01:30", "03:30"),
        ("04:00", "06:00"),
    ]


def test_net_is_billed_where_no_import_stands_beside_it(reads: Reads) -> None:
    head = "meter,start,Consumption kWh,Generation kWh,Net kWh\n"
    both = reads(head + f"m,{A},1,2,-1\nm,{B},1,0,1\n")
    assert [channel.register for channel in both.consumption] == ["Consumption kWh"]
    assert [channel.register for channel in reads(f"start,Net kWh\n{A},-1\n{B},1\n").consumption] == ["Net kWh"]


# --- recognition and packing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"PAR1\x15\x04\x15", "Parquet"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Office"),
        (b"UNA:+.? 'UNB+UNOC:3", "last segment has no end"),
        (b'{"readings": []}', "JSON"),
        (b"<!DOCTYPE html><html><body>log in", "web page"),
        (b"start,kwh\n2024-07-01 00:00\x00,1\n", "zero bytes"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "zero bytes"),
        (b"a" * 3_000_000, "characters long"),
        (b"PK\x03\x04 not really", "zip"),
        (b"\x1f\x8b not really", "gzip"),
    ],
)
def test_what_is_no_file_of_readings_is_named(refuses: Refuses, content: bytes, cause: str) -> None:
    assert cause in refuses(content).cause


def test_a_truncated_gzip_is_refused(refuses: Refuses) -> None:
    packed = gzip.compress(half_hours(day("2024-07-01"), 480).encode())
    assert "damaged" in refuses(packed[:-20]).cause


def test_a_bomb_is_not_unpacked(refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattledger.readings.formats._source.MOST_BYTES", 1 << 20)
    assert "unpacks to more" in refuses(gzip.compress(bytes(5 << 20))).cause


def test_the_tables_of_a_zip_are_read_as_one_and_not_when_they_disagree(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    text = half_hours(day("2024-07-01"), 48)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/readings.csv", text)
    assert read_file(path, zone=UTC).stored == 48
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/readings.csv", half_hours(day("2024-07-02"), 48))
        archive.writestr("c/readings.csv", text)
    file = read_file(path, zone=UTC)
    assert (file.readings, file.stored, file.duplicates, len(file.channels)) == (144, 96, 48, 1)
    assert told(file, "name no point")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("d/readings.csv", text.replace(",0.", ",9."))
    with pytest.raises(ReadingsFileRefused, match=r"d/readings.csv: .* has another value in c/readings.csv"):
        read_file(path, zone=UTC)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadingsFileRefused) as caught:
        read_file(tmp_path / "nowhere.csv")
    assert (caught.value.line, "no such file" in caught.value.cause) == (None, True)
    with pytest.raises(ReadingsFileRefused, match="directory"):
        read_file(tmp_path)


def test_utf_16_and_latin_1_are_read(reads: Reads) -> None:
    text = f"Zeitpunkt Anfang;Verbrauch für Wärme (kWh)\n{A};1,5\n{B};0,5\n"
    for encoded in (text.encode("utf-16"), text.encode("latin-1"), text.encode("utf-8-sig")):
        assert only(reads(encoded)).series.values.tolist() == [1500, 500]
    assert told(reads(text.encode("latin-1")), "Latin-1")
