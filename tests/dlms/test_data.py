"""Data to bytes and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from dlms_peers import SCALARS, TREES
from hypothesis import given
from hypothesis import strategies as st

from wattledger.dlms import (
    Bits,
    ClockStatus,
    Data,
    DateTime,
    DlmsError,
    ErrorKind,
    Tag,
    array,
    date_time,
    decode,
    decode_typed,
    encode,
    int8,
    obis,
    obis_text,
    octets,
    structure,
    uint8,
    uint32,
)


@given(data=TREES, before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_what_is_written_is_read(data: Data, before: bytes, after: bytes) -> None:
    written = encode(data)
    assert decode_typed(before + written + after, len(before)) == (data, len(before) + len(written))
    assert decode(before + written + after, len(before)) == (data.plain, len(before) + len(written))


@given(data=TREES)
def test_what_is_cut_off_is_truncated(data: Data) -> None:
    written = encode(data)
    for end in range(len(written)):
        with pytest.raises(DlmsError) as refused:
            decode(written[:end])
        assert refused.value.kind is ErrorKind.TRUNCATED


ROWS = st.tuples(st.binary(min_size=12, max_size=12).map(octets), SCALARS, st.integers(0, 1 << 31).map(uint32))


@given(rows=st.lists(ROWS, min_size=1, max_size=12), alike=st.booleans())
def test_rows_read_at_once_are_as_one_by_one(rows: list[tuple[Data, Data, Data]], alike: bool) -> None:  # noqa: FBT001
    if alike:
        rows = [(clock, rows[0][1], energy) for clock, _, energy in rows]
    data = array([structure(*row) for row in rows])
    assert decode(encode(data))[0] == data.plain == decode_typed(encode(data))[0].plain


def test_a_compact_array_is_a_list() -> None:
    kinds = b"\x02\x03\x12\x09\x01\x00\x02\x0f"  # a structure: uint16, octet-string, an array of two int8
    content = b"\x01\x02" + b"\x02ab" + b"\x05\xfb" + b"\x03\x04" + b"\x00" + b"\x06\xfa"
    written = b"\x13" + kinds + bytes((len(content),)) + content
    assert decode(written) == ([(0x102, b"ab", [5, -5]), (0x304, b"", [6, -6])], len(written))
    typed, _ = decode_typed(written)
    assert typed.plain == decode(written)[0]


@pytest.mark.parametrize("data", [uint8(256), int8(-129), uint32(-1), Data(Tag.COMPACT_ARRAY, ())])
def test_what_a_type_cannot_hold_is_refused(data: Data) -> None:
    with pytest.raises(DlmsError):
        encode(data)


def test_a_bit_string_counts_from_the_left() -> None:
    assert decode(b"\x04\x0a\xa5\x40") == (Bits(10, b"\xa5\x40"), 4)
    assert str(Bits(10, b"\xa5\x40")) == "1010010101"


@pytest.mark.parametrize("raw", ["1-0:1.8.0.255", "1-0:1.8.0", "1.0.1.8.0.255", "1-0:1.8.0*255"])
def test_an_obis_code_is_six_bytes(raw: str) -> None:
    assert obis(raw) == bytes((1, 0, 1, 8, 0, 255))
    assert obis_text(obis(raw)) == "1-0:1.8.0.255"


@pytest.mark.parametrize("raw", ["", "1.8", "1-0:1.8.0.256", "a.b.c.d.e", "1-0:1.8.0.255.1"])
def test_what_is_no_obis_code_is_refused(raw: str) -> None:
    with pytest.raises(DlmsError, match="no OBIS code"):
        obis(raw)


@given(
    at=st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)),  # noqa: DTZ001 - the zone comes next
    minutes=st.integers(-12 * 60, 12 * 60),
)
def test_an_instant_comes_back_through_the_clock(at: datetime, minutes: int) -> None:
    at = at.replace(microsecond=at.microsecond // 10_000 * 10_000, tzinfo=timezone(timedelta(minutes=minutes)))
    moment = DateTime.decode(DateTime.at(at).encoded)
    assert moment.instant() == at
    assert moment.deviation_minutes == -minutes


def test_central_european_winter_is_minus_sixty() -> None:
    winter = datetime(2026, 1, 15, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    assert DateTime.at(winter).deviation_minutes == -60
    summer = DateTime.decode(bytes.fromhex("07e7040106152023ff" + "ff8880"))
    assert summer.deviation_minutes == -120
    assert summer.status == ClockStatus.DAYLIGHT_SAVING
    assert summer.instant() == datetime(2023, 4, 1, 19, 32, 35, tzinfo=UTC)


def test_a_clock_without_deviation_is_read_with_that_of_the_place() -> None:
    moment = DateTime.decode(bytes.fromhex("07ea030c040f181eff800000"))
    assert moment.instant(deviation_minutes=-60) == datetime(2026, 3, 12, 14, 24, 30, tzinfo=UTC)
    with pytest.raises(DlmsError, match="no deviation"):
        moment.instant()


@pytest.mark.parametrize("raw", ["ffff0101ff000000ff000000", "07ea021eff000000ff000000", "07eafd01ff000000ff000000"])
def test_a_time_that_is_in_no_calendar_is_no_instant(raw: str) -> None:
    with pytest.raises(DlmsError) as refused:
        DateTime.decode(bytes.fromhex(raw)).instant()
    assert refused.value.kind is ErrorKind.MALFORMED


def test_a_date_time_travels_in_an_octet_string() -> None:
    at = DateTime.at(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    assert date_time(at) == octets(at.encoded)
    assert str(at) == "2026-03-01 12:00:00 +0 min"
