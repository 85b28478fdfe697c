"""A database from before segments and files keeps every value it had, and every one it had before that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import wattledger.store
from wattledger import readings
from wattledger.kernel import Period, Quality
from wattledger.store import Store

MICRO = 1_000_000
DAY = datetime(2026, 3, 1, tzinfo=UTC)
NUMBER = int(DAY.timestamp()) // 86_400


def _upgraded_to(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(wattledger.store.__file__).parent / "migrations"))
    with store.write() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


def _before(store: Store) -> None:
    """Two homes; one value was revised twice, one taken back and brought again."""
    at = int(DAY.timestamp()) * MICRO
    wh = np.zeros(96, dtype="<i4")
    quality = np.zeros(96, dtype=np.uint8)
    wh[:4], quality[:4] = (5, 8, 7, 3), 1
    day = "INSERT INTO interval_day VALUES (:p, 'import', :d, 900, 4, :w, :q)"
    revision = "INSERT INTO interval_revision VALUES (:i, 'a', 'import', :s, :wb, :qb, :wa, :qa, 'b1', :at)"
    batch = "INSERT INTO ingest_batch VALUES ('b1', 'test', :at, 'hash', 8, 0, 3, :at)"
    with store.write() as tx:
        for point in ("a", "b"):
            tx.execute(sa.text(day), {"p": point, "d": NUMBER, "w": wh.tobytes(), "q": quality.tobytes()})
        tx.execute(sa.text(batch), {"at": at})
        for number, (slot, before, after) in enumerate(
            [(1, (6, 2), (7, 1)), (1, (7, 1), (8, 1)), (2, (4, 1), (4, 0))], start=1
        ):
            row = dict(zip(("wb", "qb", "wa", "qa"), (*before, *after), strict=True))
            start = at + slot * 900 * MICRO
            tx.execute(sa.text(revision), {"i": number, "s": start, "at": at + number * MICRO, **row})


def test_every_value_is_carried_over(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    _upgraded_to(store, "0002")
    _before(store)
    _upgraded_to(store, "head")
    period = Period(DAY, DAY + timedelta(days=1))
    with store.read() as tx:
        now = readings.series_of_points(tx, service_point_ids=["a", "b"], period=period)
        assert {point: one.values.tolist() for point, one in now.items()} == {"a": [5, 8, 7, 3], "b": [5, 8, 7, 3]}
        then = readings.series(tx, service_point_id="a", period=period, as_of=DAY)
        assert then.values.tolist() == [5, 6, 4, 3]
        assert then.qualities.tolist() == [1, Quality.ESTIMATED, 1, 1]
        revised = readings.revisions(tx, service_point_id="a", period=period)
        assert [(r.start, r.wh_before, r.wh_after) for r in revised] == [
            (DAY + timedelta(minutes=15), 6, 7),
            (DAY + timedelta(minutes=15), 7, 8),
            (DAY + timedelta(minutes=30), 4, 4),
        ]
        assert readings.collected(tx).stored_total == 8
        assert readings.verify(tx) == []
    store.close()


def test_a_database_without_readings_is_carried_over(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    store.migrate()
    with store.read() as tx:
        assert readings.verify(tx) == []
        assert readings.stats(tx).channels == []
    store.close()
