"""NEM13, MSCONS, DSMR P1 and IEC 61968-9: read by content, each reading once, refused with line and cause."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest

from wattledger.kernel import Quality
from wattledger.readings.formats import (
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    ZoneNeeded,
    read_file,
)
from wattledger.readings.formats._dsmr import checksum

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
BERLIN = ZoneInfo("Europe/Berlin")
Read = Callable[..., ReadingsFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def written_and_read(text: str, zone: tzinfo | None = None) -> ReadingsFile:
        (tmp_path / "file").write_bytes(text.encode())
        return read_file(tmp_path / "file", zone=zone)

    return written_and_read


def refused(read: Read, text: str) -> tuple[int | None, str]:
    with pytest.raises(ReadingsFileRefused) as caught:
        read(text)
    return caught.value.line, caught.value.cause


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc] # year, month, day ...


# --- NEM13 --------------------------------------------------------------------------------------------------------

NEM13 = """100,NEM13,200401101030,MDA1,Ret1
250,1234567890,11,1,11,11,METSER66,E,000021.2,20031001103230,A,,,000534.5,20040201100030,E64,77,,343.5,kWh,20040509,20040202125010,20040203000130
550,N,,A,
250,1234567890,21,2,21,21,METSER67,I,1,20031001,A,,,3,20040201,A,,,2000,Wh,,,
900
"""


def test_nem13_gives_what_registers_showed(read: Read) -> None:
    file = read(NEM13)
    assert (file.format, file.readings, file.stored, file.channels) == (FileFormat.NEM13, 2, 2, ())
    first, second = file.registers
    assert (first.point, first.register, first.meter_serial) == ("1234567890", "11", "METSER66")
    assert (first.value, first.previous, first.quantity) == (Decimal("534.5"), Decimal("21.2"), Decimal("343.5"))
    assert (first.since, first.at) == (utc(2003, 10, 1, 0, 32, 30), utc(2004, 2, 1, 0, 0, 30))
    assert (first.quality, first.code, first.direction) == (Quality.ESTIMATED, "E64", Direction.IMPORT)
    assert (second.direction, second.quantity, second.unit) == (Direction.EXPORT, Decimal(2), "kWh")
    lines = NEM13.splitlines(keepends=True)
    assert read("".join([*lines[:2], *lines[1:]])).duplicates == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("900\n", "", 4, "without its 900"),
        ("100,NEM13", "100,NEM13,\n100,NEM13", 2, "before the 900"),
        ("000534.5", "0005x4.5", 2, "not a number"),
        ("20040201100030", "20040231100030", 2, "not a time"),
        ("E64", "Q", 2, "not a quality method"),
        ("550,", "551,", 3, "not a kind"),
        ("kWh,20040509", "hogsheads,", 2, "unit"),
        ("20040201,A", "20030201,A", 4, "not after"),
    ],
)
def test_a_broken_nem13_is_refused_with_line_and_cause(read: Read, old: str, new: str, line: int, cause: str) -> None:
    found = refused(read, NEM13.replace(old, new, 1))
    assert found[0] == line
    assert cause in found[1]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the sample files are not here")
def test_the_markets_nem13_example_is_read() -> None:
    file = read_file(SHARED / "nem12" / "Example_NEM13_consumption_data.csv")
    assert [(one.point, one.quantity) for one in file.registers] == [("VABC005890", Decimal("1312.1"))]


# --- MSCONS -------------------------------------------------------------------------------------------------------


def mscons(body: str, *, service: str = "UNA:+.? '") -> str:
    segments = [one for one in body.split("\n") if one]
    message = ["UNH+1+MSCONS:D:04B:UN:2.4c", "BGM+7+ABC+9", *segments]
    message.append(f"UNT+{len(message) + 1}+1")
    whole = ["UNB+UNOC:3+9900000000001:500+9900000000002:500+260101:0000+REF", *message, "UNZ+1+REF"]
    return service + "\n" + "".join(f"{one}'\n" for one in whole)


def values(first: datetime, quantities: list[str], *, form: str = "303", minutes: int = 15) -> str:
    tail = "?+00" if form == "303" else ""
    lines = []
    for number, quantity in enumerate(quantities):
        begin, end = (first + timedelta(minutes=minutes * (number + step)) for step in (0, 1))
        lines += [
            f"QTY+{quantity}",
            f"DTM+163:{begin:%Y%m%d%H%M}{tail}:{form}",
            f"DTM+164:{end:%Y%m%d%H%M}{tail}:{form}",
        ]
    return "\n".join(lines)


HEAD = "NAD+DP\nLOC+172+DE00012345678901234567890123456\nLIN+1\nPIA+5+1-1?:1.29.0:SRW\n"


def test_mscons_gives_true_and_substitute_values(read: Read) -> None:
    body = HEAD + values(utc(2026, 1, 1), ["220:1.5:KWH", "67:2:KWH", "220:0.25:KWH", "201:3:KWH", "20:4:KWH"])
    body += "\nLIN+2\nPIA+5+1-1?:2.29.0:SRW\n" + values(utc(2026, 1, 1), ["220:1", "220:2"])
    for text in (mscons(body), mscons(body).replace("\n", "")):
        file = read(text)
        assert (file.format, file.readings, file.stored) == (FileFormat.MSCONS, 7, 7)
        taken, given = file.channels
        assert (taken.point, taken.register) == ("DE00012345678901234567890123456", "1-1:1.29.0")
        assert (taken.direction, given.direction) == (Direction.IMPORT, Direction.EXPORT)
        assert taken.series.values.tolist() == [1500, 2000, 250, 3000, 4000]
        assert taken.series.qualities.tolist() == [1, 3, 1, 2, 4]
        assert taken.codes == {"220": 2, "67": 1, "201": 1, "20": 1}
        assert taken.series.starts[0] == utc(2026, 1, 1).timestamp()


def test_mscons_with_other_separators_and_a_decimal_comma(read: Read) -> None:
    text = mscons(HEAD + values(utc(2026, 1, 1), ["220:1,5:KWH", "220:2:KWH"]), service="UNA:+,? '")
    assert read(text).channels[0].series.values.tolist() == [1500, 2000]


def test_local_times_of_mscons_need_a_zone_and_autumn_has_two_hours(read: Read) -> None:
    labels = ["220:1"] * 4
    body = (
        HEAD
        + values(utc(2026, 10, 25, 2), labels, form="203")
        + "\n"
        + values(utc(2026, 10, 25, 2), labels, form="203")
    )
    with pytest.raises(ZoneNeeded):
        read(mscons(body))
    file = read(mscons(body), BERLIN)
    assert (file.stored, file.duplicates) == (8, 0)
    assert file.channels[0].series.starts[0] == utc(2026, 10, 25).timestamp()
    assert not file.channels[0].missing
    assert read(mscons("DTM+735:?+0100:406\n" + body)).duplicates == 4


def test_register_reads_and_other_commodities_of_mscons(read: Read) -> None:
    body = (
        "LOC+172+M1\nLIN+1\nPIA+5+1-1?:1.8.0:SRW\nQTY+220:1234.5:KWH\nDTM+7:202601010000?+00:303\n"
        "LIN+2\nPIA+5+7-20?:3.0.0:SRW\nQTY+220:9:MTQ\nDTM+7:202601010000?+00:303\n"
    )
    file = read(mscons(body))
    assert [(one.value, one.at, one.register) for one in file.registers] == [
        (Decimal("1234.5"), utc(2026, 1, 1), "1-1:1.8.0")
    ]
    assert (file.readings, file.refused_count) == (2, 1)
    assert "7-20:3.0.0" in file.refused[0].cause


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("UNZ+1+REF'\n", "", "without its UNZ"),
        ("UNZ+1+REF'", "UNZ+1+REF", "has no end"),
        ("LIN+1'\n", "", "segments, and has"),
        ("220:1.5:", "220:1x5:", "not a number"),
        ("220:1.5:", "220:-1.5:", "negative"),
        (":303", ":999", "not a time of format"),
        ("MSCONS", "UTILMD", "not MSCONS"),
        ("DTM+164:202601010015", "DTM+164:202601010045", "2700 seconds"),
    ],
)
def test_a_broken_mscons_is_refused_with_cause(read: Read, old: str, new: str, cause: str) -> None:
    text = mscons(HEAD + values(utc(2026, 1, 1), ["220:1.5:KWH"])).replace(old, new, 1)
    line, found = refused(read, text)
    assert cause in found
    assert line


# --- DSMR P1 ------------------------------------------------------------------------------------------------------

LINES = """/ISk5\\2MT382-1000

