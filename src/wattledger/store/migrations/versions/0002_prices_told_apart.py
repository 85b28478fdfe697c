"""What a price may depend on beside the tariff: facts of contracts, announced events, published prices."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and let a stretch of a wallet wait for a price."""
    op.create_table(
        "contract_fact",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("fk_contract_fact_contract_id")),
        sa.PrimaryKeyConstraint("contract_id", "name", "valid_from", name=op.f("pk_contract_fact")),
    )
    op.create_table(
        "announced_event",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("announced_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "start", name=op.f("pk_announced_event")),
    )
    op.create_table(
        "index_price",
        sa.Column("series", sa.String(length=80), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("price", sa.String(length=40), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series", "start", name=op.f("pk_index_price")),
    )
    with op.batch_alter_table("wallet_segment") as table:
        table.add_column(sa.Column("waits", sa.String(length=60), nullable=True))
