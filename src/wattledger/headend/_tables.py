"""The head-end's tables. ``start``, ``end``, ``until``, ``stop`` and ``since`` are epoch seconds."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

_ID = sa.String(60)
_METER = "headend_meter.meter_id"
_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")

meter = sa.Table(
    "headend_meter",
    metadata,
    sa.Column("meter_id", _ID, primary_key=True),
    sa.Column("driver", sa.String(40), nullable=False),
    sa.Column("address", sa.String(200), nullable=False),
    sa.Column("concentrator", sa.String(60), nullable=False),
    sa.Column("companion", sa.String(20), nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("urgent", sa.Boolean, nullable=False),  # somebody waits for an answer
    sa.Column("visit_at", Instant),  # when there is something to talk about next; null: never
    sa.Column("lease", sa.String(60)),  # the visit that is under way
    sa.Column("leased_until", Instant),  # after this it is not: its process died
    sa.Column("failures", sa.Integer, nullable=False),  # visits in a row that failed
    sa.Column("not_before", Instant),  # patience after a failure
    sa.Column("fault", sa.String(20)),  # kind of the last failure; null when the last visit went well
    sa.Column("detail", sa.Text),
    sa.Column("contacted_at", Instant),
    sa.Column("clock_off", sa.BigInteger),  # seconds that the meter's clock was ahead when last read
    sa.Column("clock_read_at", Instant),
    sa.Index("ix_headend_meter_visit", "visit_at", "urgent"),
    sa.Index("ix_headend_meter_concentrator", "concentrator", "leased_until"),
)

profile = sa.Table(
    "headend_profile",
    metadata,
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), primary_key=True),
    sa.Column("profile", sa.String(40), primary_key=True),
    sa.Column("seconds", sa.Integer, nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),  # due from here on
    sa.Column("stop", sa.BigInteger),  # due up to here; null while the meter hangs on its wall
    sa.Column("until", sa.BigInteger, nullable=False),  # all before has come, but for the rows of headend_gap
    sa.Column("every", sa.Integer, nullable=False),
    sa.Column("grace", sa.Integer, nullable=False),
)

gap = sa.Table(
    "headend_gap",
    metadata,
    sa.Column("meter_id", _ID, primary_key=True),
    sa.Column("profile", sa.String(40), primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Column("asked", sa.Integer, nullable=False),  # how often the meter answered without these rows
    sa.Column("retry_at", Instant),  # null: the meter has them not, and is not asked again
    sa.ForeignKeyConstraint(["meter_id", "profile"], ["headend_profile.meter_id", "headend_profile.profile"]),
)

ask = sa.Table(
    "headend_ask",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), nullable=False),
    sa.Column("what", sa.String(20), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("done_at", Instant),
    sa.Column("answer", sa.JSON),
    sa.Column("detail", sa.Text),
    sa.CheckConstraint("state IN ('waiting', 'done', 'failed', 'expired')", name="state"),
    sa.Index("ix_headend_ask_meter", "meter_id", "state"),
)

command = sa.Table(
    "headend_command",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),  # of the meter's commands, in the order they came
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("watts", sa.BigInteger),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("actor", sa.String(120), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("accepted_at", Instant),
    sa.Column("done_at", Instant),
    sa.Column("seen", sa.String(120)),  # what was read back last
    sa.Column("detail", sa.Text),
    sa.UniqueConstraint("meter_id", "number"),
    sa.Index("ix_headend_command_state", "state", "meter_id"),
)

command_step = sa.Table(
    "headend_command_step",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("command_id", sa.String(120), sa.ForeignKey("headend_command.id"), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.String(120), nullable=False),
    sa.Column("event", sa.String(24), nullable=False),
    sa.Column("state_before", sa.String(24)),
    sa.Column("state_after", sa.String(24), nullable=False),
    sa.Column("detail", sa.Text),
    sa.Index("ix_headend_command_step_command", "command_id", "id"),
)

key = sa.Table(
    "headend_key",
    metadata,
    sa.Column("meter_id", _ID, primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),  # how often they were sent to the meter
    sa.Column("detail", sa.Text),
    sa.CheckConstraint("state IN ('new', 'active', 'retired')", name="state"),
    # At most one NEW and one ACTIVE a meter: two rotations at a time cannot be.
    sa.Index(
        "uq_headend_key_state",
        "meter_id",
        "state",
        unique=True,
        sqlite_where=sa.text("state <> 'retired'"),
        postgresql_where=sa.text("state <> 'retired'"),
    ),
)

outbound = sa.Table(
    "headend_outbound",
    metadata,
    sa.Column("meter_id", _ID, primary_key=True),
    sa.Column("next", sa.BigInteger, nullable=False),  # every number below was given out, or may have been
)

inbound = sa.Table(
    "headend_inbound",
    metadata,
    sa.Column("meter_id", _ID, primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stream", sa.String(20), primary_key=True),
    sa.Column("highest", sa.BigInteger, nullable=False),
)

event = sa.Table(
    "headend_event",
    metadata,
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), primary_key=True),
    sa.Column("log", sa.String(40), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),  # epoch seconds, by the meter's clock
    sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("read_at", Instant, nullable=False),
)

event_log = sa.Table(
    "headend_event_log",
    metadata,
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), primary_key=True),
    sa.Column("log", sa.String(40), primary_key=True),
    sa.Column("since", sa.BigInteger, nullable=False),  # events before are known
    sa.Column("every", sa.Integer, nullable=False),
    sa.Column("read_at", Instant),
)

clock_step = sa.Table(
    "headend_clock_step",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("meter_id", _ID, sa.ForeignKey(_METER), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("off", sa.BigInteger, nullable=False),  # seconds that the clock was ahead
    sa.Column("outcome", sa.String(12), nullable=False),  # set, too_far, put_off
    sa.Column("crossed", sa.Boolean, nullable=False),  # whether the step passed a boundary between intervals
    sa.Index("ix_headend_clock_step_meter", "meter_id", "id"),
)
