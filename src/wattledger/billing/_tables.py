"""Bill runs and bills. A posted bill is never changed; one that is held becomes posted when its cause is gone."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

bill_run = sa.Table(
    "bill_run",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("month", sa.String(7), nullable=False, unique=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),  # how often it was started: a later start takes up what was held
    sa.Column("contracts", sa.Integer, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.CheckConstraint("state IN ('running', 'finished')", name="state"),
)

bill = sa.Table(
    "bill",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("run_id", sa.String(60), sa.ForeignKey("bill_run.id"), nullable=False),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("held_because", sa.String(40)),
    sa.Column("start", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("deducted", sa.BigInteger),  # of a statement: what the wallet was charged
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("estimated", sa.Integer, nullable=False),
    sa.Column("parts", sa.JSON, nullable=False),  # per tariff version: its id, version and hash, and the lines
    sa.Column("issued_at", Instant, nullable=False),
    sa.UniqueConstraint("contract_id", "start", "kind"),
    sa.Index("ix_bill_run_id", "run_id", "state"),
    sa.CheckConstraint("kind IN ('bill', 'statement')", name="kind"),
    sa.CheckConstraint("state IN ('posted', 'held')", name="state"),
)
