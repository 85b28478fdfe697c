"""Credit on its way to meters that keep their own, and the tokens that were made of it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables; every wallet keeps its own credit until another place is chosen for it."""
    op.create_table(
        "credit_delivery",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("via", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'delivered', 'failed')", name=op.f("ck_credit_delivery_state")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_delivery_amount")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["wallet.contract_id"], name=op.f("fk_credit_delivery_contract_id_wallet")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_delivery")),
    )
    op.create_index("ix_credit_delivery_state", "credit_delivery", ["state", "not_before"], unique=False)
    op.create_index("ix_credit_delivery_contract_id", "credit_delivery", ["contract_id", "asked_at"], unique=False)
    op.create_table(
        "vending_meter",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("last_tid", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id", name=op.f("pk_vending_meter")),
    )
    op.create_table(
        "vended_token",
        sa.Column("delivery_id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("segment_start", sa.BigInteger(), nullable=False),
        sa.Column("tid", sa.Integer(), nullable=True),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("digits", sa.String(length=20), nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["credit_delivery.id"], name=op.f("fk_vended_token_delivery_id_credit_delivery")
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_vended_token")),
        sa.UniqueConstraint("meter_id", "tid", name=op.f("uq_vended_token_meter_id_tid")),
    )
    op.create_index("ix_vended_token_contract_id", "vended_token", ["contract_id", "segment_start"], unique=False)
    op.add_column("wallet", sa.Column("delivery", sa.String(length=40), nullable=False, server_default="wallet"))


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
