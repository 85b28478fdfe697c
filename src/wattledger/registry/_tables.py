"""The registry's tables. Rows that can change are dated, ``[valid_from, valid_to)``, and never overwritten."""

import sqlalchemy as sa

from wattledger.store import Instant, metadata

_ID = sa.String(60)

premise = sa.Table(
    "premise",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("address", sa.String(200), nullable=False),
    sa.Column("zone", sa.String(60), nullable=False),
)

service_point = sa.Table(
    "service_point",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("premise_id", _ID, sa.ForeignKey("premise.id"), nullable=False),
)

meter = sa.Table(
    "meter",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("serial", sa.String(40), nullable=False, unique=True),
    sa.Column("interval_seconds", sa.Integer, nullable=False),
)

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("service_point_id", _ID, sa.ForeignKey("service_point.id"), primary_key=True),
    sa.Column("valid_from", Instant, primary_key=True),
    sa.Column("valid_to", Instant),
    sa.Column("meter_id", _ID, sa.ForeignKey("meter.id"), nullable=False),
    sa.Index("ix_installation_meter_id", "meter_id"),
)

account = sa.Table(
    "account",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("phone", sa.String(40)),
)

contract = sa.Table(
    "contract",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("account_id", _ID, sa.ForeignKey("account.id"), nullable=False),
    sa.Column("service_point_id", _ID, sa.ForeignKey("service_point.id"), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Index("ix_contract_account_id", "account_id"),
    sa.Index("ix_contract_service_point_id", "service_point_id"),
)

contract_term = sa.Table(
    "contract_term",
    metadata,
    sa.Column("contract_id", _ID, sa.ForeignKey("contract.id"), primary_key=True),
    sa.Column("valid_from", Instant, primary_key=True),
    sa.Column("valid_to", Instant),
    sa.Column("mode", sa.String(10), nullable=False),
    sa.Column("tariff_id", sa.String(80), nullable=False),
    sa.CheckConstraint("mode IN ('prepay', 'postpay')", name="mode"),
)

contract_fact = sa.Table(
    "contract_fact",
    metadata,
    sa.Column("contract_id", _ID, sa.ForeignKey("contract.id"), primary_key=True),
    sa.Column("name", _ID, primary_key=True),
    sa.Column("valid_from", Instant, primary_key=True),  # until the same name is told anew from a later instant
    sa.Column("value", sa.String(200), nullable=False),
)

tariff_version = sa.Table(
    "tariff_version",
    metadata,
    sa.Column("tariff_id", sa.String(80), primary_key=True),
    sa.Column("valid_from", Instant, primary_key=True),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("tariff_id", "version"),
)

terms_head = sa.Table(
    "terms_head",
    metadata,
    sa.Column(
        "id", sa.Integer, primary_key=True, autoincrement=False
    ),  # there is one row: whoever changes terms locks it
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="one"),
)

terms_change = sa.Table(
    "terms_change",
    metadata,
    sa.Column("kind", sa.String(10), primary_key=True),
    sa.Column("subject", sa.String(80), primary_key=True),  # a service point or a tariff
    sa.Column("revision", sa.BigInteger, nullable=False),  # of the last change
    sa.CheckConstraint("kind IN ('point', 'tariff')", name="kind"),
    sa.Index("ix_terms_change_revision", "revision"),
)
