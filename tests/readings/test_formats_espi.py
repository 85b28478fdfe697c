"""Green Button: every reading of the samples once, whatever links and prefixes a utility uses; hostile XML refused."""

import pickle
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from wattledger.readings.formats._rulezone import DstRule, declared_zone

Reads = Callable[[str | bytes], ReadingsFile]
Refuses = Callable[[str | bytes], ReadingsFileRefused]

T0 = 1_719_792_000  # 2024-07-01 UTC


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str | bytes) -> ReadingsFile:
        path = tmp_path / "readings"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_file(path)

    return read


@pytest.fixture
def refuses(reads: Reads) -> Refuses:
    def refuse(text: str | bytes) -> ReadingsFileRefused:
        with pytest.raises(ReadingsFileRefused) as caught:
            reads(text)
        return caught.value

    return refuse


def only(file: ReadingsFile) -> Channel:
    (channel,) = file.channels
    return channel


def entry(content: str, *links: tuple[str, str], title: str = "", updated: str = "2024-07-02T00:00:00Z") -> str:
    joined = "".join(f'<link rel="{relation}" href="{href}"/>' for relation, href in links)
    return f"<entry>{joined}<title>{title}</title><content>{content}</content><updated>{updated}</updated></entry>\n"


def reading(start: int, value: object, *, seconds: int = 900, quality: str = "") -> str:
    codes = "".join(f"<ReadingQuality><quality>{code}</quality></ReadingQuality>" for code in quality.split())
    return (
        f"<IntervalReading>{codes}<timePeriod><duration>{seconds}</duration><start>{start}</start></timePeriod>"
        f"<value>{value}</value></IntervalReading>\n"
    )


def block(*readings: str) -> str:
    return f"<IntervalBlock><interval><start>{T0}</start></interval>\n{''.join(readings)}</IntervalBlock>"


def reading_type(**facts: object) -> str:
    facts = {
        "accumulationBehaviour": 4,
        "commodity": 1,
        "flowDirection": 1,
        "uom": 72,
        "powerOfTenMultiplier": 0,
    } | facts
    return "<ReadingType>" + "".join(f"<{name}>{value}</{name}>" for name, value in facts.items()) + "</ReadingType>"


POINT, METER, TYPE = "/espi/UsagePoint/P1", "/espi/UsagePoint/P1/MeterReading/M1", "/espi/ReadingType/R1"


def feed(*entries: str) -> str:
    return '<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n' + "".join(entries) + "</feed>\n"


def plain(readings: Sequence[str], **facts: object) -> str:
    return feed(
        entry("<UsagePoint><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>", ("self", POINT)),
        entry("<MeterReading/>", ("self", METER), ("related", TYPE), title="Electricity"),
        entry(reading_type(**facts), ("self", TYPE)),
        entry(block(*readings), ("self", f"{METER}/IntervalBlock/1"), ("up", f"{METER}/IntervalBlock")),
    )


# --- samples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "seconds", "first"),
    [
        ("openespi_test_usage_data_1.xml", 480, 900, "2012-03-01T05:00:00+00:00"),
        ("openespi_test_usage_data_11.xml", 92, 900, "2012-03-11T05:00:00+00:00"),
        ("TestGBDataHourlyNineDaysBinnedDaily.xml", 216, 3600, "2014-01-01T05:00:00+00:00"),
    ],
)
def test_every_reading_of_a_sample_is_read_once(shared: Path, name: str, count: int, seconds: int, first: str) -> None:
    path = shared / "data" / "greenbutton" / name
    file = read_file(path)
    channel = only(file)
    assert file.format is FileFormat.ESPI
    assert file.readings == file.stored == count == path.read_text().count("<IntervalReading>")
    assert (channel.series.seconds, channel.missing, channel.direction) == (seconds, 0, Direction.IMPORT)
    assert datetime.fromtimestamp(int(channel.series.starts[0]), UTC).isoformat() == first
    assert channel.zone is not None
    assert datetime.fromtimestamp(int(channel.series.starts[0]), channel.zone).hour == 0


def test_a_sample_keeps_its_qualities(shared: Path) -> None:
    channel = only(read_file(shared / "data" / "greenbutton" / "openespi_test_usage_data_1.xml"))
    assert channel.codes == {"8": 1, "7": 1, "0": 478}
    assert channel.series.qualities[:3].tolist() == [Quality.ESTIMATED, Quality.SUBSTITUTED, Quality.ACTUAL]
    assert channel.series.values[:3].tolist() == [282, 323, 294]
    assert (channel.point, channel.register) == ("5446AF3F", "Fifteen Minute Electricity Consumption")


def test_a_schema_is_no_file_of_readings(shared: Path) -> None:
    with pytest.raises(ReadingsFileRefused, match="without interval readings"):
        read_file(shared / "data" / "greenbutton" / "espi.xsd")


