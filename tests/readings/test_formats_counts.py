"""Stored, refused and duplicate add up to what is in the file: for every sample, and after any damage to a file."""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, is_zipfile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.kernel import Problem
from wattledger.readings.formats import FileFormat, ReadingsFile, read_file
from wattledger.readings.formats._dsmr import checksum

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LONDON = ZoneInfo("Europe/London")
Count = Callable[[str], int]


def nem_count(text: str) -> int:
    """Intervals by the length of their stream, 1440 minutes a 300 record."""
    count = slots = 0
    for line in text.splitlines():
        fields = line.split(",")
        if fields[0] == "200":
            slots = 1440 // int(fields[8])
        count += slots * (fields[0] == "300")
    return count


def table_count(text: str) -> int:
    """Rows below the head; a table that lost its head is all rows."""
    rows = [line for line in text.splitlines() if line.strip()]
    return len(rows) - bool(rows and re.search(r"[A-Za-z]{3}", rows[0]) and not re.match(r"P,E1,", rows[0]))


def found_in(pattern: str) -> Count:
    return lambda text: len(re.findall(pattern, text, re.MULTILINE))


# How many readings a text has, counted by other means than the readers'.
COUNTS: dict[FileFormat, Count] = {
    FileFormat.NEM12: nem_count,
    FileFormat.NEM13: found_in(r"^250,"),
    FileFormat.ESPI: found_in(r"<(?:\w+:)?IntervalReading[\s>]"),
    FileFormat.MSCONS: found_in(r"(?:^|')QTY\+"),
    FileFormat.DSMR: found_in(r"^(?:1-\d:\d+\.8\.\d|0-\d:24\.2\.1\()"),
    FileFormat.CIM: found_in(r"<(?:IntervalReadings|Readings)>"),
    FileFormat.CSV: table_count,
}


def accounted(file: ReadingsFile) -> int:
    return (
        sum(len(channel.series) + channel.duplicates for channel in file.channels)
        + len(file.registers)
        + file.registers_again
        + sum(refused.count for refused in file.refused)
    )


SAMPLES = sorted(
    path.relative_to(SHARED).as_posix()
    for folder, kinds in (("nem12", "*"), ("greenbutton", "*1.xml"), ("greenbutton", "TestGB*.xml"))
    for path in (SHARED / folder).glob(kinds)
)  # fmt: skip


@pytest.mark.skipif(not SAMPLES, reason="the sample files are not here")
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_accounted_for(sample: str) -> None:
    path = SHARED / sample
    if "invalid__" in sample:
        with pytest.raises(Problem) as caught:
            read_file(path)
        assert f"{path}, line " in str(caught.value)
        return
    file = read_file(path)
    if is_zipfile(path):
        with ZipFile(path) as archive:
            texts = [io.TextIOWrapper(archive.open(name)).read() for name in archive.namelist()]
    else:
        texts = [path.read_text()]
    assert accounted(file) == file.readings == sum(map(COUNTS[file.format], texts))


@pytest.mark.skipif(not SAMPLES, reason="the sample files are not here")
def test_the_london_household_is_accounted_for() -> None:
    path = SHARED / "loads" / "london_household_30min.csv"
    file = read_file(path, zone=LONDON)
    assert accounted(file) == file.readings == COUNTS[FileFormat.CSV](path.read_text())


# --- damage -------------------------------------------------------------------------------------------------------

DAY = ",".join(["1.25"] * 48)
P1 = """/ISk5\\2MT382-1000

0-0:1.0.0(260101{:02}3020W)
0-0:96.1.1(4B38)
1-0:1.8.1(000{:03}.789*kWh)
1-0:2.8.1(000002.500*kWh)
0-1:24.2.1(260101112500W)(12785.123*m3)
!"""


def telegrams() -> str:
    made = [P1.format(hour, hour) for hour in range(4)]
    return "".join(f"{one}{checksum(one.replace(chr(10), chr(13) + chr(10))):04X}\n" for one in made)


def mscons() -> str:
    body = ["UNH+1+MSCONS:D:04B:UN:2.4c", "BGM+7+A+9", "LOC+172+P", "LIN+1", "PIA+5+1-1?:1.29.0:SRW"]
    for hour in range(6):
        body += [
            f"QTY+{(220, 67)[hour % 2]}:{hour}.5:KWH",
            f"DTM+163:202601010{hour}00?+00:303",
            f"DTM+164:202601010{hour + 1}00?+00:303",
        ]
    body.append(f"UNT+{len(body) + 1}+1")
    return "".join(f"{one}'\n" for one in ["UNB+UNOC:3+A+B+260101:0000+R", *body, "UNZ+1+R"])


