"""Where intervals lie: one row per point, channel and UTC day, and a row for every value that was replaced."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

interval_day = sa.Table(
    "interval_day",
    metadata,
    sa.Column("service_point_id", sa.String(60), primary_key=True),
    sa.Column("channel", sa.String(20), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),  # days since 1970-01-01 UTC
    sa.Column("interval_seconds", sa.Integer, nullable=False),
    sa.Column("present", sa.Integer, nullable=False),  # how many slots are not missing
    sa.Column("wh", sa.LargeBinary, nullable=False),  # int32, little-endian, one per slot
    sa.Column("quality", sa.LargeBinary, nullable=False),  # uint8, one per slot
    sa.Index("ix_interval_day_day", "day"),
)

interval_revision = sa.Table(
    "interval_revision",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("service_point_id", sa.String(60), nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("start", Instant, nullable=False),
    sa.Column("wh_before", sa.Integer, nullable=False),
    sa.Column("quality_before", sa.SmallInteger, nullable=False),
    sa.Column("wh_after", sa.Integer, nullable=False),
    sa.Column("quality_after", sa.SmallInteger, nullable=False),
    sa.Column("batch_id", sa.String(120), nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Index("ix_interval_revision_point", "service_point_id", "channel", "start"),
)

ingest_batch = sa.Table(
    "ingest_batch",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("source", sa.String(60), nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("duplicate", sa.Integer, nullable=False),
    sa.Column("revised", sa.Integer, nullable=False),
    sa.Column("last_start", Instant),
    sa.Index("ix_ingest_batch_received_at", "received_at"),
)
