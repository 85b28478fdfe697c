"""Files of history: sorted Parquet, written once, named by their content, listed in the database.

A *current* file holds the value that is in force of every interval of a stretch of series within a stretch of time: one
row for each series and slot, ascending, none left out (what is missing is flagged so). Rows of a series lie together,
and a row group has whole series, so a group is a table: nobody needs to read where its rows belong. A *superseded*
file holds the values that were in force before, each with the version that ended it.

Columns: ``point`` int32 (number of the series), ``start`` UTC, ``wh`` int32, ``flag`` int8 (:class:`Quality`),
``version`` int64 (of the batch that brought it; 0: nothing did), and in superseded files ``until`` int64.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Problem, Quality

SHARD = 16_384
"""Series a file has at most: series number // SHARD says in which stretch of files it is."""

UNSET = 255
"""Stands in a column of qualities where nothing was ever said."""

_GROUP_ROWS, _GROUP_SERIES = 65_536, 160
_KEY = b"wattledger"
_SERIES_KEY = b"wattledger.series"
_FOOTERS = 2_048


class FilesUnreadable(Problem):
    """A file of history is missing or damaged."""

    slug = "readings-file-unreadable"
    title = "A file of readings cannot be read"
    status = 503


class FilesUnwritable(Problem):
    """A file of history could not be written; the readings stay where they were."""

    slug = "readings-file-unwritable"
    title = "A file of readings cannot be written"
    status = 503


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """Where files lie: a local folder or any ``pyarrow.fs`` URL (``s3://bucket/readings``).

    ``shown`` is the ``url`` as people may see it, without who asks and with which secret.
    """

    url: str
    system: Any
    base: str
    local: bool

    @property
    def shown(self) -> str:
        """The URL without credentials."""
        scheme, separator, rest = self.url.partition("://")
        return self.url if not separator else f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"

    def at(self, path: str) -> str:
        """A file's path in the file system."""
        return f"{self.base}/{path}"

    @contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        """A file to read from; raises :class:`FilesUnreadable`, also for what goes wrong while it is read."""
        pa = arrow()
        try:
            with pa.memory_map(self.at(path)) if self.local else self.system.open_input_file(self.at(path)) as file:
                yield file
        except FileNotFoundError as error:
            raise FilesUnreadable(
                f"{self.shown}/{path} is listed and not there",
                remedy="put it back from a copy; `wattledger readings verify` tells which are missing",
            ) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FilesUnreadable(
                f"{self.shown}/{path}: {_first_line(error)}",
                remedy="put it back from a copy; `wattledger readings verify` tells which are damaged",
            ) from error

    def write(self, path: str, data: bytes) -> None:
        """Write a file, whole or not at all; raises :class:`FilesUnwritable`."""
        target = self.at(path)
        try:
            if self.local:
                _write_local(Path(target), data)
            else:  # an object appears when it is whole
                with self.system.open_output_stream(target) as stream:
                    stream.write(data)
        except OSError as error:
            raise FilesUnwritable(
                f"{self.shown}/{path}: {error.strerror or _first_line(error)}",
                remedy="make room or let the folder be written to, and run it again: nothing was lost",
            ) from error

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone is gone."""
        with suppress(FileNotFoundError):
            self.system.delete_file(self.at(path))

    def listed(self) -> dict[str, int]:
        """The size of each file of ours that lies here, those included that were never finished, by its path."""
        fs = import_module("pyarrow.fs")
        try:
            found = self.system.get_file_info(fs.FileSelector(self.base, recursive=True, allow_not_found=True))
        except OSError as error:
            raise FilesUnreadable(
                f"{self.shown} cannot be listed: {_first_line(error)}", remedy="make it a folder that may be read"
            ) from error
        cut = len(self.base.rstrip("/")) + 1
        ours = {one.path[cut:]: one.size for one in found if one.is_file and one.path.endswith((".parquet", ".tmp"))}
        # What begins with an underscore is published, not stored: the logs of Delta tables.
        return {path: size for path, size in ours.items() if not any(p.startswith("_") for p in path.split("/"))}


@lru_cache(maxsize=1)
def arrow() -> Any:  # noqa: ANN401 - a library without types
    """PyArrow; imported when a file is met, for it is large."""
    return import_module("pyarrow")


@lru_cache(maxsize=1)
def parquet() -> Any:  # noqa: ANN401 - as above
    """PyArrow's Parquet."""
    return import_module("pyarrow.parquet")


