"""How much, when and how sure: the interval store and the files that readings come in.

The only room that answers "how much did this point use?".
"""

from wattledger.readings._intervals import (
    EXPORT,
    IMPORT,
    ArrivalSlot,
    BatchConflict,
    BatchRefused,
    Change,
    Collected,
    IntervalBatch,
    PointIntervals,
    Receipt,
    Revision,
    arrivals,
    collected,
    ingest,
    revisions,
    series,
    series_of_points,
)

__all__ = [
    "EXPORT",
    "IMPORT",
    "ArrivalSlot",
    "BatchConflict",
    "BatchRefused",
    "Change",
    "Collected",
    "IntervalBatch",
    "PointIntervals",
    "Receipt",
    "Revision",
    "arrivals",
    "collected",
    "ingest",
    "revisions",
    "series",
    "series_of_points",
]
