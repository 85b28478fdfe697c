"""DSMR P1: telegrams of a Dutch, Belgian or Luxembourgish meter's customer port, saved one after another.

A telegram is ``/`` and the meter's type, lines of ``OBIS(value*unit)``, and ``!`` with a checksum (P1 Companion
Standard 5.0.2; CRC-16 of polynomial 0xA001 over all from ``/`` to ``!``). Its energies are registers that only grow.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import UNITS
from wattledger.readings.formats._gathered import Gathered, Grade, Register
from wattledger.readings.formats._model import FileFormat, ReadingsFile
from wattledger.readings.formats._obis import Obis
from wattledger.readings.formats._source import Source, shown

_BEGINS = re.compile(r"/[A-Za-z]{3}[0-9A-Za-z]")
_BEGINS_BYTES = re.compile(rb"^/[A-Za-z]{3}[0-9A-Za-z][^\r\n]*\r?\n(?:\r?\n)?[0-9]-[0-9]:", re.MULTILINE)
_ENDS = re.compile(r"!([0-9A-Fa-f]{4})?\s*")
_ENERGY = re.compile(r"(1-[0-9]:[0-9]{1,3}\.8\.[0-9]{1,3})\(([^()*]*)(?:\*([^()]*))?\)")
_OTHERS = re.compile(r"0-[1-9]:24\.[23]\.[0-9](?:\([^()]*\))*\(([^()*]*)\*([^()]*)\)")
_CLOCK = re.compile(r"0-0:1\.0\.0\(([0-9]{12})([WS])\)")
_ENERGY_BEGINS = re.compile(r"1-[0-9]:[0-9]{1,3}\.8\.[0-9]")
# 96.1.4 would be the version of the Belgian rules, the same in every meter.
_NAME = re.compile(r"[0-9]-0:(?:96\.1\.1|42\.0\.0)\(([0-9A-Fa-f]*)\)")
_ACTUAL = Grade(Quality.ACTUAL, "")


def looks_like_dsmr(head: bytes) -> bool:
    """Whether a telegram begins in ``head``."""
    return _BEGINS_BYTES.search(head) is not None


def checksum(text: str) -> int:
    """The CRC-16 (reflected 0x8005, from zero) of a telegram from its ``/`` to its ``!``, both included."""
    crc = 0
    for byte in text.encode("latin-1", "replace"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def read_dsmr(source: Source) -> ReadingsFile:
    """The register reads of saved telegrams; a damaged telegram is left out by name."""
    lines, note = source.lines()
    found = Gathered(source)
    if note:
        found.said[note] = None
    found.said["Times of telegrams are UTC+1 in winter and UTC+2 in summer, as their letters say."] = None
    telegram: list[str] = []
    begun = False
    unended = "the telegram is cut off: it has no line with ! at its end"
    for number, line in enumerate(lines, 1):
        if _BEGINS.match(line):
            _leave(found, telegram, number - len(telegram), unended if begun else "they stand before any telegram")
            telegram, begun = [line], True
        elif begun and (end := _ENDS.fullmatch(line)):
            _on_telegram(source, found, telegram, number - len(telegram), end[1])
            telegram, begun = [], False
        else:
            telegram.append(line)
    _leave(found, telegram, len(lines) - len(telegram) + 1, unended if begun else "they stand outside any telegram")
    found.said["Momentary values (power, voltage, current) and messages of telegrams were not read."] = None
    return found.file(FileFormat.DSMR)


def _readings_in(telegram: list[str]) -> int:
    return sum(bool(_ENERGY_BEGINS.match(line) or _OTHERS.match(line)) for line in telegram)


def _leave(found: Gathered, telegram: list[str], line: int, cause: str) -> None:
    if count := _readings_in(telegram):
        found.refuse("telegram", cause, line, count)


def _on_telegram(source: Source, found: Gathered, telegram: list[str], first: int, crc: str | None) -> None:
    # Meters end lines with CR LF, whatever the program that saved them made of it.
    if crc is not None and checksum("\r\n".join([*telegram, "!"])) != int(crc, 16):
        _leave(found, telegram, first, "the telegram's checksum is wrong: it was damaged on the way")
        return
    clock = next((match for line in telegram if (match := _CLOCK.match(line))), None)
    if clock is None:
        _leave(found, telegram, first, "the telegram does not say when it was")
        return
    try:
        zone = timezone(timedelta(hours=2 if clock[2] == "S" else 1))
        at = datetime.strptime(clock[1], "%y%m%d%H%M%S").replace(tzinfo=zone)
    except ValueError as error:
        raise source.refuse(f"{shown(clock[1])} is not a time", line=first) from error
    point = _point(telegram)
    for number, line in enumerate(telegram, first):
        if match := _ENERGY.match(line):
            code, text, unit = match[1], match[2], UNITS.get((match[3] or "").lower())
            obis = Obis.of(code)
            if obis is None or unit is None or unit.commodity is not UNITS[obis.unit].commodity:
                found.refuse(code, f"{shown(match[3] or '')} is not a unit of what {code} counts", number)
                continue
            register = Register(point, code.partition(":")[2], obis.direction, unit)
            found.read(register, at=at, text=text, grade=_ACTUAL, line=number)
        elif match := _ENERGY_BEGINS.match(line):
            found.refuse(match[0], "the line is damaged: it holds no value with its unit", number)
        elif match := _OTHERS.match(line):
            found.refuse("another meter", f"it does not measure electricity ({match[2]})", number)


def _point(telegram: list[str]) -> str:
    for line in telegram:
        if match := _NAME.match(line):
            try:
                name = bytes.fromhex(match[1]).decode("ascii").strip()
            except ValueError:
                name = match[1]
            if name:
                return name
    return telegram[0].lstrip("/")
