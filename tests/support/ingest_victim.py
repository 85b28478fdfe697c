"""Delivers a month in small batches, with recharges between them; starts over from the beginning at every run."""

import sys
from datetime import timedelta

from grid import MARCH
from victim import DAYS, HOMES, raise_grid, say, thinking_aloud, use

from wattledger.kernel import Period

grid = raise_grid(thinking_aloud(sys.argv[1]))
series = {f"h{home}": use(home) for home in range(HOMES)}
for day in range(DAYS):
    period = Period(MARCH + timedelta(days=day), MARCH + timedelta(days=day + 1))
    grid.clock.move_to(period.end)
    grid.deliver(f"day-{day}", {name: one.within(period) for name, one in series.items()})
    if day % 5 == 0:
        grid.recharge("h0", "3.50", key=f"recharge-{day}")
say("done")
