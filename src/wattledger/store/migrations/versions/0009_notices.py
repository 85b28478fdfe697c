"""Notices by several channels, with preferences, delivery states, and channels that rest while they are down."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What went out stays as it is; what did not is planned anew."""
    with op.batch_alter_table("notice") as table:
        table.drop_index("ix_notice_sent_at")
        table.drop_column("to")
        table.drop_column("attempts")
        table.add_column(sa.Column("zone", sa.String(length=60), nullable=True))
        table.add_column(sa.Column("until", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("planned_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE notice SET planned_at = sent_at")
    op.create_index("ix_notice_planned_at", "notice", ["planned_at", "at"], unique=False)
    op.create_table(
        "notice_delivery",
        sa.Column("notice_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'delivered', 'failed', 'given_up')", name=op.f("ck_notice_delivery_state")
        ),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name=op.f("fk_notice_delivery_notice_id")),
        sa.PrimaryKeyConstraint("notice_id", "channel", name=op.f("pk_notice_delivery")),
    )
    op.create_index("ix_notice_delivery_next_at", "notice_delivery", ["next_at"], unique=False)
    op.create_index("ix_notice_delivery_state", "notice_delivery", ["state", "changed_at"], unique=False)
    op.create_table(
        "notice_told",
        sa.Column("whom", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("words", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("whom", "kind", "words", name=op.f("pk_notice_told")),
    )
    op.create_table(
        "notice_preference",
        sa.Column("account_id", sa.String(length=60), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=True),
        sa.Column("zone", sa.String(length=60), nullable=True),
        sa.Column("quiet_from", sa.String(length=5), nullable=True),
        sa.Column("quiet_to", sa.String(length=5), nullable=True),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_notice_preference")),
    )
    op.create_table(
        "notice_channel",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rests_until", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notice_channel")),
    )


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
