"""What cumulative registers stood at."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A row for each read; one that comes again with another value is a later version."""
    op.create_table(
        "register_read",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("wh", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("meter", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("service_point_id", "channel", "at", "version", name=op.f("pk_register_read")),
    )


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
