"""What a recharge pays before the wallet: published policies, debts, the parts of each recharge; emergency credit."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables of policies, debts and parts; wallets are under the policy ``default``, and nothing was lent yet."""
    op.create_table(
        "prepay_policy",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "valid_from", name=op.f("pk_prepay_policy")),
    )
    op.create_table(
        "prepay_debt",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.String(length=12), nullable=False),
        sa.Column("instalment", sa.BigInteger(), nullable=False),
        sa.Column("recharge_most", sa.BigInteger(), nullable=True),
        sa.Column("month_most", sa.BigInteger(), nullable=True),
        sa.Column("per_day", sa.BigInteger(), nullable=False),
        sa.Column("agreed_at", sa.BigInteger(), nullable=False),
        sa.Column("daily_taken", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_prepay_debt_amount")),
        sa.CheckConstraint("daily_taken >= 0 AND daily_taken <= amount", name=op.f("ck_prepay_debt_daily_taken")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["wallet.contract_id"], name=op.f("fk_prepay_debt_contract_id_wallet")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prepay_debt")),
    )
    op.create_index("ix_prepay_debt_contract_id", "prepay_debt", ["contract_id", "agreed_at"], unique=False)
    op.create_table(
        "recharge_part",
        sa.Column("recharge_id", sa.String(length=60), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("debt_id", sa.String(length=60), nullable=True),
        sa.CheckConstraint(
            "kind IN ('fee', 'debt', 'overdraft', 'emergency', 'wallet')", name=op.f("ck_recharge_part_kind")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_recharge_part_amount")),
        sa.ForeignKeyConstraint(["recharge_id"], ["recharge.id"], name=op.f("fk_recharge_part_recharge_id_recharge")),
        sa.PrimaryKeyConstraint("recharge_id", "number", name=op.f("pk_recharge_part")),
    )
    op.create_index("ix_recharge_part_contract_id", "recharge_part", ["contract_id", "at"], unique=False)
    for column in (
        sa.Column("policy", sa.String(length=40), nullable=False, server_default="default"),
        sa.Column("emergency_armed", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("emergency_loans", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("second_told", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("wallet", column)


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
