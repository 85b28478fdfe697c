"""What checks found, and what was decided about it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The queue of exceptions and its steps; a step is never changed, whoever holds the pen."""
    op.create_table(
        "reading_exception",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("measured", sa.BigInteger(), nullable=False),
        sa.Column("allowed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("wh", sa.BigInteger(), nullable=False),
        sa.Column("money", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("seen", sa.LargeBinary(), nullable=False),
        sa.Column("made", sa.LargeBinary(), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("proposal", sa.JSON(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("decided_by", sa.String(length=120), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_exception")),
    )
    op.create_index("ix_reading_exception_queue", "reading_exception", ["state", "money", "id"], unique=False)
    op.create_index(
        "ix_reading_exception_point", "reading_exception", ["service_point_id", "channel", "start"], unique=False
    )
    op.create_index("ix_reading_exception_end", "reading_exception", ["end"], unique=False)
    op.create_table(
        "reading_exception_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("exception_id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state_before", sa.String(length=12), nullable=True),
        sa.Column("state_after", sa.String(length=12), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("after", sa.LargeBinary(), nullable=True),
        sa.Column("effect", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("batch_id", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(
            ["exception_id"], ["reading_exception.id"], name=op.f("fk_reading_exception_step_exception_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_exception_step")),
    )
    op.create_index(
        "ix_reading_exception_step_exception", "reading_exception_step", ["exception_id", "id"], unique=False
    )
    op.create_table(
        "reading_validation",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("validated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_reading_validation")),
    )
    _forbid_changing_steps()


def _forbid_changing_steps() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER reading_exception_step_no_{verb.lower()} BEFORE {verb} ON reading_exception_step "
                "BEGIN SELECT RAISE(ABORT, 'a step that was taken is never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION reading_exception_step_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'a step that was taken is never changed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER reading_exception_step_is_final BEFORE UPDATE OR DELETE ON reading_exception_step "
        "FOR EACH ROW EXECUTE FUNCTION reading_exception_step_is_final()"
    )
