"""How much, when and how sure: the interval store and the files that readings come in.

The only room that answers "how much did this point use?". The store, and with it the database library, is imported when
it is first asked for: who only reads files starts without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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
    from wattledger.readings._scan import IntervalBlock, scan

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
    "IntervalBlock",
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
    "scan",
    "series",
    "series_of_points",
    "vee",
]


_STORE = "wattledger.readings._intervals"
_ELSEWHERE = dict.fromkeys(("IntervalBlock", "scan"), "wattledger.readings._scan")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "vee":
        return import_module("wattledger.readings.vee")
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_ELSEWHERE.get(name, _STORE)), name)
    globals()[name] = value
    return value