# --- understanding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uom", "power", "value", "kwh", "commodity"),
    [
        (72, 0, 1500, "1.5", Commodity.ACTIVE_ENERGY),
        (72, 3, 2, "2", Commodity.ACTIVE_ENERGY),
        (72, -3, 1500, "0.0015", Commodity.ACTIVE_ENERGY),
        (72, -6, 795_000, "0.000795", Commodity.ACTIVE_ENERGY),
        (73, 0, 5, "0.005", Commodity.REACTIVE_ENERGY),
        (71, 0, 5, "0.005", Commodity.APPARENT_ENERGY),
        (38, 0, 5, "0.005", Commodity.ACTIVE_POWER),
    ],
)
def test_multipliers_and_units(reads: Reads, uom: int, power: int, value: int, kwh: str, commodity: Commodity) -> None:
    channel = only(reads(plain([reading(T0, value)], uom=uom, powerOfTenMultiplier=power)))
    assert channel.series.kilowatt_hours == Decimal(kwh)
    assert channel.commodity is commodity


@pytest.mark.parametrize(
    ("code", "direction"), [(1, Direction.IMPORT), (19, Direction.EXPORT), (4, Direction.NET), (20, Direction.UNKNOWN)]
)
def test_directions(reads: Reads, code: int, direction: Direction) -> None:
    assert only(reads(plain([reading(T0, 1)], flowDirection=code))).direction is direction


@pytest.mark.parametrize(
    ("codes", "quality"),
    [("", 1), ("0", 1), ("7", 3), ("8", 2), ("9", 2), ("10", 4), ("14", 1), ("17", 1), ("10 18", 1), ("0 8", 2)],
)  # fmt: skip
def test_qualities(reads: Reads, codes: str, quality: int) -> None:
    assert only(reads(plain([reading(T0, 1, quality=codes)]))).series.qualities.tolist() == [quality]


def test_the_quality_of_the_type_is_the_default(reads: Reads) -> None:
    assert only(reads(plain([reading(T0, 1)], defaultQuality=8))).series.qualities.tolist() == [Quality.ESTIMATED]


def test_readings_without_times_follow_one_another(reads: Reads) -> None:
    bare = "<IntervalReading><value>1</value></IntervalReading>"
    channel = only(reads(plain([bare, bare, bare], intervalLength=1800)))
    assert channel.series.starts.tolist() == [T0, T0 + 1800, T0 + 3600]


def test_a_reading_without_a_value_is_missing(reads: Reads) -> None:
    channel = only(reads(plain([reading(T0, 1), reading(T0 + 900, ""), reading(T0 + 1800, 1)])))
    assert (channel.missing, channel.series.qualities.tolist()) == (1, [1, 0, 1])


def test_prefixes_hosts_and_slashes_differ(reads: Reads) -> None:
    text = plain([reading(T0, 7)])
    for tag in ("UsagePoint", "MeterReading", "ReadingType", "IntervalBlock", "IntervalReading", "value", "start"):
        text = text.replace(f"<{tag}", f"<espi:{tag}").replace(f"</{tag}", f"</espi:{tag}")
    text = text.replace("<feed ", '<ns0:feed xmlns:espi="http://naesb.org/espi" ').replace("</feed>", "</ns0:feed>")
    text = text.replace(f'"related" href="{TYPE}"', f'"related" href="https://utility.example{TYPE}/"')
    assert only(reads(text)).series.values.tolist() == [7]
    # Even where nobody says what the prefix means.
    assert only(reads(text.replace('xmlns:espi="http://naesb.org/espi"', ""))).series.values.tolist() == [7]


def test_two_registers_of_two_points_find_their_types(reads: Reads) -> None:
    parts: list[str] = []
    for point in "AB":
        for register, flow in (("1", 1), ("2", 19)):
            up = f"/espi/UsagePoint/{point}"
            meter, kind = f"{up}/MeterReading/{register}", f"/espi/ReadingType/{register}"
            parts += [
                entry(reading_type(flowDirection=flow), ("self", kind)),
                entry("<UsagePoint/>", ("self", up), ("related", f"{up}/MeterReading")),
                entry(block(reading(T0, len(parts))), ("self", f"{meter}/IntervalBlock/1")),
                entry("<MeterReading/>", ("self", meter), ("related", kind)),
            ]
    file = reads(feed(*parts))
    found = [(c.point, c.register, c.direction, c.series.values.tolist()) for c in file.channels]
    assert found == [
        ("A", "1", Direction.IMPORT, [0]),
        ("A", "2", Direction.EXPORT, [4]),
        ("B", "1", Direction.IMPORT, [8]),
        ("B", "2", Direction.EXPORT, [12]),
    ]


