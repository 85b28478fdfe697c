"""Wallets, what each stretch of time has cost them, and recharges."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

wallet = sa.Table(
    "wallet",
    metadata,
    sa.Column("contract_id", sa.String(60), primary_key=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("low_threshold", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("accrued", sa.BigInteger, nullable=False),  # used and priced, not yet posted
    sa.Column("recent", sa.JSON, nullable=False),  # micro-units charged by UTC day, the last fifteen
    sa.Column("posted_day", sa.Integer, nullable=False),  # days since 1970-01-01 of the last daily posting
    sa.CheckConstraint("state IN ('ok', 'low', 'empty')", name="state"),
    sa.Index("ix_wallet_posted_day", "posted_day"),
)

wallet_segment = sa.Table(
    "wallet_segment",
    metadata,
    sa.Column("contract_id", sa.String(60), sa.ForeignKey("wallet.contract_id"), primary_key=True),
    sa.Column("start", Instant, primary_key=True),
    sa.Column("end", Instant, nullable=False),
    sa.Column("tariff_hash", sa.String(64), nullable=False),
    sa.Column("state", sa.JSON, nullable=False),  # the rating engine's, so that the next batch goes on from here
    sa.Column("until", Instant, nullable=False),  # standing charges are reckoned up to here
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("posted", sa.BigInteger, nullable=False),
    sa.Column("postings", sa.Integer, nullable=False),
    sa.Column(
        "waits", sa.String(60)
    ),  # what keeps it from being priced, a problem's slug; the state then counts little
    sa.Column("stated", sa.String(60)),  # the statement that told what it was charged: what follows is a correction
    sa.Index("ix_wallet_segment_end", "end"),
)

recharge = sa.Table(
    "recharge",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), sa.ForeignKey("wallet.contract_id"), nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("method", sa.String(40), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("balance_after", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("contract_id", "key"),
    sa.Index("ix_recharge_contract_id", "contract_id", "created_at"),
)
