"""Announced events and published prices."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

announced_event = sa.Table(
    "announced_event",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("start", Instant, primary_key=True),
    sa.Column("end", Instant, nullable=False),  # at start: called off
    sa.Column("announced_at", Instant, nullable=False),
)

index_price = sa.Table(
    "index_price",
    metadata,
    sa.Column("series", sa.String(80), primary_key=True),
    sa.Column("start", Instant, primary_key=True),
    sa.Column("seconds", sa.Integer, nullable=False),  # how long it holds at most
    sa.Column("price", sa.String(40), nullable=False),  # per kWh, exact, as it was published
    sa.Column("published_at", Instant, nullable=False),
)
