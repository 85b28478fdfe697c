"""Green Button: the ESPI information model in an Atom feed (NAESB REQ.21).

A feed holds entries, each a resource with links to others: an IntervalBlock's readings belong to a MeterReading, which
belongs to a UsagePoint and is explained by a ReadingType. Utilities differ in prefixes, hosts, slashes and in which of
the links they give, so names are taken without prefix and a link is looked for from both ends.

The file is read as a stream with ``defusedxml``, whose parser knows the line it is on and expands no entities.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import NoReturn
from urllib.parse import unquote
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import sax as defused_sax

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import LENGTHS, UNITS, BadNumber, Rows, Unit, exact, remarks, settle
from wattledger.readings.formats._model import Channel, Direction, FileFormat, ReadingsFile, Refused
from wattledger.readings.formats._rulezone import declared_zone
from wattledger.readings.formats._source import Source, shown

_RESOURCES = frozenset(
    {"UsagePoint", "MeterReading", "ReadingType", "IntervalBlock", "LocalTimeParameters", "TimeConfiguration"}
)
_ZONES = ("LocalTimeParameters", "TimeConfiguration")

# UnitSymbolKind; what is not here is not electricity or not a quantity of it.
_UNIT_CODES = {
    "72": "wh",
    "73": "varh",
    "71": "vah",
    "38": "w",
    "63": "var",
    "61": "va",
    "29": "v",
    "5": "a",
    "65": "pf",
}
_DIRECTIONS = {"1": Direction.IMPORT, "19": Direction.EXPORT, "4": Direction.NET}
_ELECTRIC = frozenset({"", "0", "1", "2"})
# AccumulationKind: 0 and none are "implied by the unit", 4 the difference over the interval, 6 and 12 momentary.
_INTERVAL_ENERGY = frozenset({"", "0", "4"})
_MOMENTARY = frozenset({"", "0", "4", "6", "12"})

_QUALITIES = {
    **dict.fromkeys(("0", "14", "17", "18", "19"), Quality.ACTUAL),
    **dict.fromkeys(("8", "9", "11", "12", "13", "15"), Quality.ESTIMATED),
    "7": Quality.SUBSTITUTED,
    **dict.fromkeys(("10", "16"), Quality.SUSPECT),
}
# Where a reading has several qualities the least sure one counts, except that 18 clears a failed check.
_LEAST_SURE_LAST = (Quality.ACTUAL, Quality.SUBSTITUTED, Quality.ESTIMATED, Quality.SUSPECT)
_VERIFIED, _FAILED = "18", "10"

_HOST = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)
_UTC_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SECONDS = re.compile(r"-?[0-9]{1,12}")
_FIRST, _LAST = 0, 7_258_118_400  # 1970 to 2200


@dataclass(slots=True)
class _Entry:
    """An Atom entry: where it lies and what it points to."""

    self: str = ""
    hrefs: list[str] = field(default_factory=list)
    related: list[str] = field(default_factory=list)
    title: str = ""
    updated: str = ""


@dataclass(slots=True)
class _Reading:
    line: int
    start: str = ""
    duration: str = ""
    value: str = ""
    qualities: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Resource:
    kind: str
    line: int
    number: int
    entry: _Entry
    fields: dict[str, str] = field(default_factory=dict)
    readings: list[_Reading] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The last part of where it lies: what the file calls it."""
        return unquote(self.entry.self.rpartition("/")[2])


def _path(href: str) -> str:
    """A link without host, query and slashes at its ends."""
    return _HOST.sub("", href.strip()).partition("?")[0].partition("#")[0].strip("/")


