"""Parquet: our table (``_table``) with types, and other people's tables read as if they were CSV.

``start`` is a UTC timestamp, ``seconds`` an int32, ``value`` an exact decimal (null where no value is known), the rest
text. ``pyarrow`` is imported when a Parquet file is met, for it is large.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any

from wattledger.kernel import Quality
from wattledger.readings.formats._exact import MOST_DECIMALS
from wattledger.readings.formats._model import Channel
from wattledger.readings.formats._source import MOST_BYTES, Source
from wattledger.readings.formats._table import COLUMNS

BEGINS = b"PAR1"
_DIGITS = 28


def _arrow() -> tuple[Any, Any]:
    """The library and its Parquet part; it has no types."""
    return import_module("pyarrow"), import_module("pyarrow.parquet")


def parquet_bytes(channels: Sequence[Channel]) -> bytes:
    """The channels as one Parquet file."""
    pa, pq = _arrow()
    text = pa.dictionary(pa.int32(), pa.string())
    kinds = {
        "start": pa.timestamp("s", tz="UTC"),
        "seconds": pa.int32(),
        "value": pa.decimal128(_DIGITS, MOST_DECIMALS),
    }
    schema = pa.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for channel in channels:
            writer.write_table(pa.table(_columns(channel), schema=schema))
    return out.getvalue()


def _columns(channel: Channel) -> dict[str, list[Any]]:
    series = channel.series
    count = len(series)
    grades = [Quality(grade) for grade in series.qualities.tolist()]
    return {
        "point": [channel.point] * count,
        "register": [channel.register] * count,
        "direction": [channel.direction.value] * count,
        "commodity": [channel.commodity.value] * count,
        "unit": [channel.unit] * count,
        "meter_serial": [channel.meter_serial or ""] * count,
        "start": [datetime.fromtimestamp(start, UTC) for start in series.starts.tolist()],
        "seconds": [series.seconds] * count,
        "value": [
            None if grade is Quality.MISSING else Decimal(value).scaleb(-series.decimals)
            for value, grade in zip(series.values.tolist(), grades, strict=True)
        ],
        "quality": [grade.name.lower() for grade in grades],
    }


def as_csv(source: Source) -> tuple[Source, tuple[str, ...]]:
    """The Parquet file ``source`` as CSV, and what a person should know of that; row *n* is line *n* + 1.

    Raises :class:`ReadingsFileRefused` when it is damaged or no flat table.
    """
    pa, pq = _arrow()
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    floats: list[str] = []
    try:
        file = pq.ParquetFile(io.BytesIO(source.data))
        schema = file.schema_arrow
        for kind in schema:
            if pa.types.is_nested(kind.type) or pa.types.is_binary(kind.type):
                raise source.refuse(f"the column {kind.name!r} holds {kind.type}, not one value a row")
            if pa.types.is_floating(kind.type):
                floats.append(kind.name)
        writer.writerow(schema.names)
        for batch in file.iter_batches():
            columns = [_texts(pa, column) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))
            if out.tell() > MOST_BYTES:
                raise source.refuse(f"it unpacks to more than {MOST_BYTES >> 20} MiB", remedy="split it by date")
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise source.refuse(f"the Parquet file is damaged ({str(error).splitlines()[0]})") from error
    said = ["This is a Parquet file; lines are its rows, the names of the columns being the first."]
    if floats:
        said.append(f"Floating-point numbers ({', '.join(floats)}) were taken as the shortest decimals that mean them.")
    return Source(source.path, out.getvalue().encode(), source.member), tuple(said)


def _texts(pa: Any, column: Any) -> list[str]:  # noqa: ANN401 - the library has no types
    # A number of fewer bits than Python's is the shortest decimal among its own kind: 0.1, not 0.10000000149011612.
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        exact = column.to_numpy(zero_copy_only=False)
        known = column.is_valid().to_pylist()
        return [str(value) if there else "" for value, there in zip(exact, known, strict=True)]
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case datetime():
            return value.isoformat(" ")
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)
