"""When and whom a cut-off spares: published hours, holds, protected customers, load limits; temporary supplies."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables; without any hours a cut-off may come at any time, as before."""
    op.create_table(
        "cut_off_hours",
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("valid_from", name=op.f("pk_cut_off_hours")),
    )
    op.create_table(
        "protection",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("watts", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=120), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('never', 'limited')", name=op.f("ck_protection_kind")),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_protection")),
    )
    op.create_table(
        "cut_off_hold",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=True),
        sa.Column("reason", sa.String(length=120), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cut_off_hold")),
    )
    op.create_index("ix_cut_off_hold_until", "cut_off_hold", ["until"], unique=False)
    op.create_table(
        "load_limit",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("watts", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_point_id", name=op.f("pk_load_limit")),
    )
    op.create_table(
        "temporary_supply",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("deposit", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("refund", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('planned', 'on', 'over', 'closed')", name=op.f("ck_temporary_supply_state")),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_temporary_supply")),
    )
    op.create_index("ix_temporary_supply_state", "temporary_supply", ["state", "begins"], unique=False)


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
