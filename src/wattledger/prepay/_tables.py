"""Wallets, what each stretch of time has cost them, recharges and their parts, debts, policies."""

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
    sa.Column("policy", sa.String(40), nullable=False, server_default="default"),
    sa.Column("emergency_armed", sa.Boolean, nullable=False, server_default=sa.true()),  # may be lent (again)
    sa.Column("emergency_loans", sa.Integer, nullable=False, server_default="0"),  # how often it was lent
    sa.Column("second_told", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("auto_below", sa.BigInteger),  # auto-recharge: when less than this is available, if at all
    sa.Column("auto_amount", sa.BigInteger),
    sa.Column("auto_method", sa.String(40)),
    sa.Column("auto_armed", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("auto_crossings", sa.Integer, nullable=False, server_default="0"),
    sa.Column("closed_at", Instant),
    sa.Column("delivery", sa.String(40), nullable=False, server_default="wallet"),  # where its credit is kept
    sa.Column("closings", sa.Integer, nullable=False, server_default="0"),
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

wallet_shard = sa.Table(
    "wallet_shard",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("rule", sa.JSON, nullable=False),  # what its wallets have in common
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("members", sa.JSON, nullable=False),  # contracts and service points, row by row
    sa.Column("terms", sa.BigInteger, nullable=False),  # the registry's revision that it was last held against
    sa.Column("fixed", sa.LargeBinary, nullable=False),  # columns that stay, as _shards packs them
    sa.Column("state", sa.LargeBinary, nullable=False),  # columns that every batch moves
)
"""Wallets whose running state is kept side by side: what it says stands for their rows, until they are taken out."""

wallet_shard_left = sa.Table(
    "wallet_shard_left",
    metadata,
    sa.Column("shard_id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), primary_key=True),
)
"""Wallets that were taken out of a shard since it was written."""

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

recharge_part = sa.Table(
    "recharge_part",
    metadata,
    sa.Column("recharge_id", sa.String(60), sa.ForeignKey("recharge.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("debt_id", sa.String(60)),
    sa.CheckConstraint("kind IN ('fee', 'debt', 'overdraft', 'emergency', 'wallet')", name="kind"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.Index("ix_recharge_part_contract_id", "contract_id", "at"),
)

prepay_debt = sa.Table(
    "prepay_debt",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), sa.ForeignKey("wallet.contract_id"), nullable=False),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),  # as it was agreed; what is left is the ledger's to say
    sa.Column("percent", sa.String(12), nullable=False),  # of each recharge, exact as text
    sa.Column("instalment", sa.BigInteger, nullable=False),  # of each recharge
    sa.Column("recharge_most", sa.BigInteger),
    sa.Column("month_most", sa.BigInteger),
    sa.Column("per_day", sa.BigInteger, nullable=False),
    sa.Column("agreed_at", Instant, nullable=False),
    sa.Column("daily_taken", sa.BigInteger, nullable=False),  # what the days have taken so far
    sa.Column("open", sa.Boolean, nullable=False),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("daily_taken >= 0 AND daily_taken <= amount", name="daily_taken"),
    sa.Index("ix_prepay_debt_contract_id", "contract_id", "agreed_at"),
)

prepay_policy = sa.Table(
    "prepay_policy",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("valid_from", Instant, primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

social_grant = sa.Table(
    "social_grant",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), sa.ForeignKey("wallet.contract_id"), nullable=False),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("month_start", Instant, nullable=False),
    sa.Column("month_end", Instant, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),  # micro-units or watt-hours
    sa.Column("covered", sa.BigInteger, nullable=False),
    sa.Column("posted", sa.BigInteger, nullable=False),
    sa.Column("postings", sa.Integer, nullable=False),
    sa.CheckConstraint("kind IN ('money', 'energy')", name="kind"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.Index("ix_social_grant_contract_id", "contract_id", "month_start"),
)

credit_delivery = sa.Table(
    "credit_delivery",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("contract_id", sa.String(60), sa.ForeignKey("wallet.contract_id"), nullable=False),
    sa.Column("via", sa.String(40), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("cause", sa.String(120), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("done_at", Instant),
    sa.Column("receipt", sa.String(40)),
    sa.Column("detail", sa.Text, nullable=False),
    sa.CheckConstraint("state IN ('waiting', 'sent', 'delivered', 'failed')", name="state"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.Index("ix_credit_delivery_state", "state", "not_before"),
    sa.Index("ix_credit_delivery_contract_id", "contract_id", "asked_at"),
)

vending_meter = sa.Table(
    "vending_meter",
    metadata,
    sa.Column("meter_id", sa.String(60), primary_key=True),
    sa.Column("last_tid", sa.Integer),
)

vended_token = sa.Table(
    "vended_token",
    metadata,
    sa.Column("delivery_id", sa.String(60), sa.ForeignKey("credit_delivery.id"), primary_key=True),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("meter_id", sa.String(60), nullable=False),
    sa.Column("segment_start", Instant, nullable=False),
    sa.Column("tid", sa.Integer),
    sa.Column("units", sa.BigInteger, nullable=False),  # of 0.1 kWh
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("digits", sa.String(20)),
    sa.Column("issued_at", Instant, nullable=False),
    sa.UniqueConstraint("meter_id", "tid"),
    sa.Index("ix_vended_token_contract_id", "contract_id", "segment_start"),
)
