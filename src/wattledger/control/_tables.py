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
