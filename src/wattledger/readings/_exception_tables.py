"""Where it is kept what checks found, and every step of what became of it."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

reading_exception = sa.Table(
    "reading_exception",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("service_point_id", sa.String(60), nullable=False),
    sa.Column("channel", sa.String(20), nullable=False),
    sa.Column("seconds", sa.Integer, nullable=False),  # length of an interval
    sa.Column("rule", sa.String(40), nullable=False),
    sa.Column("severity", sa.String(10), nullable=False),
    sa.Column("start", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("measured", sa.BigInteger, nullable=False),
    sa.Column("allowed", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("wh", sa.BigInteger, nullable=False),  # at stake
    sa.Column("money", sa.BigInteger, nullable=False),  # at stake, micro-units
    sa.Column("currency", sa.String(3)),  # none: no tariff prices it
    sa.Column("seen", sa.LargeBinary, nullable=False),  # the values when it was found, as _exceptions packs them
    sa.Column("made", sa.LargeBinary, nullable=False),  # the values that were left in their place
    sa.Column("method", sa.String(20), nullable=False),  # of an estimate
    sa.Column("proposal", sa.JSON(none_as_null=True)),  # a change that waits for a second person
    sa.Column("revision", sa.Integer, nullable=False),  # counts what changed, so that nobody decides on an old picture
    sa.Column("decided_by", sa.String(120), nullable=False),
    sa.Column("found_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Index("ix_reading_exception_queue", "state", "money", "id"),
    sa.Index("ix_reading_exception_point", "service_point_id", "channel", "start"),
    sa.Index("ix_reading_exception_end", "end"),
)

reading_validation = sa.Table(
    "reading_validation",
    metadata,
    sa.Column("day", Instant, primary_key=True),  # UTC midnight; a day that was validated when it was over
    sa.Column("validated_at", Instant, nullable=False),
)

reading_exception_step = sa.Table(
    "reading_exception_step",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("exception_id", sa.String(40), sa.ForeignKey("reading_exception.id"), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.String(120), nullable=False),
    sa.Column("action", sa.String(12), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state_before", sa.String(12)),  # none: it was found
    sa.Column("state_after", sa.String(12), nullable=False),
    sa.Column("start", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("before", sa.LargeBinary),  # the values of the stretch in the store
    sa.Column("after", sa.LargeBinary),
    sa.Column("effect", sa.BigInteger),  # on the bill, micro-units, by the tariff's price
    sa.Column("currency", sa.String(3)),
    sa.Column("batch_id", sa.String(120)),  # that brought the values
    sa.Index("ix_reading_exception_step_exception", "exception_id", "id"),
)
