"""Free units with their month, wallets that recharge themselves, and wallets that are closed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of grants; no wallet recharges itself yet, none is closed."""
    op.create_table(
        "social_grant",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("month_start", sa.BigInteger(), nullable=False),
        sa.Column("month_end", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("covered", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("postings", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('money', 'energy')", name=op.f("ck_social_grant_kind")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_social_grant_amount")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["wallet.contract_id"], name=op.f("fk_social_grant_contract_id_wallet")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_social_grant")),
    )
    op.create_index("ix_social_grant_contract_id", "social_grant", ["contract_id", "month_start"], unique=False)
    for column in (
        sa.Column("auto_below", sa.BigInteger(), nullable=True),
        sa.Column("auto_amount", sa.BigInteger(), nullable=True),
        sa.Column("auto_method", sa.String(length=40), nullable=True),
        sa.Column("auto_armed", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("auto_crossings", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closings", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("wallet", column)


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
