"""Payments by way of providers: orders, what came in, refunds, the operators' queue, the audit of call-backs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables of payments; the audit of call-backs is never changed, whoever holds the pen."""
    op.create_table(
        "payment_callback",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=120), nullable=True),
        sa.Column("order_id", sa.String(length=120), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('credited', 'queued', 'duplicate', 'refund', 'ignored', 'refused')",
            name=op.f("ck_payment_callback_outcome"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_payment_callback")),
        sa.UniqueConstraint("provider", "fingerprint", name=op.f("uq_payment_callback_provider_fingerprint")),
    )
    op.create_index("ix_payment_callback_order_id", "payment_callback", ["order_id"], unique=False)
    op.create_index("ix_payment_callback_outcome", "payment_callback", ["outcome", "at"], unique=False)
    op.create_table(
        "payment_order",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("description", sa.String(length=120), nullable=False),
        sa.Column("payer", sa.String(length=120), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("hand_over", sa.JSON(), nullable=True),
        sa.Column("recharge_id", sa.String(length=60), nullable=True),
        sa.CheckConstraint(
            "state IN ('created', 'paid', 'credited', 'differs', 'refunded', 'expired')",
            name=op.f("ck_payment_order_state"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_order_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_order")),
        sa.UniqueConstraint("contract_id", "key", name=op.f("uq_payment_order_contract_id_key")),
    )
    op.create_index("ix_payment_order_state", "payment_order", ["state", "expires_at"], unique=False)
    op.create_table(
        "payment_queued",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("order_id", sa.String(length=120), nullable=False),
        sa.Column("payment_id", sa.String(length=120), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("expected_currency", sa.String(length=3), nullable=True),
        sa.Column("came", sa.BigInteger(), nullable=True),
        sa.Column("came_currency", sa.String(length=3), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=120), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_queued")),
    )
    op.create_index("ix_payment_queued_closed_at", "payment_queued", ["closed_at", "at"], unique=False)
    op.create_index("ix_payment_queued_payment", "payment_queued", ["provider", "payment_id"], unique=False)
    op.create_table(
        "payment_receipt",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.String(length=120), nullable=False),
        sa.Column("order_id", sa.String(length=120), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("paid_at", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.CheckConstraint("state IN ('credited', 'queued', 'refunded')", name=op.f("ck_payment_receipt_state")),
        sa.PrimaryKeyConstraint("provider", "payment_id", name=op.f("pk_payment_receipt")),
    )
    op.create_index("ix_payment_receipt_order_id", "payment_receipt", ["order_id"], unique=False)
    op.create_index("ix_payment_receipt_paid_at", "payment_receipt", ["provider", "paid_at"], unique=False)
    op.create_table(
        "payment_refund",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.String(length=120), nullable=False),
        sa.Column("order_id", sa.String(length=120), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reason", sa.String(length=80), nullable=False),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reference", sa.String(length=120), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('under_way', 'done', 'refused')", name=op.f("ck_payment_refund_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_refund")),
    )
    op.create_index("ix_payment_refund_payment", "payment_refund", ["provider", "payment_id"], unique=False)
    op.create_index("ix_payment_refund_state", "payment_refund", ["state", "provider"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER payment_callback_no_{verb.lower()} BEFORE {verb} ON payment_callback "
                "BEGIN SELECT RAISE(ABORT, 'the audit of call-backs is never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION payment_callback_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'the audit of call-backs is never changed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER payment_callback_is_final BEFORE UPDATE OR DELETE ON payment_callback "
        "FOR EACH ROW EXECUTE FUNCTION payment_callback_is_final()"
    )


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
