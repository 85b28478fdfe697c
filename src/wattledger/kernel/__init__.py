"""The words every room shares: quantities, periods, qualities, interval series, clocks and problems.

Pure: no I/O and no third-party library but NumPy.
"""

from wattledger.kernel.clocks import Clock, ManualClock, SystemClock
from wattledger.kernel.ids import new_id, stable_id
from wattledger.kernel.problems import Problem
from wattledger.kernel.quantities import CurrencyMismatch, Energy, Money, Power
from wattledger.kernel.series import IntervalSeries, Quality
from wattledger.kernel.times import Period, epoch, from_epoch, local_days, local_months, zone_named

__all__ = [
    "Clock",
    "CurrencyMismatch",
    "Energy",
    "IntervalSeries",
    "ManualClock",
    "Money",
    "Period",
    "Power",
    "Problem",
    "Quality",
    "SystemClock",
    "epoch",
    "from_epoch",
    "local_days",
    "local_months",
    "new_id",
    "stable_id",
    "zone_named",
]
