"""Files that readings come in, read exactly: every reading is stored, a duplicate, or refused by name.

A room within the room: the rest of ``readings`` uses only what stands here. What a file is, is seen from its content;
its name does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

from wattledger.readings.formats import _columnar
from wattledger.readings.formats._cim import looks_like_cim, read_cim
from wattledger.readings.formats._csv import read_csv
from wattledger.readings.formats._dsmr import looks_like_dsmr, read_dsmr
from wattledger.readings.formats._espi import read_espi
from wattledger.readings.formats._model import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    NotWritable,
    ReadingsFile,
    ReadingsFileRefused,
    Refused,
    RegisterRead,
    ZoneNeeded,
)
from wattledger.readings.formats._mscons import looks_like_edifact, read_mscons
from wattledger.readings.formats._nem12 import looks_like_nem, read_nem12
from wattledger.readings.formats._nem13 import read_nem13
from wattledger.readings.formats._source import Source, sources_in
from wattledger.readings.formats._table import looks_like_table, read_table
from wattledger.readings.formats._together import together
from wattledger.readings.formats._writing import write_file

__all__ = [
    "Channel",
    "Commodity",
    "Direction",
    "FileFormat",
    "NotWritable",
    "ReadingsFile",
    "ReadingsFileRefused",
    "Refused",
    "RegisterRead",
    "ZoneNeeded",
    "read_file",
    "write_file",
]

_PEEK = 4096
_HTML = re.compile(rb"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_NEM13 = re.compile(r"\"?100\"?,\s*\"?NEM13", re.IGNORECASE)
_FOREIGN = (
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def read_file(path: Path, *, zone: tzinfo | None = None) -> ReadingsFile:
    """The readings in the file at ``path``, plain, gzipped or several in a zip, whatever format it is.

    NEM12, NEM13, Green Button (ESPI XML), MSCONS, DSMR P1 telegrams, IEC 61968-9 MeterReadings, Parquet, CSV. Intervals
    are in ``channels``; what registers that only grow showed is in ``registers``.

    ``zone`` is where the meter's clock stood, for files whose times carry no offset; files that know better ignore it.

    Raises :class:`ReadingsFileRefused`, with the line and the cause, when anything in the file cannot be trusted, and
    :class:`ZoneNeeded` when its times mean nothing without a zone. Nothing of a refused file is used.
    """
    sources = sources_in(path)
    kinds = [_kind(source) for source in sources]
    if set(kinds) == {FileFormat.NEM12}:
        return read_nem12(sources)
    files = [_read_one(source, kind, zone) for source, kind in zip(sources, kinds, strict=True)]
    return files[0] if len(files) == 1 else together(sources, files)


def _read_one(source: Source, kind: FileFormat, zone: tzinfo | None) -> ReadingsFile:
    if kind is FileFormat.PARQUET:
        table, said = _columnar.as_csv(source)
        file = _read_table_or_csv(table, zone)
        return replace(file, format=FileFormat.PARQUET, assumptions=(*said, *file.assumptions))
    return _READERS[kind](source, zone)


def _read_table_or_csv(source: Source, zone: tzinfo | None) -> ReadingsFile:
    head = _head(source.data).decode("latin-1")
    return read_table(source) if looks_like_table(head) else read_csv(source, zone=zone)


def _head(data: bytes) -> bytes:
    """How the text in ``data`` begins, a byte a character."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data[:_PEEK].decode("utf-16", "replace")
        return text.encode("latin-1", "replace")
    return data[:_PEEK].removeprefix(b"\xef\xbb\xbf")


def _kind(source: Source) -> FileFormat:
    """What a file is by how it begins; refuses by name what is known and not read."""
    head = _head(source.data).lstrip()
    if not head:
        raise source.refuse("the file is empty", line=1)
    if _HTML.match(head):
        raise source.refuse("this is a web page, not a file of readings", line=1, remedy="download the file itself")
    if source.data.startswith(_columnar.BEGINS):
        return FileFormat.PARQUET
    for begins, what in _FOREIGN:
        if head.startswith(begins):
            raise source.refuse(f"this is {what}, which is not read", line=1, remedy="give NEM12, Green Button or CSV")
    if head.startswith(b"<"):
        return FileFormat.CIM if looks_like_cim(head) else FileFormat.ESPI
    if looks_like_dsmr(head):
        return FileFormat.DSMR
    text = head.decode("latin-1")
    if looks_like_edifact(text):
        return FileFormat.MSCONS
    if _NEM13.match(text):
        return FileFormat.NEM13
    return FileFormat.NEM12 if looks_like_nem(text) else FileFormat.CSV


_READERS: dict[FileFormat, Callable[[Source, tzinfo | None], ReadingsFile]] = {
    FileFormat.NEM12: lambda source, _: read_nem12([source]),
    FileFormat.NEM13: lambda source, _: read_nem13(source),
    FileFormat.ESPI: lambda source, _: read_espi(source),
    FileFormat.DSMR: lambda source, _: read_dsmr(source),
    FileFormat.MSCONS: lambda source, zone: read_mscons(source, zone=zone),
    FileFormat.CIM: lambda source, zone: read_cim(source, zone=zone),
    FileFormat.CSV: _read_table_or_csv,
}
