"""Odd files that once broke a reader, or were read wrongly: each is told for what it is."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from wattledger.readings import ImportRules, ReadingsFile, ReadingsFileRefused, plan_import, read_file
from wattledger.readings.formats._dsmr import checksum

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def read(tmp_path: Path, content: str | bytes, zone: str | None = None) -> ReadingsFile:
    path = tmp_path / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_file(path, zone=ZoneInfo(zone) if zone else None)


def refusal(tmp_path: Path, content: str | bytes, zone: str | None = None) -> ReadingsFileRefused:
    with pytest.raises(ReadingsFileRefused) as refused:
        read(tmp_path, content, zone)
    return refused.value


# --- registers ----------------------------------------------------------------------------------------------------


def nem13(*, value: str = "1450.5", at: str = "20260401000000", since: str = "20260101000000") -> str:
    return (
        "100,NEM13,202604010900,EXAMPLE,EXAMPLE\n"
        f"250,NMI1234567,E1,01,E1,E1,M1,E,1200.0,{since},A,,,{value},{at},A,,,250.5,KWH,,20260401090000,\n900\n"
    )


def zipped(*contents: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"part{number}", content)
    return out.getvalue()


def test_a_register_read_in_two_files_of_a_zip_counts_once(tmp_path: Path) -> None:
    file = read(tmp_path, zipped(nem13(), nem13(value="1450.50")))
    assert (file.readings, file.stored, file.duplicates) == (2, 1, 1)


def test_two_files_of_a_zip_must_not_disagree_on_a_register(tmp_path: Path) -> None:
    refused = refusal(tmp_path, zipped(nem13(), nem13(value="1451.5")))
    assert "another value in part0" in refused.cause


def test_a_time_before_all_times_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, nem13(since="00010101000000")).line == 2
    assert refusal(tmp_path, nem13(at="19010101", since="19000101")).line == 2


def test_a_register_that_shows_too_much_is_refused(tmp_path: Path) -> None:
    assert "larger than can be kept" in refusal(tmp_path, nem13(value="1e90")).cause


def mscons(*quantities: str, code: str = "1.8.0", messages: int = 1, una: str = "", tail: str = "UNT") -> str:
    body = ["BGM+7+ABC+9", "LOC+172+DE1", "LIN+1", f"PIA+5+1-1?:{code}:SRW", *quantities]
    end = [f"UNT+{len(body) + 2}+1"] if tail else []
    segments = [
        "UNB+UNOC:3+9900000000001:500+9900000000002:500+260101:0000+REF",
        "UNH+1+MSCONS:D:04B:UN:2.4c",
        *body,
        *end,
        f"UNZ+{messages}+REF",
    ]
    return una + "".join(f"{segment}'\n" for segment in segments)


NEW_YEAR = "DTM+7:202601010000?+00:303"


def test_a_register_in_two_units_is_one_register(tmp_path: Path) -> None:
    file = read(tmp_path, mscons("QTY+220:1000:KWH", NEW_YEAR, "QTY+220:1:MWH", NEW_YEAR))
    assert (file.readings, file.stored, file.duplicates) == (2, 1, 1)
    assert plan_import(file, rules=ImportRules()).taken == 1
    refused = refusal(tmp_path, mscons("QTY+220:1000:KWH", NEW_YEAR, "QTY+220:2:MWH", NEW_YEAR))
    assert (refused.line, "has the value 2000 here and 1000 in line 7" in refused.cause) == (9, True)


def test_two_meters_at_one_point_are_not_one_register(tmp_path: Path) -> None:
    one, other = (mscons("QTY+220:1000:KWH", NEW_YEAR), mscons("QTY+220:7:KWH", NEW_YEAR).replace("DE1", "DE2"))
    plan = plan_import(read(tmp_path, zipped(one, other)), rules=ImportRules(points={"": "home"}))
    assert (plan.taken, [(told.what, told.count) for told in plan.refused]) == (1, [("DE2 1-1:1.8.0", 1)])


def test_one_register_read_two_ways_is_not_one_register(tmp_path: Path) -> None:
    line = nem13().split("\n")[1]
    text = nem13().replace(line, f"{line}\n{line.replace(',M1,E,', ',M1,,')}")
    plan = plan_import(read(tmp_path, text), rules=ImportRules())
    assert (plan.readings, plan.taken, [told.count for told in plan.refused]) == (2, 1, [1])


@pytest.mark.parametrize("when", ["000101010000?+14:303", "190101010000?+00:303", "999912312359?-12:303"])
def test_an_impossible_time_of_mscons_is_refused(tmp_path: Path, when: str) -> None:
    assert refusal(tmp_path, mscons("QTY+220:1000:KWH", f"DTM+7:{when}")).line == 7


def test_a_huge_value_of_mscons_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, mscons(f"QTY+220:{'9' * 30}:KWH", NEW_YEAR)).line == 7


def test_an_interchange_that_lacks_a_message_is_refused(tmp_path: Path) -> None:
    assert "messages, and has 1" in refusal(tmp_path, mscons("QTY+220:1:KWH", NEW_YEAR, messages=2)).cause


def test_a_message_without_its_end_is_refused(tmp_path: Path) -> None:
    assert "no UNT" in refusal(tmp_path, mscons("QTY+220:1:KWH", NEW_YEAR, tail="")).cause


@pytest.mark.parametrize("una", ["", "UNA:+,? '", "UNA:+.? '"])
def test_a_comma_is_a_decimal_sign_in_mscons(tmp_path: Path, una: str) -> None:
    file = read(tmp_path, mscons("QTY+220:1234,5:KWH", NEW_YEAR, una=una))
    assert [one.value for one in file.registers] == [Decimal("1234.5")]


# --- telegrams ----------------------------------------------------------------------------------------------------


def telegram(*lines: str, crc: bool = True) -> str:
    whole = "\r\n".join(["/FLU5\\253769484_A", "", "0-0:96.1.4(50217)", "0-0:1.0.0(260101120000W)", *lines, "!"])
    return f"{whole}{checksum(whole):04X}\r\n" if crc else f"{whole}\r\n"


def test_a_belgian_meter_is_not_named_by_the_version_of_its_rules(tmp_path: Path) -> None:
    file = read(tmp_path, telegram("0-0:96.1.1(3153414733313030303037363134)", "1-0:1.8.1(000012.345*kWh)"))
    assert [one.point for one in file.registers] == ["1SAG3100007614"]


def test_a_damaged_line_of_a_telegram_without_checksum_is_told(tmp_path: Path) -> None:
    lines = ("1-0:1.8.1(000012.345*kWh)", "1-0:1.8.2(0000", "1-0:2.8.1(000000.000*kWh)")
    file = read(tmp_path, telegram(*lines, crc=False))
    assert (file.readings, file.stored, [(one.what, one.count) for one in file.refused]) == (3, 2, [("1-0:1.8.2", 1)])


# --- MeterReadings ------------------------------------------------------------------------------------------------


def cim(*times: str) -> str:
    """Half hours that end at ``times``, of 1, 2, 3 ... kWh, each with a quality that was given later."""
    readings = "".join(
        f"<IntervalReadings>\n<timeStamp>{time}</timeStamp><value>{value}</value><ReadingQualities>"
        '<timeStamp>2026-12-09T12:00:00Z</timeStamp><ReadingQualityType ref="2.8.0"/></ReadingQualities>'
        "</IntervalReadings>"
        for value, time in enumerate(times, 1)
    )
    return (
        "<MeterReadings><MeterReading><Meter><mRID>M1</mRID></Meter><IntervalBlocks>"
        f'{readings}<ReadingType ref="0.0.5.4.1.1.12.0.0.0.0.0.0.0.0.3.72.0"/>'
        "</IntervalBlocks></MeterReading></MeterReadings>"
    )


def test_the_time_of_a_quality_is_not_the_time_of_its_reading(tmp_path: Path) -> None:
    (channel,) = read(tmp_path, cim("2026-03-01T00:30:00Z", "2026-03-01T01:00:00Z")).channels
    assert channel.period is not None
    assert (channel.period.start, channel.series.values.tolist()) == (datetime(2026, 3, 1, tzinfo=UTC), [1000, 2000])


def test_the_hour_that_comes_twice_is_two_hours_in_local_meter_readings(tmp_path: Path) -> None:
    labels = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    file = read(tmp_path, cim(*(f"2026-10-25T{label}:00" for label in labels)), "Europe/Berlin")
    assert (file.readings, file.stored, file.channels[0].missing) == (6, 6, 0)
    assert file.channels[0].series.values.tolist() == [1000, 2000, 3000, 4000, 5000, 6000]
    assert any("summer time" in sentence for sentence in file.assumptions)


def test_an_hour_that_does_not_exist_is_refused_in_local_meter_readings(tmp_path: Path) -> None:
    refused = refusal(tmp_path, cim("2026-03-29T02:00:00", "2026-03-29T02:30:00"), "Europe/Berlin")
    assert (refused.line, "does not exist" in refused.cause) == (1, True)


# --- Parquet ------------------------------------------------------------------------------------------------------


def parquet(values: Any, starts: Any) -> bytes:  # noqa: ANN401 - the library has no types
    out = io.BytesIO()
    pq.write_table(pa.table({"start": starts, "kwh": values}), out)
    return out.getvalue()


STARTS = pa.array([1_772_323_200_000_000 + 900_000_000 * n for n in range(3)], pa.timestamp("us", "UTC"))


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.decimal128(9, 4)])
def test_a_tenth_is_a_tenth_in_every_type(tmp_path: Path, kind: Any) -> None:  # noqa: ANN401 - as above
    values = [Decimal("0.1"), None, Decimal("0.3")] if pa.types.is_decimal(kind) else [0.1, None, 0.3]
    (channel,) = read(tmp_path, parquet(pa.array(values, kind), STARTS)).channels
    assert (channel.series.values.tolist(), channel.series.decimals, channel.missing) == ([100, 0, 300], 3, 1)


def test_a_part_of_a_second_is_not_cut_off(tmp_path: Path) -> None:
    starts = pa.array([1_772_323_200_000_000 + 900_000_000 * n + 1 for n in range(3)], pa.timestamp("us", "UTC"))
    assert refusal(tmp_path, parquet(pa.array([1, 2, 3]), starts)).line == 2


# --- encodings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize(
    "content",
    [nem13(), mscons("QTY+220:1:KWH", NEW_YEAR), telegram("1-0:1.8.0(000012.345*kWh)"), cim("2026-03-01T00:30:00Z")],
    ids=["NEM13", "MSCONS", "DSMR", "CIM"],
)
def test_a_format_is_seen_in_every_encoding(tmp_path: Path, content: str, encoding: str) -> None:
    assert read(tmp_path, content.encode(encoding)).stored == 1
