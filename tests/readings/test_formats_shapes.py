"""Tables of other shapes: a day in a row, whole hours, totals, ends, two channels, offsets of half an hour."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wattledger.readings.formats import Direction, ReadingsFile, ReadingsFileRefused, read_file

Read = Callable[..., ReadingsFile]
DAY = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp())


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def written_and_read(text: str, zone: tzinfo | None = UTC) -> ReadingsFile:
        (tmp_path / "file.csv").write_text(text)
        return read_file(tmp_path / "file.csv", zone=zone)

    return written_and_read


def told(file: ReadingsFile, words: str) -> bool:
    return any(words in said for said in file.assumptions)


@pytest.mark.parametrize("slots", [24, 48, 96])
@pytest.mark.parametrize("name", ["HH{}", "hh_{:02}", "H{}", "Period {}", "{}", "kWh_{}"])
def test_a_day_in_a_row_with_numbered_columns(read: Read, slots: int, name: str) -> None:
    names = [name.format(number) for number in range(1, slots + 1)]
    cells = [f"0.{number:02}" for number in range(slots)]
    rows = [",".join(["M1", day, *cells]) for day in ("2026-01-05", "2026-01-06")]
    file = read("\n".join([",".join(["Meter", "Date", *names]), *rows]))
    channel = file.channels[0]
    assert (file.readings, file.stored, channel.point) == (2 * slots, 2 * slots, "M1")
    assert channel.series.starts.tolist() == [DAY + 86_400 // slots * i for i in range(2 * slots)]
    assert channel.series.values.tolist()[:3] == [0, 10, 20]
    assert told(file, f"{names[0]} being the interval of {1440 // slots} minutes that begins at midnight")


def test_columns_for_the_long_day_stay_empty_or_are_refused(read: Read) -> None:
    head = ",".join(["Date", *(f"HH{i}" for i in range(1, 51))])
    good = ",".join(["2026-01-05", *["1"] * 48, "", ""])
    assert read(f"{head}\n{good}\n").stored == 48
    with pytest.raises(ReadingsFileRefused, match="more than 48 values") as caught:
        read(f"{head}\n{good}\n{','.join(['2026-10-25', *['1'] * 50])}\n")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("name", "first", "count", "says"),
    [
        ("Hour", 0, 24, "60 minutes of a day from 0 to 23"),
        ("Hour", 1, 24, "60 minutes of a day from 1 to 24"),
        ("Hour Ending", 1, 24, "from 1 to 24"),
        ("HE", 1, 24, "from 1 to 24"),
        ("Settlement Period", 1, 48, "30 minutes of a day from 1 to 48"),
        ("Interval", 1, 96, "15 minutes of a day from 1 to 96"),
    ],
)
def test_a_date_and_a_whole_number(read: Read, name: str, first: int, count: int, says: str) -> None:
    rows = [f"2026-01-05,{number},{number}" for number in range(first, first + count)]
    file = read("\n".join([f"Date,{name},kWh", *rows]))
    assert file.channels[0].series.starts.tolist() == [DAY + 86_400 // count * i for i in range(count)]
    assert told(file, says)


LONDON, MADRID = ZoneInfo("Europe/London"), ZoneInfo("Europe/Madrid")


def counted(zone: ZoneInfo, first: date, days: int, slots: int) -> dict[str, list[int]]:
    """The instants at which the intervals of each day begin, counted from its midnight."""
    found = {}
    for day in (first + timedelta(days=number) for number in range(days)):
        begin, end = (int(datetime.combine(at, time(), zone).timestamp()) for at in (day, day + timedelta(days=1)))
        found[day.isoformat()] = list(range(begin, end, 86_400 // slots))
    return found


@pytest.mark.parametrize(("zone", "name", "slots"), [(LONDON, "Settlement Period", 48), (MADRID, "Hora", 24)])
@pytest.mark.parametrize("first", [date(2026, 3, 25), date(2025, 10, 20)], ids=["spring", "autumn"])
def test_numbers_count_on_when_clocks_change(read: Read, zone: ZoneInfo, name: str, slots: int, first: date) -> None:
    days = counted(zone, first, 10, slots)
    assert len({len(starts) for starts in days.values()}) == 2
    starts = [start for of_day in days.values() for start in of_day]
    rows = [f"{day},{number},{number}" for day, of_day in days.items() for number in range(1, len(of_day) + 1)]
    file = read("\n".join([f"Date,{name},kWh", *rows]), zone)
    assert file.channels[0].series.starts.tolist() == starts
    assert file.channels[0].series.values.tolist() == [1000 * int(row.split(",")[1]) for row in rows]
    assert told(file, "counted from its midnight")
    # The same in a row per day, with room for the longest.
    longest = max(map(len, days.values()))
    wide = [
        ",".join([day, *(str(n + 1) if n < len(of_day) else "" for n in range(longest))])
        for day, of_day in days.items()
    ]
    file = read("\n".join([",".join(["Date", *(f"HH{n + 1}" for n in range(longest))]), *wide]), zone)
    assert (file.channels[0].series.starts.tolist(), file.channels[0].missing) == (starts, 0)
    # Where clocks do not change on that day nobody knows.
    if slots == 24 or first.month == 10:
        with pytest.raises(ReadingsFileRefused, match="is not clear"):
            read("\n".join([f"Date,{name},kWh", *rows]), UTC)


@pytest.mark.parametrize("numbers", [[5, 6, 7], [0, 1, 24], [1, 2, 25]])
def test_hours_that_may_count_either_way_are_refused(read: Read, numbers: list[int]) -> None:
    with pytest.raises(ReadingsFileRefused, match="counts from 0 or 1") as caught:
        read("\n".join(["Date,Hour,kWh", *(f"2026-01-05,{number},1" for number in numbers)]))
    assert caught.value.line in {2, 4}


def test_a_line_of_totals_is_no_reading(read: Read) -> None:
    rows = [f"2026-01-05 0{i}:00,1.5" for i in range(4)]
    file = read("\n".join(["start,kwh", *rows, "Total,6.0", ""]))
    assert (file.readings, file.stored) == (4, 4)
    assert told(file, "no readings: line 6")
    with pytest.raises(ReadingsFileRefused):
        read("\n".join(["start,kwh", *rows[:2], "Total,3.0", *rows[2:]]))


def test_ends_are_said_and_two_channels_kept_apart(read: Read) -> None:
    rows = [f"2026-01-05 0{i}:00;1.234,5;{i},5" for i in range(1, 5)]
    file = read("\n".join(["Interval End;Import kWh;Export kWh", *rows]))
    taken, given = file.channels
    assert (taken.direction, given.direction) == (Direction.IMPORT, Direction.EXPORT)
    assert taken.series.values.tolist() == [1_234_500] * 4
    assert given.series.starts.tolist() == [DAY + 3600 * i for i in range(4)]
    assert told(file, "are the ends of the intervals")


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Australia/Adelaide", "Asia/Kathmandu", "America/St_Johns"])
def test_hours_in_zones_off_the_whole_hour(read: Read, zone: str) -> None:
    at = datetime(2026, 1, 5, tzinfo=ZoneInfo(zone))
    local = [at + timedelta(hours=i) for i in range(48)]
    for rows, where in (
        ([f"{one:%Y-%m-%d %H:%M},1" for one in local], ZoneInfo(zone)),
        ([f"{one.isoformat()},1" for one in local], None),
        ([f"{one.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ},1" for one in local], None),
    ):
        file = read("\n".join(["start,kwh", *rows]), where)
        assert file.channels[0].series.starts.tolist() == [int(at.timestamp()) + 3600 * i for i in range(48)]
