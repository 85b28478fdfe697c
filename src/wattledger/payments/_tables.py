"""Orders, the payments that came in, refunds, what waits for an operator, and the audit of call-backs."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

_ID = sa.String(60)
_THEIRS = sa.String(120)
_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")

order = sa.Table(
    "payment_order",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("contract_id", _ID, nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("description", sa.String(120), nullable=False),
    sa.Column("payer", _THEIRS),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("reference", sa.String(200)),  # the provider's name for it
    sa.Column("hand_over", sa.JSON),  # what the payer's side needs to pay
    sa.Column("recharge_id", _ID),
    sa.CheckConstraint("state IN ('created', 'paid', 'credited', 'differs', 'refunded', 'expired')", name="state"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.UniqueConstraint("contract_id", "key"),
    sa.Index("ix_payment_order_state", "state", "expires_at"),
)

receipt = sa.Table(
    "payment_receipt",
    metadata,
    sa.Column("provider", sa.String(40), primary_key=True),
    sa.Column("payment_id", _THEIRS, primary_key=True),  # the provider's: what makes money count once
    sa.Column("order_id", _THEIRS, nullable=False),  # as the provider tells it; it may be none of ours
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("paid_at", Instant, nullable=False),
    sa.Column("counted_at", Instant, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.CheckConstraint("state IN ('credited', 'queued', 'refunded')", name="state"),
    sa.Index("ix_payment_receipt_order_id", "order_id"),
    sa.Index("ix_payment_receipt_paid_at", "provider", "paid_at"),
)

refund = sa.Table(
    "payment_refund",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("payment_id", _THEIRS, nullable=False),
    sa.Column("order_id", _THEIRS, nullable=False),
    sa.Column("contract_id", _ID),  # whose wallet it was taken back from; null if it never was in one
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("reason", sa.String(80), nullable=False),
    sa.Column("by", sa.String(120), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("reference", _THEIRS),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.CheckConstraint("state IN ('under_way', 'done', 'refused')", name="state"),
    sa.Index("ix_payment_refund_payment", "provider", "payment_id"),
    sa.Index("ix_payment_refund_state", "state", "provider"),
)

queued = sa.Table(
    "payment_queued",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("reason", sa.String(20), nullable=False),
    sa.Column("order_id", _THEIRS, nullable=False),
    sa.Column("payment_id", _THEIRS, nullable=False),
    sa.Column("expected", sa.BigInteger),
    sa.Column("expected_currency", sa.String(3)),
    sa.Column("came", sa.BigInteger),
    sa.Column("came_currency", sa.String(3)),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("closed_by", sa.String(120)),
    sa.Column("note", sa.Text),
    sa.Index("ix_payment_queued_closed_at", "closed_at", "at"),
    sa.Index("ix_payment_queued_payment", "provider", "payment_id"),
)

callback = sa.Table(
    "payment_callback",
    metadata,
    sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("outcome", sa.String(10), nullable=False),
    sa.Column("reason", sa.String(20)),  # why it was refused
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("event_id", _THEIRS),
    sa.Column("order_id", _THEIRS),
    sa.Column("fingerprint", sa.String(64)),  # of the signed message, of those that were taken
    sa.CheckConstraint(
        "outcome IN ('credited', 'queued', 'duplicate', 'refund', 'ignored', 'refused')", name="outcome"
    ),
    sa.UniqueConstraint("provider", "fingerprint"),
    sa.Index("ix_payment_callback_outcome", "outcome", "at"),
    sa.Index("ix_payment_callback_order_id", "order_id"),
)
