"""The edge of durable jobs: tells facts to those who act on them, and runs bill runs and switch commands to their end.

Bill runs and switch commands are DBOS workflows on the system's own database: whatever is killed when, they go on where
they were. Waiting is done in rows with a due time, which :class:`Worker` looks for; see decision 0002.

What needs the workflow engine is loaded when it is asked for: most commands do without, and start a second sooner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wattledger.worker._compaction import CompactionSettings, compact
from wattledger.worker._upkeep import Upkeep, UpkeepSettings

if TYPE_CHECKING:
    from wattledger.worker._cluster import ClusterUnreachable
    from wattledger.worker._collection import Collector
    from wattledger.worker._jobs import Jobs, launch_jobs, stop_jobs
    from wattledger.worker._shards import ExecutorRefused, StageTimes, WalletDeductions
    from wattledger.worker._worker import Worker

__all__ = [
    "ClusterUnreachable",
    "Collector",
    "CompactionSettings",
    "ExecutorRefused",
    "Jobs",
    "StageTimes",
    "Upkeep",
    "UpkeepSettings",
    "WalletDeductions",
    "Worker",
    "compact",
    "launch_jobs",
    "stop_jobs",
]

_HOMES = {
    "ClusterUnreachable": "_cluster",
    "Collector": "_collection",
    "ExecutorRefused": "_shards",
    "Jobs": "_jobs",
    "StageTimes": "_shards",
    "WalletDeductions": "_shards",
    "Worker": "_worker",
    "launch_jobs": "_jobs",
    "stop_jobs": "_jobs",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"wattledger.worker.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
