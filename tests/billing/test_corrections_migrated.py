"""What was billed by a release that knew no corrections is corrected like any other bill."""

from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from grid import APRIL, MARCH, Grid, intervals

import wattledger.store
from wattledger import billing, ledger
from wattledger.store import Store
from wattledger.worker import WalletDeductions

BEFORE = "0003"
ADDED_TO_BILLS = {"service_point_id", "edition", "replaces"}
MARCH_SLOTS = 31 * 96


def revise(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(wattledger.store.__file__).parent / "migrations"))
    with store.write() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


def bill_march(grid: Grid) -> None:
    with grid.store.write() as tx:
        run = billing.start_run(tx, month="2026-03", now=grid.clock.now())
        billing.bill_contracts(
            tx, run_id=run.id, contract_ids=["h0", "h1"], deductions=WalletDeductions(), now=grid.clock.now()
        )
        billing.finish_run(tx, run_id=run.id, now=grid.clock.now())


def as_it_was_before(now: Store, before: Store) -> None:
    """Copy all rows that the earlier release knew, as it would have kept them."""
    with now.read() as told, before.write() as kept:
        metadata = sa.MetaData()
        metadata.reflect(kept.connection)
        kept.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        for table in metadata.sorted_tables:
            if table.name == "alembic_version":
                continue
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            rows = [dict(row._mapping) for row in told.rows(sa.text(f'SELECT {columns} FROM "{table.name}"'))]  # noqa: S608 - names of our own tables
            if rows:
                names = ", ".join(f":{column.name}" for column in table.columns)
                kept.execute(sa.text(f'INSERT INTO "{table.name}" ({columns}) VALUES ({names})'), rows)  # noqa: S608 - as above
        # Accounts had no shards then: all their sums stood in one row.
        shards = "SELECT account_id, SUM(debits) AS d, SUM(credits) AS c FROM ledger_account_shard GROUP BY account_id"
        for row in told.rows(sa.text(shards)):
            more = "UPDATE ledger_account SET debits = debits + :d, credits = credits + :c WHERE id = :account_id"
            kept.execute(sa.text(more), dict(row._mapping))


def test_bills_of_an_earlier_release_are_corrected(tmp_path: Path) -> None:
    now, before = Store(f"sqlite:///{tmp_path}/now.db"), Store(f"sqlite:///{tmp_path}/before.db")
    now.migrate()
    grid = Grid(now)
    grid.publish()
    grid.homes(1, mode="postpay")
    grid.homes(1, mode="prepay", first=1)
    grid.deliver("march", {name: intervals([250] * MARCH_SLOTS) for name in ("h0", "h1")})
    grid.clock.move_to(APRIL)
    bill_march(grid)
    revise(before, BEFORE)
    with before.read() as tx:
        columns = {column["name"] for column in sa.inspect(tx.connection).get_columns("bill")}
    assert not columns & ADDED_TO_BILLS
    as_it_was_before(now, before)
    before.migrate()
    old = Grid(before)
    old.clock.move_to(APRIL + timedelta(days=1))
    old.deliver("late", {name: intervals([1250], start=MARCH) for name in ("h0", "h1")})
    with before.write() as tx:
        made = billing.correct_due(tx, deductions=WalletDeductions(), now=old.clock.now())
        assert [(one.contract_id, one.way, one.difference.text) for one in made] == [
            ("h0", "next_bill", "0.50"),
            ("h1", "wallet", "0.50"),
        ]
        assert ledger.check_book(tx) == []
        statement = made[1].bill_id
        assert ledger.transfers_of(tx, account_id="wallet:h1")[0].reference == statement
    now.close()
    before.close()
