"""What the commands about stored readings do: import, export, compact, publish, verify, stats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from wattledger import readings, registry, worker
from wattledger.app._system import opened
from wattledger.cli import Exported, Imported, ImportRequest, StoreExport, SystemOptions
from wattledger.kernel import Period, SystemClock, zone_named
from wattledger.store import Store


def import_files(
    options: SystemOptions, asked: ImportRequest, progress: Callable[[Path, int, int], None]
) -> Iterator[Imported]:
    """Import files one after the other; what is done stays done. All are read before the first is stored."""
    zone = None if asked.zone is None else zone_named(asked.zone)
    rules = readings.ImportRules(points=asked.points, channels=asked.channels, carry=asked.carry)
    plans = [readings.plan_import(readings.read_file(path, zone=zone), rules=rules) for path in asked.files]
    with opened(options) as system:
        _know_points(system.store, plans, asked)
        for plan in plans:
            stored = revised = known = done = 0
            for batch in () if asked.dry_run else plan.batches():
                receipt = system.deliver(batch=batch)
                stored += receipt.stored + receipt.registers_stored
                revised += receipt.revised + receipt.registers_revised
                known += receipt.duplicate + receipt.registers_duplicate
                done += sum(len(one.series) for one in batch.points) + sum(len(one.at) for one in batch.registers)
                progress(plan.path, done, plan.taken)
            yield Imported(
                path=plan.path,
                readings=plan.readings,
                taken=plan.taken,
                stored=stored,
                duplicate=plan.duplicate + known,
                revised=revised,
                missing=plan.missing,
                refused=tuple((one.what, one.line, one.cause, one.count) for one in plan.refused),
                dry_run=asked.dry_run,
                assumptions=tuple(plan.assumptions),
            )


def _know_points(store: Store, plans: list[readings.ImportPlan], asked: ImportRequest) -> None:
    points = sorted({point for plan in plans for point in plan.points})
    with store.write() as tx:
        unknown = sorted(registry.unknown_points(tx, service_point_ids=points)) if points else []
        if unknown and not asked.register:
            shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")  # noqa: PLR2004
            raise registry.ServicePointUnknown(
                f"no service point is called {shown}",
                remedy="--register makes them, --point NAME_IN_FILE=SERVICE_POINT says whose they are",
            )
        for point in () if asked.dry_run else unknown:
            registry.add_premise(tx, premise_id=point, kind="unknown", address="", zone=asked.zone or "UTC")
            registry.add_service_point(tx, service_point_id=point, premise_id=point)


def export_file(options: SystemOptions, asked: StoreExport) -> Exported:
    """Write what is stored to a file, whole or not at all."""
    with opened(options) as system, system.store.read() as tx:
        points = asked.points or readings.points_with_readings(tx, channels=asked.channels)
        spans = [span for one in readings.stats(tx).channels for span in (one.first, one.last) if span is not None]
        if not spans:
            raise readings.NothingToExport("nothing is stored", remedy="import some: wattledger readings import FILE")
        first, last = asked.first or min(spans), asked.last or max(spans)
        period = Period(first, max(first, last))
        channels = readings.exported_channels(
            tx, service_point_ids=points, period=period, channels=asked.channels, as_of=asked.as_of
        )
    try:
        count = readings.write_file(asked.to, channels, to=asked.form, written=system.clock.now())
    except OSError as error:
        raise readings.NotWritable(
            path=asked.to, channel="the file", cause=error.strerror or str(error), remedy="name another place"
        ) from error
    return Exported(path=asked.to, channels=len(channels), readings=count)


def compact(
    options: SystemOptions, *, files: str | None, late: bool, progress: Callable[[int, int], None]
) -> readings.Compacted:
    """Fold what is due."""
    with opened(options) as system:
        settings = worker.CompactionSettings(files=files, late=late)
        return worker.compact(system.store, clock=SystemClock(), settings=settings, progress=progress)


def publish(options: SystemOptions) -> list[readings.PublishedTable]:
    """Bring the Delta tables up to date."""
    with opened(options) as system, system.store.read() as tx:
        return readings.publish_delta(tx)


def verify(options: SystemOptions, *, progress: Callable[[int, int], None]) -> list[str]:
    """Audit what is stored."""
    with opened(options) as system, system.store.read() as tx:
        return readings.verify(tx, progress=progress)


def stats(options: SystemOptions) -> readings.StoreStats:
    """How much is stored, and where."""
    with opened(options) as system, system.store.read() as tx:
        return readings.stats(tx)