def test_without_any_link_the_order_tells(reads: Reads) -> None:
    text = feed(
        entry(reading_type()), entry("<MeterReading/>"), entry(block(reading(T0, 1))),
        entry(reading_type(flowDirection=19)), entry("<MeterReading/>"), entry(block(reading(T0, 2))),
    )  # fmt: skip
    assert [(c.direction, c.series.values.tolist()) for c in reads(text).channels] == [
        (Direction.IMPORT, [1]),
        (Direction.EXPORT, [2]),
    ]


def test_lengths_that_differ_are_channels_of_their_own_and_days_are_left_out_by_name(reads: Reads) -> None:
    readings = [
        reading(T0, 1),
        reading(T0 + 900, 1),
        reading(T0 + 3600, 4, seconds=3600),
        reading(T0, 9, seconds=86_400),
    ]
    file = reads(plain(readings))
    assert [(c.register, c.series.seconds) for c in file.channels] == [
        ("Electricity (15 min)", 900),
        ("Electricity (60 min)", 3600),
    ]
    assert (file.readings, file.stored, file.refused_count) == (4, 3, 1)
    assert "86400 seconds" in file.refused[0].cause


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"accumulationBehaviour": 1}, "accumulationBehaviour 1"),
        ({"uom": 169}, "uom 169"),
        ({"commodity": 7}, "not measure electricity"),
    ],
)
def test_what_is_no_interval_of_electricity_is_left_out_by_name(
    reads: Reads, refuses: Refuses, facts: dict[str, object], cause: str
) -> None:
    other = plain([reading(T0, 5), reading(T0 + 900, 5)], **facts)
    assert cause in refuses(other).cause
    second = other.replace("P1", "P2").replace("R1", "R2").partition('Atom">')[2].replace("</feed>", "")
    file = reads(plain([reading(T0, 1)]).replace("</feed>", second + "</feed>"))
    assert only(file).point == "P1"
    assert (file.readings, file.stored, file.refused_count) == (3, 1, 2)
    assert cause in file.refused[0].cause


def test_repeated_readings_count_once_and_a_later_entry_supersedes(reads: Reads, refuses: Refuses) -> None:
    file = reads(plain([reading(T0, 1), reading(T0 + 900, 2), reading(T0, 1)]))
    assert (file.readings, file.stored, file.duplicates) == (3, 2, 1)
    refusal = refuses(plain([reading(T0, 1), reading(T0, 2)]))
    assert refusal.line is not None
    assert "in line" in refusal.cause
    later = entry(block(reading(T0, 2)), ("self", f"{METER}/IntervalBlock/2"), updated="2024-07-03T00:00:00Z")
    file = reads(plain([reading(T0, 1)]).replace("</feed>", later + "</feed>"))
    assert only(file).series.values.tolist() == [2]
    assert (file.duplicates, only(file).superseded) == (1, 1)


def test_negative_values_make_a_channel_net(reads: Reads) -> None:
    file = reads(plain([reading(T0, 5), reading(T0 + 900, -5)]))
    assert only(file).direction is Direction.NET
    assert any("net energy" in sentence for sentence in file.assumptions)


# --- refusing -----------------------------------------------------------------------------------------------------

GOOD = plain([reading(T0, 1), reading(T0 + 900, 2)])
BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (GOOD[: len(GOOD) // 2], "XML is broken"),
        (GOOD.replace("</content>", "", 1), "XML is broken"),
        (GOOD.replace("<feed", BOMB + "<feed", 1), "entities"),
        (GOOD.replace("<feed", '<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed', 1), "entities"),
        ('<?xml version="1.0" encoding="klingon"?><feed/>', "XML"),
        ("<feed/>", "without interval readings"),
        ("<html></html>", "web page"),
        ("<note>hello</note>", "<note>"),
        (feed(entry(block(reading(T0, 1)))), "no ReadingType"),
        (GOOD.replace("<value>2", "<value>two"), "'two' is not a number"),
        (GOOD.replace(f"<start>{T0 + 900}", "<start>noon"), "'noon' is not a whole number"),
        (GOOD.replace(f"<start>{T0 + 900}", "<start>99999999999"), "not a time in seconds"),
        (plain([reading(T0, 1, seconds=0)]), "no duration"),
        (plain([reading(T0, 1, quality="99")]), "'99' is not one of the standard's"),
        (plain([reading(T0, 1)], powerOfTenMultiplier="kilo"), "not a power of ten"),
        (plain([reading(T0, 1), reading(T0 + 600, 2)]), "overlaps"),
        (plain([reading(T0, 9 * 10**17)], powerOfTenMultiplier=9), "larger"),
    ],
)  # fmt: skip
def test_a_broken_file_names_line_and_cause(refuses: Refuses, text: str, cause: str) -> None:
    refusal = refuses(text)
    assert cause in refusal.cause
    assert refusal.line is not None


