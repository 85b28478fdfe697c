"""Runs March's bills as a durable job with shards of one contract."""

import sys

from grid import APRIL
from victim import raise_grid, say, thinking_aloud

import wattledger.worker._jobs as jobs_module
from wattledger import billing
from wattledger.worker import Jobs, launch_jobs, stop_jobs

jobs_module._SHARD_CONTRACTS = 1
store = thinking_aloud(sys.argv[1])
grid = raise_grid(store)
grid.clock.move_to(APRIL)
jobs = Jobs(store=store, clock=grid.clock, switch=grid.meters, name="jobs")
launch_jobs(store=store)
with store.read() as tx:
    run = billing.latest_run(tx)
if run is None:
    run = jobs.start_bill_run(month="2026-03")
if run.state == "running":
    jobs.wait_for_bill_run(run=run)
stop_jobs()
say("done")
