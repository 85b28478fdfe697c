"""Brings late readings for March, which is billed, and corrects its bills one point at a time, in both ways."""

import sys
from typing import cast

from grid import APRIL
from victim import HOMES, late_use, raise_grid, say, thinking_aloud

import wattledger.worker._jobs as jobs_module
from wattledger.billing import CorrectionPolicy
from wattledger.worker import Jobs

jobs_module._CORRECTED_TOGETHER = 1
store = thinking_aloud(sys.argv[1])
grid = raise_grid(store)
grid.clock.move_to(APRIL)
for number, policy in enumerate(("next_bill", "rebill")):
    corrections = cast("CorrectionPolicy", policy)
    jobs = Jobs(store=store, clock=grid.clock, switch=grid.meters, name=policy, corrections=corrections)
    grid.deliver(f"late {number}", {f"h{home}": late_use(home, number) for home in range(HOMES)})
    jobs.correct_all_bills()
say("done")
