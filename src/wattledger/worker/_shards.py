"""The shards of a bill run: one after the other with threads in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

import gc
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from wattledger import billing, prepay
from wattledger.kernel import Money, Period, Problem
from wattledger.registry import Segment
from wattledger.store import Store, Transaction
from wattledger.worker._cluster import cluster

THREADS = "threads"
_DASK = "dask://"


class ExecutorRefused(Problem):
    """Bulk work cannot be given to what was asked for."""

    slug = "executor-refused"
    title = "This executor cannot do the work"
    status = 422


class WalletDeductions:
    """Tells billing what the wallets were charged (``billing.Deductions``)."""

    def close(self, tx: Transaction, *, segments: Sequence[Segment], now: datetime) -> Mapping[str, Money]:
        """Reckon whole segments to their end and return each contract's deductions for them."""
        return prepay.close_month(tx, segments=segments, now=now)

    def stated(self, tx: Transaction, *, statements: Mapping[str, tuple[str, Period]]) -> None:
        """Let the wallets remember which statement told what was deducted."""
        prepay.mark_stated(tx, statements=statements)


class StageTimes:
    """Where the time goes: called with a stage's name when it begins, ``None`` when the last one ends."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._under_way: str | None = None
        self._since = 0.0

    def __call__(self, stage: str | None) -> None:
        """Another stage begins, and the one before it ends."""
        now = time.perf_counter()
        if self._under_way is not None:
            self.seconds[self._under_way] += now - self._since
        self._under_way, self._since = stage, now

    def add(self, seconds: Mapping[str, float]) -> None:
        """Time that went by elsewhere."""
        for stage, more in seconds.items():
            self.seconds[stage] += more


@dataclass(frozen=True, slots=True)
class Shard:
    """Some contracts of a run, and what their bills are made with; the same wherever it is done."""

    run_id: str
    contract_ids: Sequence[str]
    now: datetime
    policy: billing.CorrectionPolicy


class Shards:
    """Does the shards of bill runs; ``executor`` is ``threads`` or ``dask://host:port``, the scheduler of a cluster.

    Raises :class:`ExecutorRefused`.
    """

    def __init__(self, store: Store, *, executor: str = THREADS) -> None:
        if executor != THREADS and not executor.startswith(_DASK):
            raise ExecutorRefused(
                f"{executor!r} is neither threads nor a cluster", remedy="write threads or dask://host:port"
            )
        if executor != THREADS and store.dialect == "sqlite":
            raise ExecutorRefused(
                "the workers of a cluster cannot share a SQLite file",
                remedy="keep the data in PostgreSQL (--database postgresql://...), or use threads",
            )
        self._store = store
        self._scheduler = None if executor == THREADS else executor.removeprefix(_DASK)
        self.stages = StageTimes()

    def check(self) -> None:
        """Raise a ``Problem`` if the work could not be begun now."""
        if self._scheduler is not None:
            with cluster(self._scheduler):
                pass

    def do(self, shards: Sequence[Shard]) -> int:
        """Do them all, each in a transaction of its own; returns how many bills were made."""
        if self._scheduler is None:
            with ThreadPoolExecutor(_cores()) as pool:
                return sum(done(self._store, shard, stages=self.stages, executor=pool) for shard in shards)
        url = self._store.url.render_as_string(hide_password=False)
        with cluster(self._scheduler) as executor:
            made = 0
            for future in as_completed([executor.submit(done_there, url, shard) for shard in shards]):
                count, seconds = future.result()
                made += count
                self.stages.add(seconds)
            return made


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def done(store: Store, shard: Shard, *, stages: StageTimes, executor: Executor | None = None) -> int:
    """One shard, in one transaction; bills that are posted already are passed over. Returns how many were made."""
    with _no_collecting(), store.write() as tx:
        made = billing.bill_contracts(
            tx,
            run_id=shard.run_id,
            contract_ids=shard.contract_ids,
            deductions=WalletDeductions(),
            now=shard.now,
            policy=shard.policy,
            executor=executor,
            stage=stages,
        )
        stages("commit")
    stages(None)
    return made


def done_there(url: str, shard: Shard) -> tuple[int, dict[str, float]]:
    """As :func:`done`, in a process of a cluster that opens the store for itself; also tells the time by stage."""
    stages = StageTimes()
    return done(_opened(url), shard, stages=stages), dict(stages.seconds)


@lru_cache(maxsize=8)
def _opened(url: str) -> Store:
    return Store(url)  # for as long as the process lives: what it has learnt of the readings serves the next shard


@contextmanager
def _no_collecting() -> Iterator[None]:
    # A shard makes hundreds of thousands of objects and no cycles; to look for some took a quarter of its time.
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
