"""What decisions leave in the store, and what deliveries mean for exceptions: batches, supersession, replaced edits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch
from wattledger.readings import vee
from wattledger.readings._batches import Change, Changes, IntervalBatch, PointIntervals, content_hash
from wattledger.readings._exceptions import (
    EDIT_REPLACED,
    LIVE,
    ExceptionStep,
    ReadingException,
    Values,
    any_exception_after,
    exceptions_about,
    machine_step,
    new_exception,
    write_exceptions,
    write_steps,
)
from wattledger.readings._history import series_by_length
from wattledger.store import Transaction

SOURCE = "vee"
"""The ``source`` of every batch that validation or a person's decision makes."""

METERED = (Quality.ACTUAL, Quality.SUSPECT)
"""The qualities of what a meter said."""


def batch_of(  # noqa: PLR0913 - what a batch says of itself
    channel: str,
    seconds: int,
    parts: Iterable[tuple[str, NDArray[np.int64], Values]],
    version: int,
    rule: str,
    method: str,
    *,
    actor: str = "",
    reason: str = "",
) -> IntervalBatch:
    """Values of some points as a batch. ``version`` is the store's: the same content later is another batch."""
    of_point: dict[str, list[tuple[NDArray[np.int64], Values]]] = defaultdict(list)
    for point, starts, values in parts:
        of_point[point].append((starts, values))
    points = []
    for point, pieces in sorted(of_point.items()):
        starts = np.concatenate([one for one, _ in pieces])
        order = np.argsort(starts, kind="stable")
        wh = np.concatenate([one.wh for _, one in pieces]).astype(np.int64)
        quality = np.concatenate([one.quality for _, one in pieces])
        points.append(PointIntervals(point, channel, IntervalSeries(starts[order], wh[order], quality[order], seconds)))
    batch = IntervalBatch("", SOURCE, points, method=method, rule=rule, actor=actor, reason=reason)
    said = "\x1f".join((str(version), channel, rule, method, actor, reason, content_hash(batch)))
    return replace(batch, id=f"vee-{hashlib.sha256(said.encode()).hexdigest()[:40]}")


def superseded(one: ReadingException, *, now: datetime) -> ReadingException:
    """An exception whose cause is gone."""
    return replace(one, state="superseded", revision=one.revision + 1, changed_at=now, closed_at=now, proposal=None)


def note_arrivals(tx: Transaction, *, changes: Sequence[Change], now: datetime) -> int:
    """Close the exceptions that a delivery settles, and ask a person where it came over what a person had decided.

    For a delivery's own unit of work, after ``ingest``; newer readings than any exception is about cost one question.
    Returns how many exceptions were closed or opened.
    """
    earliest = changes.earliest if isinstance(changes, Changes) else None
    if earliest is not None and not any_exception_after(tx, instant=from_epoch(earliest)):
        return 0
    came: dict[tuple[str, str], list[Period]] = defaultdict(list)
    for change in changes:
        if change.series.period is not None:
            came[change.service_point_id, change.channel].append(change.series.period)
    written, steps = list[ReadingException](), list[tuple[str, ExceptionStep]]()
    for one in _touched(tx, came):
        stands = standing_values(tx, one)
        opened = replaced_edit(one, now=stands, at=now) if one.state == "edited" else None
        if opened is None and (one.state == "edited" or _still_stands(one, stands)):
            continue
        closed = superseded(one, now=now)
        written.append(closed)
        reason = "a reading came for it"
        steps.append(machine_step(action="supersede", reason=reason, before=one, after=closed, now=now))
        if opened is not None:
            written.append(opened)
            steps.append(machine_step(action="find", reason=opened.words, before=None, after=opened, now=now))
    write_exceptions(tx, written)
    write_steps(tx, steps)
    return len(written)


def _touched(tx: Transaction, came: Mapping[tuple[str, str], Sequence[Period]]) -> Iterator[ReadingException]:
    """The exceptions about values of which some have come."""
    spans = [span for of in came.values() for span in of]
    if not spans:
        return
    period = Period(min(span.start for span in spans), max(span.end for span in spans))
    for one in exceptions_about(tx, period=period, states=(*LIVE, "edited")):
        theirs = came.get((one.service_point_id, one.channel), ())
        if len(one.made) and one.rule != EDIT_REPLACED and any(one.period.intersection(span) for span in theirs):
            yield one


def standing_values(tx: Transaction, one: ReadingException) -> Values:
    """What is stored now for the stretch of an exception."""
    lengths = series_by_length(
        tx, service_point_ids=[one.service_point_id], period=one.period, channel=one.channel
    ).get(one.service_point_id, ())
    count = one.period.seconds // one.seconds
    found = Values(np.zeros(count, dtype=np.int32), np.full(count, Quality.MISSING, dtype=np.uint8))
    for known in lengths:
        if known.seconds == one.seconds:
            at = (known.starts - epoch(one.period.start)) // one.seconds
            found.wh[at], found.quality[at] = known.values, known.qualities
    return found


def _still_stands(one: ReadingException, now: Values) -> bool:
    """Whether anything is as the run left it: an estimate, a doubt, a gap."""
    left = now.same(one.made) & (~one.seen.same(one.made) | (one.made.quality == Quality.MISSING))
    return bool(left.any())


def replaced_edit(one: ReadingException, *, now: Values, at: datetime) -> ReadingException | None:
    """The exception that asks a person, where a meter's values stand now in the place of what a person had decided."""
    replaced = np.flatnonzero((one.made.quality == Quality.SUBSTITUTED) & np.isin(now.quality, METERED))
    if not len(replaced):
        return None
    first, last = int(replaced[0]), int(replaced[-1]) + 1
    was, came = one.made.part(first, last), now.part(first, last)
    start = epoch(one.period.start)
    return new_exception(
        service_point_id=one.service_point_id,
        channel=one.channel,
        seconds=one.seconds,
        rule=EDIT_REPLACED,
        severity=vee.Severity.SUSPECT,
        span=(start + first * one.seconds, start + last * one.seconds),
        measured=came.known_wh,
        allowed=was.known_wh,
        state="open",
        seen=was,
        made=came,
        now=at,
        stake_wh=abs(came.known_wh - was.known_wh),
    )
