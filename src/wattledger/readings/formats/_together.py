"""Several files delivered together, in a zip, as one: a register that stands in many of them becomes one channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from wattledger.kernel import IntervalSeries, Quality, from_epoch
from wattledger.readings.formats._model import Channel, ReadingsFile, RegisterRead
from wattledger.readings.formats._source import Source


def together(sources: Sequence[Source], files: Sequence[ReadingsFile]) -> ReadingsFile:
    """The files as one; a reading that stands in two of them is a duplicate, and two values for it are refused."""
    merged: dict[tuple[str, str], tuple[Source, Channel]] = {}
    for source, file in zip(sources, files, strict=True):
        for channel in file.channels:
            key = channel.point, channel.register
            before = merged.get(key)
            merged[key] = source, channel if before is None else _joined(source, before[0], before[1], channel)
    reads: dict[tuple[str, str, datetime], tuple[Source, RegisterRead]] = {}
    again = 0
    for source, read in (
        (source, read) for source, file in zip(sources, files, strict=True) for read in file.registers
    ):
        before_source, before_read = reads.setdefault((read.point, read.register, read.at), (source, read))
        again += before_read is not read
        if (read.value, read.unit) != (before_read.value, before_read.unit):
            raise source.refuse(
                f"{read.point} {read.register}: {read.at:%Y-%m-%d %H:%M UTC} has another value in "
                f"{before_source.member}",
                remedy="remove the one that is wrong",
            )
    said = [
        f"In {source.member}: {sentence}"
        for source, file in zip(sources, files, strict=True)
        for sentence in file.assumptions
    ]
    nameless = any(not point for point, _ in merged)
    return ReadingsFile(
        path=files[0].path,
        format=files[0].format,
        channels=tuple(channel for _, channel in merged.values()),
        registers=tuple(read for _, read in reads.values()),
        registers_again=again + sum(file.registers_again for file in files),
        readings=sum(file.readings for file in files),
        refused=tuple(refused for file in files for refused in file.refused),
        assumptions=(
            f"The zip file's {len(files)} files were read as one.",
            *(["Those that name no point were taken as being of one point."] if nameless else []),
            *said,
        ),
    )


def _joined(source: Source, before: Source, one: Channel, other: Channel) -> Channel:
    first, second = one.series, other.series
    facts = [(c.unit, c.commodity, c.direction, c.series.seconds) for c in (one, other)]
    if facts[0] != facts[1]:
        raise source.refuse(f"{one.name} is of another unit, direction or interval length in {before.member}")
    decimals = max(first.decimals, second.decimals)
    values = [series.values * 10 ** (decimals - series.decimals) for series in (first, second)]
    starts, qualities = (
        np.concatenate((first.starts, second.starts)),
        np.concatenate((first.qualities, second.qualities)),
    )
    every = np.concatenate(values)
    # Of two for one start the known one comes first, and of two known ones the file that stood first.
    order = np.lexsort((np.arange(len(starts)), qualities == Quality.MISSING, starts))
    starts, every, qualities = starts[order], every[order], qualities[order]
    same = np.diff(starts) == 0
    clash = np.flatnonzero(same & (np.diff(every) != 0) & (qualities[1:] != Quality.MISSING))
    overlap = np.flatnonzero(~same & (np.diff(starts) < first.seconds))
    for found, what in ((clash, "has another value"), (overlap, "overlaps an interval")):
        if len(found):
            at = from_epoch(int(starts[found[0] + 1])).strftime("%Y-%m-%d %H:%M UTC")
            raise source.refuse(f"{one.name}: {at} {what} in {before.member}", remedy="remove the one that is wrong")
    kept = np.concatenate(([True], ~same))
    return replace(
        one,
        series=IntervalSeries(starts[kept], every[kept], qualities[kept], first.seconds, decimals),
        duplicates=one.duplicates + other.duplicates + int(same.sum()),
        superseded=one.superseded + other.superseded,
        meter_serial=", ".join(dict.fromkeys(filter(None, (one.meter_serial, other.meter_serial)))) or None,
        codes=dict(Counter(one.codes) + Counter(other.codes)),
    )
