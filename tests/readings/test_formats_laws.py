"""What holds for every file: written and read back it is equal, and whatever is broken in it ends in a refusal."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wattledger.kernel import IntervalSeries, Problem, Quality
from wattledger.readings.formats import ReadingsFile, read_file

Read = Callable[..., ReadingsFile]
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("laws") / "readings"

    def written_and_read(content: str | bytes, zone: tzinfo | None = UTC) -> ReadingsFile:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_file(path, zone=zone)

    return written_and_read


@dataclass
class Made:
    """A series as it should be read: (start, value in 10**-decimals kWh or None)."""

    readings: list[tuple[int, int | None]]
    seconds: int
    decimals: int

    def text(self, value: int | None, missing: str = "") -> str:
        return missing if value is None else format(Decimal(value).scaleb(-self.decimals), "f")

    def equals(self, series: IntervalSeries) -> bool:
        """Whether ``series`` is this one; its decimals may be fewer where all values end in zeros, never below 3."""
        scale = 10 ** (self.decimals - series.decimals)
        known = series.qualities != Quality.MISSING
        return (
            series.starts.tolist() == [start for start, _ in self.readings]
            and known.tolist() == [value is not None for _, value in self.readings]
            and [v * scale for v in series.values[known].tolist()] == [v for _, v in self.readings if v is not None]
            and series.seconds == self.seconds
        )


@st.composite
def series(draw: st.DrawFn, lengths: tuple[int, ...] = (60, 300, 600, 900, 1800, 3600)) -> Made:
    seconds, decimals = draw(st.sampled_from(lengths)), draw(st.integers(3, 9))
    first = draw(st.integers(20_000, 20_600)) * 86_400 + draw(st.integers(0, 86_400 // seconds - 1)) * seconds
    # Neighbours enough for the length to be seen, and gaps between them.
    slots = sorted({0, 1, 2, 3, *draw(st.sets(st.integers(4, 40), max_size=7))})
    known = st.integers(0, 10 ** (decimals + 2))
    values = [draw(known), *(draw(st.one_of(st.none(), known)) for _ in slots[1:])]
    return Made([(first + slot * seconds, value) for slot, value in zip(slots, values, strict=True)], seconds, decimals)


# --- tables -------------------------------------------------------------------------------------------------------

FORMS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M", "%Y%m%d %H%M", "%d-%b-%Y %H:%M",
         "%d %B %Y %I:%M %p", "%Y-%m-%d %H:%M:%S.000"]  # fmt: skip


@given(
    made=series(),
    form=st.sampled_from(FORMS),
    style=st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")]),
    names=st.sampled_from([("start", "kWh"), ("Datum", "Verbrauch kWh"), ("", "KWH/hh (per half hour) "), None]),
    missing=st.sampled_from(["", "NaN", "Null", "-"]),
    twice=st.integers(0, 3),
    mixer=st.randoms(use_true_random=False),
)
def test_a_table_reads_back_equal(
    read: Read,
    made: Made,
    form: str,
    style: tuple[str, str],
    names: tuple[str, str] | None,
    missing: str,
    twice: int,
    mixer: random.Random,
) -> None:
    delimiter, mark = style
    rows = [
        f"{datetime.fromtimestamp(start, UTC):{form}}{delimiter}{made.text(value, missing).replace('.', mark)}"
        for start, value in made.readings
    ]
    rows += rows[:twice]
    mixer.shuffle(rows)
    file = read("\r\n".join([*([delimiter.join(names)] if names else []), *rows]))
    assert made.equals(file.channels[0].series)
    assert (file.readings, file.stored, file.duplicates) == (len(rows), len(made.readings), twice)


def local_table(made: Made, *, falling: bool, offset: bool) -> str:
    rows = []
    for start, value in made.readings:
        at = datetime.fromtimestamp(start, BERLIN)
        rows.append(f"{at.isoformat() if offset else at.strftime('%Y-%m-%d %H:%M')},{made.text(value)}")
    return "\n".join(["start,kwh", *(reversed(rows) if falling else rows)])


@given(made=series(lengths=(300, 900, 1800, 3600)), falling=st.booleans(), offset=st.booleans())
def test_a_local_clock_reads_back_equal(read: Read, made: Made, falling: bool, offset: bool) -> None:  # noqa: FBT001
    walls = [datetime.fromtimestamp(start, BERLIN).replace(fold=0) for start, _ in made.readings]
    # One label alone in the hour that autumn doubles says not which of the two it is; whole runs come below.
    assume(offset or all(wall.utcoffset() == wall.replace(fold=1).utcoffset() for wall in walls))
    file = read(local_table(made, falling=falling, offset=offset), None if offset else BERLIN)
    assert made.equals(file.channels[0].series)


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("seconds", [300, 900, 1800, 3600])
@pytest.mark.parametrize("change", [1_711_846_800, 1_729_990_800])
def test_a_run_over_a_clock_change_reads_back_equal_wherever_it_begins(
    read: Read,
    change: int,
    seconds: int,
    falling: bool,  # noqa: FBT001
) -> None:
    for before in range(0, 3 * 3600, seconds):
        count = (before + 2 * 3600) // seconds
        made = Made([(change - before + i * seconds, i) for i in range(max(count, 3))], seconds, 3)
        file = read(local_table(made, falling=falling, offset=False), BERLIN)
        assert made.equals(file.channels[0].series), before


@given(made=series(), unit=st.sampled_from([("Wh", 3), ("MWh", -3)]))
def test_the_unit_changes_the_writing_not_the_energy(read: Read, made: Made, unit: tuple[str, int]) -> None:
    name, shift = unit
    rows = [
        f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M},"
        + ("" if value is None else format(Decimal(value).scaleb(shift - made.decimals), "f"))
        for start, value in made.readings
    ]
    assert made.equals(read("\n".join([f"start,{name}", *rows])).channels[0].series)


# --- NEM12 --------------------------------------------------------------------------------------------------------

LETTERS = {"A": Quality.ACTUAL, "E52": Quality.ESTIMATED, "S14": Quality.SUBSTITUTED, "N": Quality.MISSING}


@st.composite
def market_days(draw: st.DrawFn) -> tuple[int, int, dict[int, tuple[list[int], list[str]]]]:
    """Minutes, decimals, and by day the values with their quality methods."""
    minutes, decimals = draw(st.sampled_from([5, 15, 30])), draw(st.integers(3, 6))
    slots = 1440 // minutes
    seed = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - test data
    days = {}
    for day in draw(st.sets(st.integers(19_000, 19_020), min_size=1, max_size=4)):
        flags = list(LETTERS) if draw(st.booleans()) else [draw(st.sampled_from(list(LETTERS)))]
        methods = [flags[slot * len(flags) // slots] for slot in range(slots)]
        days[day] = ([seed.randrange(10**decimals * 3) for _ in range(slots)], methods)
    return minutes, decimals, days


@given(made=market_days(), mixer=st.randoms(use_true_random=False))
def test_nem12_reads_back_equal(
    read: Read, made: tuple[int, int, dict[int, tuple[list[int], list[str]]]], mixer: random.Random
) -> None:
    minutes, decimals, days = made
    lines = ["100,NEM12,202407020000,MDP,RET", f"200,NMI,E1,1,E1,N1,M,kWh,{minutes},"]
    order = list(days)
    mixer.shuffle(order)
    for day in order:
        values, methods = days[day]
        date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y%m%d")
        texts = [format(Decimal(value).scaleb(-decimals), "f") for value in values]
        varied = len(set(methods)) > 1
        lines.append(",".join(["300", date, *texts, "V" if varied else methods[0], "", "", "", ""]))
        if varied:
            for method in dict.fromkeys(methods):
                first = methods.index(method) + 1
                lines.append(f"400,{first},{first + methods.count(method) - 1},{method},,")
    file = read("\r\n".join([*lines, "900"]))
    found = file.channels[0].series
    scale = 10 ** (decimals - found.decimals)
    expected = [
        (day * 86_400 - 36_000 + slot * minutes * 60, 0 if method == "N" else value, LETTERS[method])
        for day in sorted(days)
        for slot, (value, method) in enumerate(zip(*days[day], strict=True))
    ]
    assert found.starts.tolist() == [start for start, _, _ in expected]
    assert (found.values * scale).tolist() == [value for _, value, _ in expected]
    assert found.qualities.tolist() == [quality for _, _, quality in expected]
    assert file.readings == file.stored == len(expected)


# --- Green Button -------------------------------------------------------------------------------------------------


@given(made=series(), mixer=st.randoms(use_true_random=False), prefix=st.sampled_from(["", "espi:"]))
def test_green_button_reads_back_equal(read: Read, made: Made, mixer: random.Random, prefix: str) -> None:
    readings = [
        f"<{prefix}IntervalReading><{prefix}timePeriod><{prefix}duration>{made.seconds}</{prefix}duration>"
        f"<{prefix}start>{start}</{prefix}start></{prefix}timePeriod>"
        + ("" if value is None else f"<{prefix}value>{value}</{prefix}value>")
        + f"</{prefix}IntervalReading>"
        for start, value in made.readings
    ]
    mixer.shuffle(readings)
    blocks = [f"<{prefix}IntervalBlock>{one}</{prefix}IntervalBlock>" for one in readings]
    facts = (
        f"<{prefix}uom>72</{prefix}uom><{prefix}powerOfTenMultiplier>{3 - made.decimals}</{prefix}powerOfTenMultiplier>"
    )
    file = read(
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:espi="http://naesb.org/espi">'
        f"<entry><content><{prefix}ReadingType>{facts}</{prefix}ReadingType></content></entry>"
        f"<entry><content>{''.join(blocks)}</content></entry></feed>"
    )
    assert made.equals(file.channels[0].series)
    assert file.readings == file.stored == len(readings)


# --- whatever comes -----------------------------------------------------------------------------------------------

_HOURS = "".join(f"2024-10-27 {i // 2:02}:{i % 2 * 30:02},0.{i:02}\n" for i in range(48))
_DAY = ",".join(["1.25"] * 48)
WHOLE = [
    f"start,kwh\n{_HOURS}".encode(),
    (
        "meter;Datum;Uhrzeit;Wert;Einheit;Status\n"
        + "".join(f"A;01.02.2024;{i:02}:00;1,{i};kWh;A\n" for i in range(24))
    ).encode(),
    f"100,NEM12,202407020000,A,B\n200,N,E1,1,E1,,S,kWh,30,\n300,20240701,{_DAY},V,,,20240702000000,\n"
    f"400,1,20,A,,\n400,21,48,S14,1,\n300,20240702,{_DAY},A,,,,\n500,O,S1,20240702,\n900\n".encode(),
    (
        b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="self" href="/R/1"/><content><ReadingType>'
        b"<uom>72</uom></ReadingType></content></entry><entry><content><IntervalBlock><interval><start>0</start></interval>"
        b"<IntervalReading><timePeriod><duration>900</duration><start>1700000100</start></timePeriod><value>5</value>"
        b"<ReadingQuality><quality>8</quality></ReadingQuality></IntervalReading></IntervalBlock></content></entry></feed>"
    ),
]
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b",", b";", b"\n", b'"', b"\0", b"-", b"9" * 30, b"e99", b"\xff\xfe", b"<a>", b"</a>", b"&x;",
                     b"V", b"24:00", b"\xc2\xa0", b"300,", b"1e-9", b"00:00", b"2024-03-31 02:30,1\n", b"Infinity",
                     b"NaN", b" " * 50]),
)  # fmt: skip


def harmless(read: Read, content: bytes, zone: tzinfo | None = BERLIN) -> None:
    """Reads, or refuses with a Problem; anything else is an error in the reader."""
    try:
        file = read(content, zone)
    except Problem:
        return
    assert file.readings == file.stored + file.duplicates + file.refused_count
    assert all(np.diff(channel.series.starts).min(initial=60) >= 60 for channel in file.channels)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused(read: Read, content: bytes) -> None:
    harmless(read, content)


@given(
    st.sampled_from(
        [b"PK\x03\x04", b"\x1f\x8b\x08", b"<", b"100,NEM12,", b"start,kwh\n", b"\xff\xfe", b"\xef\xbb\xbf"]
    ),
    st.binary(max_size=200),
)
@settings(max_examples=200)
def test_a_known_beginning_and_any_bytes_are_read_or_refused(read: Read, begins: bytes, content: bytes) -> None:
    harmless(read, begins + content)


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=6))
@settings(max_examples=200)
def test_a_good_file_with_anything_changed_is_read_or_refused(
    read: Read, whole: bytes, changes: list[tuple[float, int, bytes]]
) -> None:
    for where, length, piece in changes:
        begin = int(where * len(whole))
        whole = whole[:begin] + piece + whole[begin + length :]
    harmless(read, whole)


@given(st.text(alphabet='0123456789,;-:/. \n"eTZ+naPMstkwh', max_size=200))
@settings(max_examples=200)
def test_any_text_like_a_table_is_read_or_refused(read: Read, text: str) -> None:
    harmless(read, f"start,kwh\n2024-01-01 00:00,1\n2024-01-01 00:30,1\n{text}".encode())
    harmless(read, text.encode())


def test_the_good_files_of_the_fuzz_are_good(read: Read) -> None:
    assert [read(whole, BERLIN).stored for whole in WHOLE] == [48, 24, 96, 1]