class _Feed(ContentHandler):
    """Collects resources from the parser's events."""

    def __init__(self) -> None:
        super().__init__()
        self.resources: list[_Resource] = []
        self.root = ""
        self.line = 1
        self._locator: Locator | None = None
        self._path: list[str] = []
        self._text: list[str] = []
        self._entry = _Entry()
        self._resource: _Resource | None = None
        self._depth = 0
        self._reading: _Reading | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - the name SAX calls
        self._locator = locator

    def where(self) -> int:
        """The line the parser is on."""
        return (self._locator.getLineNumber() if self._locator else None) or 1

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - the name SAX calls
        tag = name.rpartition(":")[2]
        self.root = self.root or tag
        self._path.append(tag)
        self._text.clear()
        if self._resource is None:
            if tag == "entry":
                self._entry = _Entry()
            elif tag == "link":
                self._on_link(attrs)
            elif tag in _RESOURCES:
                self._resource = _Resource(tag, self.where(), len(self.resources), self._entry)
                self._depth = len(self._path)
        elif tag == "IntervalReading":
            self._reading = _Reading(self.where())

    def characters(self, content: str) -> None:
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: ARG002, N802 - the signature SAX calls
        tag = self._path.pop()
        resource, reading = self._resource, self._reading
        if resource is None:
            if self._path and self._path[-1] == "entry":
                self._on_entry_text(tag)
        elif reading is not None:
            self._on_reading_text(reading, tag)
            if tag == "IntervalReading":
                resource.readings.append(reading)
                self._reading = None
        elif len(self._path) < self._depth:
            self.resources.append(resource)
            self._resource = None
        else:
            resource.fields["/".join([*self._path[self._depth :], tag])] = self._said()
        self._text.clear()

    def _said(self) -> str:
        return "".join(self._text).strip()

    def _on_link(self, attrs: AttributesImpl) -> None:
        href = _path(attrs.get("href", ""))
        if href:
            relation = attrs.get("rel", "")
            if relation == "self":
                self._entry.self = href
            else:
                self._entry.hrefs.append(href)
                if relation == "related":
                    self._entry.related.append(href)

    def _on_entry_text(self, tag: str) -> None:
        if tag == "title":
            self._entry.title = self._said()
        elif tag == "updated":
            self._entry.updated = self._said()

    def _on_reading_text(self, reading: _Reading, tag: str) -> None:
        match tag:
            case "start":
                reading.start = self._said()
            case "duration":
                reading.duration = self._said()
            case "value":
                reading.value = self._said()
            case "quality":
                reading.qualities.append(self._said())


def _parsed(source: Source) -> _Feed:
    feed = _Feed()
    try:
        defused_sax.parseString(source.data, feed)
    except DefusedXmlException as error:
        raise source.refuse(
            "the XML declares entities, which a file of readings has no use for", line=feed.where()
        ) from error
    except SAXParseException as error:
        line = error.getLineNumber() or 1
        raise source.refuse(f"the XML is broken: {error.getMessage()}", line=line) from error
    except (SAXException, ValueError, LookupError) as error:
        raise source.refuse(f"the XML cannot be read: {error}", line=feed.where()) from error
    return feed


class _Links:
    """Finds the resource of a kind that another one belongs to."""

    def __init__(self, source: Source, resources: list[_Resource]) -> None:
        self._source = source
        self._all: dict[str, list[_Resource]] = defaultdict(list)
        self._at: dict[tuple[str, str], _Resource] = {}
        self._naming: dict[tuple[str, str], list[_Resource]] = defaultdict(list)
        for resource in resources:
            where = resource.entry.self
            if where and (resource.kind, where) in self._at:
                continue  # the same resource again, as some feeds repeat it before each block
            self._all[resource.kind].append(resource)
            if where:
                self._at[resource.kind, where] = resource
            for href in resource.entry.related:
                self._naming[resource.kind, href].append(resource)

    def parent(self, kind: str, of: _Resource) -> _Resource | None:
        """The one ``of`` belongs to, ``None`` if the file has none; refuses when nothing tells which of several."""
        found = self.declared(kind, of) or self._only_or_before(kind, of)
        if found is None and self._all[kind]:
            raise self._source.refuse(f"{of.kind}: nothing tells which {kind} it belongs to", line=of.line)
        return found

    def declared(self, kind: str, of: _Resource) -> _Resource | None:
        """The one a link leads to, from either side, or that lies above it in the tree of addresses."""
        entry = of.entry
        places = [entry.self, *entry.hrefs]
        for href in entry.hrefs:
            if (kind, href) in self._at:
                return self._at[kind, href]
        for above in places:
            while above:
                above = above.rpartition("/")[0]  # noqa: PLW2901 - climbing
                if (kind, above) in self._at:
                    return self._at[kind, above]
        for href in places:
            if len(self._naming[kind, href]) == 1:
                return self._naming[kind, href][0]
        return None

    def _only_or_before(self, kind: str, of: _Resource) -> _Resource | None:
        known = self._all[kind]
        if len(known) == 1:
            return known[0]
        if of.entry.hrefs or of.entry.self:
            return None
        # Without any link only the order is left: what describes readings stands before them.
        before = [resource for resource in known if resource.number < of.number]
        return before[-1] if before else None

    def zone(self, of: _Resource | None) -> tzinfo | None:
        """The local time declared for ``of``, if the file says which it is."""
        for name in _ZONES:
            found = (self.declared(name, of) or self._only_or_before(name, of)) if of else None
            if found:
                facts = found.fields
                return declared_zone(
                    offset=facts.get("tzOffset", ""),
                    summer=facts.get("dstOffset", ""),
                    begins=facts.get("dstStartRule", ""),
                    ends=facts.get("dstEndRule", ""),
                )
        return None


