"""How much, when and how sure: the interval store and the files that readings come in.

The only room that answers "how much did this point use?".
"""

from wattledger.readings import vee
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
from wattledger.readings.formats import (
    Channel,
    Commodity,
    Direction,
    FileFormat,
    ReadingsFile,
    ReadingsFileRefused,
    Refused,
    ZoneNeeded,
    read_file,
)

__all__ = [
    "EXPORT",
    "IMPORT",
    "ArrivalSlot",
    "BatchConflict",
    "BatchRefused",
    "Change",
    "Channel",
    "Collected",
    "Commodity",
    "Direction",
    "FileFormat",
    "IntervalBatch",
    "PointIntervals",
    "ReadingsFile",
    "ReadingsFileRefused",
    "Receipt",
    "Refused",
    "Revision",
    "ZoneNeeded",
    "arrivals",
    "collected",
    "ingest",
    "read_file",
    "revisions",
    "series",
    "series_of_points",
    "vee",
]
