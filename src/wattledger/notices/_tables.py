"""Notices, how each fares on each channel, and what people prefer."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

_ID = sa.String(60)

notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, nullable=False),
    sa.Column("contract_id", _ID, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("zone", _ID),  # of the place it is about; none for those written before zones were kept
    sa.Column("text", sa.JSON, nullable=False),  # by language
    sa.Column("until", Instant),  # after this it is of no use
    sa.Column("planned_at", Instant),  # when its channels were chosen
    sa.Column("sent_at", Instant),  # when the first channel took it
    sa.Index("ix_notice_contract_id", "contract_id", "at"),
    sa.Index("ix_notice_planned_at", "planned_at", "at"),
)

delivery = sa.Table(
    "notice_delivery",
    metadata,
    sa.Column("notice_id", _ID, sa.ForeignKey("notice.id"), primary_key=True),
    sa.Column("channel", sa.String(40), primary_key=True),
    sa.Column("address", sa.String(200), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Instant),  # when it is looked at again; none: it rests
    sa.Column("leased_until", Instant),  # somebody is sending it
    sa.Column("until", Instant),
    sa.Column("sent_at", Instant),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("detail", sa.Text),
    sa.CheckConstraint("state IN ('queued', 'sent', 'delivered', 'failed', 'given_up')", name="state"),
    sa.Index("ix_notice_delivery_next_at", "next_at"),
    sa.Index("ix_notice_delivery_state", "state", "changed_at"),
)

told = sa.Table(
    "notice_told",
    metadata,
    sa.Column("whom", _ID, primary_key=True),  # a contract or an account
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("words", sa.String(64), primary_key=True),  # a hash of what was said
    sa.Column("at", Instant, nullable=False),
)

preference = sa.Table(
    "notice_preference",
    metadata,
    sa.Column("account_id", _ID, primary_key=True),
    sa.Column("language", sa.String(8)),
    sa.Column("zone", _ID),
    sa.Column("quiet_from", sa.String(5)),
    sa.Column("quiet_to", sa.String(5)),
    sa.Column("channels", sa.JSON, nullable=False),  # by kind, "*" for the rest
    sa.Column("addresses", sa.JSON, nullable=False),  # by channel
    sa.Column("changed_at", Instant, nullable=False),
)

resting = sa.Table(
    "notice_channel",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("rests_until", Instant),
    sa.Column("detail", sa.Text),
)
