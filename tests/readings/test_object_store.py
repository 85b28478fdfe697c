"""History in an object store: the same as in a folder. The S3 is moto's server, a program of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from store_story import FIRST, POINTS, day_of

from wattledger import readings, registry, worker
from wattledger.kernel import ManualClock, Period
from wattledger.store import Store

pytest.importorskip("moto", reason="moto is not installed: there is no S3 to try")
fs = pytest.importorskip("pyarrow.fs")

DAYS = 3
END = FIRST + timedelta(days=DAYS)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket on a server of the module's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        turn = threading.Event()
        while server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            turn.wait(0.05)
        url = (
            "s3://someone:secret@history/readings?scheme=http&region=us-east-1&allow_bucket_creation=true"
            f"&endpoint_override=127.0.0.1:{port}"
        )
        system, _ = fs.FileSystem.from_uri(url)
        system.create_dir("history")
        yield url
    finally:
        server.kill()
        server.wait()


def whole(store: Store) -> list[list[int]]:
    with store.read() as tx:
        found = readings.series_of_points(tx, service_point_ids=POINTS, period=Period(FIRST, END))
    return [found[point].values.tolist() for point in POINTS]


def test_what_is_folded_into_a_bucket_is_read_from_it(store: Store, bucket: str) -> None:
    url = bucket.replace("/readings?", f"/{store.dialect}?")
    expected: list[list[int]] = [[] for _ in POINTS]
    with store.write() as tx:
        registry.add_premise(tx, premise_id="here", kind="home", address="Here", zone="UTC")
        for point in POINTS:
            registry.add_service_point(tx, service_point_id=point, premise_id="here")
        for day in range(DAYS):
            table = readings.TableIntervals("import", POINTS, FIRST + timedelta(days=day), 900, day_of(day))
            batch = readings.IntervalBatch(f"day-{day}", "test", tables=[table])
            readings.ingest(tx, batch=batch, now=FIRST + timedelta(days=day + 1))
            expected = [had + more for had, more in zip(expected, day_of(day).tolist(), strict=True)]
    for late in (timedelta(hours=6), timedelta(days=40)):  # days, then the month
        settings = worker.CompactionSettings(files=url, grace=timedelta(0))
        assert worker.compact(store, clock=ManualClock(END + late), settings=settings).pieces
        assert whole(store) == expected
        with store.read() as tx:
            assert readings.verify(tx) == []
    worker.compact(store, clock=ManualClock(END + timedelta(days=41)), settings=worker.CompactionSettings())
    system, base = fs.FileSystem.from_uri(url)
    (file,) = [one for one in system.get_file_info(fs.FileSelector(base, recursive=True)) if one.is_file]
    system.delete_file(file.path)
    with pytest.raises(readings.FilesUnreadable, match="is listed and not there") as caught:
        whole(store)
    assert "secret" not in str(caught.value)
    with store.read() as tx:
        (fault,) = readings.verify(tx)[:1]
        assert "secret" not in fault
        assert "secret" not in str(readings.stats(tx))