@lru_cache(maxsize=64)
def folder_at(url: str) -> Folder:
    """The folder that a local path or URL names; raises :class:`FilesUnreadable` for what is neither."""
    fs = import_module("pyarrow.fs")
    if "://" not in url:
        return Folder(url, fs.LocalFileSystem(), str(Path(url).resolve()), local=True)
    try:
        system, base = fs.FileSystem.from_uri(url)
    except (arrow().ArrowException, OSError, ValueError) as error:
        raise FilesUnreadable(
            f"{url}: {_first_line(error)}", remedy="use a folder's path, file://, s3://, gs:// or abfs://"
        ) from error
    return Folder(url, system, base.rstrip("/"), local=isinstance(system, fs.LocalFileSystem))


def _write_local(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with whole.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(target)
    except OSError:
        whole.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- What a file holds ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Extent:
    """What a file is about. ``first`` is an epoch second, ``version`` the last batch that is folded into it."""

    channel: str
    seconds: int
    first: int
    slots: int
    shard: int
    version: int

    @property
    def last(self) -> int:
        """The end of the last slot."""
        return self.first + self.slots * self.seconds

    def path(self, kind: str, sha256: str) -> str:
        """Where a file of this extent and content lies."""
        from_day, days = self.first // 86_400, (self.last - self.first) // 86_400
        date = np.datetime64(from_day, "D")
        return f"{self.channel}/{self.seconds}/{date}+{days}/{self.shard:05}-{kind}-{sha256[:20]}.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A file's bytes and what the catalogue says of it."""

    kind: str
    extent: Extent
    data: bytes
    sha256: str
    series: int
    rows: int

    @property
    def path(self) -> str:
        """Where it is to lie."""
        return self.extent.path(self.kind, self.sha256)


@dataclass(frozen=True, slots=True, eq=False)
class Superseded:
    """Values that are no longer in force; all columns of one length, ascending by series, start and version."""

    series: NDArray[np.int32]
    starts: NDArray[np.int64]
    wh: NDArray[np.int32]
    quality: NDArray[np.uint8]
    version: NDArray[np.int64]
    until: NDArray[np.int64]

    @classmethod
    def none(cls) -> Superseded:
        """No values."""
        kinds: tuple[type[np.generic], ...] = (np.int32, np.int64, np.int32, np.uint8, np.int64, np.int64)
        columns: list[Any] = [np.empty(0, dtype=kind) for kind in kinds]
        return cls(*columns)

    @classmethod
    def joined(cls, parts: Sequence[Superseded]) -> Superseded:
        """All of them in order."""
        whole = [np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__]
        order = np.lexsort((whole[4], whole[1], whole[0]))
        return cls(*(column[order] for column in whole))

    def picked(self, which: NDArray[Any] | slice) -> Superseded:
        """Those that ``which`` picks."""
        return Superseded(*(getattr(self, name)[which] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.series)


Table = tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int64]]
"""Watt-hours, qualities and versions of (series, slots)."""


