"""A tariff's calendar laid out over real time, compiled once per tariff, zone and month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Period, Problem, epoch
from wattledger.tariffs._calendar import Month, compiled_month, while_on, zone_of
from wattledger.tariffs._language import Tariff


class TariffWithoutZone(Problem):
    """A tariff names no time zone and nobody told one, so its clock is not known."""

    slug = "tariff-without-zone"
    title = "The tariff's time zone is not known"
    status = 422


class TariffNotInForce(Problem):
    """A tariff version was asked for a price at a time outside its validity."""

    slug = "tariff-not-in-force"
    title = "The tariff version was not in force"
    status = 422


class Segments(NamedTuple):
    """An unbroken row of segments: segment ``i`` is ``[edges[i], edges[i + 1])`` and belongs to cell ``cells[i]``."""

    edges: NDArray[np.int64]
    cells: NDArray[np.int16]


def clock_zone(tariff: Tariff, zone: str | tzinfo | None) -> tzinfo:
    """The zone the tariff's clock stands in: its own, else ``zone``; raises :class:`TariffWithoutZone`."""
    if tariff.zone is not None:
        return zone_of(tariff.zone)
    if zone is None:
        raise TariffWithoutZone(
            f"tariff {tariff.id} names no time zone", remedy="say where its clock stands, for example Europe/London"
        )
    return zone_of(zone) if isinstance(zone, str) else zone


@lru_cache(maxsize=4096)
def month_of(tariff: Tariff, zone: tzinfo, year: int, month: int) -> Month:
    """One local calendar month of a tariff, compiled."""
    return compiled_month(tariff.calendar, zone, year, month)


def month_containing(tariff: Tariff, zone: tzinfo, instant: datetime) -> Month:
    """The local calendar month that contains ``instant``."""
    local = instant.astimezone(zone)
    return month_of(tariff, zone, local.year, local.month)


def following(tariff: Tariff, zone: tzinfo, month: Month) -> Month:
    """The month after ``month``."""
    return month_containing(tariff, zone, datetime.fromtimestamp(month.end, tz=UTC))


Occurrences = tuple[tuple[str, int, int], ...]
"""(event, from epoch, to before epoch): when announced events are on."""


@lru_cache(maxsize=1024)
def segments(tariff: Tariff, zone: tzinfo, period: Period, occurrences: Occurrences = ()) -> Segments:
    """What applies when in ``period``, clipped to it; neighbours differ, also across months."""
    start, end = epoch(period.start), epoch(period.end)
    if start == end:
        return Segments(np.array([start], dtype=np.int64), np.array([], dtype=np.int16))
    month = month_containing(tariff, zone, period.start)
    edges, cells = [month.edges[:-1]], [month.cells]
    while month.end < end:
        month = following(tariff, zone, month)
        edges.append(month.edges[:-1])
        cells.append(month.cells)
    all_edges, all_cells = np.concatenate(edges), np.concatenate(cells)
    first = int(np.searchsorted(all_edges, start, side="right")) - 1
    last = int(np.searchsorted(all_edges, end, side="left"))
    begins, kinds = np.maximum(all_edges[first:last], start), all_cells[first:last]
    for event in reversed(tariff.events):  # where several change something the first listed goes before: it is last
        for name, on, off in occurrences:
            if name == event and on < end and off > start:
                for begin, until, cell in while_on(tariff.calendar, zone, event, max(on, start), min(off, end)):
                    begins, kinds = _spliced(begins, kinds, begin, until, cell, end)
    changes = np.concatenate(([True], kinds[1:] != kinds[:-1]))
    return Segments(np.append(begins[changes], end).astype(np.int64), kinds[changes])


def _spliced(
    begins: NDArray[np.int64], kinds: NDArray[np.int16], begin: int, until: int, cell: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """The row with ``cell`` laid over it, from ``begin`` to before ``until``."""
    first = int(np.searchsorted(begins, begin, side="left"))
    last = int(np.searchsorted(begins, until, side="right"))
    laid = [(begin, cell)]
    if until < end:
        laid.append((until, int(kinds[last - 1])))
    return (
        np.concatenate((begins[:first], np.array([at for at, _ in laid], dtype=np.int64), begins[last:])),
        np.concatenate((kinds[:first], np.array([cell for _, cell in laid], dtype=np.int16), kinds[last:])),
    )


def check_in_force(tariff: Tariff, zone: tzinfo, period: Period) -> None:
    """Raise :class:`TariffNotInForce` unless the tariff is valid on every local day that ``period`` touches."""
    first = period.start.astimezone(zone).date()
    last = max(period.start, period.end - timedelta.resolution).astimezone(zone).date()
    if (tariff.valid_from or first) > first or last >= (tariff.valid_to or date.max):
        until = f" to before {tariff.valid_to}" if tariff.valid_to is not None else ""
        since = f" from {tariff.valid_from}" if tariff.valid_from is not None else ""
        raise TariffNotInForce(
            f"tariff {tariff.id} version {tariff.version} is valid{since}{until}; "
            f"a price is asked for {first} to {last}",
            remedy="use the version that was in force then",
        )
