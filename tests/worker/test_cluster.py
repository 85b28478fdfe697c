"""Bill runs on a Dask cluster of local processes, of which one is killed in the middle of its work."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from grid import APRIL, Grid, intervals

from wattledger import billing, ledger
from wattledger.kernel import Money
from wattledger.store import Store
from wattledger.worker import ClusterUnreachable, ExecutorRefused, Jobs, launch_jobs, stop_jobs
from wattledger.worker import _jobs as jobs_module

distributed = pytest.importorskip("distributed", reason="the extra wattledger[cluster] is not installed")

HOMES = 60
POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NAMES = (f"jobs-{number}" for number in itertools.count())


def until(condition: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it gives
    """What ``condition`` gives once it gives anything; the test's own time limit is the end of patience."""
    turn = threading.Event()
    while not (found := condition()):
        turn.wait(0.02)
    return found


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        until(lambda: file.exists() and file.read_text().endswith("}"))
        self.client = distributed.Client(scheduler_file=str(file), set_as_default=False)
        self.address = self.client.scheduler.address.removeprefix("tcp://")

    def worker(self) -> subprocess.Popen[bytes]:
        before = len(self.client.scheduler_info()["workers"])
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", self._folder)
        process = self._start("dask_worker", f"tcp://{self.address}", *options)
        self.client.wait_for_workers(before + 1)
        return process

    def _start(self, program: str, *options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *map(str, options)]
        with (self._folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        self._processes.append(process)
        return process

    def close(self) -> None:
        self.client.close()
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.close()


@pytest.fixture
def launched(store: Store) -> Iterator[Store]:
    launch_jobs(store=store)
    yield store
    stop_jobs()


@pytest.fixture
def homes(grid: Grid) -> list[str]:
    """Homes of both kinds that used something in March."""
    grid.publish()
    names = [
        *grid.homes(HOMES // 2, mode="postpay"),
        *grid.homes(HOMES // 2, mode="prepay", first=HOMES // 2),
    ]
    grid.deliver("march", {name: intervals([5 * number + 5] * 31 * 96) for number, name in enumerate(names)})
    grid.clock.move_to(APRIL)
    return names


def jobs_of(grid: Grid, executor: str) -> Jobs:
    return Jobs(store=grid.store, clock=grid.clock, switch=grid.meters, name=next(NAMES), executor=executor)


def waiting(store: Store) -> int:
    """How many of the database's other sessions wait for a lock."""
    asked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with store.read() as tx:
        return int(tx.execute(asked).scalar_one())


@POSTGRESQL
@pytest.mark.usefixtures("launched")
def test_a_worker_that_is_killed_in_mid_run_loses_and_doubles_nothing(
    grid: Grid, homes: list[str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_SHARD_CONTRACTS", 5)
    victim = cluster.worker()
    cluster.worker()
    jobs = jobs_of(grid, f"dask://{cluster.address}")
    done: list[billing.BillRun] = []
    with grid.store.write() as tx:
        # Nobody can write a bill: both workers stop in the middle of a shard.
        tx.execute(sa.text("LOCK TABLE bill IN SHARE MODE"))
        runner = threading.Thread(
            target=lambda: done.append(jobs.wait_for_bill_run(run=jobs.start_bill_run(month="2026-03")))
        )
        runner.start()
        until(lambda: waiting(grid.store) >= 2)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    runner.join()
    run = done[0]
    assert (run.state, run.contracts, run.posted, run.held) == ("finished", HOMES, HOMES, 0)
    assert run.statements_agreeing == run.statements == HOMES // 2
    with grid.store.read() as tx:
        assert ledger.check_book(tx) == []
        for number, name in enumerate(homes):
            (bill,) = billing.bills_of(tx, contract_id=name)
            used = (5 * number + 5) * 31 * 96  # a price that needs no rounding
            assert bill.total == Money(used * 500 + 3_100_000, "CNY")
    assert jobs.stages.seconds["rate"] > 0  # told by the workers


@POSTGRESQL
@pytest.mark.usefixtures("launched")
def test_a_run_whose_cluster_is_gone_goes_on_with_another_executor(
    grid: Grid, homes: list[str], cluster: Cluster
) -> None:
    cluster.worker()
    gone = f"dask://{cluster.address}"
    cluster.close()
    with pytest.raises(ClusterUnreachable, match="no Dask scheduler answers"):
        jobs_of(grid, gone).start_bill_run(month="2026-03")
    jobs = jobs_of(grid, "threads")
    run = jobs.wait_for_bill_run(run=jobs.start_bill_run(month="2026-03"))
    assert run.posted == len(homes)


@ONLY_SQLITE
def test_what_cannot_do_the_work_is_refused(grid: Grid) -> None:
    with pytest.raises(ExecutorRefused, match="neither threads nor a cluster"):
        jobs_of(grid, "processes")
    with pytest.raises(ExecutorRefused, match="cannot share a SQLite file"):
        jobs_of(grid, "dask://127.0.0.1:8786")
