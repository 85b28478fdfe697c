"""The files of history as Delta tables, for Spark, Polars, DuckDB and others: an export, never the truth.

One table for each channel and interval length, over the very files that are stored, and one that names the series.
What lies in segments still (days that are not over, late readings not folded yet) is not in it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import sqlalchemy as sa

from wattledger.kernel import Problem, epoch
from wattledger.readings import _tables as t
from wattledger.readings._files import Folder, arrow
from wattledger.readings._memory import folder_of, head_of_or_nothing
from wattledger.store import Row, Transaction

_SERIES = "_series"


class DeltaNotInstalled(Problem):
    """The library that writes Delta tables is not there."""

    slug = "delta-not-installed"
    title = "Delta tables cannot be written here"
    status = 501


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table as it stands after publishing: files put in and taken out, and those it has."""

    uri: str
    channel: str
    seconds: int
    added: int
    removed: int
    files: int


def is_published(folder: Folder) -> bool:
    """Whether anybody has published what lies here."""
    fs = import_module("pyarrow.fs")
    return bool(folder.system.get_file_info(folder.at(f"{_SERIES}/_delta_log")).type != fs.FileType.NotFound)


def publish_delta(tx: Transaction) -> list[PublishedTable]:
    """Bring the Delta tables to what the catalogue lists.

    Files that no longer stand are taken out of the tables; ``worker.compact`` calls it before it deletes them.
    Raises :class:`DeltaNotInstalled` and ``FilesNowhere``.
    """
    try:
        deltalake = import_module("deltalake")
    except ImportError as error:
        raise DeltaNotInstalled("deltalake is not installed", remedy="pip install 'wattledger[delta]'") from error
    folder = folder_of(tx, head_of_or_nothing(tx))
    f = t.reading_file.c
    standing: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in tx.rows(sa.select(t.reading_file).where(f.kind == "current", f.retired_at.is_(None)).order_by(f.id)):
        standing[row.channel, row.seconds].append(row)
    if standing:
        _publish_series(deltalake, tx, folder)
    return [_publish(deltalake, folder, *key, rows) for key, rows in sorted(standing.items())]


def _uri(folder: Folder, path: str) -> str:
    return f"{folder.base if folder.local else folder.url.rstrip('/')}/{path}"


def _publish(deltalake: Any, folder: Folder, channel: str, seconds: int, rows: list[Row]) -> PublishedTable:  # noqa: ANN401 - a library without types
    transaction = import_module("deltalake.transaction")
    uri, cut = _uri(folder, f"{channel}/{seconds}"), len(f"{channel}/{seconds}/")
    wanted = {row.path[cut:]: row for row in rows}
    there: dict[str, dict[str, Any]] = {}
    if deltalake.DeltaTable.is_deltatable(uri):
        table = deltalake.DeltaTable(uri)
        listed = arrow().table(table.get_add_actions(flatten=True)).to_pylist()
        there = {one["path"]: one for one in listed}
    adds = [
        transaction.AddAction(
            path=path,
            size=row.bytes,
            partition_values={},
            modification_time=epoch(row.created_at) * 1000,
            data_change=True,
            stats=json.dumps({"numRecords": row.rows}),
        )
        for path, row in wanted.items()
        if path not in there
    ]
    gone = [path for path in there if path not in wanted]
    if not there and not deltalake.DeltaTable.is_deltatable(uri):
        transaction.create_table_with_add_actions(
            uri, _schema(deltalake), adds, mode="error", name=f"{channel}, {seconds} s"
        )
    elif adds or gone:
        removes = [
            transaction.RemoveAction(
                path=path, data_change=True, deletion_timestamp=max(epoch(row.created_at) for row in rows) * 1000
            )
            for path in gone
        ]
        deltalake.DeltaTable(uri).create_write_transaction([*adds, *removes], mode="append", schema=_schema(deltalake))
    return PublishedTable(uri, channel, seconds, len(adds), len(gone), len(wanted))


def _schema(deltalake: Any) -> Any:  # noqa: ANN401 - as above
    pa = arrow()
    fields = [("point", pa.int32()), ("start", pa.timestamp("us", tz="UTC")), ("wh", pa.int32())]
    fields += [("flag", pa.int8()), ("version", pa.int64())]
    return deltalake.Schema.from_arrow(pa.schema([pa.field(*field, nullable=False) for field in fields]))


def _publish_series(deltalake: Any, tx: Transaction, folder: Folder) -> None:  # noqa: ANN401 - as above
    pa = arrow()
    rows = tx.rows(sa.select(t.reading_series).order_by(t.reading_series.c.id))
    columns = {
        "point": pa.array([row.id for row in rows], pa.int32()),
        "service_point_id": pa.array([row.service_point_id for row in rows], pa.string()),
        "channel": pa.array([row.channel for row in rows], pa.string()),
        "seconds": pa.array([row.seconds for row in rows], pa.int32()),
    }
    deltalake.write_deltalake(_uri(folder, _SERIES), pa.table(columns), mode="overwrite")