@dataclass(frozen=True, slots=True)
class _Register:
    """A MeterReading understood: everything about a channel but its readings."""

    point: str
    name: str
    direction: Direction
    unit: Unit
    zone: tzinfo | None
    length: str
    quality: str
    objection: str | None
    """Why its readings are left out by name, if they are."""


def read_espi(source: Source) -> ReadingsFile:
    """The readings of a Green Button file; raises :class:`ReadingsFileRefused`."""
    feed = _parsed(source)
    groups = _by_register(source, feed.resources)
    if not groups:
        what = "a Green Button feed" if feed.root in {"feed", "entry"} else f"an XML file of <{feed.root}>"
        raise source.refuse(f"this is {what} without interval readings", line=1)
    channels: list[Channel] = []
    refused: list[Refused] = []
    said = ["Times are seconds since 1970 in UTC, as the standard has them."]
    for register, blocks in groups:
        for seconds, batch in _by_length(source, register, blocks).items():
            cause = register.objection
            if cause is None and seconds not in LENGTHS:
                cause = f"readings of {seconds} seconds are not intervals of 1 to 60 minutes"
            if cause is None:
                channel, about = _channel(source, register, batch, seconds)
                channels.append(channel)
                said += about
            else:
                refused.append(Refused(what=register.name, cause=cause, line=batch[0][1].line, count=len(batch)))
    if not channels:
        raise source.refuse(f"{refused[0].what}: {refused[0].cause}", line=refused[0].line)
    return ReadingsFile(
        path=source.path,
        format=FileFormat.ESPI,
        channels=_told_apart(channels),
        readings=sum(len(block.readings) for _, blocks in groups for block in blocks),
        refused=tuple(refused),
        assumptions=tuple(said),
    )


def _by_register(source: Source, resources: list[_Resource]) -> list[tuple[_Register, list[_Resource]]]:
    """The blocks that hold readings, under what they are readings of."""
    links = _Links(source, resources)
    meters: dict[int, _Resource] = {}
    blocks: dict[int, list[_Resource]] = defaultdict(list)
    for block in resources:
        if block.kind == "IntervalBlock" and block.readings:
            meter = links.parent("MeterReading", block) or links.parent("ReadingType", block) or block
            meters[meter.number] = meter
            blocks[meter.number].append(block)
    return [(_register(source, links, meter), blocks[number]) for number, meter in meters.items()]


def _register(source: Source, links: _Links, meter: _Resource) -> _Register:
    kind = meter if meter.kind == "ReadingType" else links.parent("ReadingType", meter)
    if kind is None:
        raise source.refuse("the file has no ReadingType: what its values count is not known", line=meter.line)
    point = links.parent("UsagePoint", meter)
    facts = kind.fields
    code, behaviour = facts.get("uom", ""), facts.get("accumulationBehaviour", "")
    unit = UNITS[_UNIT_CODES.get(code, "wh")]
    objection = None
    service = point.fields.get("ServiceCategory/kind", "") if point else ""
    if service not in {"", "0"} or facts.get("commodity", "") not in _ELECTRIC:
        objection = f"it does not measure electricity (service {service or '0'}, commodity {facts.get('commodity')})"
    elif code not in _UNIT_CODES:
        objection = f"its unit (uom {code or 'not given'}) is not one of electricity"
    elif behaviour not in (_INTERVAL_ENERGY if unit.name.endswith("h") else _MOMENTARY):
        objection = f"its values are not per interval (accumulationBehaviour {behaviour})"
    power = facts.get("powerOfTenMultiplier", "") or "0"
    if objection is None:
        if not re.fullmatch(r"-?[0-9]{1,2}", power):
            raise source.refuse(f"powerOfTenMultiplier {shown(power)} is not a power of ten", line=kind.line)
        unit = Unit(unit.commodity, unit.name, unit.exponent + int(power))
    return _Register(
        point=(point.key or point.entry.title) if point else "",
        name=meter.entry.title if meter.kind == "MeterReading" and meter.entry.title else meter.key or "readings",
        direction=_DIRECTIONS.get(facts.get("flowDirection", ""), Direction.UNKNOWN),
        unit=unit,
        zone=links.zone(point) or links.zone(meter),
        length=facts.get("intervalLength", ""),
        quality=facts.get("defaultQuality", ""),
        objection=objection,
    )


