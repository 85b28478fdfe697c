"""The book: accounts with their running sums, transfers that are never changed, what is reserved and how it ended."""

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
    sa.Column("pending_debits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("pending_credits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("shards", sa.Integer, nullable=False, server_default="0"),  # 0: its sums stand here alone
    sa.CheckConstraint("debits >= 0 AND credits >= 0", name="sums"),
    sa.CheckConstraint(
        "(rule = 'none') OR (rule = 'debits_not_over_credits' AND debits <= credits)"
        " OR (rule = 'credits_not_over_debits' AND credits <= debits)",
        name="rule",
    ),
)

ledger_account_shard = sa.Table(
    "ledger_account_shard",
    metadata,
    sa.Column("account_id", sa.String(120), sa.ForeignKey("ledger_account.id"), primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("debits", sa.BigInteger, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),
    sa.CheckConstraint("debits >= 0 AND credits >= 0", name="sums"),
)
"""What came to a busy account since it has shards: writers do not wait for one row."""

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
    sa.Column("content", sa.LargeBinary(16)),  # a hash; null for transfers from before it was kept
    sa.Index("ix_ledger_transfer_debit_account", "debit_account", "seq"),
    sa.Index("ix_ledger_transfer_credit_account", "credit_account", "seq"),
    sa.Index("ix_ledger_transfer_purpose_posted_at", "purpose", "posted_at"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("debit_account <> credit_account", name="sides"),
)

ledger_pending = sa.Table(
    "ledger_pending",
    metadata,
    sa.Column("id", sa.String(160), primary_key=True),
    sa.Column("debit_account", sa.String(120), sa.ForeignKey("ledger_account.id"), nullable=False),
    sa.Column("credit_account", sa.String(120), sa.ForeignKey("ledger_account.id"), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("purpose", sa.String(40), nullable=False),
    sa.Column("reference", sa.String(160), nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("content", sa.LargeBinary(16), nullable=False),
    sa.Index("ix_ledger_pending_expires_at", "expires_at"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("debit_account <> credit_account", name="sides"),
)

ledger_resolution = sa.Table(
    "ledger_resolution",
    metadata,
    sa.Column("pending_id", sa.String(160), sa.ForeignKey("ledger_pending.id"), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("transfer_id", sa.String(160)),
    sa.Column("at", Instant, nullable=False),
    sa.CheckConstraint("state IN ('posted', 'voided', 'expired')", name="state"),
    sa.CheckConstraint("(state = 'posted') = (transfer_id IS NOT NULL)", name="transfer"),
)
"""How a reservation ended; one without a row here is open."""
