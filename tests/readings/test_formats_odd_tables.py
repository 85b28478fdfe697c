"""Odd tables that once were read wrongly without a word, or refused for the wrong reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wattledger.readings import ReadingsFile, ReadingsFileRefused, read_file
from wattledger.readings.formats import Direction

BERLIN = ZoneInfo("Europe/Berlin")
Values = Callable[[int], str]


def read(tmp_path: Path, text: str, zone: ZoneInfo | None = BERLIN) -> ReadingsFile:
    path = tmp_path / "table"
    path.write_text(text, encoding="utf-8")
    return read_file(path, zone=zone)


def refusal(tmp_path: Path, text: str, zone: ZoneInfo | None = BERLIN) -> ReadingsFileRefused:
    with pytest.raises(ReadingsFileRefused) as refused:
        read(tmp_path, text, zone)
    return refused.value


def table(
    names: str,
    *,
    count: int = 96,
    first: datetime = datetime(2026, 3, 2),  # noqa: DTZ001 - a wall clock
    form: str = "%d.%m.%Y %H:%M",
    value: Values = lambda number: f"0,{number + 1:03}",
) -> str:
    """Rows of quarter hours: a time and a value, under ``names``."""
    times = [first + timedelta(minutes=15 * number) for number in range(count)]
    return "\n".join([names, *(f"{time.strftime(form)};{value(number)}" for number, time in enumerate(times))]) + "\n"


def begin(file: ReadingsFile) -> str:
    period = file.channels[0].period
    assert period is not None
    return period.start.astimezone(UTC).strftime("%m-%d %H:%M")


def told(file: ReadingsFile, part: str) -> bool:
    return any(part in sentence for sentence in file.assumptions)


# --- times --------------------------------------------------------------------------------------------------------

QUARTER_PAST = datetime(2026, 3, 2, 0, 15)  # noqa: DTZ001 - a wall clock


@pytest.mark.parametrize(("names", "split"), [("Zeit;kWh", False), ("Datum;Zeit;kWh", True)])
def test_times_that_reach_24_are_ends(tmp_path: Path, names: str, split: bool) -> None:  # noqa: FBT001 - a parameter
    text = table(names, first=QUARTER_PAST).replace("03.03.2026 00:00", "02.03.2026 24:00")
    rows = text.split("\n", 1)[1]
    file = read(tmp_path, f"{names}\n{rows.replace(' ', ';') if split else rows}")
    assert (begin(file), file.stored, told(file, "ends of the intervals")) == ("03-01 23:00", 96, True)


def test_a_start_may_be_24_if_the_name_says_so(tmp_path: Path) -> None:
    text = table("Start;kWh", first=QUARTER_PAST).replace("03.03.2026 00:00", "02.03.2026 24:00")
    assert begin(read(tmp_path, text)) == "03-01 23:15"


def test_times_that_look_like_ends_are_pointed_out(tmp_path: Path) -> None:
    assert told(read(tmp_path, table("Zeit;kWh", first=QUARTER_PAST)), "name the column end")
    assert not told(read(tmp_path, table("Zeit;kWh")), "name the column end")
    assert not told(read(tmp_path, table("Beginn;kWh", first=QUARTER_PAST)), "name the column end")


@pytest.mark.parametrize("name", ["Ende", "Einde", "Zeit bis"])
def test_an_end_is_one_in_other_languages(tmp_path: Path, name: str) -> None:
    assert begin(read(tmp_path, table(f"{name};kWh", first=QUARTER_PAST))) == "03-01 23:00"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Time (UTC)", "03-02 00:00"),
        ("Time (UTC+1)", "03-01 23:00"),
        ("time_utc+05:30", "03-01 18:30"),
        ("Time GMT-0500", "03-02 05:00"),
        ("UTC \u2212 3", "03-02 03:00"),
    ],
)
def test_an_offset_in_a_name_is_obeyed(tmp_path: Path, name: str, start: str) -> None:
    assert begin(read(tmp_path, table(f"{name};kWh"), None)) == start


def test_an_offset_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "no offset" in refusal(tmp_path, table("Time UTC+99;kWh")).cause


def test_years_of_two_digits_may_come_first(tmp_path: Path) -> None:
    file = read(tmp_path, table("Zeit;kWh", count=200, form="%y/%m/%d %H:%M"))
    assert (begin(file), file.channels[0].missing, told(file, "year/month/day")) == ("03-01 23:00", 0, True)
    assert begin(read(tmp_path, table("Zeit;kWh", count=200, form="%d/%m/%y %H:%M"))) == "03-01 23:00"


def test_hours_that_are_counted_through_a_change_of_clocks_are_asked_for(tmp_path: Path) -> None:
    hours = [(day, hour) for day in (28, 29, 30) for hour in range(1, 24 if day == 29 else 25)]
    text = "\n".join(["Fecha;Hora;kWh", *(f"{day}/03/2026;{hour};0,5" for day, hour in hours)])
    assert read(tmp_path, text).channels[0].missing == 0  # Berlin's clocks are changed on that day
    refused = refusal(tmp_path, text, ZoneInfo("America/New_York"))
    assert (refused.line, "this day has 23 hours" in refused.cause) == (1 + 24 + 23, True)
    whole = read(tmp_path, "\n".join(row for row in text.split("\n") if not row.startswith("29")))
    assert (whole.stored, whole.channels[0].missing) == (48, 23)


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        lambda n: f"1.{n:03},5",
        lambda n: f"1 {n:03},5",
        lambda n: f"1\u202f{n:03},5",
        lambda n: f"1\u00a0{n:03},5",
        lambda n: f"1'{n:03}.5",
        lambda n: f"1,{n:03}.5",
        lambda n: f"1{n:03},5",
    ],
    ids=["points", "spaces", "narrow spaces", "hard spaces", "apostrophes", "commas", "nothing"],
)
def test_thousands_are_set_off_in_many_ways(tmp_path: Path, value: Values) -> None:
    (channel,) = read(tmp_path, table("Zeit;Wh", value=value)).channels
    values = [Fraction(number, 10**channel.series.decimals) for number in channel.series.values.tolist()]
    assert values == [Fraction(2001 + 2 * number, 2000) for number in range(96)]


@pytest.mark.parametrize("sign", [".", ","])
def test_what_may_be_thousands_or_decimals_is_asked_for(tmp_path: Path, sign: str) -> None:
    def value(number: int) -> str:
        watt_hours = 950 + 10 * number
        return str(watt_hours) if watt_hours < 1000 else f"1{sign}{watt_hours - 1000:03}"

    refused = refusal(tmp_path, table("Zeit;Wh", value=value, count=40))
    assert (refused.line, "set off thousands" in refused.cause) == (7, True)
    assert refused.remedy == "write numbers with a decimal point"
    # One number with another count of decimals, or an unmarked thousand, and there is nothing to ask.
    for proof in (f"0{sign}5", "1250"):
        assert read(tmp_path, table("Zeit;Wh", value=value, count=40) + f"02.03.2026 10:00;{proof}\n").stored == 41


def test_two_points_set_off_millions(tmp_path: Path) -> None:
    (channel,) = read(tmp_path, table("Zeit;Wh", value=lambda n: f"1.000.{n:03}")).channels
    assert (channel.series.values[1], channel.series.decimals) == (1_000_001, 3)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "watt_hours"), [("kWh/h", 250), ("MWh / h", 250_000), ("kWh", 1000), ("kWh/hh", 1000)]
)
def test_energy_in_an_hour_is_a_power(tmp_path: Path, unit: str, watt_hours: int) -> None:
    (channel,) = read(tmp_path, table(f"Zeit;Last ({unit})", value=lambda _: "1")).channels
    assert channel.series.values[0] * 1000 == watt_hours * 10**channel.series.decimals


def test_a_line_of_units_is_obeyed(tmp_path: Path) -> None:
    text = table("Zeit;Verbrauch\n;MWh", value=lambda _: "1")
    assert read(tmp_path, text).channels[0].series.values[0] == 1_000_000
    assert "another unit under it" in refusal(tmp_path, table("Zeit;Verbrauch kWh\n;MWh")).cause


@pytest.mark.parametrize("name", ["Stand kWh", "Zaehlerstand", "meterstand (kWh)", "accumulated kWh"])
def test_a_register_is_no_interval_in_other_words(tmp_path: Path, name: str) -> None:
    assert "running total" in refusal(tmp_path, table(f"Zeit;{name}", value=lambda n: f"{1000 + n}")).cause


@pytest.mark.parametrize(
    ("taken", "given"),
    [("Verbruik kWh", "Teruglevering kWh"), ("Prelievo kWh", "Immissione kWh"), ("Bezug kWh", "Einspeisung kWh")],
)
def test_directions_in_other_languages(tmp_path: Path, taken: str, given: str) -> None:
    file = read(tmp_path, table(f"Zeit;{taken};{given}", value=lambda n: f"0,{n:03};0,1"))
    assert [one.direction for one in file.channels] == [Direction.IMPORT, Direction.EXPORT]


@pytest.mark.parametrize("name", ["kWh", "kWh per 15 min"])
def test_row_numbers_are_no_points(tmp_path: Path, name: str) -> None:
    rows = table(f"Zeit;{name}").split("\n")
    numbered = [f"id;{rows[0]}", *(f"{number};{row}" for number, row in enumerate(rows[1:]) if row)]
    file = read(tmp_path, "\n".join(numbered))
    assert ([one.point for one in file.channels], file.stored) == ([""], 96)


# --- hostile ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["10:00" + " " * 30_000 + "x", "1" + "-" * 30_000, "0" * 30_000, "a" * 30_000])
def test_a_long_cell_takes_no_long_time(tmp_path: Path, cell: str) -> None:
    assert read(tmp_path, table(f"Zeit;kWh;{cell}")).stored == 96
    assert refusal(tmp_path, table(f"Zeit;kWh\n{cell};1")).line == 2
