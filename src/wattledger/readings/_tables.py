"""Where intervals lie: batches with their versions, segments that have just come, and the catalogue of files."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

reading_head = sa.Table(
    "reading_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # there is one row: whoever ingests locks it
    sa.Column("version", sa.BigInteger, nullable=False),  # of the last batch
    sa.Column("series", sa.Integer, nullable=False),  # how many there are; they are numbered from 0
    sa.Column("generation", sa.BigInteger, nullable=False),  # counts changes of the catalogue
    sa.Column("present", sa.BigInteger, nullable=False),  # how many intervals have a value now
    sa.Column("last_start", Instant),
    sa.Column("last_at", Instant),
    sa.Column("files", sa.Text),  # where files lie, if not beside the database: a folder or any pyarrow.fs URL
    sa.CheckConstraint("id = 1", name="one"),
)

reading_series = sa.Table(
    "reading_series",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("service_point_id", sa.String(60), nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("seconds", sa.Integer, nullable=False),  # length of an interval
    sa.UniqueConstraint("service_point_id", "channel", "seconds"),
)

ingest_batch = sa.Table(
    "ingest_batch",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False, unique=True),
    sa.Column("source", sa.String(60), nullable=False),
    sa.Column("method", sa.String(60), nullable=False),  # how values that no meter read were made
    sa.Column("rule", sa.String(120), nullable=False),
    sa.Column("actor", sa.String(120), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("duplicate", sa.Integer, nullable=False),
    sa.Column("revised", sa.Integer, nullable=False),
    sa.Column("last_start", Instant),
    sa.Index("ix_ingest_batch_received_at", "received_at"),
)

reading_segment = sa.Table(
    "reading_segment",
    metadata,
    sa.Column("channel", sa.String(20), primary_key=True),
    sa.Column("seconds", sa.Integer, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),  # days since 1970-01-01 UTC
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("readings", sa.Integer, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),  # as _segments packs them
)

register_read = sa.Table(
    "register_read",
    metadata,
    sa.Column("service_point_id", sa.String(60), primary_key=True),
    sa.Column("channel", sa.String(20), primary_key=True),
    sa.Column("at", Instant, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),  # of the batch that brought it
    sa.Column("wh", sa.BigInteger, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),  # watt-hours of its last digit
    sa.Column("meter", sa.String(60), nullable=False),  # whose register it is
)

reading_file = sa.Table(
    "reading_file",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("seconds", sa.Integer, nullable=False),
    sa.Column("start", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("shard", sa.Integer, nullable=False),  # which stretch of series
    sa.Column("path", sa.Text, nullable=False),  # below where files lie
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("series", sa.Integer, nullable=False),  # how many
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),  # of the last batch that is folded into it
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("retired_at", Instant),  # another file stands for it since; to be deleted
    sa.Index("ix_reading_file_span", "channel", "seconds", "start", "shard"),
    sa.CheckConstraint("kind IN ('current', 'superseded')", name="kind"),
)
