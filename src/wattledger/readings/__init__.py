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
    from wattledger.readings._arrivals import note_arrivals
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
    from wattledger.readings._decisions import (
        Decided,
        Decision,
        DecisionPolicy,
        DecisionRefused,
        ExceptionDecided,
        SecondPersonNeeded,
        decide,
    )
    from wattledger.readings._delta import DeltaNotInstalled, PublishedTable, publish_delta
    from wattledger.readings._exceptions import (
        ASKING,
        EDIT_REPLACED,
        LIVE,
        Action,
        ExceptionNotFound,
        ExceptionStep,
        Proposal,
        ReadingException,
        Stake,
        State,
        Values,
        exception_count,
        exception_steps,
        exception_with_id,
        exceptions,
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
    from wattledger.readings._validation import Validated, stored_channels, validate
    from wattledger.readings.ports import Beside, TakeIn, Worth

__all__ = [
    "ASKING",
    "EDIT_REPLACED",
    "EXPORT",
    "IMPORT",
    "LIVE",
    "Action",
    "ArrivalSlot",
    "BatchConflict",
    "BatchRefused",
    "Beside",
    "Change",
    "Changes",
    "Channel",
    "ChannelStats",
    "Collected",
    "Commodity",
    "CompactionPiece",
    "CompactionRefused",
    "Decided",
    "Decision",
    "DecisionPolicy",
    "DecisionRefused",
    "DeltaNotInstalled",
    "Direction",
    "ExceptionDecided",
    "ExceptionNotFound",
    "ExceptionStep",
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
    "Proposal",
    "PublishedTable",
    "ReadingException",
    "ReadingsFile",
    "ReadingsFileRefused",
    "Receipt",
    "Refused",
    "Revision",
    "SecondPersonNeeded",
    "SegmentUnreadable",
    "Stake",
    "State",
    "StoreStats",
    "TableIntervals",
    "TakeIn",
    "Validated",
    "Values",
    "Version",
    "Worth",
    "ZoneNeeded",
    "arrivals",
    "collected",
    "compaction_due",
    "decide",
    "exception_count",
    "exception_steps",
    "exception_with_id",
    "exceptions",
    "files_lie_at",
    "fold",
    "folder_at",
    "forget_files",
    "ingest",
    "listed_files",
    "note_arrivals",
    "publish",
    "publish_delta",
    "read_file",
    "retired_files",
    "revisions",
    "scan",
    "series",
    "series_of_points",
    "stats",
    "stored_channels",
    "unlisted_files",
    "validate",
    "vee",
    "verify",
    "versions",
]


_MODULES = {
    "_arrivals": ("note_arrivals",),
    "_decisions": (
        "Decided",
        "Decision",
        "DecisionPolicy",
        "DecisionRefused",
        "ExceptionDecided",
        "SecondPersonNeeded",
        "decide",
    ),
    "_exceptions": (
        "ASKING",
        "EDIT_REPLACED",
        "LIVE",
        "Action",
        "ExceptionNotFound",
        "ExceptionStep",
        "Proposal",
        "ReadingException",
        "Stake",
        "State",
        "Values",
        "exception_count",
        "exception_steps",
        "exception_with_id",
        "exceptions",
    ),
    "_validation": (
        "Validated",
        "stored_channels",
        "validate",
    ),
    "ports": (
        "Beside",
        "TakeIn",
        "Worth",
    ),
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
    "_delta": ("DeltaNotInstalled", "PublishedTable", "publish_delta"),
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
