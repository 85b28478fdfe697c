"""Bills that are corrected, statements that wallets remember, and what came late."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a bill have editions and corrections; what was billed before is known to have been billed."""
    _add_to_bills()
    op.create_table(
        "bill_correction",
        sa.Column("bill_id", sa.String(length=60), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("way", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("old_total", sa.BigInteger(), nullable=False),
        sa.Column("new_total", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("causes", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("carried_by", sa.String(length=60), nullable=True),
        sa.CheckConstraint("way IN ('next_bill', 'rebill', 'wallet')", name=op.f("ck_bill_correction_way")),
        sa.ForeignKeyConstraint(["bill_id"], ["bill.id"], name=op.f("fk_bill_correction_bill_id")),
        sa.ForeignKeyConstraint(["carried_by"], ["bill.id"], name=op.f("fk_bill_correction_carried_by")),
        sa.PrimaryKeyConstraint("bill_id", "number", name=op.f("pk_bill_correction")),
    )
    op.create_index("ix_bill_correction_carried_by", "bill_correction", ["carried_by"], unique=False)
    op.create_index("ix_bill_correction_contract_id", "bill_correction", ["contract_id", "carried_by"], unique=False)
    op.create_table(
        "late_news",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("intervals", sa.Integer(), nullable=False),
        sa.Column("revised", sa.Boolean(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.Column("waits", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_news")),
    )
    op.create_index("ix_late_news_service_point_id", "late_news", ["service_point_id"], unique=False)
    op.create_index("ix_late_news_waits", "late_news", ["waits", "service_point_id"], unique=False)
    _remember_what_was_billed()
    _remember_what_was_stated()


def _add_to_bills() -> None:
    with op.batch_alter_table("bill") as table:
        table.add_column(sa.Column("service_point_id", sa.String(length=60), nullable=True))
        table.add_column(sa.Column("edition", sa.Integer(), server_default="1", nullable=False))
        table.add_column(sa.Column("replaces", sa.String(length=60), nullable=True))
        table.drop_constraint("uq_bill_contract_id_start_kind", type_="unique")
        table.create_unique_constraint(
            op.f("uq_bill_contract_id_start_kind_edition"), ["contract_id", "start", "kind", "edition"]
        )
        table.create_unique_constraint(op.f("uq_bill_replaces"), ["replaces"])
    op.execute(
        "UPDATE bill SET service_point_id = "
        "(SELECT contract.service_point_id FROM contract WHERE contract.id = bill.contract_id)"
    )
    with op.batch_alter_table("bill") as table:
        table.alter_column("service_point_id", existing_type=sa.String(length=60), nullable=False)


def _remember_what_was_billed() -> None:
    op.create_table(
        "billed_point",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_point_id", name=op.f("pk_billed_point")),
    )
    op.execute(
        'INSERT INTO billed_point (service_point_id, until) SELECT service_point_id, max("end") FROM bill '
        "WHERE state = 'posted' GROUP BY service_point_id"
    )
    horizon = op.create_table(
        "billing_horizon",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_horizon")),
    )
    month = op.get_bind().execute(sa.text("SELECT max(month) FROM bill_run")).scalar_one_or_none()
    op.bulk_insert(horizon, [{"id": 1, "until": 0 if month is None else _end_anywhere(month)}])


def _end_anywhere(month: str) -> int:
    """When ``YYYY-MM`` has ended everywhere on earth, in microseconds since 1970."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    following = (first + timedelta(days=32)).replace(day=1)
    return int((following + timedelta(hours=12)).timestamp()) * 1_000_000


def _remember_what_was_stated() -> None:
    with op.batch_alter_table("wallet_segment") as table:
        table.add_column(sa.Column("stated", sa.String(length=60), nullable=True))
    op.execute(
        "UPDATE wallet_segment SET stated = (SELECT bill.id FROM bill WHERE bill.contract_id = "
        "wallet_segment.contract_id AND bill.kind = 'statement' AND bill.state = 'posted' "
        'AND bill.start <= wallet_segment.start AND wallet_segment.start < bill."end")'
    )