def group_of(slots: int) -> int:
    """How many series a row group has: whole ones, enough to read fast, few enough that one point is read fast."""
    return max(_GROUP_SERIES, _GROUP_ROWS // slots)


def current_file(extent: Extent, series: NDArray[np.int32], groups: Iterable[Table]) -> Written:
    """A file of the values in force; ``groups`` gives them for each stretch of :func:`group_of` series in turn."""
    pa = arrow()
    group = group_of(extent.slots)
    starts = (extent.first + extent.seconds * np.arange(extent.slots, dtype=np.int64)) * 1_000_000
    meta = {
        "kind": "current",
        "format": 1,
        "channel": extent.channel,
        "seconds": extent.seconds,
        "first": extent.first,
        "slots": extent.slots,
        "shard": extent.shard,
        "version": extent.version,
        "group": group,
    }
    out = pa.BufferOutputStream()
    schema = _schema(until=False)
    with _writer(out, schema) as writer:
        for at, (wh, quality, version) in zip(range(0, len(series), group), groups, strict=True):
            of = series[at : at + group]
            count = len(of) * extent.slots
            points = pa.DictionaryArray.from_arrays(
                np.repeat(np.arange(len(of), dtype=np.int32), extent.slots), pa.array(of)
            )
            flags = pa.DictionaryArray.from_arrays(quality.ravel().view(np.int8), pa.array(_FLAGS))
            stamps = pa.array(np.tile(starts, len(of)), type=pa.timestamp("us", tz="UTC"))
            table = pa.table([points, stamps, wh.ravel(), flags, version.ravel()], schema=schema)
            writer.write_table(table, row_group_size=count)
        writer.add_key_value_metadata({_KEY: json.dumps(meta), _SERIES_KEY: series.astype("<i4").tobytes().hex()})
    data = out.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    return Written("current", extent, data, digest, len(series), len(series) * extent.slots)


def superseded_file(extent: Extent, values: Superseded) -> Written:
    """A file of values that were in force."""
    pa = arrow()
    out = pa.BufferOutputStream()
    meta = {"kind": "superseded", "format": 1, "version": extent.version}
    schema = _schema(until=True)
    with _writer(out, schema) as writer:
        columns = [
            pa.array(values.series).dictionary_encode(),
            pa.array(values.starts * 1_000_000, type=pa.timestamp("us", tz="UTC")),
            pa.array(values.wh),
            pa.array(values.quality.view(np.int8)).dictionary_encode(),
            pa.array(values.version),
            pa.array(values.until),
        ]
        writer.write_table(pa.table(columns, schema=schema), row_group_size=_GROUP_ROWS)
        writer.add_key_value_metadata({_KEY: json.dumps(meta)})
    data = out.getvalue().to_pybytes()
    count = len(np.unique(values.series))
    return Written("superseded", extent, data, hashlib.sha256(data).hexdigest(), count, len(values))


_FLAGS = np.arange(max(Quality) + 1, dtype=np.int8)


def _schema(*, until: bool) -> Any:  # noqa: ANN401 - PyArrow has no types
    pa = arrow()
    fields = [
        pa.field("point", pa.dictionary(pa.int32(), pa.int32()), nullable=False),
        pa.field("start", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("wh", pa.int32(), nullable=False),
        pa.field("flag", pa.dictionary(pa.int8(), pa.int8()), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
    ]
    if until:
        fields.append(pa.field("until", pa.int64(), nullable=False))
    return pa.schema(fields)


def _writer(out: Any, schema: Any) -> Any:  # noqa: ANN401 - as above
    delta = [name for name in ("start", "version", "until") if name in schema.names]
    return parquet().ParquetWriter(
        out,
        schema,
        compression="lz4",
        use_dictionary=["point", "flag"],
        column_encoding={"wh": "BYTE_STREAM_SPLIT", **dict.fromkeys(delta, "DELTA_BINARY_PACKED")},
        write_statistics=["point", "start", "flag", "version"],
        store_schema=False,
    )


# --- Reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Footer:
    """What a current file says of itself."""

    metadata: Any
    extent: Extent
    series: NDArray[np.int32]
    group: int
    of_groups: Sequence[tuple[int, np.uint8 | None]]  # rows, and the flag of all of them where it is one

    def rows(self, ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the ``ids`` that the file has: their place in ``ids``, and in the file."""
        at = np.minimum(self.series.searchsorted(ids), len(self.series) - 1)
        here = np.flatnonzero(self.series[at] == ids)
        return here, at[here]


@dataclass(frozen=True, slots=True, eq=False)
class FileReader:
    """A current file that is open."""

    footer: Footer
    file: Any

    def table(self, group: int, *, versions: bool = False) -> Table:
        """The values of one row group; without ``versions`` the last column is empty.

        Verifies that the group is a table: as many rows as series and slots make, from the first slot to the last.
        """
        footer, slots = self.footer, self.footer.extent.slots
        shape = (min(footer.group, len(footer.series) - group * footer.group), slots)
        rows, flag = footer.of_groups[group]
        if rows != shape[0] * slots:
            msg = f"row group {group} has {rows} rows for {shape[0]} series"
            raise ValueError(msg)
        columns = [_WH, *([_FLAG] if flag is None else []), *([_VERSION] if versions else [])]
        # The wrapper around this looks names up, at a tenth of the cost of all the reading.
        read = self.file.reader.read_row_group(group, column_indices=columns, use_threads=False)
        wh = _column(read, 0, np.int32).reshape(shape)
        quality = (
            _column(read, 1, np.int8).view(np.uint8).reshape(shape) if flag is None else np.broadcast_to(flag, shape)
        )
        version = _column(read, len(columns) - 1, np.int64).reshape(shape) if versions else _NO_VERSIONS
        return wh, quality, version


@dataclass(frozen=True, slots=True, eq=False)
class DataFile:
    """A listed file: how to read it. Safe to use from many threads."""

    folder: Folder
    path: str
    extent: Extent
    kind: str = "current"

    def footer(self) -> Footer:
        """What it says of itself; kept in memory for the next time."""
        key = (self.folder.url, self.path)
        with _LOCK:
            found = _KEPT.get(key)
            if found is not None:
                _KEPT.move_to_end(key)
                return found
        with self.folder.opened(self.path) as file:
            metadata = parquet().ParquetFile(file).metadata
            footer = _footer(metadata)
        with _LOCK:
            _KEPT[key] = footer
            while len(_KEPT) > _FOOTERS:
                _KEPT.popitem(last=False)
        return footer

    @contextmanager
    def reader(self) -> Iterator[FileReader]:
        """The file, open, for one thread."""
        footer = self.footer()
        with self.folder.opened(self.path) as file:
            yield FileReader(footer, parquet().ParquetFile(file, metadata=footer.metadata))

    def table(self, group: int, *, versions: bool = False) -> Table:
        """The values of one row group, as :meth:`FileReader.table`."""
        with self.reader() as opened:
            return opened.table(group, versions=versions)

    def superseded(self) -> Superseded:
        """All values of a superseded file."""
        with self.folder.opened(self.path) as file:
            read = parquet().ParquetFile(file).read(use_threads=False)
            return Superseded(
                _column(read, "point", np.int32),
                _column(read, "start", np.int64) // 1_000_000,
                _column(read, "wh", np.int32),
                _column(read, "flag", np.int8).view(np.uint8),
                _column(read, "version", np.int64),
                _column(read, "until", np.int64),
            )


_WH, _FLAG, _VERSION = 2, 3, 4
_NO_VERSIONS = np.empty((0, 0), dtype=np.int64)
_LOCK = Lock()
_KEPT: OrderedDict[tuple[str, str], Footer] = OrderedDict()


def _footer(metadata: Any) -> Footer:  # noqa: ANN401 - PyArrow has no types
    said = metadata.metadata or {}
    if _KEY not in said or _SERIES_KEY not in said:
        msg = "it is no file of Wattledger's"
        raise ValueError(msg)
    meta = json.loads(said[_KEY])
    extent = Extent(*(meta[name] for name in ("channel", "seconds", "first", "slots", "shard", "version")))
    series = np.frombuffer(bytes.fromhex(said[_SERIES_KEY].decode()), dtype="<i4")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return Footer(metadata, extent, series, int(meta["group"]), [(one.num_rows, _one_flag(one)) for one in groups])


def _one_flag(group: Any) -> np.uint8 | None:  # noqa: ANN401 - as above
    flags = group.column(_FLAG).statistics
    one = flags is not None and flags.has_min_max and flags.min == flags.max
    return np.uint8(flags.min) if one else None


def _column(read: Any, name: int | str, kind: type[np.generic]) -> NDArray[Any]:  # noqa: ANN401 - as above
    column = read.column(name)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    wanted = arrow().from_numpy_dtype(kind)
    if array.type != wanted:
        array = array.cast(wanted)
    if array.null_count:
        msg = f"column {name} has {array.null_count} cells without a value"
        raise ValueError(msg)
    # Not ``to_numpy``: it imports pandas where that is installed, which takes longer than to read a hundred files.
    size = np.dtype(kind).itemsize
    values = np.frombuffer(array.buffers()[1] or b"", dtype=kind, count=len(array), offset=array.offset * size)
    values.flags.writeable = False
    return values
