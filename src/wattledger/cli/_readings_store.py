"""``wattledger readings import|export|compact|publish|verify|stats``: readings of a system, stored and audited."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from wattledger.cli._options import DATA_DEFAULT, Data, Database, Files, OptionRefused, SystemOptions

if TYPE_CHECKING:
    from wattledger.readings import Compacted, FileFormat, PublishedTable, StoreStats

_SHOWN = 20
_FORMATS = {"csv": "CSV", "parquet": "PARQUET", "nem12": "NEM12", "greenbutton": "ESPI"}
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".nem12": "nem12", ".xml": "greenbutton"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What is to be imported, and how names and numbers are to be taken."""

    files: Sequence[Path]
    points: dict[str, str]
    channels: dict[str, str]
    register: bool
    zone: str | None
    carry: bool
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file's readings: ``refused`` has what, line, cause and count of each kind.

    ``assumptions`` are sentences: what was concluded of the file, for a person to check.
    """

    path: Path
    readings: int
    taken: int
    stored: int
    duplicate: int
    revised: int
    missing: int
    refused: tuple[tuple[str, int | None, str, int], ...]
    dry_run: bool
    assumptions: tuple[str, ...] = ()

    @property
    def refused_count(self) -> int:
        """Readings that were not taken."""
        return sum(count for _, _, _, count in self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreExport:
    """What is to be exported; without points all, without bounds everything."""

    points: Sequence[str]
    channels: Sequence[str]
    first: datetime | None
    last: datetime | None
    as_of: datetime | None
    to: Path
    form: FileFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    path: Path
    channels: int
    readings: int


class StoredReadings(Protocol):
    """What ``app.py`` does for these commands."""

    def import_readings(
        self, system: SystemOptions, asked: ImportRequest, progress: Callable[[Path, int, int], None]
    ) -> Iterable[Imported]:
        """Import files, one result each."""
        ...

    def export_readings(self, system: SystemOptions, asked: StoreExport) -> Exported:
        """Write what is stored to a file."""
        ...

    def compact_readings(
        self, system: SystemOptions, *, files: str | None, late: bool, progress: Progress
    ) -> Compacted:
        """Fold what is due."""
        ...

    def publish_readings(self, system: SystemOptions) -> Sequence[PublishedTable]:
        """Bring the Delta tables up to date."""
        ...

    def verify_readings(self, system: SystemOptions, *, progress: Progress) -> Sequence[str]:
        """Audit what is stored."""
        ...

    def readings_stats(self, system: SystemOptions) -> StoreStats:
        """How much is stored."""
        ...


_Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def add_stored_readings(group: typer.Typer, commands: StoredReadings) -> None:
    """Put the commands about stored readings beside ``readings check``."""
    _add_files(group, commands)
    _add_store(group, commands)


def _add_files(group: typer.Typer, commands: StoredReadings) -> None:
    @group.command("import")
    def import_(  # noqa: PLR0913 - one parameter an option
        files: Annotated[list[Path], typer.Argument(help="Files of any format that `readings check` reads; zip too")],
        *,
        point: Annotated[
            list[str] | None,
            typer.Option(help="SERVICE_POINT for a file of one, or NAME_IN_FILE=SERVICE_POINT; may be repeated"),
        ] = None,
        channel: Annotated[
            list[str] | None,
            typer.Option(help="REGISTER=CHANNEL for what is not plain import or export: E2=controlled_load"),
        ] = None,
        register: Annotated[
            bool, typer.Option("--register", help="Make service points that are not known yet")
        ] = False,
        zone: Annotated[str | None, typer.Option(help="Where the clock of times without offset stands")] = None,
        carry: Annotated[
            bool, typer.Option("--carry", help="Cut values finer than a watt-hour so that their sum stays right")
        ] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and tell, store nothing")] = False,
        json: _Json = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Store the readings of files; again, or after an interruption, it changes nothing that is there.

        Every reading is stored, a duplicate, revised, missing in the file itself, or refused by name; exit 1 if any
        was refused.
        """
        asked = ImportRequest(
            files=files,
            points=_pairs(point or [], "--point", alone=""),
            channels=_pairs(channel or [], "--channel", alone=None),
            register=register,
            zone=zone,
            carry=carry,
            dry_run=dry_run,
        )
        done = []
        with _bar("importing") as bar:
            for one in commands.import_readings(
                _system(data, database), asked, lambda path, count, of: bar(path.name, count, of)
            ):
                done.append(one)
                if not json:
                    sys.stdout.write("\n".join(_told(one)) + "\n")
        if json:
            sys.stdout.write(json_text.dumps([_as_json(one) for one in done], indent=2, ensure_ascii=False) + "\n")
        elif len(done) > 1:
            sys.stdout.write(_total(done) + "\n")
        if any(one.refused for one in done):
            raise typer.Exit(1)

    @group.command("export")
    def export(  # noqa: PLR0913 - one parameter an option
        file: Annotated[Path, typer.Argument(help="Where to: .csv, .parquet, .nem12 or .xml (Green Button)")],
        *,
        point: Annotated[list[str] | None, typer.Option(help="A service point; may be repeated; all if none")] = None,
        channel: Annotated[list[str] | None, typer.Option(help="A channel; import and export if none")] = None,
        first: Annotated[
            str | None, typer.Option("--from", help="From this day or instant (UTC unless it says)")
        ] = None,
        last: Annotated[str | None, typer.Option("--to", help="To before this day or instant")] = None,
        as_of: Annotated[str | None, typer.Option(help="As it was known at this instant")] = None,
        form: Annotated[
            str | None, typer.Option("--format", help="csv, parquet, nem12 or greenbutton; by the name if not given")
        ] = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Write stored readings to a file, whole or not at all; what is exported imports again as all duplicates."""
        asked = StoreExport(
            points=point or (),
            channels=channel or ("import", "export"),
            first=_instant(first, "--from"),
            last=_instant(last, "--to"),
            as_of=_instant(as_of, "--as-of"),
            to=file,
            form=_form(form, file),
        )
        done = commands.export_readings(_system(data, database), asked)
        typer.echo(f"{done.path}: {done.readings:,} readings of {done.channels:,} channels")


def _add_store(group: typer.Typer, commands: StoredReadings) -> None:
    @group.command()
    def compact(
        *,
        files: Files = None,
        late: Annotated[bool, typer.Option("--late", help="Fold late readings now, however few")] = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Fold days and months that are over into Parquet files. Safe to interrupt and to repeat."""
        with _bar("compacting") as bar:
            done = commands.compact_readings(
                _system(data, database), files=files, late=late, progress=lambda count, of: bar("stretches", count, of)
            )
        each = f", {done.bytes / done.intervals:.2f} bytes each" if done.intervals else ""
        typer.echo(
            f"{done.pieces} stretches folded: {done.intervals:,} intervals{each}; {done.deleted} old files deleted"
        )

    @group.command()
    def publish(*, data: Data = DATA_DEFAULT, database: Database = None) -> None:
        """Publish the files as Delta tables, which Polars, DuckDB and Spark read; compaction keeps them up to date."""
        for one in commands.publish_readings(_system(data, database)):
            typer.echo(f"{one.uri}: {one.files} files, {one.added} new, {one.removed} gone")

    @group.command()
    def verify(*, data: Data = DATA_DEFAULT, database: Database = None) -> None:
        """Prove that files, catalogue, segments and batches agree; exit 1 if they do not."""
        with _bar("verifying") as bar:
            faults = commands.verify_readings(
                _system(data, database), progress=lambda count, of: bar("files", count, of)
            )
        for fault in faults:
            typer.echo(fault, err=True)
        if faults:
            raise typer.Exit(1)
        typer.echo("the readings agree with themselves")

    @group.command()
    def stats(*, json: _Json = False, data: Data = DATA_DEFAULT, database: Database = None) -> None:
        """Tell how much is stored, and where."""
        found = commands.readings_stats(_system(data, database))
        if json:
            sys.stdout.write(json_text.dumps(_stats_json(found), indent=2) + "\n")
        else:
            sys.stdout.write("\n".join(_stats_text(found)) + "\n")


def _system(data: Path, database: str | None) -> SystemOptions:
    return SystemOptions(data=data, database=database)


def _pairs(given: Sequence[str], option: str, *, alone: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if not value or (not equals and alone is None) or (equals and not name):
            raise OptionRefused(f"{option} {text!r} names nothing", remedy=f"write {option} NAME=VALUE")
        found[name if equals else alone or ""] = value
    return found


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise OptionRefused(
            f"{option} {text!r} is no day or instant", remedy="write 2026-03-01 or 2026-03-01T06:00:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _form(named: str | None, to: Path) -> FileFormat:
    from wattledger.readings import FileFormat  # noqa: PLC0415 - imported when it is asked for

    name = named or _SUFFIXES.get(to.suffix.lower())
    if name not in _FORMATS:
        raise OptionRefused(
            f"{named or to.name} is no format that is written", remedy=f"use --format with one of {', '.join(_FORMATS)}"
        )
    return FileFormat[_FORMATS[name]]


@contextmanager
def _bar(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal; nothing anywhere else."""
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.progress import Progress as Bar  # noqa: PLC0415 - likewise

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _name, _count, _of: None
        return
    with Bar(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(name: str, count: int, of: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"{what} {name}", total=of)
            bar.update(tasks[name], completed=count, total=of)

        yield show


def _told(one: Imported) -> Iterator[str]:
    counts = [f"{one.readings:,} readings"]
    if one.dry_run:
        counts.append(f"{one.taken:,} would be stored if they are new")
    else:
        counts.append(f"{one.stored:,} stored")
    more = (("duplicate", one.duplicate), ("revised", one.revised), ("missing", one.missing))
    counts += [f"{count:,} {name}" for name, count in (*more, ("refused", one.refused_count)) if count]
    yield f"{one.path}: {', '.join(counts)}"
    for what, line, cause, count in one.refused[:_SHOWN]:
        yield f"  refused: {what}{f', line {line}' if line else ''}: {cause} ({count:,})"
    if len(one.refused) > _SHOWN:
        yield f"  and {len(one.refused) - _SHOWN} more kinds; --json tells all"
    for sentence in one.assumptions[:_SHOWN]:
        yield f"  assumed: {sentence}"
    if len(one.assumptions) > _SHOWN:
        yield f"  and {len(one.assumptions) - _SHOWN} more; --json tells all"


def _total(done: Sequence[Imported]) -> str:
    sums = {name: sum(getattr(one, name) for one in done) for name in ("readings", "stored", "duplicate", "revised")}
    more = {"missing": sum(one.missing for one in done), "refused": sum(one.refused_count for one in done)}
    return f"{len(done)} files: " + ", ".join(f"{count:,} {name}" for name, count in {**sums, **more}.items())


def _as_json(one: Imported) -> dict[str, object]:
    names = ("readings", "taken", "stored", "duplicate", "revised", "missing", "refused_count", "dry_run")
    refused = [{"what": what, "line": line, "cause": cause, "count": count} for what, line, cause, count in one.refused]
    counts = {name: getattr(one, name) for name in names}
    return {"path": str(one.path), **counts, "refused": refused, "assumptions": list(one.assumptions)}


def _stats_json(found: StoreStats) -> dict[str, object]:
    def text(at: datetime | None) -> str | None:
        return None if at is None else at.isoformat()

    return {
        "intervals": found.present,
        "batches": found.batches,
        "last_batch_at": text(found.last_at),
        "files_at": found.files_at,
        "retired_files": found.retired_files,
        "register_reads": found.registers,
        "channels": [
            {
                "channel": one.channel,
                "seconds": one.seconds,
                "series": one.series,
                "from": text(one.first),
                "to": text(one.last),
                "files": one.files,
                "file_bytes": one.file_bytes,
                "file_intervals": one.file_intervals,
                "bytes_per_interval": None if one.bytes_per_interval is None else round(one.bytes_per_interval, 3),
                "superseded": one.superseded,
                "segments": one.segments,
                "segment_readings": one.segment_readings,
            }
            for one in found.channels
        ],
    }


def _stats_text(found: StoreStats) -> Iterator[str]:
    last = "" if found.last_at is None else f", the last at {found.last_at:%Y-%m-%d %H:%M:%S}Z"
    yield f"{found.present:,} intervals have a value; {found.batches:,} batches{last}"
    if found.files_at:
        yield f"files at {found.files_at}" + (f", {found.retired_files} to be deleted" if found.retired_files else "")
    if found.registers:
        yield f"{found.registers:,} reads of registers"
    for one in found.channels:
        span = "" if one.first is None or one.last is None else f", {one.first:%Y-%m-%d} to {one.last:%Y-%m-%d}"
        yield f"{one.channel}, {one.seconds // 60} min: {one.series:,} series{span}"
        if one.files:
            each = f"{one.file_bytes:,} bytes, {one.bytes_per_interval:.2f} an interval"
            yield f"  files     {one.files:>7,}  {one.file_intervals:>15,} intervals, {each}"
        if one.superseded:
            yield f"  before    {'':>7}  {one.superseded:>15,} values that others stand for now"
        if one.segments:
            yield f"  segments  {one.segments:>7,}  {one.segment_readings:>15,} readings"
