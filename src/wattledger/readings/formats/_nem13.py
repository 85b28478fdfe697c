"""NEM13, the Australian market's file of reads of accumulating registers (AEMO, NEM12 & NEM13 specification).

Records: 100 header, 250 one register's previous and current read and the quantity between, 550 transaction, 900 end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import UNITS, Unit
from wattledger.readings.formats._gathered import Gathered, Register
from wattledger.readings.formats._model import Direction, FileFormat, ReadingsFile, RegisterRead
from wattledger.readings.formats._source import Source, shown

_MARKET_TIME = timezone(timedelta(hours=10), "AEST")
_QUALITIES = {
    "A": Quality.ACTUAL,
    "E": Quality.ESTIMATED,
    "S": Quality.SUBSTITUTED,
    "F": Quality.SUBSTITUTED,
    "N": Quality.MISSING,
}
# The market's words are the network's view: E is what the network exports to the customer.
_DIRECTIONS = {"E": Direction.IMPORT, "I": Direction.EXPORT}
_LEAST = 20
"""Fields of a 250 record up to and with its unit."""


def read_nem13(source: Source) -> ReadingsFile:
    """The register reads of a NEM13 file; raises :class:`ReadingsFileRefused`."""
    lines, note = source.lines()
    found = Gathered(source)
    if note:
        found.said[note] = None
    found.said["Times are the Australian market's, UTC+10:00 all year."] = None
    found.said["The file has reads of registers, months apart; nothing says when within them the energy was used."] = (
        None
    )
    inside = ended = False
    for number, line in enumerate(lines, 1):
        fields = [cell.strip().strip('"') for cell in line.split(",")]
        if not any(fields):
            continue
        kind = fields[0]
        if inside == (kind == "100"):
            what = (
                "a 100 record stands before the 900 record that is due" if inside else "data stands outside 100 and 900"
            )
            raise source.refuse(what, line=number, remedy="get the whole file again")
        match kind:
            case "100":
                inside, ended = True, False
            case "250":
                _on_read(source, found, fields, number)
            case "550":
                pass
            case "900":
                inside, ended = False, True
            case _:
                raise source.refuse(f"{shown(kind)} is not a kind of NEM13 record", line=number)
    if not ended:
        raise source.refuse(
            "the file ends without its 900 record: it is incomplete",
            line=len(lines) - (not lines[-1]),
            remedy="get the whole file again",
        )
    return found.file(FileFormat.NEM13)


def _on_read(source: Source, found: Gathered, fields: list[str], line: int) -> None:
    if len(fields) < _LEAST:
        raise source.refuse("the 250 record ends before its unit", line=line)
    nmi, number, suffix, serial, way = (fields[i] for i in (1, 3, 4, 6, 7))
    previous, since, current, at, method, quantity, uom = (fields[i] for i in (8, 9, 13, 14, 15, 18, 19))
    unit = UNITS.get(uom.lower())
    name = f"{nmi} {suffix or number}"
    if not nmi:
        raise source.refuse("the 250 record names no NMI", line=line)
    if unit is None:
        raise source.refuse(f"{name}: the unit {shown(uom)} is not one of NEM13's", line=line)
    quality = _QUALITIES.get(method[:1].upper())
    if quality is None:
        raise source.refuse(f"{name}: {shown(method)} is not a quality method", line=line)
    begin, end = _moment(source, since, line), _moment(source, at, line)
    if begin >= end:
        raise source.refuse(f"{name}: the current read is not after the previous one", line=line)
    register = Register(nmi, suffix or number, _DIRECTIONS.get(way.upper(), Direction.UNKNOWN), _counted(unit))
    read = RegisterRead(
        point=nmi,
        register=register.name,
        direction=register.direction,
        commodity=unit.commodity,
        unit=unit.name,
        at=end,
        # The reads are what the dials show; only the quantity is in the unit.
        value=found.number(current, line),
        quality=quality,
        since=begin,
        previous=found.number(previous, line),
        quantity=found.number(quantity, line, unit.exponent),
        meter_serial=serial or None,
        code=method,
    )
    found.add(read, register, line)


def _counted(unit: Unit) -> Unit:
    return Unit(unit.commodity, unit.name, 0)


def _moment(source: Source, text: str, line: int) -> datetime:
    try:
        if len(text) in {8, 14} and text.isdecimal():
            form = "%Y%m%d%H%M%S" if len(text) == 14 else "%Y%m%d"  # noqa: PLR2004 - with its time
            return datetime.strptime(text, form).replace(tzinfo=_MARKET_TIME).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise source.refuse(f"{shown(text)} is not a time (CCYYMMDDhhmmss)", line=line)
