"""The state of every supply and the commands that changed it."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

supply = sa.Table(
    "supply",
    metadata,
    sa.Column("service_point_id", sa.String(60), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(40)),
    sa.Column("since", Instant),
    sa.CheckConstraint("state IN ('on', 'off', 'disconnecting', 'reconnecting')", name="state"),
)

supply_command = sa.Table(
    "supply_command",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("service_point_id", sa.String(60), sa.ForeignKey("supply.service_point_id"), nullable=False),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("cause", sa.String(120), nullable=False),  # what asked for it: a recharge's id, a fact's
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("done_at", Instant),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text),
    sa.CheckConstraint("action IN ('disconnect', 'reconnect')", name="action"),
    sa.CheckConstraint("state IN ('waiting', 'sent', 'confirmed', 'void', 'failed')", name="state"),
    sa.Index("ix_supply_command_state", "state", "not_before"),
    sa.Index("ix_supply_command_service_point_id", "service_point_id", "state"),
    sa.Index("ix_supply_command_cause", "cause"),
)

cut_off_hours = sa.Table(
    "cut_off_hours",
    metadata,
    sa.Column("valid_from", Instant, primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

protection = sa.Table(
    "protection",
    metadata,
    sa.Column("contract_id", sa.String(60), primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("watts", sa.Integer),
    sa.Column("reason", sa.String(120), nullable=False),
    sa.Column("until", Instant),
    sa.CheckConstraint("kind IN ('never', 'limited')", name="kind"),
)

cut_off_hold = sa.Table(
    "cut_off_hold",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60)),  # none: everybody
    sa.Column("reason", sa.String(120), nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Index("ix_cut_off_hold_until", "until"),
)

load_limit = sa.Table(
    "load_limit",
    metadata,
    sa.Column("service_point_id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("watts", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False),
)

temporary_supply = sa.Table(
    "temporary_supply",
    metadata,
    sa.Column("contract_id", sa.String(60), primary_key=True),
    sa.Column("service_point_id", sa.String(60), nullable=False),
    sa.Column("begins", Instant, nullable=False),
    sa.Column("ends", Instant, nullable=False),
    sa.Column("deposit", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("refund", sa.BigInteger),
    sa.Column("not_before", Instant, nullable=False, server_default="0"),  # when it is looked at next
    sa.CheckConstraint("state IN ('planned', 'on', 'over', 'closed')", name="state"),
    sa.Index("ix_temporary_supply_not_before", "not_before"),
)