def cim() -> str:
    kind = "0.0.7.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0"
    rows = [
        "<IntervalReadings>\n"
        f"<timeStamp>2026-01-01T0{hour}:00:00Z</timeStamp>\n<value>{hour}.5</value>\n</IntervalReadings>"
        for hour in range(1, 7)
    ]
    return "\n".join(
        [
            '<MeterReadings xmlns="http://iec.ch/TC57/2011/MeterReadings#">',
            "<MeterReading><Meter><mRID>M</mRID></Meter>",
            f'<IntervalBlocks><ReadingType ref="{kind}"/>',
            *rows,
            "</IntervalBlocks>",
            "</MeterReading>",
            "</MeterReadings>",
            "",
        ]
    )


def espi() -> str:
    rows = [
        f"<IntervalReading><timePeriod><duration>900</duration><start>{1_700_000_100 + 900 * i}</start></timePeriod>"
        f"<value>{i}</value></IntervalReading>"
        for i in range(6)
    ]
    return "\n".join(
        [
            '<feed xmlns="http://www.w3.org/2005/Atom">',
            "<entry><content><ReadingType><uom>72</uom></ReadingType></content></entry>",
            "<entry><content><IntervalBlock>",
            *rows,
            "</IntervalBlock></content></entry>",
            "</feed>",
            "",
        ]
    )


OURS = "point,register,direction,commodity,unit,meter_serial,start,seconds,value,quality\n" + "".join(
    f"P,E1,import,active energy,kWh,M,2026-01-01T0{hour}:00:00Z,3600,{hour}.5,actual\n" for hour in range(8)
)
GOOD = {
    "csv": "start,kwh\n" + "".join(f"2026-01-01 {i // 2:02}:{i % 2 * 30:02},0.{i:02}\n" for i in range(20)),
    "split": "Datum;Uhrzeit;kWh;Status\n" + "".join(f"01.02.2026;{i:02}:00;1,{i};A\n" for i in range(20)),
    "ours": OURS,
    "nem12": f"100,NEM12,202407020000,A,B\n200,N,E1,1,E1,,S,kWh,30,\n300,20240701,{DAY},V,,,20240702000000,\n"
    f"400,1,20,A,,\n400,21,48,S14,1,\n300,20240702,{DAY},A,,,,\n500,O,S1,20240702,\n900\n",
    "nem13": "100,NEM13,200401101030,A,B\n"
    + "".join(f"250,N,11,1,11,11,M,E,{i},2003100{i},A,,,{i + 1},2003100{i + 1},A,,,1,kWh,,,\n" for i in range(1, 6))
    + "900\n",
    "espi": espi(),
    "mscons": mscons(),
    "dsmr": telegrams(),
    "cim": cim(),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ReadingsFile]:
    path = tmp_path_factory.mktemp("counts") / "readings"

    def written_and_read(text: str) -> ReadingsFile:
        path.write_bytes(text.encode())
        return read_file(path, zone=LONDON)

    return written_and_read


@pytest.mark.parametrize("kind", GOOD)
def test_the_good_files_are_good(read: Callable[[str], ReadingsFile], kind: str) -> None:
    file = read(GOOD[kind])
    assert accounted(file) == file.readings == COUNTS[file.format](GOOD[kind])
    assert not file.duplicates
    assert (file.refused_count > 0) == (kind == "dsmr")


def damaged(text: str, chance: random.Random) -> str:
    """``text`` with one line dropped, doubled, moved, or one field of it spoilt."""
    lines = text.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(chance.randrange(len(lines)), lines.pop(at))
        case _:
            fields = re.split(r"([,;:+<>()*])", lines[at])
            which = chance.randrange(len(fields))
            fields[which] = chance.choice(["", "x", "-1", "9" * 12, "0", fields[which] * 2, " ", "1e5", "\u00e9"])
            lines[at] = "".join(fields)
    return "".join(lines)


@pytest.mark.parametrize("kind", GOOD)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_whatever_is_damaged_every_reading_is_accounted_for_or_the_file_refused(
    read: Callable[[str], ReadingsFile], kind: str, seed: int
) -> None:
    text = damaged(GOOD[kind], random.Random(seed))  # noqa: S311 - test data
    refused: Problem | None = None
    try:
        file = read(text)
    except Problem as refusal:
        refused = refusal
    if refused is not None:
        assert getattr(refused, "line", None) is not None, refused
        return
    assert accounted(file) == file.readings
    if sum(map(text.count, "\n<>'")) == sum(map(GOOD[kind].count, "\n<>'")) or kind not in {"espi", "cim", "mscons"}:
        assert file.readings <= COUNTS[file.format](text)
    good = read(GOOD[kind])
    assert file.stored <= good.stored or file.readings <= COUNTS[file.format](text)
