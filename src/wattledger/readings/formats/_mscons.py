"""MSCONS: metered values between the parties of the German-speaking markets (UN/EDIFACT; BDEW/EDI@Energy application).

A point (LOC+172), per register (LIN, PIA with its OBIS code) values (QTY) with what they are worth (220 true, 67
substitute ...) and the time they are of (DTM+163 begin, DTM+164 end; of a register's read DTM+7 or 9).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import UNITS
from wattledger.readings.formats._gathered import Gathered, Grade, Register
from wattledger.readings.formats._model import FileFormat, ReadingsFile, ZoneNeeded
from wattledger.readings.formats._obis import Obis
from wattledger.readings.formats._source import Source, shown

_QUALITIES = {
    **dict.fromkeys(("220", "79"), Quality.ACTUAL),
    "67": Quality.SUBSTITUTED,
    **dict.fromkeys(("187", "201"), Quality.ESTIMATED),
    "20": Quality.SUSPECT,
}
_UNITS = {"KWH": "kwh", "MWH": "mwh", "WHR": "wh", "KVR": "kvar", "KWT": "kw", "K3": "kvarh", "KVAR": "kvar"}
_FORMS = {"102": ("%Y%m%d", 8), "203": ("%Y%m%d%H%M", 12), "204": ("%Y%m%d%H%M%S", 14)}
_OFFSET = re.compile(r"([+-])?([0-9]{2})(?::?([0-9]{2}))?")
_READ_AT = ("7", "9", "60")


def looks_like_edifact(head: str) -> bool:
    """Whether ``head`` begins an EDIFACT interchange."""
    return re.match(r"UNA.{6}\s*UNB|UNB[^\w\s]", head, re.DOTALL) is not None


class _Segments:
    """Cuts an interchange into segments of elements of components, and knows the line of each."""

    def __init__(self, source: Source, text: str) -> None:
        text = text.lstrip("\n ")
        self._component, self._element, self.mark, self._release, self._end = ":", "+", ".", "?", "'"
        self._text, self._at = text, 0
        if text.startswith("UNA"):
            self._component, self._element, self.mark, self._release, _, self._end = tuple(text[3:9])
            self._at = 9
        if len({self._component, self._element, self._end}) < 3:  # noqa: PLR2004 - three kinds of separators
            raise source.refuse("the UNA segment names one separator twice", line=1)
        self._source = source

    def all(self) -> list[tuple[int, list[list[str]]]]:
        found = []
        line = 1 + self._text.count("\n", 0, self._at)
        elements: list[list[str]] = [[""]]
        began = line
        escaped = False
        for char in self._text[self._at :]:
            if char == "\n":
                line += 1
                continue
            if elements == [[""]]:
                began = line
            if escaped:
                elements[-1][-1] += char
                escaped = False
            elif char == self._release:
                escaped = True
            elif char == self._end:
                found.append((began, elements))
                elements = [[""]]
            elif char == self._element:
                elements.append([""])
            elif char == self._component:
                elements[-1].append("")
            else:
                elements[-1][-1] += char
        if any(any(map(str.strip, element)) for element in elements):
            raise self._source.refuse(
                "the last segment has no end: the file is incomplete", line=began, remedy="get the whole file again"
            )
        return found


class _Quantity:
    """A QTY and what follows it until the next one."""

    def __init__(self, line: int, code: str, text: str, unit: str) -> None:
        self.line, self.code, self.text, self.unit = line, code, text, unit
        self.times: dict[str, tuple[str, str]] = {}


class _Reader:
    def __init__(self, source: Source, zone: tzinfo | None) -> None:
        self.found = Gathered(source, zone=zone)
        self._source, self._zone = source, zone
        self._offset: tzinfo | None = None
        self._point = self._register = ""
        self._quantity: _Quantity | None = None
        self._message: int | None = None
        self._messages = self._groups = 0
        self._seen: set[tuple[str, str, int]] = set()

    def read(self, text: str) -> None:
        segments = _Segments(self._source, text)
        self._mark = segments.mark
        tag, line = "", 1
        elements: list[list[str]] = []
        for number, (line, elements) in enumerate(segments.all()):
            tag = elements[0][0].strip()
            self._on_segment(tag, elements, number, line)
        if tag != "UNZ":
            raise self._source.refuse(
                "the file ends without its UNZ segment: it is incomplete", line=line, remedy="get the whole file again"
            )
        told = elements[1][0].strip() if len(elements) > 1 else ""
        if self._groups == 0 and told != str(self._messages):
            raise self._source.refuse(
                f"the interchange says that it has {shown(told)} messages, and has {self._messages}",
                line=line,
                remedy="get the whole file again",
            )

    def _on_segment(  # noqa: C901, PLR0912 - one case per kind of segment
        self, tag: str, elements: list[list[str]], number: int, line: int
    ) -> None:
        def said(element: int, component: int = 0) -> str:
            found = elements[element] if element < len(elements) else []
            return found[component].strip() if component < len(found) else ""

        if tag not in {"DTM", "STS"}:
            self._close()
        match tag:
            case "UNH":
                if said(2) != "MSCONS":
                    raise self._source.refuse(f"this is EDIFACT of the kind {shown(said(2))}, not MSCONS", line=line)
                self._between_messages(line)
                self._messages += 1
                self._message, self._offset = number, None
                self._point = self._register = ""
            case "UNT":
                have = number - self._message + 1 if self._message is not None else 0
                if said(1) != str(have):
                    raise self._source.refuse(
                        f"the message says that it has {shown(said(1))} segments, and has {have}",
                        line=line,
                        remedy="get the whole file again",
                    )
                self._message = None
            case "UNZ":
                self._between_messages(line)
            case "UNG":
                self._groups += 1
            case "LOC" if said(1) == "172":
                self._point, self._register = said(2), ""
            case "LIN":
                self._register = ""
            case "PIA" if said(1) == "5":
                code = elements[2] if len(elements[1:]) > 1 else []
                self._register = ":".join(part for part in code[:2] if part != "SRW")
            case "QTY":
                self._quantity = _Quantity(line, said(1), said(1, 1), said(1, 2))
            case "DTM" if self._quantity is not None:
                self._quantity.times[said(1)] = said(1, 1), said(1, 2)
            case "DTM" if said(1) == "735":
                self._offset = _offset(said(1, 1))

    def _between_messages(self, line: int) -> None:
        if self._message is not None:
            raise self._source.refuse(
                "the message before has no UNT segment: it is incomplete", line=line, remedy="get the whole file again"
            )

    def _close(self) -> None:
        quantity, self._quantity = self._quantity, None
        if quantity is None:
            return
        found, line = self.found, quantity.line
        name = " ".join(part for part in (self._point, self._register) if part) or "values"
        obis = Obis.of(self._register)
        named = quantity.unit.upper()
        unit = UNITS.get(_UNITS.get(named, named.lower()) if named else (obis.unit if obis else ""))
        if obis is None or unit is None:
            what = f"the unit {shown(quantity.unit)}" if obis else f"the code {shown(self._register)}"
            found.refuse(name, f"{what} is not one of electrical energy", line)
            return
        quality = _QUALITIES.get(quantity.code)
        if quality is None:
            found.said[f"Values of the kind {quantity.code} count as suspect."] = None
            quality = Quality.SUSPECT
        register = Register(self._point, self._register, obis.direction, unit)
        # Thousands are never set off in EDIFACT, so a comma is a decimal sign whatever the UNA says.
        text, grade = quantity.text.replace(self._mark, ".").replace(",", "."), Grade(quality, quantity.code)
        if "163" in quantity.times and "164" in quantity.times and not obis.grows:
            start, begins = self._instant(quantity, "163", (self._point, self._register))
            end, ends = self._instant(quantity, "164", None)
            # Over a change of the clock the labels, or the instants of their first or second meaning, tell the length.
            spans = (end - start, int(ends.replace(fold=1).timestamp()) - start, _seconds(begins, ends))
            seconds = min((span for span in spans if span > 0), default=0)
            found.interval(register, start=start, seconds=seconds, text=text, grade=grade, line=line)
            return
        when = next((kind for kind in _READ_AT if kind in quantity.times), None) if obis.grows else None
        if when is None:
            found.refuse(name, "the value does not say which time it is of", line)
            return
        at = datetime.fromtimestamp(self._instant(quantity, when, None)[0], UTC)
        found.read(register, at=at, text=text, grade=grade, line=line)

    def _instant(self, quantity: _Quantity, kind: str, unique: tuple[str, str] | None) -> tuple[int, datetime]:
        """The time of ``kind`` in epoch seconds and as labelled.

        Of two equal local labels of ``unique`` in the repeated hour of autumn the second is winter time.
        """
        text, form = quantity.times[kind]
        pattern, length = _FORMS.get({"303": "203", "304": "204"}.get(form, form), ("", 0))
        digits, tail = text[:length], text[length:]
        zone = _offset(tail) if form in {"303", "304"} else self._offset or self._zone
        fits = length and digits.isdecimal() and (form in {"303", "304"} or not tail)
        try:
            wall = datetime.strptime(digits if fits else "", pattern or "%Y")  # noqa: DTZ007 - its zone is beside it
        except ValueError as error:
            cause = f"{shown(text)} is not a time of format {shown(form)}"
            raise self._source.refuse(cause, line=quantity.line) from error
        if not 1970 < wall.year < 2200:  # noqa: PLR2004 - the years a meter can mean
            raise self._source.refuse(f"{shown(text)} is no time a meter can mean", line=quantity.line)
        if zone is None:
            if form in {"303", "304"}:
                raise self._source.refuse(f"{shown(text)} has no offset", line=quantity.line)
            raise ZoneNeeded(path=self._source.path, line=quantity.line, stamp=text)
        moment = wall.replace(tzinfo=zone)
        instant = int(moment.timestamp())
        if datetime.fromtimestamp(instant, UTC).astimezone(zone).replace(tzinfo=None) != wall:
            raise self._source.refuse(f"{wall:%Y-%m-%d %H:%M} does not exist in {zone}", line=quantity.line)
        if unique is not None:
            second = int(moment.replace(fold=1).timestamp())
            if second != instant and (*unique, instant) in self._seen:
                instant = second
            self._seen.add((*unique, instant))
        return instant, moment


def _seconds(begins: datetime, ends: datetime) -> int:
    """From one label to the other on the wall."""
    return int((ends.replace(tzinfo=None) - begins.replace(tzinfo=None)).total_seconds())


def _offset(text: str) -> tzinfo | None:
    match = _OFFSET.fullmatch(text.strip())
    if not match:
        return None
    span = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return timezone(-span if match[1] == "-" else span) if span < timedelta(days=1) else None


def read_mscons(source: Source, *, zone: tzinfo | None) -> ReadingsFile:
    """The values of an MSCONS interchange; ``zone`` is that of times without an offset (formats 102 and 203).

    Raises :class:`ReadingsFileRefused` and :class:`ZoneNeeded`.
    """
    text, note = source.decoded()
    reader = _Reader(source, zone)
    if note:
        reader.found.said[note] = None
    reader.read(text)
    return reader.found.file(FileFormat.MSCONS)
