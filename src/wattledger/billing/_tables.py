"""Bill runs, bills, their corrections, and what came late.

A posted bill is never changed; one that is held becomes posted when its cause is gone. That a bill was cancelled is
told by the one that replaces it.
"""

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
    sa.Column("service_point_id", sa.String(60), nullable=False),
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
    sa.Column("edition", sa.Integer, nullable=False, server_default="1"),  # a bill that replaces another is a later one
    sa.Column("replaces", sa.String(60), unique=True),  # the bill that this one cancelled
    sa.UniqueConstraint("contract_id", "start", "kind", "edition"),
    sa.Index("ix_bill_run_id", "run_id", "state"),
    sa.CheckConstraint("kind IN ('bill', 'statement')", name="kind"),
    sa.CheckConstraint("state IN ('posted', 'held')", name="state"),
)

bill_correction = sa.Table(
    "bill_correction",
    metadata,
    sa.Column("bill_id", sa.String(60), sa.ForeignKey("bill.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),  # 1 is the bill's first
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("way", sa.String(10), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("old_total", sa.BigInteger, nullable=False),  # the bill's, or of the correction before
    sa.Column("new_total", sa.BigInteger, nullable=False),
    sa.Column("lines", sa.JSON, nullable=False),  # those that differ: old and new
    sa.Column("parts", sa.JSON, nullable=False),  # the whole bill as it comes to now
    sa.Column("causes", sa.JSON, nullable=False),  # which readings (or what else) came late
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("carried_by", sa.String(60), sa.ForeignKey("bill.id")),  # the posted bill that shows it
    sa.Index("ix_bill_correction_contract_id", "contract_id", "carried_by"),
    sa.Index("ix_bill_correction_carried_by", "carried_by"),
    sa.CheckConstraint("way IN ('next_bill', 'rebill', 'wallet')", name="way"),
)

# What came late waits here until the bills that it touches are priced again: in the transaction that it came in only
# this is written.
late_news = sa.Table(
    "late_news",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("service_point_id", sa.String(60), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("about", sa.String(200), nullable=False),  # the batch's id, the fact's name ...
    sa.Column("channel", sa.String(20)),  # of readings; of what concerns all of them, none
    sa.Column("start", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("intervals", sa.Integer, nullable=False),
    sa.Column("revised", sa.Boolean, nullable=False),  # whether a value that was known became another
    sa.Column("noted_at", Instant, nullable=False),
    sa.Column("waits", sa.String(40)),  # why the bills cannot be priced again yet
    sa.Index("ix_late_news_service_point_id", "service_point_id"),
    sa.Index("ix_late_news_waits", "waits", "service_point_id"),
)

# Up to where a point was billed. Whoever brings late readings and whoever bills the point lock its row, so that no
# reading slips in between what a bill counted and its posting.
billed_point = sa.Table(
    "billed_point",
    metadata,
    sa.Column("service_point_id", sa.String(60), primary_key=True),
    sa.Column("until", Instant, nullable=False),
)

# One row: no bill run has begun for time after this, so that readings of what is newer need not ask point by point.
billing_horizon = sa.Table(
    "billing_horizon",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("until", Instant, nullable=False),
)
