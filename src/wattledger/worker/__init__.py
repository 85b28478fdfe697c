"""The edge of durable jobs: tells facts to those who act on them, and runs bill runs and switch commands to their end.

Bill runs and switch commands are DBOS workflows on the system's own database: whatever is killed when, they go on where
they were. Waiting is done in rows with a due time, which :class:`Worker` looks for; see decision 0002.
"""

from wattledger.worker._cluster import ClusterUnreachable
from wattledger.worker._compaction import CompactionSettings, compact
from wattledger.worker._jobs import Jobs, launch_jobs, stop_jobs
from wattledger.worker._shards import ExecutorRefused, StageTimes, WalletDeductions
from wattledger.worker._upkeep import Upkeep, UpkeepSettings
from wattledger.worker._worker import Worker

__all__ = [
    "ClusterUnreachable",
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
