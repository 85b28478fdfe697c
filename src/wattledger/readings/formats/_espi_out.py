"""Green Button written: an Atom feed of resources that are valid by the standard's schema (NAESB REQ.21, espi.xsd)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import UNITS
from wattledger.readings.formats._model import Channel, Commodity, Direction, NotWritable
from wattledger.readings.formats._rulezone import RuleZone

_DAY = 86_400
_INT48 = 2**47
_CODES = {
    Commodity.ACTIVE_ENERGY: ("72", "wh"),
    Commodity.REACTIVE_ENERGY: ("73", "varh"),
    Commodity.APPARENT_ENERGY: ("71", "vah"),
    Commodity.ACTIVE_POWER: ("38", "w"),
    Commodity.REACTIVE_POWER: ("63", "var"),
    Commodity.APPARENT_POWER: ("61", "va"),
    Commodity.VOLTAGE: ("29", "v"),
    Commodity.CURRENT: ("5", "a"),
    Commodity.POWER_FACTOR: ("65", "pf"),
}
_FLOWS = {Direction.UNKNOWN: "0", Direction.IMPORT: "1", Direction.NET: "4", Direction.EXPORT: "19"}
_QUALITIES = {Quality.ACTUAL: "0", Quality.ESTIMATED: "8", Quality.SUBSTITUTED: "7", Quality.SUSPECT: "10"}
_UNSAYABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_RULE = "FFFFFFFF"


def espi_text(path: Path, channels: Sequence[Channel], *, written: datetime) -> str:
    """The feed's text; raises :class:`NotWritable` for what the standard cannot say."""
    for channel in channels:
        _check(path, channel)
    return "\n".join(_lines(channels, written.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))


def _check(path: Path, channel: Channel) -> None:
    known = channel.series.values[channel.series.qualities != Quality.MISSING]
    energy = channel.commodity.value.endswith("energy")
    cause = None
    if not channel.point or not channel.register:
        cause = "Green Button needs a point and a register with names"
    elif _UNSAYABLE.search(channel.point + channel.register) or channel.register != channel.register.strip():
        cause = "its name has characters that XML cannot keep"
    elif len(known) and int(np.abs(known).max()) >= _INT48:
        cause = "a value is larger than Green Button's 48 bits"
    elif energy and channel.direction is not Direction.NET and (known < 0).any():
        cause = f"Green Button has no negative values of {channel.direction.value} energy"
    if cause:
        raise NotWritable(path=path, channel=channel.name, cause=cause)


def _entry(href: str, title: str, updated: str, content: str, *related: str) -> str:
    links = "".join(f'<link rel="related" href={quoteattr(link)}/>' for link in related)
    return (
        f"<entry><id>urn:uuid:{uuid5(NAMESPACE_URL, href)}</id>"
        f'<link rel="self" href={quoteattr(href)}/><link rel="up" href={quoteattr(href.rpartition("/")[0])}/>{links}'
        f"<title>{escape(title)}</title><published>{updated}</published><updated>{updated}</updated>"
        f"<content>{content}</content></entry>"
    )


def _lines(channels: Sequence[Channel], updated: str) -> Iterator[str]:
    root = "/espi/1_1/resource"
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<feed xmlns="http://www.w3.org/2005/Atom">'
    yield f"<id>urn:uuid:{uuid5(NAMESPACE_URL, root + updated)}</id><title>Green Button Usage Feed</title>"
    yield f'<updated>{updated}</updated><link rel="self" href="{root}/Batch/Subscription/1"/>'
    for number, (point, mine) in enumerate(_by_point(channels).items(), 1):
        place = f"{root}/Subscription/1/UsagePoint/{quote(point, safe='')}"
        clock = _clock(mine[0].zone)
        zone = f"{root}/LocalTimeParameters/{number}"
        yield _entry(
            place,
            point,
            updated,
            '<UsagePoint xmlns="http://naesb.org/espi"><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>',
            f"{place}/MeterReading",
            *([zone] if clock else []),
        )
        if clock:
            yield _entry(zone, "Local time", updated, clock)
        for register, channel in enumerate(mine, 1):
            yield from _register(
                channel, f"{place}/MeterReading/{register}", f"{root}/ReadingType/{number}-{register}", updated
            )
    yield "</feed>"
    yield ""


def _by_point(channels: Sequence[Channel]) -> dict[str, list[Channel]]:
    found: dict[str, list[Channel]] = {}
    for channel in channels:
        found.setdefault(channel.point, []).append(channel)
    return found


def _register(channel: Channel, meter: str, kind: str, updated: str) -> Iterator[str]:
    series = channel.series
    code, unit = _CODES[channel.commodity]
    energy = channel.commodity.value.endswith("energy")
    # Values count 10**-decimals of the house unit; the standard's unit is the bare one (Wh), a power of ten from it.
    power = -series.decimals - UNITS[unit].exponent
    facts = (
        f'<ReadingType xmlns="http://naesb.org/espi"><accumulationBehaviour>{"4" if energy else "6"}'
        f"</accumulationBehaviour><commodity>1</commodity><flowDirection>{_FLOWS[channel.direction]}</flowDirection>"
        f"<intervalLength>{series.seconds}</intervalLength><powerOfTenMultiplier>{power}</powerOfTenMultiplier>"
        f"<uom>{code}</uom></ReadingType>"
    )
    yield _entry(
        meter,
        channel.register,
        updated,
        '<MeterReading xmlns="http://naesb.org/espi"/>',
        f"{meter}/IntervalBlock",
        kind,
    )
    yield _entry(kind, channel.register, updated, facts)
    days = series.starts // _DAY
    for number, day in enumerate(np.unique(days).tolist(), 1):
        mine = slice(*np.searchsorted(days, (day, day + 1)).tolist())
        starts = series.starts[mine].tolist()
        readings = "".join(
            _reading(start, series.seconds, value, Quality(grade))
            for start, value, grade in zip(
                starts, series.values[mine].tolist(), series.qualities[mine].tolist(), strict=True
            )
        )
        block = (
            '<IntervalBlock xmlns="http://naesb.org/espi"><interval>'
            f"<duration>{starts[-1] + series.seconds - starts[0]}</duration><start>{starts[0]}</start></interval>"
            f"{readings}</IntervalBlock>"
        )
        yield _entry(f"{meter}/IntervalBlock/{number}", "", updated, block)


def _reading(start: int, seconds: int, value: int, quality: Quality) -> str:
    known = quality is not Quality.MISSING
    grade = f"<ReadingQuality><quality>{_QUALITIES[quality]}</quality></ReadingQuality>" if known else ""
    return (
        f"<IntervalReading>{grade}<timePeriod><duration>{seconds}</duration><start>{start}</start></timePeriod>"
        f"{f'<value>{value}</value>' if known else ''}</IntervalReading>\n"
    )


def _clock(zone: tzinfo | None) -> str:
    """LocalTimeParameters for a zone that is a rule; nothing for one that is a name, whose rules change by year."""
    if isinstance(zone, RuleZone):
        standard, summer, begins, ends = zone.declared()
    elif isinstance(zone, timezone):
        standard, summer, begins, ends = int(zone.utcoffset(None) / timedelta(seconds=1)), 0, _NO_RULE, _NO_RULE
    else:
        return ""
    return (
        f'<LocalTimeParameters xmlns="http://naesb.org/espi"><dstEndRule>{ends}</dstEndRule><dstOffset>{summer}'
        f"</dstOffset><dstStartRule>{begins}</dstStartRule><tzOffset>{standard}</tzOffset></LocalTimeParameters>"
    )
