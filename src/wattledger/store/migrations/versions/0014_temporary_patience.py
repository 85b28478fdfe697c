"""Temporary supplies are looked at when something can have changed, not at every turn."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A further column, in time for who begins; and an index by it in place of the one by state."""
    op.add_column("temporary_supply", sa.Column("not_before", sa.BigInteger(), nullable=False, server_default="0"))
    op.drop_index("ix_temporary_supply_state", table_name="temporary_supply")
    op.create_index("ix_temporary_supply_not_before", "temporary_supply", ["not_before"], unique=False)


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
