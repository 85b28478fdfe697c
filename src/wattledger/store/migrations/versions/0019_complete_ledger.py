"""What is reserved and how it ended, accounts in shards, and the content of each transfer as a hash."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns of the accounts and transfers that are there, and further tables; busy accounts get their shards."""
    for name in ("pending_debits", "pending_credits"):
        op.add_column("ledger_account", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("ledger_account", sa.Column("shards", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE ledger_account SET shards = 16 WHERE kind = 'revenue' AND rule = 'none'")
    op.add_column("ledger_transfer", sa.Column("content", sa.LargeBinary(16), nullable=True))
    op.create_table(
        "ledger_account_shard",
        sa.Column("account_id", sa.String(120), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("debits", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debits >= 0 AND credits >= 0", name=op.f("ck_ledger_account_shard_sums")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_account.id"], name=op.f("fk_ledger_account_shard_account_id_ledger_account")
        ),
        sa.PrimaryKeyConstraint("account_id", "shard", name=op.f("pk_ledger_account_shard")),
    )
    op.create_table(
        "ledger_pending",
        sa.Column("id", sa.String(160), nullable=False),
        sa.Column("debit_account", sa.String(120), nullable=False),
        sa.Column("credit_account", sa.String(120), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(160), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.LargeBinary(16), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_pending_amount")),
        sa.CheckConstraint("debit_account <> credit_account", name=op.f("ck_ledger_pending_sides")),
        sa.ForeignKeyConstraint(
            ["debit_account"], ["ledger_account.id"], name=op.f("fk_ledger_pending_debit_account_ledger_account")
        ),
        sa.ForeignKeyConstraint(
            ["credit_account"], ["ledger_account.id"], name=op.f("fk_ledger_pending_credit_account_ledger_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_pending")),
    )
    op.create_index("ix_ledger_pending_expires_at", "ledger_pending", ["expires_at"], unique=False)
    op.create_table(
        "ledger_resolution",
        sa.Column("pending_id", sa.String(160), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("transfer_id", sa.String(160), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('posted', 'voided', 'expired')", name=op.f("ck_ledger_resolution_state")),
        sa.CheckConstraint(
            "(state = 'posted') = (transfer_id IS NOT NULL)", name=op.f("ck_ledger_resolution_transfer")
        ),
        sa.ForeignKeyConstraint(
            ["pending_id"], ["ledger_pending.id"], name=op.f("fk_ledger_resolution_pending_id_ledger_pending")
        ),
        sa.PrimaryKeyConstraint("pending_id", name=op.f("pk_ledger_resolution")),
    )
    for table in ("ledger_pending", "ledger_resolution"):
        _forbid_changing(table)


def _forbid_changing(table: str) -> None:
    words = "what is reserved, and how it ended, is never changed"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{words}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_is_final BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_is_final()"
    )


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
