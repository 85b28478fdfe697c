"""A disk that is full, a folder nobody may write to, files that are gone or cut short, a database that goes away.

What fails says so, nothing is lost, and when it is mended work goes on.
"""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from store_story import FIRST, POINTS, day_of

from wattledger import readings, registry, worker
from wattledger.kernel import ManualClock, Period
from wattledger.store import Store, StoreUnreachable

DAYS = 3
WHOLE = Period(FIRST, FIRST + timedelta(days=DAYS))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond its first four thousand bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def somebody_else() -> Iterator[None]:
    """Not the superuser, who may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def delivery(store: Store, day: int, *, batch: str | None = None, more: int = 0) -> readings.Receipt:
    table = readings.TableIntervals("import", POINTS, FIRST + timedelta(days=day), 900, day_of(day) + more)
    with store.write() as tx:
        one = readings.IntervalBatch(batch or f"day-{day}", "test", tables=[table])
        return readings.ingest(tx, batch=one, now=FIRST + timedelta(days=day + 1))


def fold(store: Store, folder: Path) -> readings.Compacted:
    settings = worker.CompactionSettings(
        files=str(folder), day_settles=timedelta(0), month_settles=timedelta(days=99), late=True
    )
    return worker.compact(store, clock=ManualClock(WHOLE.end), settings=settings)


def whole(store: Store) -> list[list[int]]:
    with store.read() as tx:
        found = readings.series_of_points(tx, service_point_ids=POINTS, period=WHOLE)
    return [found[point].values.tolist() for point in POINTS if point in found]


EXPECTED = np.concatenate([day_of(day) for day in range(DAYS)], axis=1).tolist()


@pytest.fixture
def filled(store: Store) -> Store:
    with store.write() as tx:
        registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
        for point in POINTS:
            registry.add_service_point(tx, service_point_id=point, premise_id="here")
    for day in range(DAYS):
        delivery(store, day)
    return store


def is_sound(store: Store) -> bool:
    with store.read() as tx:
        assert readings.verify(tx) == []
    return bool(whole(store) == EXPECTED)


def test_the_disk_is_full_when_days_are_folded(filled: Store, tmp_path: Path) -> None:
    with filled.write() as tx:
        readings.files_lie_at(tx, url=str(tmp_path / "files"))
    with full_disk(), pytest.raises(readings.FilesUnwritable, match="make room"):
        fold(filled, tmp_path / "files")
    assert is_sound(filled)
    assert not [path for path in tmp_path.rglob("files/**/*") if path.is_file()]
    assert fold(filled, tmp_path / "files").intervals == DAYS * 96 * len(POINTS)
    assert is_sound(filled)


def test_nobody_may_write_to_the_folder() -> None:
    closed = Path(tempfile.mkdtemp())
    try:
        closed.chmod(0o555)
        folder = readings.folder_at(str(closed))
        with somebody_else(), pytest.raises(readings.FilesUnwritable, match=r"Permission denied.*let the folder"):
            folder.write("a/b.parquet", b"x")
        closed.chmod(0o777)
        with somebody_else():
            folder.write("a/b.parquet", b"x")
        assert (closed / "a/b.parquet").read_bytes() == b"x"
    finally:
        shutil.rmtree(closed)


def test_the_folder_is_no_folder(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file")
    with pytest.raises(readings.FilesUnreadable, match="cannot be listed"):
        fold(filled, tmp_path / "files")
    (tmp_path / "files").unlink()
    assert fold(filled, tmp_path / "files").pieces == DAYS
    assert is_sound(filled)


def _gone(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [_gone, _cut, _empty, _other])
def test_a_file_is_gone_or_damaged(filled: Store, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    fold(filled, tmp_path / "files")
    (path,) = (tmp_path / "files").glob(f"**/{FIRST:%Y-%m-%d}+1/*.parquet")
    shutil.copy(path, tmp_path / "copy")
    harm(path)
    # Another process knows no footers yet.
    other = Store(filled.url.render_as_string(hide_password=False))
    with other.read() as tx:
        faults = readings.verify(tx)
        assert any(path.name in fault for fault in faults), faults
        later = Period(FIRST + timedelta(days=1), WHOLE.end)
        assert len(readings.series(tx, service_point_id=POINTS[0], period=later)) == 96 * (DAYS - 1)
    if harm is not _other:  # that one only a checksum sees
        with pytest.raises(readings.FilesUnreadable, match=path.name), other.read() as tx:
            readings.series(tx, service_point_id=POINTS[0], period=WHOLE)
        with pytest.raises(readings.FilesUnreadable):
            delivery(other, 0, batch="late", more=1)
        with pytest.raises(readings.FilesUnreadable):
            worker.compact(
                other,
                clock=ManualClock(WHOLE.end + timedelta(days=99)),
                settings=worker.CompactionSettings(files=str(tmp_path / "files")),
            )
    assert delivery(other, DAYS).stored == 96 * len(POINTS)  # what does not touch it goes on
    shutil.copy(tmp_path / "copy", path)
    other.close()
    mended = Store(filled.url.render_as_string(hide_password=False))
    assert is_sound(mended)
    assert delivery(mended, 0, batch="late", more=1).revised == 96 * len(POINTS)
    mended.close()


def test_the_disk_is_full_when_readings_come(filled: Store) -> None:
    if filled.dialect != "sqlite":
        return  # a server's disk is not this process's to fill
    with full_disk(), pytest.raises(StoreUnreachable, match="nothing was changed"):
        delivery(filled, DAYS)
    filled.close()
    assert is_sound(filled)
    assert delivery(filled, DAYS).stored == 96 * len(POINTS)


def test_the_database_goes_away(filled: Store) -> None:
    if filled.dialect == "sqlite":
        with pytest.raises(StoreUnreachable, match="path that may be made"):
            Store("sqlite:////proc/nowhere/x.db")
        return
    with pytest.raises(StoreUnreachable):
        _lose_the_connection(filled)
    assert is_sound(filled)
    assert delivery(filled, DAYS).stored == 96 * len(POINTS)


def _lose_the_connection(store: Store) -> None:
    table = readings.TableIntervals("import", POINTS, WHOLE.end, 900, day_of(DAYS))
    with store.write() as tx:
        readings.ingest(tx, batch=readings.IntervalBatch("lost", "test", tables=[table]), now=WHOLE.end)
        with store.engine.connect() as other:
            own = tx.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
        readings.collected(tx)
