"""What a head-end keeps: meters and how they are reached, what is due, commands, keys, counters and events."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The head-end's tables; the audit of a command is never changed, whoever holds the pen."""
    op.create_table(
        "headend_inbound",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stream", sa.String(length=20), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "generation", "stream", name=op.f("pk_headend_inbound")),
    )
    op.create_table(
        "headend_key",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('new', 'active', 'retired')", name=op.f("ck_headend_key_state")),
        sa.PrimaryKeyConstraint("meter_id", "generation", name=op.f("pk_headend_key")),
    )
    op.create_index(
        "uq_headend_key_state",
        "headend_key",
        ["meter_id", "state"],
        unique=True,
        sqlite_where=sa.text("state <> 'retired'"),
        postgresql_where=sa.text("state <> 'retired'"),
    )
    op.create_table(
        "headend_meter",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("driver", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("concentrator", sa.String(length=60), nullable=False),
        sa.Column("companion", sa.String(length=20), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("visit_at", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.String(length=60), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.String(length=20), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("contacted_at", sa.BigInteger(), nullable=True),
        sa.Column("clock_off", sa.BigInteger(), nullable=True),
        sa.Column("clock_read_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id", name=op.f("pk_headend_meter")),
    )
    op.create_index("ix_headend_meter_concentrator", "headend_meter", ["concentrator", "leased_until"], unique=False)
    op.create_index("ix_headend_meter_visit", "headend_meter", ["visit_at", "urgent"], unique=False)
    op.create_table(
        "headend_outbound",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", name=op.f("pk_headend_outbound")),
    )
    op.create_table(
        "headend_ask",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'done', 'failed', 'expired')", name=op.f("ck_headend_ask_state")),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_ask_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_headend_ask")),
    )
    op.create_index("ix_headend_ask_meter", "headend_ask", ["meter_id", "state"], unique=False)
    op.create_table(
        "headend_clock_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("off", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("crossed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_clock_step_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_headend_clock_step")),
    )
    op.create_index("ix_headend_clock_step_meter", "headend_clock_step", ["meter_id", "id"], unique=False)
    op.create_table(
        "headend_command",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("watts", sa.BigInteger(), nullable=True),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("seen", sa.String(length=120), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_command_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_headend_command")),
        sa.UniqueConstraint("meter_id", "number", name=op.f("uq_headend_command_meter_id_number")),
    )
    op.create_index("ix_headend_command_state", "headend_command", ["state", "meter_id"], unique=False)
    op.create_table(
        "headend_event",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("log", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_event_meter_id")),
        sa.PrimaryKeyConstraint("meter_id", "log", "at", "code", name=op.f("pk_headend_event")),
    )
    op.create_table(
        "headend_event_log",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("log", sa.String(length=40), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("every", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_event_log_meter_id")),
        sa.PrimaryKeyConstraint("meter_id", "log", name=op.f("pk_headend_event_log")),
    )
    op.create_table(
        "headend_profile",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("profile", sa.String(length=40), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("every", sa.Integer(), nullable=False),
        sa.Column("grace", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["meter_id"], ["headend_meter.meter_id"], name=op.f("fk_headend_profile_meter_id")),
        sa.PrimaryKeyConstraint("meter_id", "profile", name=op.f("pk_headend_profile")),
    )
    op.create_table(
        "headend_command_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("command_id", sa.String(length=120), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("event", sa.String(length=24), nullable=False),
        sa.Column("state_before", sa.String(length=24), nullable=True),
        sa.Column("state_after", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["command_id"], ["headend_command.id"], name=op.f("fk_headend_command_step_command_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_headend_command_step")),
    )
    op.create_index("ix_headend_command_step_command", "headend_command_step", ["command_id", "id"], unique=False)
    op.create_table(
        "headend_gap",
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.Column("profile", sa.String(length=40), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["meter_id", "profile"],
            ["headend_profile.meter_id", "headend_profile.profile"],
            name=op.f("fk_headend_gap_meter_id_profile"),
        ),
        sa.PrimaryKeyConstraint("meter_id", "profile", "start", name=op.f("pk_headend_gap")),
    )
    _forbid_changing_steps()


def _forbid_changing_steps() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER headend_command_step_no_{verb.lower()} BEFORE {verb} ON headend_command_step "
                "BEGIN SELECT RAISE(ABORT, 'the audit of a command is never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION headend_command_step_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'the audit of a command is never changed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER headend_command_step_is_final BEFORE UPDATE OR DELETE ON headend_command_step "
        "FOR EACH ROW EXECUTE FUNCTION headend_command_step_is_final()"
    )


def downgrade() -> None:
    """Releases only go forward; a copy of the database goes back."""
    raise NotImplementedError
