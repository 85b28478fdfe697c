"""Notices and whether they went out."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("account_id", sa.String(60), nullable=False),
    sa.Column("contract_id", sa.String(60), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("to", sa.String(120), nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("text", sa.JSON, nullable=False),  # by language
    sa.Column("sent_at", Instant),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Index("ix_notice_contract_id", "contract_id", "at"),
    sa.Index("ix_notice_sent_at", "sent_at", "at"),
)
