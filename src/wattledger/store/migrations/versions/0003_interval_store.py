"""Intervals in segments and files, with every version."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DAY, _MICRO = 86_400, 1_000_000


def upgrade() -> None:
    """Create the tables, carry the days over with what was revised in them, and drop those."""
    op.create_table(
        "reading_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.BigInteger(), nullable=False),
        sa.Column("last_start", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("files", sa.Text(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_reading_head_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_head")),
    )
    op.create_table(
        "reading_series",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_series")),
        sa.UniqueConstraint(
            "service_point_id", "channel", "seconds", name=op.f("uq_reading_series_service_point_id_channel_seconds")
        ),
    )
    op.create_table(
        "reading_segment",
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("cells", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "seconds", "day", "version", name=op.f("pk_reading_segment")),
    )
    op.create_table(
        "reading_file",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('current', 'superseded')", name=op.f("ck_reading_file_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_file")),
    )
    op.create_index("ix_reading_file_span", "reading_file", ["channel", "seconds", "start", "shard"], unique=False)
    connection = op.get_bind()
    batches = connection.execute(sa.text("SELECT * FROM ingest_batch ORDER BY received_at, id")).mappings().all()
    days = connection.execute(sa.text("SELECT * FROM interval_day ORDER BY service_point_id, channel")).mappings().all()
    revisions = connection.execute(sa.text("SELECT * FROM interval_revision ORDER BY id")).mappings().all()
    op.drop_table("interval_revision")
    op.drop_table("interval_day")
    op.drop_table("ingest_batch")
    op.create_table(
        "ingest_batch",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=60), nullable=False),
        sa.Column("method", sa.String(length=60), nullable=False),
        sa.Column("rule", sa.String(length=120), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("duplicate", sa.Integer(), nullable=False),
        sa.Column("revised", sa.Integer(), nullable=False),
        sa.Column("last_start", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_batch")),
        sa.UniqueConstraint("version", name=op.f("uq_ingest_batch_version")),
    )
    op.create_index("ix_ingest_batch_received_at", "ingest_batch", ["received_at"], unique=False)
    if batches:
        _carry_over(connection, batches, days, revisions)


_Day = tuple[str, int, int]  # channel, seconds, day
_Cell = tuple[int, int]  # series, slot
_Value = tuple[int, int]  # watt-hours, quality


def _carry_over(connection: sa.Connection, batches: Any, days: Any, revisions: Any) -> None:  # noqa: ANN401 - rows
    """The first value of every interval as version 1, and each revision as a version of its own after the batches.

    Which batch brought a first value was not kept; what each revision replaced, when and by which batch, was.
    """
    keys = sorted({(d["service_point_id"], d["channel"], d["interval_seconds"]) for d in days})
    numbers = {key: number for number, key in enumerate(keys)}
    values = _values(days, numbers)
    first, given = _history(values, days, revisions, numbers)
    oldest = {**batches[0], "id": "carried over", "content_hash": "", "duplicate": 0, "source": "migration"}
    blank = dict.fromkeys(("method", "rule", "actor", "reason"), "")
    stored = sum(len(cells) for cells in first.values())
    rows = [{**oldest, **blank, "version": 1, "stored": stored, "revised": 0}]
    # A repeat of these is still known as one; what they brought stands in version 1.
    rows += [{**b, **blank, "version": n, "stored": 0, "revised": 0} for n, b in enumerate(batches, 2)]
    segments = [_segment(key, 1, cells) for key, cells in first.items() if cells]
    by_id = {b["id"]: b for b in batches}
    for version, (key, cell, value, r) in enumerate(given, len(rows) + 1):
        of = by_id.get(r["batch_id"], oldest)
        named = {"id": f"{of['id'][:90]}#{version}", "received_at": r["recorded_at"], "version": version}
        rows.append({**of, **blank, **named, "stored": 0, "revised": 1})
        segments.append(_segment(key, version, {cell: value}))
    columns = ("service_point_id", "channel", "seconds")
    _insert(connection, "reading_series", [{"id": n, **dict(zip(columns, k, strict=True))} for k, n in numbers.items()])
    _insert(connection, "reading_segment", segments)
    _insert(connection, "ingest_batch", rows)
    head = {
        "id": 1,
        "version": len(rows),
        "series": len(keys),
        "generation": 0,
        "present": sum(len(cells) for cells in values.values()),
        "last_start": max((b["last_start"] for b in batches if b["last_start"] is not None), default=None),
        "last_at": max(b["received_at"] for b in batches),
        "files": None,
    }
    _insert(connection, "reading_head", [head])


def _values(days: Any, numbers: dict[tuple[str, str, int], int]) -> dict[_Day, dict[_Cell, _Value]]:  # noqa: ANN401 - rows
    found: dict[_Day, dict[_Cell, _Value]] = defaultdict(dict)
    for d in days:
        seconds = d["interval_seconds"]
        number = numbers[d["service_point_id"], d["channel"], seconds]
        wh = struct.unpack(f"<{_DAY // seconds}i", d["wh"])
        of_day = found[d["channel"], seconds, d["day"]]
        of_day.update({(number, slot): (wh[slot], q) for slot, q in enumerate(bytes(d["quality"])) if q})
    return found


def _history(
    values: dict[_Day, dict[_Cell, _Value]],
    days: Any,  # noqa: ANN401 - rows
    revisions: Any,  # noqa: ANN401 - rows
    numbers: dict[tuple[str, str, int], int],
) -> tuple[dict[_Day, dict[_Cell, _Value]], list[tuple[_Day, _Cell, _Value, Any]]]:
    """The value that every interval had first, and those it was given after that, in order."""
    length = {(d["service_point_id"], d["channel"], d["day"]): d["interval_seconds"] for d in days}
    first = {key: dict(cells) for key, cells in values.items()}
    given: list[tuple[_Day, _Cell, _Value, Any]] = []
    last: dict[tuple[_Day, _Cell], tuple[_Value, Any]] = {}
    for r in revisions:
        start = r["start"] // _MICRO
        seconds = length[r["service_point_id"], r["channel"], start // _DAY]
        key = (r["channel"], seconds, start // _DAY)
        cell = (numbers[r["service_point_id"], r["channel"], seconds], start % _DAY // seconds)
        if (key, cell) not in last:
            first.setdefault(key, {})[cell] = r["wh_before"], r["quality_before"]
        value = (r["wh_after"], r["quality_after"])
        last[key, cell] = value, r
        given.append((key, cell, value, r))
    for (key, cell), (value, r) in last.items():
        now = values[key].get(cell, (0, 0))
        if now[1] != value[1] or (now[1] and now != value):  # taken back and brought again: that left no row
            given.append((key, cell, now, r))
    return first, given


def _segment(
    key: tuple[str, int, int], version: int, cells: dict[tuple[int, int], tuple[int, int]]
) -> dict[str, object]:
    channel, seconds, day = key
    listed = sorted((number, slot, wh, quality) for (number, slot), (wh, quality) in cells.items())
    count = len(listed)
    number, slot, wh, quality = zip(*listed, strict=True)
    packed = struct.pack("<BI", 0, count)
    packed += struct.pack(f"<{count}i", *number) + struct.pack(f"<{count}H", *slot)
    packed += struct.pack(f"<{count}i", *wh) + bytes(quality)
    columns = ("channel", "seconds", "day", "version", "readings", "cells")
    return dict(zip(columns, (channel, seconds, day, version, count, packed), strict=True))


def _insert(connection: sa.Connection, table: str, rows: list[dict[str, object]]) -> None:
    if rows:
        into = sa.table(table, *(sa.column(name) for name in rows[0]))
        connection.execute(into.insert(), rows)