_Batch = list[tuple[int, _Reading, str]]


def _by_length(source: Source, register: _Register, blocks: list[_Resource]) -> dict[int, _Batch]:
    """The readings with their starts and their entry's update time, by length in seconds."""
    found: dict[int, _Batch] = defaultdict(list)
    for block in blocks:
        updated = block.entry.updated if _UTC_STAMP.fullmatch(block.entry.updated) else ""
        due = block.fields.get("interval/start", "")
        for reading in block.readings:
            length = reading.duration if reading.duration not in {"", "0"} else register.length
            seconds = _whole(source, length, "duration", reading.line)
            start = _whole(source, reading.start or due, "start", reading.line)
            if not _FIRST <= start < _LAST:
                raise source.refuse(f"the start {start} is not a time in seconds since 1970", line=reading.line)
            found[seconds].append((start, reading, updated))
            due = str(start + seconds)
    return found


def _whole(source: Source, text: str, what: str, line: int) -> int:
    if not _SECONDS.fullmatch(text):
        cause = f"the {what} {shown(text)} is not a whole number of seconds" if text else f"the reading has no {what}"
        raise source.refuse(cause, line=line)
    return int(text)


def _quality(source: Source, register: _Register, reading: _Reading) -> tuple[str, Quality]:
    codes = reading.qualities or [register.quality or "0"]
    for code in codes:
        if code not in _QUALITIES:
            raise source.refuse(f"the quality {shown(code)} is not one of the standard's", line=reading.line)
    meant = [code for code in codes if code != _FAILED] if _VERIFIED in codes else codes
    worst = max((_QUALITIES[code] for code in meant), key=_LEAST_SURE_LAST.index)
    return "+".join(codes), worst


def _channel(source: Source, register: _Register, batch: _Batch, seconds: int) -> tuple[Channel, list[str]]:
    unit = register.unit
    name = " ".join(part for part in (register.point, register.name) if part)
    try:
        numbers = exact([reading.value or "0" for _, reading, _ in batch], exponent=unit.exponent)
    except BadNumber as bad:
        _refuse_value(source, name, bad, batch)
    graded = [_quality(source, register, reading) for _, reading, _ in batch]
    order = {updated: rank for rank, updated in enumerate(sorted({updated for _, _, updated in batch}))}
    rows = Rows(
        starts=np.array([start for start, _, _ in batch], dtype=np.int64),
        qualities=np.array(
            [
                quality if reading.value else Quality.MISSING
                for (_, quality), (_, reading, _) in zip(graded, batch, strict=True)
            ],
            dtype=np.uint8,
        ),
        lines=np.array([reading.line for _, reading, _ in batch], dtype=np.int64),
        ranks=np.array([order[updated] for _, _, updated in batch], dtype=np.int64),
    )
    settled = settle(source, name, rows, numbers, seconds=seconds)
    about = remarks(name, settled, numbers)
    direction, below = register.direction, np.flatnonzero(numbers.values < 0)
    if len(below) and direction is not Direction.NET and unit.name.endswith("h"):
        about.append(
            f"{name}: values below zero, the first in line {batch[below[0]][1].line}, make it net energy, though its "
            f"direction is {direction.value}: {len(below):,}."
        )
        direction = Direction.NET
    channel = Channel(
        point=register.point,
        register=register.name,
        direction=direction,
        commodity=unit.commodity,
        unit=unit.name,
        series=settled.series,
        zone=register.zone,
        duplicates=settled.duplicates,
        superseded=settled.superseded,
        codes=dict(Counter(code for code, _ in graded)),
    )
    return channel, about


def _refuse_value(source: Source, name: str, bad: BadNumber, batch: _Batch) -> NoReturn:
    raise source.refuse(f"{name}: value: {bad.cause}", line=batch[bad.index][1].line) from bad


def _told_apart(channels: list[Channel]) -> tuple[Channel, ...]:
    """The channels, those of one name with their interval length (and then a number) added to it."""
    twice = _clashes(channels)
    channels = [
        replace(channel, register=f"{channel.register} ({channel.series.seconds // 60} min)")
        if channel.name in twice
        else channel
        for channel in channels
    ]
    twice = _clashes(channels)
    return tuple(
        replace(channel, register=f"{channel.register} #{number}") if channel.name in twice else channel
        for number, channel in enumerate(channels, 1)
    )


def _clashes(channels: list[Channel]) -> set[str]:
    return {name for name, count in Counter(channel.name for channel in channels).items() if count > 1}