def test_the_line_is_the_readings_own(refuses: Refuses) -> None:
    text = GOOD.replace("<value>2", "<value>two")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "two" in line)
    assert refuses(text).line == line


def test_a_block_that_may_belong_to_two_registers_is_refused(refuses: Refuses) -> None:
    text = feed(
        entry("<MeterReading/>", ("self", "/a/MeterReading/1")),
        entry("<MeterReading/>", ("self", "/a/MeterReading/2")),
        entry(reading_type(), ("self", TYPE)),
        entry(block(reading(T0, 1)), ("self", "/b/IntervalBlock/1")),
    )
    assert "which MeterReading" in refuses(text).cause


# --- local time by rule -------------------------------------------------------------------------------------------

NEW_YORK = {"offset": "-18000", "summer": "3600", "begins": "360E2000", "ends": "B40E2000"}


@given(st.integers(1_200_000_000, 4_000_000_000))
def test_the_declared_rules_of_the_east_coast_are_those_of_new_york(instant: int) -> None:
    declared, real = declared_zone(**NEW_YORK), ZoneInfo("America/New_York")
    assert declared is not None
    at = datetime.fromtimestamp(instant, UTC)
    assert at.astimezone(declared).replace(tzinfo=None) == at.astimezone(real).replace(tzinfo=None)
    assert at.astimezone(declared).utcoffset() == at.astimezone(real).utcoffset()
    assert at.astimezone(declared).astimezone(UTC) == at


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("hours", range(-3, 4))
@pytest.mark.parametrize("change", ["2024-03-10T02:00", "2024-11-03T02:00"])
def test_around_a_change_the_wall_clock_is_new_yorks_too(change: str, hours: int, fold: int) -> None:
    wall = (datetime.fromisoformat(change) + timedelta(hours=hours)).replace(fold=fold)
    declared = declared_zone(**NEW_YORK)
    assert wall.replace(tzinfo=declared).utcoffset() == wall.replace(tzinfo=ZoneInfo("America/New_York")).utcoffset()


def encoded(month: int, operator: int, day: int, weekday: int, hour: int) -> str:
    return f"{month << 28 | operator << 25 | day << 20 | weekday << 17 | hour << 12:08X}"


@pytest.mark.parametrize(
    ("rule", "moment"),
    [
        (encoded(3, 7, 0, 7, 1), "2024-03-31T01:00"),
        (encoded(10, 7, 0, 7, 2), "2023-10-29T02:00"),
        (encoded(3, 1, 8, 7, 2), "2024-03-10T02:00"),
        (encoded(4, 2, 0, 7, 3), "2024-04-07T03:00"),
        (encoded(3, 4, 0, 5, 1), "2024-03-15T01:00"),
        (encoded(2, 6, 0, 4, 1), "2024-02-29T01:00"),
        (encoded(2, 6, 0, 4, 1), "2023-02-23T01:00"),
        (encoded(5, 0, 21, 0, 24), "2024-05-22T00:00"),
    ],
)
def test_rules_mean_moments(rule: str, moment: str) -> None:
    decoded = DstRule.decoded(rule)
    expected = datetime.fromisoformat(moment)
    assert decoded is not None
    assert decoded.moment(expected.year) == expected


def test_the_south_has_its_summer_over_new_year() -> None:
    zone = declared_zone(offset="36000", summer="3600", begins=encoded(10, 2, 0, 7, 2), ends=encoded(4, 2, 0, 7, 3))
    sydney = ZoneInfo("Australia/Sydney")
    for hours in range(0, 366 * 24, 5):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        assert at.astimezone(zone).utcoffset() == at.astimezone(sydney).utcoffset()
    assert pickle.loads(pickle.dumps(zone)) == zone  # noqa: S301 - what it wrote itself


@pytest.mark.parametrize(
    ("changed", "offset"),
    [({"begins": "FFFFFFFF", "ends": "FFFFFFFF"}, -5), ({"summer": "0"}, -5), ({"begins": ""}, -5),
     ({"begins": "xyz"}, None), ({"offset": ""}, None), ({"offset": "999999"}, None),
     ({"begins": encoded(13, 2, 0, 7, 2)}, None)],
)  # fmt: skip
def test_what_declares_no_rule_is_a_fixed_offset_or_nothing(changed: dict[str, str], offset: int | None) -> None:
    zone = declared_zone(**NEW_YORK | changed)
    assert (zone.utcoffset(datetime(2024, 7, 1)) if zone else None) == (  # noqa: DTZ001 - a wall-clock time
        timedelta(hours=offset) if offset is not None else None
    )
