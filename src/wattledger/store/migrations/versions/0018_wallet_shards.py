"""Running states of wallets side by side, and the revisions of the terms that they were made under."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Further tables; no wallet is in a shard yet."""
    op.create_table(
        "wallet_shard",
        sa.Column("id", sa.String(60), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("terms", sa.BigInteger(), nullable=False),
        sa.Column("fixed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet_shard")),
    )
    op.create_table(
        "wallet_shard_left",
        sa.Column("shard_id", sa.String(60), nullable=False),
        sa.Column("contract_id", sa.String(60), nullable=False),
        sa.PrimaryKeyConstraint("shard_id", "contract_id", name=op.f("pk_wallet_shard_left")),
    )
    head = op.create_table(
        "terms_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_terms_head_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terms_head")),
    )
    op.bulk_insert(head, [{"id": 1, "revision": 0}])
    op.create_table(
        "terms_change",
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('point', 'tariff')", name=op.f("ck_terms_change_kind")),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_terms_change")),
    )
    op.create_index("ix_terms_change_revision", "terms_change", ["revision"], unique=False)
    if op.get_bind().dialect.name == "postgresql":  # numbers that are written again and again do not pay to be packed
        for column in ("fixed", "state"):
            op.execute(f"ALTER TABLE wallet_shard ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
