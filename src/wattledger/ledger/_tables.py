"""The book's two tables: accounts with their running sums, and transfers that are never changed."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

ledger_account = sa.Table(
    "ledger_account",
    metadata,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("rule", sa.String(30), nullable=False),
    sa.Column("debits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("credits", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("debits >= 0 AND credits >= 0", name="sums"),
    sa.CheckConstraint(
        "(rule = 'none') OR (rule = 'debits_not_over_credits' AND debits <= credits)"
        " OR (rule = 'credits_not_over_debits' AND credits <= debits)",
        name="rule",
    ),
)

ledger_transfer = sa.Table(
    "ledger_transfer",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(160), nullable=False, unique=True),
    sa.Column("debit_account", sa.String(120), sa.ForeignKey("ledger_account.id"), nullable=False),
    sa.Column("credit_account", sa.String(120), sa.ForeignKey("ledger_account.id"), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("purpose", sa.String(40), nullable=False),
    sa.Column("reference", sa.String(160), nullable=False),
    sa.Column("corrects", sa.String(160)),
    sa.Column("posted_at", Instant, nullable=False),
    sa.Index("ix_ledger_transfer_debit_account", "debit_account", "seq"),
    sa.Index("ix_ledger_transfer_credit_account", "credit_account", "seq"),
    sa.Index("ix_ledger_transfer_purpose_posted_at", "purpose", "posted_at"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("debit_account <> credit_account", name="sides"),
)