1-3:0.2.8(50)
0-0:1.0.0(260101113020W)
0-0:96.1.1(4B384547303034303436333935353037)
1-0:1.8.1(123456.789*kWh)
1-0:1.8.2(000001.000*kWh)
1-0:2.8.1(000002.500*kWh)
1-0:1.7.0(01.193*kW)
0-1:24.1.0(003)
0-1:24.2.1(260101112500W)(12785.123*m3)
!"""


def telegram(text: str = LINES) -> str:
    text = text.replace("\n", "\r\n")
    return f"{text}{checksum(text):04X}\r\n"


def test_the_checksum_is_the_standards() -> None:
    # CRC-16/ARC's check value.
    assert checksum("123456789") == 0xBB3D


def test_telegrams_give_what_registers_showed(read: Read) -> None:
    later = LINES.replace("260101113020W", "260701113020S").replace("123456.789", "123999.000")
    file = read(telegram() + telegram(later) + telegram())
    assert (file.format, file.readings, file.stored, file.duplicates) == (FileFormat.DSMR, 12, 6, 3)
    first = file.registers[0]
    assert (first.point, first.register, first.value, first.unit) == (
        "K8EG004046395507",
        "1.8.1",
        Decimal("123456.789"),
        "kWh",
    )
    assert (first.at, file.registers[3].at) == (utc(2026, 1, 1, 10, 30, 20), utc(2026, 7, 1, 9, 30, 20))
    assert file.registers[2].direction is Direction.EXPORT
    assert (file.refused[0].what, file.refused[0].count, file.refused[0].line) == ("another meter", 3, 11)
    # Saved with other line ends the checksum still holds.
    assert read(telegram().replace("\r\n", "\n")).stored == 3


def test_a_damaged_telegram_is_left_out_by_name(read: Read) -> None:
    broken = telegram().replace("123456.789", "123456.788")
    cut = "".join(telegram().splitlines(keepends=True)[:7])
    headless = "".join(telegram().splitlines(keepends=True)[2:])
    file = read(telegram() + broken + cut)
    assert (file.readings, file.stored, file.refused_count) == (10, 3, 7)
    assert sorted(one.cause.split(":")[0] for one in file.refused[1:]) == [
        "the telegram is cut off",
        "the telegram's checksum is wrong",
    ]
    assert (read(telegram() + headless).readings, read(telegram() + headless).stored) == (8, 3)
    assert refused(read, broken) == (1, "telegram: the telegram's checksum is wrong: it was damaged on the way")


# --- IEC 61968-9 --------------------------------------------------------------------------------------------------

DELTA = "0.0.2.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0"
BULK = "0.0.0.1.1.1.12.0.0.0.0.0.0.0.0.0.72.0"
CIM = f"""<?xml version="1.0"?>
<m:MeterReadings xmlns:m="http://iec.ch/TC57/2011/MeterReadings#">
<m:MeterReading>
<m:Meter><m:mRID>M-1</m:mRID><m:Names><m:name>Kitchen</m:name></m:Names></m:Meter>
<m:IntervalBlocks>
<m:IntervalReadings><m:timeStamp>2026-01-01T00:15:00Z</m:timeStamp><m:value>0.5</m:value></m:IntervalReadings>
<m:IntervalReadings><m:timeStamp>2026-01-01T01:30:00+01:00</m:timeStamp><m:value>1.25</m:value>
<m:ReadingQualities><m:ReadingQualityType ref="2.8.0"/></m:ReadingQualities></m:IntervalReadings>
<m:IntervalReadings><m:timeStamp>2026-01-01T00:45:00Z</m:timeStamp><m:value>0</m:value>
<m:ReadingQualities><m:ReadingQualityType ref="1.5.259"/></m:ReadingQualities></m:IntervalReadings>
<m:ReadingType ref="{DELTA}"/>
</m:IntervalBlocks>
<m:Readings><m:timeStamp>2026-01-01T00:00:00Z</m:timeStamp><m:value>1234567</m:value><m:ReadingType ref="{BULK}"/>
</m:Readings>
<m:Readings><m:timeStamp>2026-01-01T00:00:00Z</m:timeStamp><m:value>230</m:value>
<m:ReadingType ref="0.0.0.6.0.1.54.0.0.0.0.0.0.0.0.0.29.0"/>
</m:Readings>
</m:MeterReading></m:MeterReadings>"""


def test_meter_readings_give_intervals_and_registers(read: Read) -> None:
    file = read(CIM)
    assert (file.format, file.readings, file.stored, file.refused_count) == (FileFormat.CIM, 5, 4, 1)
    channel = file.channels[0]
    assert (channel.point, channel.register, channel.direction) == ("M-1", DELTA, Direction.IMPORT)
    assert (channel.commodity, channel.series.seconds) == (Commodity.ACTIVE_ENERGY, 900)
    assert channel.series.starts.tolist() == [int(utc(2026, 1, 1).timestamp()) + 900 * i for i in range(3)]
    assert channel.series.values.tolist() == [500, 1250, 0]
    assert channel.series.qualities.tolist() == [Quality.ACTUAL, Quality.ESTIMATED, Quality.MISSING]
    assert [(one.value, one.unit) for one in file.registers] == [(Decimal("1234.567"), "kWh")]
    assert any("ends of their intervals" in said for said in file.assumptions)


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("0.5<", "0,5<", 6, "not a number"),
        (f'ref="{DELTA}"', 'ref="1.2"', 6, "18 numbers"),
        ("2.8.0", "2.99.0", 7, "quality"),
        ("00:15:00Z", "00:15:61Z", 6, "not a time"),
        ("00:15:00Z", "00:16:00Z", 6, "off the grid"),
        ("00:45:00Z", "00:15:00Z</m:timeStamp><m:value>7</m:value><m:timeStamp>2026-01-01T00:15:00Z", 9, None),
        ("</m:MeterReadings>", "", 18, "broken"),
    ],
)
def test_a_broken_message_is_refused_with_line_and_cause(
    read: Read, old: str, new: str, line: int, cause: str | None
) -> None:
    text = CIM.replace(old, new, 1)
    if cause is None:
        # A missing value beside a known one for the same interval says nothing against it.
        assert read(text).duplicates == 1
        return
    found = refused(read, text)
    assert cause in found[1]
    assert found[0] == line


def test_meter_readings_without_an_offset_need_a_zone(read: Read) -> None:
    text = CIM.replace("00:15:00Z", "00:15:00")
    with pytest.raises(ZoneNeeded):
        read(text)
    assert read(text, UTC).stored == 4


def test_a_zip_of_different_formats_is_read_as_one(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("a.xml", CIM)
        archive.writestr("b.txt", telegram())
        archive.writestr("c.csv", NEM13)
        archive.writestr("d.edi", mscons(HEAD + values(utc(2026, 1, 1), ["220:1.5:KWH"])))
        archive.writestr("e.xml", CIM)
    file = read_file(tmp_path / "z")
    assert (file.readings, len(file.channels), len(file.registers)) == (17, 2, 6)
    assert (file.stored, file.duplicates, file.refused_count) == (10, 4, 3)
