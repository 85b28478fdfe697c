"""MeterReadings of IEC 61968-9: what head-end systems and meter data systems tell each other.

A MeterReading has a Meter or UsagePoint, Readings with a ReadingType each, and IntervalBlocks whose ReadingType holds
for all their IntervalReadings. A ReadingType is a reference of 18 numbers; a quality is *system.category.index*. The
time of an interval reading is the end of its interval.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml import DefusedXmlException
from defusedxml import sax as defused_sax

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import UNITS, Unit
from wattledger.readings.formats._gathered import Gathered, Grade, Register
from wattledger.readings.formats._model import Direction, FileFormat, ReadingsFile, ZoneNeeded
from wattledger.readings.formats._source import Source, shown

_ROOT = re.compile(rb"<(?:[\w.-]+:)?MeterReadings[\s>/]")
_TYPE = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){17}")
_PERIOD, _ACCUMULATION, _FLOW, _COMMODITY, _MULTIPLIER, _UNIT = 2, 3, 4, 5, 15, 16
_MINUTES = {"1": 10, "2": 15, "3": 1, "5": 30, "6": 5, "7": 60}
_DELTA, _GROWING = frozenset({"4"}), frozenset({"1", "3", "9"})
_ELECTRIC = frozenset({"0", "1", "2"})
_UNITS = {"72": "wh", "73": "varh", "71": "vah"}
_POWERS = {"0": 0, "3": 3, "6": 6, "9": 9}
_FLOWS = {"1": Direction.IMPORT, "19": Direction.EXPORT, "4": Direction.NET}
_OF_READINGS = frozenset({"Readings", "IntervalReadings"})
_MISSING_READ = "5.259"
_CATEGORIES = {
    **dict.fromkeys("01234", Quality.ACTUAL),
    **dict.fromkeys(("5", "6", "10"), Quality.SUSPECT),
    "7": Quality.SUBSTITUTED,
    **dict.fromkeys(("8", "11", "12"), Quality.ESTIMATED),
}
_LEAST_SURE_LAST = (Quality.ACTUAL, Quality.SUBSTITUTED, Quality.ESTIMATED, Quality.SUSPECT, Quality.MISSING)


def looks_like_cim(head: bytes) -> bool:
    """Whether a MeterReadings element begins in ``head``."""
    return _ROOT.search(head) is not None


@dataclass(slots=True)
class _Reading:
    line: int
    stamp: str = ""
    value: str = ""
    kind: str = ""
    interval: bool = False
    qualities: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Meter:
    """A MeterReading: names by whose they are, and its readings."""

    names: dict[str, str] = field(default_factory=dict)
    readings: list[_Reading] = field(default_factory=list)

    @property
    def point(self) -> str:
        order = ("UsagePoint", "UsagePoint/Names", "Meter", "Meter/Names")
        return next((self.names[key] for key in order if self.names.get(key)), "")


class _Message(ContentHandler):
    """Collects MeterReading elements from the parser's events."""

    def __init__(self) -> None:
        super().__init__()
        self.meters: list[_Meter] = []
        self._locator: Locator | None = None
        self._path: list[str] = []
        self._text: list[str] = []
        self._meter = _Meter()
        self._reading: _Reading | None = None
        self._block: list[_Reading] = []
        self._kind = ""

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - the name SAX calls
        self._locator = locator

    def where(self) -> int:
        """The line the parser is on."""
        return (self._locator.getLineNumber() if self._locator else None) or 1

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - the name SAX calls
        tag = name.rpartition(":")[2]
        self._path.append(tag)
        self._text.clear()
        match tag:
            case "MeterReading":
                self._meter = _Meter()
                self.meters.append(self._meter)
            case "IntervalBlocks":
                self._block, self._kind = [], ""
            case "Readings" | "IntervalReadings":
                self._reading = _Reading(self.where(), interval=tag == "IntervalReadings")
            case "ReadingType":
                self._on_kind(attrs.get("ref", ""))
            case "ReadingQualityType" if self._reading is not None:
                self._reading.qualities.append(attrs.get("ref", ""))

    def characters(self, content: str) -> None:
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: ARG002, C901, N802 - the signature SAX calls; a case per element
        tag = self._path.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        reading = self._reading
        match tag:
            # A quality has a timeStamp of its own: when it was given.
            case "timeStamp" if reading is not None and self._path[-1] in _OF_READINGS:
                reading.stamp = text
            case "value" if reading is not None and self._path[-1] in _OF_READINGS:
                reading.value = text
            case "ReadingType" if text:
                self._on_kind(text)
            case "mRID" | "name":
                above = self._path[-2:]
                if above[-1:] == ["Names"]:
                    self._meter.names.setdefault("/".join(above), text)
                elif above:
                    self._meter.names.setdefault(above[-1], text)
            case "IntervalReadings" if reading is not None:
                self._block.append(reading)
                self._reading = None
            case "Readings" if reading is not None:
                self._meter.readings.append(reading)
                self._reading = None
            case "IntervalBlocks":
                for one in self._block:
                    one.kind = one.kind or self._kind
                self._meter.readings += self._block
                self._block = []

    def _on_kind(self, ref: str) -> None:
        if self._reading is not None:
            self._reading.kind = self._reading.kind or ref
        else:
            self._kind = self._kind or ref


