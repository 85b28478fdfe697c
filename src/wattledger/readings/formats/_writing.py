"""Channels written as files: all of them or nothing, strictly by the format.

What a format cannot say (a doubt in NEM12, one-minute values in the market's file) is refused by name, never bent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from wattledger.readings.formats._columnar import parquet_bytes
from wattledger.readings.formats._espi_out import espi_text
from wattledger.readings.formats._model import Channel, FileFormat, NotWritable
from wattledger.readings.formats._nem12_out import nem12_text
from wattledger.readings.formats._table import table_text

_Writer = Callable[[Path, Sequence[Channel], datetime], bytes]
_WRITERS: dict[FileFormat, _Writer] = {
    FileFormat.CSV: lambda _, channels, __: table_text(channels).encode(),
    FileFormat.PARQUET: lambda _, channels, __: parquet_bytes(channels),
    FileFormat.NEM12: lambda path, channels, written: nem12_text(path, channels, written=written).encode("ascii"),
    FileFormat.ESPI: lambda path, channels, written: espi_text(path, channels, written=written).encode(),
}
WRITTEN = tuple(_WRITERS)
"""The formats that can be written."""


def write_file(path: Path, channels: Sequence[Channel], *, to: FileFormat, written: datetime) -> int:
    """Writes ``channels`` to ``path`` and returns how many readings, those flagged missing included, that were.

    ``written`` is the instant the file says it was made at (CSV and Parquet do not say). The file appears whole or not
    at all; one of that name is replaced. What :func:`read_file` makes of it has every known reading exactly once with
    the same quality; NEM12, which is made of whole days, adds the rest of a day as missing.

    Raises :class:`NotWritable` naming the channel and what ``to`` cannot say of it, and ``OSError`` as the disk does.
    """
    for first in channels:
        if sum((other.point, other.register) == (first.point, first.register) for other in channels) > 1:
            raise NotWritable(
                path=path, channel=first.name, cause="two channels have this name", remedy="give each its own register"
            )
    writer = _WRITERS.get(to)
    if writer is None or not channels:
        cause = "there is nothing to write" if writer else f"{to.value} is read and not written"
        raise NotWritable(path=path, channel="the file", cause=cause, remedy="write CSV, Parquet, NEM12 or ESPI")
    try:
        content = writer(path, channels, written.astimezone(UTC))
    except ImportError as error:
        raise NotWritable(
            path=path, channel="the file", cause=f"{error.name} is not installed", remedy="write CSV"
        ) from error
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return sum(len(channel.series) for channel in channels)
