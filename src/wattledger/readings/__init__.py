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
    from wattledger.readings._audit import ChannelStats, StoreStats, stats, verify
    from wattledger.readings._batches import (
        EXPORT,
        IMPORT,
        BatchConflict,
        BatchRefused,
        Change,
        Changes,
        IntervalBatch,
        PointIntervals,
        Receipt,
        TableIntervals,
    )
    from wattledger.readings._compaction import (
        CompactionPiece,
        CompactionRefused,
        FilesElsewhere,
        FoldedPiece,
        compaction_due,
        files_lie_at,
        fold,
        forget_files,
        listed_files,
        publish,
        retired_files,
        unlisted_files,
    )
    from wattledger.readings._files import FilesUnreadable, FilesUnwritable, Folder, folder_at
    from wattledger.readings._history import (
        ArrivalSlot,
        Collected,
        IntervalBlock,
        Revision,
        Version,
        arrivals,
        collected,
        revisions,
        scan,
        series,
        series_of_points,
        versions,
    )
    from wattledger.readings._ingest import ingest
    from wattledger.readings._memory import FilesNowhere, SegmentUnreadable

__all__ = [
    "EXPORT",
    "IMPORT",
    "ArrivalSlot",
    "BatchConflict",
    "BatchRefused",
    "Change",
    "Changes",
    "Channel",
    "ChannelStats",
    "Collected",
    "Commodity",
    "CompactionPiece",
    "CompactionRefused",
    "Direction",
    "FileFormat",
    "FilesElsewhere",
    "FilesNowhere",
    "FilesUnreadable",
    "FilesUnwritable",
    "FoldedPiece",
    "Folder",
    "IntervalBatch",
    "IntervalBlock",
    "PointIntervals",
    "ReadingsFile",
    "ReadingsFileRefused",
    "Receipt",
    "Refused",
    "Revision",
    "SegmentUnreadable",
    "StoreStats",
    "TableIntervals",
    "Version",
    "ZoneNeeded",
    "arrivals",
    "collected",
    "compaction_due",
    "files_lie_at",
    "fold",
    "folder_at",
    "forget_files",
    "ingest",
    "listed_files",
    "publish",
    "read_file",
    "retired_files",
    "revisions",
    "scan",
    "series",
    "series_of_points",
    "stats",
    "unlisted_files",
    "vee",
    "verify",
    "versions",
]


_MODULES = {
    "_batches": (
        "EXPORT",
        "IMPORT",
        "BatchConflict",
        "BatchRefused",
        "Change",
        "Changes",
        "IntervalBatch",
        "PointIntervals",
        "Receipt",
        "TableIntervals",
    ),
    "_audit": ("ChannelStats", "StoreStats", "stats", "verify"),
    "_compaction": (
        "CompactionPiece",
        "CompactionRefused",
        "FilesElsewhere",
        "FoldedPiece",
        "compaction_due",
        "files_lie_at",
        "fold",
        "forget_files",
        "listed_files",
        "publish",
        "retired_files",
        "unlisted_files",
    ),
    "_files": ("FilesUnreadable", "FilesUnwritable", "Folder", "folder_at"),
    "_memory": ("FilesNowhere", "SegmentUnreadable"),
    "_ingest": ("ingest",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "vee":
        return import_module("wattledger.readings.vee")
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"wattledger.readings.{_HOMES.get(name, '_history')}"), name)
    globals()[name] = value
    return value