def read_cim(source: Source, *, zone: tzinfo | None) -> ReadingsFile:
    """The readings of a MeterReadings message; ``zone`` is that of times without an offset.

    Raises :class:`ReadingsFileRefused` and :class:`ZoneNeeded`.
    """
    message = _Message()
    try:
        defused_sax.parseString(source.data, message)
    except DefusedXmlException as error:
        cause = "the XML declares entities, which a file of readings has no use for"
        raise source.refuse(cause, line=message.where()) from error
    except SAXParseException as error:
        raise source.refuse(f"the XML is broken: {error.getMessage()}", line=error.getLineNumber() or 1) from error
    except (SAXException, ValueError, LookupError) as error:
        raise source.refuse(f"the XML cannot be read: {error}", line=message.where()) from error
    found = Gathered(source)
    clock = _Clock(source, found, zone)
    for meter in message.meters:
        for reading in meter.readings:
            _on_reading(source, found, meter.point, reading, clock)
    return found.file(FileFormat.CIM)


def _on_reading(source: Source, found: Gathered, point: str, reading: _Reading, clock: _Clock) -> None:
    line, kind = reading.line, reading.kind
    if not _TYPE.fullmatch(kind):
        raise source.refuse(f"the ReadingType {shown(kind)} is not 18 numbers", line=line)
    parts = kind.split(".")
    base = UNITS.get(_UNITS.get(parts[_UNIT], ""))
    power = _POWERS.get(parts[_MULTIPLIER])
    if parts[_COMMODITY] not in _ELECTRIC or base is None or power is None:
        found.refuse(kind, "it is not an energy of electricity", line)
        return
    unit = Unit(base.commodity, base.name, base.exponent + power)
    register = Register(point, kind, _FLOWS.get(parts[_FLOW], Direction.UNKNOWN), unit)
    grade = _grade(source, reading)
    at = clock.moment(reading.stamp, line, (point, kind))
    if reading.interval or parts[_ACCUMULATION] in _DELTA:
        minutes = _MINUTES.get(parts[_PERIOD])
        if minutes is None or parts[_ACCUMULATION] not in _DELTA:
            found.refuse(kind, "its values are not of intervals of 1 to 60 minutes", line)
            return
        if int(at.timestamp()) % (minutes * 60) and int(at.timestamp()) % 900:
            raise source.refuse(f"the time {shown(reading.stamp)} is off the grid of {minutes} minutes", line=line)
        found.said["Times of interval readings are the ends of their intervals, as IEC 61968-9 has them."] = None
        start = int(at.timestamp()) - minutes * 60
        known = reading.value if grade.quality is not Quality.MISSING else ""
        found.interval(register, start=start, seconds=minutes * 60, text=known, grade=grade, line=line)
    elif parts[_ACCUMULATION] in _GROWING and reading.value:
        found.read(register, at=at, text=reading.value, grade=grade, line=line)
    else:
        found.refuse(kind, "its values are neither of intervals nor of a register that only grows", line)


def _grade(source: Source, reading: _Reading) -> Grade:
    worst = Quality.ACTUAL
    for ref in reading.qualities:
        parts = ref.split(".")
        quality = _CATEGORIES.get(parts[1]) if len(parts) == 3 else None  # noqa: PLR2004 - a triple
        if quality is None:
            raise source.refuse(f"the quality {shown(ref)} is not one of the standard's", line=reading.line)
        if ref.partition(".")[2] == _MISSING_READ:
            quality = Quality.MISSING
        worst = max(worst, quality, key=_LEAST_SURE_LAST.index)
    return Grade(worst, "+".join(reading.qualities))


class _Clock:
    """Times of readings as instants; those without an offset are of ``zone``."""

    def __init__(self, source: Source, found: Gathered, zone: tzinfo | None) -> None:
        self._source, self._found, self._zone = source, found, zone
        self._seen: set[tuple[tuple[str, str], datetime]] = set()

    def moment(self, text: str, line: int, of: tuple[str, str]) -> datetime:
        """The instant ``text``; of two equal local times of the register ``of`` in autumn the second is the later."""
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                if self._zone is None:
                    raise ZoneNeeded(path=self._source.path, line=line, stamp=text)
                moment = self._local(moment, self._zone, line, of)
            moment = moment.astimezone(UTC)
            if not moment.microsecond and 1970 <= moment.year < 2200:  # noqa: PLR2004 - the years a meter can mean
                return moment
        except (ValueError, OverflowError):
            pass
        raise self._source.refuse(f"the timeStamp {shown(text)} is not a time", line=line)

    def _local(self, wall: datetime, zone: tzinfo, line: int, of: tuple[str, str]) -> datetime:
        first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
            raise self._source.refuse(f"{wall:%Y-%m-%d %H:%M} does not exist in {zone}", line=line)
        if first.utcoffset() == second.utcoffset():
            return first
        self._found.said[
            f"Of a time that {zone} has twice on {wall:%Y-%m-%d} the first in the file was taken as summer time."
        ] = None
        if (of, wall) in self._seen:
            return second
        self._seen.add((of, wall))
        return first
