"""NEM12 written: 100, then per stream a 200, its days (300), their qualities (400), and 900.

Days are market days (UTC+10 all year); what a channel does not have of a day it begins is written as null data (N).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import decimal_text
from wattledger.readings.formats._model import Channel, Commodity, Direction, NotWritable

_MARKET = 36_000
_DAY = 86_400
_LENGTHS = (300, 900, 1800)
_NMI = re.compile(r"[A-HJ-NP-Z0-9]{10}")
_SERIAL = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,12}")
_SUFFIX = re.compile(r"[A-Z][A-Z0-9]")
_LONGEST = 15

# The suffix's first letter by the network's view: E and Q are what the customer takes, B and K what it gives.
_LETTERS = {
    (Commodity.ACTIVE_ENERGY, Direction.IMPORT): "ED",
    (Commodity.ACTIVE_ENERGY, Direction.EXPORT): "BA",
    (Commodity.ACTIVE_ENERGY, Direction.NET): "N",
    (Commodity.REACTIVE_ENERGY, Direction.IMPORT): "QP",
    (Commodity.REACTIVE_ENERGY, Direction.EXPORT): "KJ",
    (Commodity.REACTIVE_ENERGY, Direction.NET): "X",
}
# Method 16 is the agreed one; a substitute needs a reason code, and 0 is free text.
_METHODS = {
    Quality.ACTUAL: ("A", "", ""),
    Quality.ESTIMATED: ("E16", "", ""),
    Quality.SUBSTITUTED: ("S16", "0", "Substituted"),
    Quality.MISSING: ("N", "", ""),
}


def nem12_text(path: Path, channels: Sequence[Channel], *, written: datetime) -> str:
    """The file's text; raises :class:`NotWritable` for what the market's format cannot say."""
    local = written.astimezone(timezone(timedelta(seconds=_MARKET)))
    lines = [f"100,NEM12,{local:%Y%m%d%H%M},WATTLEDGER,WATTLEDGER"]
    taken: dict[tuple[str, str], list[Channel]] = defaultdict(list)
    suffixes = [_suffix(path, channel, taken) for channel in channels]
    for channel, suffix in zip(channels, suffixes, strict=True):
        config = "".join(dict.fromkeys(s for c, s in zip(channels, suffixes, strict=True) if c.point == channel.point))
        lines += _stream(path, channel, suffix, config, f"{local:%Y%m%d%H%M%S}")
    return "\r\n".join([*lines, "900", ""])


def _refused(path: Path, channel: Channel, cause: str, remedy: str = "write CSV or Parquet") -> NotWritable:
    return NotWritable(path=path, channel=channel.name, cause=f"NEM12 {cause}", remedy=remedy)


def _suffix(path: Path, channel: Channel, taken: dict[tuple[str, str], list[Channel]]) -> str:
    """The register's own name if it is a suffix that says the same, or else the next free one that does.

    A register in several interval lengths has one suffix, day by day; ``taken`` gets the channel under it.
    """
    direction = Direction.IMPORT if channel.direction is Direction.UNKNOWN else channel.direction
    letters = _LETTERS.get((channel.commodity, direction))
    if letters is None:
        raise _refused(
            path, channel, f"as written here holds active and reactive energy, not {channel.commodity.value}"
        )
    own = _register(channel)
    numbers = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    wanted = [own] if _SUFFIX.fullmatch(own) and own[0] in letters else []
    for suffix in (*wanted, *(letters[0] + number for number in numbers)):
        others = taken[channel.point, suffix]
        if all(_is_same(channel, other) for other in others):
            if any(np.intersect1d(_days(channel), _days(other)).size for other in others):
                raise _refused(path, channel, "says a day in intervals of one length, and this one has two")
            others.append(channel)
            return suffix
    raise _refused(path, channel, f"has no suffix left for it ({len(numbers)} are taken)")


def _register(channel: Channel) -> str:
    return channel.register.removesuffix(f" ({channel.series.seconds // 60} min)")


def _is_same(one: Channel, other: Channel) -> bool:
    """Whether two channels are one register, in intervals of two lengths."""
    facts = [(_register(c), c.commodity, c.direction, c.unit) for c in (one, other)]
    return facts[0] == facts[1] and one.register != other.register


def _days(channel: Channel) -> NDArray[np.int64]:
    return (channel.series.starts + _MARKET) // _DAY


def _stream(path: Path, channel: Channel, suffix: str, config: str, updated: str) -> list[str]:
    series = channel.series
    serial = channel.meter_serial or ""
    if not _NMI.fullmatch(channel.point):
        raise _refused(
            path,
            channel,
            f"names a point by an NMI of ten letters (no I or O) and digits, not {channel.point!r}",
            "give the channel its NMI as its point",
        )
    if serial and not _SERIAL.fullmatch(serial):
        raise _refused(path, channel, f"has meter serials of up to twelve characters, not {serial!r}")
    if series.seconds not in _LENGTHS:
        raise _refused(path, channel, f"has intervals of 5, 15 and 30 minutes, not {series.seconds // 60}")
    if (series.starts % series.seconds).any():
        raise _refused(path, channel, f"has intervals that begin at whole {series.seconds // 60} minutes")
    if (series.qualities == Quality.SUSPECT).any():
        raise _refused(path, channel, "has no word for a doubtful value", "settle the doubt first, or write CSV")
    if channel.direction is not Direction.NET and (series.values[series.qualities != Quality.MISSING] < 0).any():
        raise _refused(path, channel, f"has no negative values of {channel.direction.value} energy")
    minutes = series.seconds // 60
    lines = [f"200,{channel.point},{config},{suffix},{suffix},{suffix},{serial},{channel.unit},{minutes},"]
    local = series.starts + _MARKET
    days = _days(channel)
    slots = _DAY // series.seconds
    for day in np.unique(days).tolist():
        mine = slice(*np.searchsorted(days, (day, day + 1)).tolist())
        values, qualities = ["0"] * slots, [Quality.MISSING] * slots
        for at, value, grade in zip(
            (local[mine] % _DAY // series.seconds).tolist(),
            series.values[mine].tolist(),
            series.qualities[mine].tolist(),
            strict=True,
        ):
            qualities[at] = Quality(grade)
            values[at] = "0" if grade == Quality.MISSING else decimal_text(value, series.decimals)
            if len(values[at]) > _LONGEST + 2:
                raise _refused(path, channel, f"has values of {_LONGEST} digits, not {values[at]}")
        lines += _day(day, values, qualities, updated)
    # Every reading came by telemetry or from another file; the transaction says so, without an index read.
    return [*lines, "500,O,,,"]


def _day(day: int, values: list[str], qualities: list[Quality], updated: str) -> list[str]:
    spans: list[tuple[int, int, Quality]] = []
    for quality, run in groupby(qualities):
        first = spans[-1][1] + 1 if spans else 1
        spans.append((first, first + sum(1 for _ in run) - 1, quality))
    date = datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y%m%d")
    # A day of one quality says it itself; where it varies, 400 records say it span by span.
    method, reason, why = _METHODS[qualities[0]] if len(spans) == 1 else ("V", "", "")
    lines = [",".join(["300", date, *values, method, reason, why, updated, ""])]
    if len(spans) > 1:
        lines += [f"400,{first},{last},{','.join(_METHODS[quality])}" for first, last, quality in spans]
    return lines
