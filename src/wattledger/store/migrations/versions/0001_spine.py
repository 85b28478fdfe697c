"""The spine: registry, intervals, ledger, wallets, supplies, bills, notices and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of the first release."""
    op.create_table(
        "account",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("phone", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_table(
        "bill_run",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("contracts", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('running', 'finished')", name=op.f("ck_bill_run_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_run")),
        sa.UniqueConstraint("month", name=op.f("uq_bill_run_month")),
    )
    op.create_table(
        "ingest_batch",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("source", sa.String(length=60), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("duplicate", sa.Integer(), nullable=False),
        sa.Column("revised", sa.Integer(), nullable=False),
        sa.Column("last_start", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_batch")),
    )
    op.create_index("ix_ingest_batch_received_at", "ingest_batch", ["received_at"], unique=False)
    op.create_table(
        "interval_day",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("present", sa.Integer(), nullable=False),
        sa.Column("wh", sa.LargeBinary(), nullable=False),
        sa.Column("quality", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("service_point_id", "channel", "day", name=op.f("pk_interval_day")),
    )
    op.create_index("ix_interval_day_day", "interval_day", ["day"], unique=False)
    op.create_table(
        "interval_revision",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("wh_before", sa.Integer(), nullable=False),
        sa.Column("quality_before", sa.SmallInteger(), nullable=False),
        sa.Column("wh_after", sa.Integer(), nullable=False),
        sa.Column("quality_after", sa.SmallInteger(), nullable=False),
        sa.Column("batch_id", sa.String(length=120), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interval_revision")),
    )
    op.create_index(
        "ix_interval_revision_point", "interval_revision", ["service_point_id", "channel", "start"], unique=False
    )
    op.create_table(
        "ledger_account",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("rule", sa.String(length=30), nullable=False),
        sa.Column("debits", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "(rule = 'none') OR (rule = 'debits_not_over_credits' AND debits <= credits) OR (rule = 'credits_not_over_debits' AND credits <= debits)",
            name=op.f("ck_ledger_account_rule"),
        ),
        sa.CheckConstraint("debits >= 0 AND credits >= 0", name=op.f("ck_ledger_account_sums")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_account")),
    )
    op.create_table(
        "meter",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meter")),
        sa.UniqueConstraint("serial", name=op.f("uq_meter_serial")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("to", sa.String(length=120), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.JSON(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index("ix_notice_contract_id", "notice", ["contract_id", "at"], unique=False)
    op.create_index("ix_notice_sent_at", "notice", ["sent_at", "at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("delivered", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_contract", "outbox", ["contract_id", "seq"], unique=False)
    op.create_index("ix_outbox_undelivered", "outbox", ["delivered", "seq"], unique=False)
    op.create_table(
        "premise",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_premise")),
    )
    op.create_table(
        "supply",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('on', 'off', 'disconnecting', 'reconnecting')", name=op.f("ck_supply_state")),
        sa.PrimaryKeyConstraint("service_point_id", name=op.f("pk_supply")),
    )
    op.create_table(
        "tariff_version",
        sa.Column("tariff_id", sa.String(length=80), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tariff_id", "valid_from", name=op.f("pk_tariff_version")),
        sa.UniqueConstraint("tariff_id", "version", name=op.f("uq_tariff_version_tariff_id_version")),
    )
    op.create_table(
        "wallet",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("low_threshold", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("accrued", sa.BigInteger(), nullable=False),
        sa.Column("recent", sa.JSON(), nullable=False),
        sa.Column("posted_day", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('ok', 'low', 'empty')", name=op.f("ck_wallet_state")),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_wallet")),
    )
    op.create_index("ix_wallet_posted_day", "wallet", ["posted_day"], unique=False)
    op.create_table(
        "bill",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("run_id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("held_because", sa.String(length=40), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("deducted", sa.BigInteger(), nullable=True),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("estimated", sa.Integer(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('bill', 'statement')", name=op.f("ck_bill_kind")),
        sa.CheckConstraint("state IN ('posted', 'held')", name=op.f("ck_bill_state")),
        sa.ForeignKeyConstraint(["run_id"], ["bill_run.id"], name=op.f("fk_bill_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill")),
        sa.UniqueConstraint("contract_id", "start", "kind", name=op.f("uq_bill_contract_id_start_kind")),
    )
    op.create_index("ix_bill_run_id", "bill", ["run_id", "state"], unique=False)
    op.create_table(
        "ledger_transfer",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("debit_account", sa.String(length=120), nullable=False),
        sa.Column("credit_account", sa.String(length=120), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=160), nullable=False),
        sa.Column("corrects", sa.String(length=160), nullable=True),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_transfer_amount")),
        sa.CheckConstraint("debit_account <> credit_account", name=op.f("ck_ledger_transfer_sides")),
        sa.ForeignKeyConstraint(
            ["credit_account"], ["ledger_account.id"], name=op.f("fk_ledger_transfer_credit_account")
        ),
        sa.ForeignKeyConstraint(
            ["debit_account"], ["ledger_account.id"], name=op.f("fk_ledger_transfer_debit_account")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_transfer")),
        sa.UniqueConstraint("id", name=op.f("uq_ledger_transfer_id")),
    )
    op.create_index("ix_ledger_transfer_credit_account", "ledger_transfer", ["credit_account", "seq"], unique=False)
    op.create_index("ix_ledger_transfer_debit_account", "ledger_transfer", ["debit_account", "seq"], unique=False)
    op.create_index("ix_ledger_transfer_purpose_posted_at", "ledger_transfer", ["purpose", "posted_at"], unique=False)
    op.create_table(
        "recharge",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["wallet.contract_id"], name=op.f("fk_recharge_contract_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recharge")),
        sa.UniqueConstraint("contract_id", "key", name=op.f("uq_recharge_contract_id_key")),
    )
    op.create_index("ix_recharge_contract_id", "recharge", ["contract_id", "created_at"], unique=False)
    op.create_table(
        "service_point",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("premise_id", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["premise_id"], ["premise.id"], name=op.f("fk_service_point_premise_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_point")),
    )
    op.create_table(
        "supply_command",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("action IN ('disconnect', 'reconnect')", name=op.f("ck_supply_command_action")),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'confirmed', 'void', 'failed')", name=op.f("ck_supply_command_state")
        ),
        sa.ForeignKeyConstraint(
            ["service_point_id"], ["supply.service_point_id"], name=op.f("fk_supply_command_service_point_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supply_command")),
    )
    op.create_index("ix_supply_command_cause", "supply_command", ["cause"], unique=False)
    op.create_index("ix_supply_command_service_point_id", "supply_command", ["service_point_id", "state"], unique=False)
    op.create_index("ix_supply_command_state", "supply_command", ["state", "not_before"], unique=False)
    op.create_table(
        "wallet_segment",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("tariff_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("postings", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["wallet.contract_id"], name=op.f("fk_wallet_segment_contract_id")),
        sa.PrimaryKeyConstraint("contract_id", "start", name=op.f("pk_wallet_segment")),
    )
    op.create_index("ix_wallet_segment_end", "wallet_segment", ["end"], unique=False)
    op.create_table(
        "contract",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.String(length=60), nullable=False),
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_contract_account_id")),
        sa.ForeignKeyConstraint(["service_point_id"], ["service_point.id"], name=op.f("fk_contract_service_point_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
    )
    op.create_index("ix_contract_account_id", "contract", ["account_id"], unique=False)
    op.create_index("ix_contract_service_point_id", "contract", ["service_point_id"], unique=False)
    op.create_table(
        "installation",
        sa.Column("service_point_id", sa.String(length=60), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("meter_id", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.id"], name=op.f("fk_installation_meter_id")),
        sa.ForeignKeyConstraint(
            ["service_point_id"], ["service_point.id"], name=op.f("fk_installation_service_point_id")
        ),
        sa.PrimaryKeyConstraint("service_point_id", "valid_from", name=op.f("pk_installation")),
    )
    op.create_index("ix_installation_meter_id", "installation", ["meter_id"], unique=False)
    op.create_table(
        "contract_term",
        sa.Column("contract_id", sa.String(length=60), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("tariff_id", sa.String(length=80), nullable=False),
        sa.CheckConstraint("mode IN ('prepay', 'postpay')", name=op.f("ck_contract_term_mode")),
        sa.ForeignKeyConstraint(["contract_id"], ["contract.id"], name=op.f("fk_contract_term_contract_id")),
        sa.PrimaryKeyConstraint("contract_id", "valid_from", name=op.f("pk_contract_term")),
    )

    _forbid_changing_transfers()


def _forbid_changing_transfers() -> None:
    # The book is append-only whoever holds the pen: the database itself refuses to change or delete a transfer.
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_transfer_no_{verb.lower()} BEFORE {verb} ON ledger_transfer "
                "BEGIN SELECT RAISE(ABORT, 'a posted transfer is never changed: post a correction'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_transfer_is_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION 'a posted transfer is never changed: post a correction'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_transfer_is_final BEFORE UPDATE OR DELETE ON ledger_transfer "
        "FOR EACH ROW EXECUTE FUNCTION ledger_transfer_is_final()"
    )
