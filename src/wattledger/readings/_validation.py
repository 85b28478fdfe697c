"""Validation of what is stored: all checks over whole populations, findings as exceptions, estimates as versions.

A run works on the *meter's word*: where an earlier run put an estimate or a doubt in the place of a value, and that
still stands, it looks at the value as it came. So a run finds what a first run would find, whatever runs were before,
and says of every interval what should stand there; only what differs is written. What a person decided stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, from_epoch, zone_named
from wattledger.readings import _tables as t
from wattledger.readings import vee
from wattledger.readings._arrivals import METERED, batch_of, replaced_edit, superseded
from wattledger.readings._batches import IntervalBatch
from wattledger.readings._bounded import bounded_estimates, register_findings
from wattledger.readings._exceptions import (
    EDIT_REPLACED,
    LIVE,
    ExceptionStep,
    ReadingException,
    Stake,
    State,
    Values,
    exceptions_about,
    machine_step,
    new_exception,
    write_exceptions,
    write_steps,
)
from wattledger.readings._history import IntervalBlock, scan
from wattledger.readings._lengths import Elsewhere, gaps_cut, of_other_lengths
from wattledger.readings._memory import Names, head_of
from wattledger.readings._registers import RegisterReads, registers_of_points
from wattledger.readings.ports import Beside, TakeIn, Worth, nothing_beside, only_store, worth_unknown
from wattledger.registry import Metered, metered_points
from wattledger.store import Transaction

_DAY = 86_400
_TOGETHER = 1_000
_WH_MAX = 2**31 - 1

RESTORED = "restored"
"""The ``rule`` of a batch that gives values back of which the doubt is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """What a run looked at and what it changed; a run that finds everything as it was changes nothing.

    ``found``      exceptions by rule, those of before that still hold included
    ``opened``, ``changed``, ``superseded``  exceptions
    ``estimated``, ``doubted``, ``put_aside``, ``restored``  intervals that were written
    """

    period: Period
    points: int
    intervals: int
    found: Mapping[str, int]
    opened: int
    changed: int
    superseded: int
    estimated: int
    doubted: int
    put_aside: int
    restored: int

    @classmethod
    def joined(cls, parts: Sequence[Validated]) -> Validated:
        """Several runs over different points in one period, as one; there must be one at least."""
        found = Counter[str]()
        for part in parts:
            found.update(part.found)
        return cls(period=parts[0].period, found=dict(sorted(found.items())), **_summed(parts))


_COUNTED = ("points", "intervals", "opened", "changed", "superseded", "estimated", "doubted", "put_aside", "restored")


def _summed(parts: Sequence[Validated]) -> dict[str, int]:
    return {name: sum(getattr(part, name) for part in parts) for name in _COUNTED}


def validate(  # noqa: PLR0913 - the ports are many
    tx: Transaction,
    *,
    period: Period,
    rules: vee.Rules,
    now: datetime,
    take_in: TakeIn = only_store,
    worth: Worth = worth_unknown,
    beside: Beside = nothing_beside,
    channels: Collection[str] | None = None,
    service_point_ids: Collection[str] | None = None,
) -> Validated:
    """Check what is stored of ``period`` (as far as it has passed), keep what is found, estimate what the rules let be.

    Days around the period serve as history. A stretch that only begins or ends in it is looked at as a whole. Points
    of which nothing came for as long as the rules look around are not looked at; their exceptions stay as they are.
    """
    head_of(tx, locked=True)  # nothing arrives between what is looked at here and what is written
    run = _Run(tx, rules, now, Period(period.start, max(period.start, min(period.end, now))))
    for channel in sorted(channels if channels is not None else stored_channels(tx)):
        run.channel(channel, beside, service_point_ids)
    return run.written(take_in, worth)


def stored_channels(tx: Transaction) -> list[str]:
    """The channels of which anything is stored."""
    return [row.channel for row in tx.rows(sa.select(t.reading_series.c.channel).distinct())]


def stored_points(tx: Transaction, *, channels: Collection[str] | None = None) -> list[str]:
    """The points of which anything is stored, on any channel or on some, in order."""
    of = t.reading_series.c
    select = sa.select(of.service_point_id).distinct().order_by(of.service_point_id)
    return [row[0] for row in tx.rows(select if channels is None else select.where(of.channel.in_(sorted(channels))))]


@dataclass(slots=True, eq=False)
class _Found:
    """What a check found in one row of a block, as slots: [first, last)."""

    row: int
    rule: vee.Rule
    severity: vee.Severity
    first: int
    last: int
    measured: int
    limit: int


@dataclass(slots=True)
class _Cells:
    """Values to write of one rule and method: columns in pieces."""

    points: list[str] = field(default_factory=list)
    starts: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)


class _Run:
    """One run: what it finds block by block, written together at its end."""

    def __init__(self, tx: Transaction, rules: vee.Rules, now: datetime, period: Period) -> None:
        self._tx, self._rules, self._now, self.period = tx, rules, now, period
        self._cells: dict[tuple[str, int, str, str], _Cells] = defaultdict(_Cells)
        self._before: dict[str, ReadingException] = {}
        self._after: list[ReadingException] = []
        self._steps: list[tuple[str, ExceptionStep]] = []
        self._stakes: list[Stake] = []
        self._counts: Counter[str] = Counter()
        self._found: Counter[str] = Counter()

    def channel(self, channel: str, beside: Beside, points: Collection[str] | None) -> None:
        """Check one channel."""
        rules = self._rules.of(channel)
        reach = _reach(rules) * _DAY
        first, last = (epoch(at) for at in (self.period.start, self.period.end))
        if first == last:
            return
        span = Period.of_epochs(
            first // _DAY * _DAY - reach, min(-(-last // _DAY) * _DAY + reach, -(-epoch(self._now) // _DAY) * _DAY)
        )
        kept = _Kept.of(self._tx, channel=channel, span=span, points=points)
        names = Names(self._tx)
        reactive = channel == "import" and bool(names.of_channel("reactive"))
        for block in scan(self._tx, period=span, channel=channel, service_point_ids=points, together=_TOGETHER):
            passed = min(block.wh.shape[1], (epoch(self._now) - epoch(block.first)) // block.seconds)
            if passed <= 0:
                continue
            known = beside(
                self._tx,
                service_point_ids=block.service_point_ids,
                period=Period.of_epochs(epoch(block.first), epoch(block.first) + passed * block.seconds),
                seconds=block.seconds,
            )
            if reactive and known.reactive is None:
                known = replace(known, reactive=_reactive(self._tx, block, span)[:, :passed])
            elsewhere = of_other_lengths(self._tx, block, channel=channel, names=names)
            registers = registers_of_points(
                self._tx, service_point_ids=block.service_point_ids, channel=channel, period=span
            )
            work = _Work(self, channel, rules, block, passed, kept, registers)
            work.check(known, elsewhere)
            work.decide()

    @property
    def now(self) -> datetime:
        """When the run takes place."""
        return self._now

    def metered(self, points: Sequence[str]) -> dict[str, Metered]:
        """Where points lie and since when they have had meters."""
        return metered_points(self._tx, service_point_ids=points)

    def looked_at(self, points: int, intervals: int) -> None:
        """Count what was looked at."""
        self._counts["points"] += points
        self._counts["intervals"] += intervals

    def write(
        self, channel: str, seconds: int, rule: str, method: str, point: str, starts: NDArray[np.int64], values: Values
    ) -> None:
        """Values to stand in the store from now on."""
        cells = self._cells[channel, seconds, rule, method]
        cells.points.append(point)
        cells.starts.append(starts)
        cells.values.append(values)
        said = Counter(values.quality.tolist())
        self._counts["restored" if rule == RESTORED else "estimated"] += said[Quality.ESTIMATED]
        self._counts["doubted"] += said[Quality.SUSPECT]
        self._counts["restored"] += said[Quality.ACTUAL] + said[Quality.SUBSTITUTED]
        self._counts["put_aside"] += said[Quality.MISSING]

    def keep(self, before: ReadingException | None, after: ReadingException, stake_wh: int) -> None:
        """An exception as it is now; what is at stake is priced at the end of the run."""
        self._found[after.rule] += 1
        if before is not None:
            self._before[after.id] = before
        self._after.append(replace(after, stake_wh=stake_wh))
        self._stakes.append(Stake(after.service_point_id, after.channel, after.period, stake_wh))

    def close(self, one: ReadingException, reason: str) -> None:
        """An exception whose cause is gone."""
        closed = superseded(one, now=self._now)
        self._counts["superseded"] += 1
        self._after.append(closed)
        self._stakes.append(Stake(one.service_point_id, one.channel, one.period, 0))
        self._before[one.id] = one
        self._steps.append(machine_step(action="supersede", reason=reason, before=one, after=closed, now=self._now))

    def written(self, take_in: TakeIn, worth: Worth) -> Validated:
        """Write everything: values first, then the exceptions with what is at stake."""
        batches = list(self._batches())
        if batches:
            take_in(self._tx, batches=batches, now=self._now)
        amounts = worth(self._tx, stakes=self._stakes) if self._stakes else []
        written = []
        for one, amount in zip(self._after, amounts, strict=True):
            before = self._before.get(one.id)
            after = one if one.state == "superseded" else replace(one, stake=amount)
            if before is None:
                self._counts["opened"] += 1
                self._steps.append(self._step("find", None, after))
            elif after.live and (changed := _changed(before, after)):
                self._counts["changed"] += 1
                after = replace(after, revision=before.revision + 1, changed_at=self._now, proposal=None)
                self._steps.append(self._step("change", before, after, changed))
            elif after.live:
                if (before.stake_wh, before.stake) == (after.stake_wh, after.stake):
                    continue
                after = replace(before, stake_wh=after.stake_wh, stake=after.stake)
            written.append(after)
        write_exceptions(self._tx, written)
        write_steps(self._tx, self._steps)
        counts = self._counts
        return Validated(
            period=self.period,
            found=dict(sorted(self._found.items())),
            **{name: counts[name] for name in _COUNTED},
        )

    def _step(
        self, action: str, before: ReadingException | None, after: ReadingException, reason: str = ""
    ) -> tuple[str, ExceptionStep]:
        values = (after.seen, after.made) if len(after.made) else None
        return machine_step(
            action=action, reason=reason or after.words, before=before, after=after, now=self._now, values=values
        )

    def _batches(self) -> Iterator[IntervalBatch]:
        """A batch for each rule and method. Its id follows from its content and from what was stored before it."""
        version = head_of(self._tx).version
        for (channel, seconds, rule, method), cells in sorted(self._cells.items()):
            if rule != RESTORED:
                rule = f"{rule} {self._rules.digest}"  # noqa: PLW2901 - by which rules, too
            yield batch_of(
                channel, seconds, zip(cells.points, cells.starts, cells.values, strict=True), version, rule, method
            )


def _changed(before: ReadingException, after: ReadingException) -> str:
    """What is not as it was, in words; nothing: all is."""
    told = (
        ("the stretch", before.period != after.period),
        ("the values", before.seen != after.seen),
        ("what stands in their place", before.made != after.made),
        ("the measure", (before.measured, before.allowed) != (after.measured, after.allowed)),
        ("the severity", before.severity is not after.severity),
        ("the state", before.state not in {after.state, "waiting"}),
    )
    return ", ".join(words for words, is_so in told if is_so)


def _reach(rules: vee.ClassRules) -> int:
    """For how many days before and after the checks and estimates look around."""
    looked = [rules.estimate.reach_days + 1, -(-int(rules.zero_run.hours) // 24)]
    looked += [rule.history_days + 1 for rule in (rules.spike, rules.high, rules.low) if rule.severity]
    return max(looked)


def _reactive(tx: Transaction, block: IntervalBlock, span: Period) -> NDArray[np.int32]:
    """Reactive energy beside a block's active one; 0 where nothing is known."""
    found = np.zeros(block.wh.shape, dtype=np.int32)
    rows = {point: row for row, point in enumerate(block.service_point_ids)}
    for other in scan(tx, period=span, channel="reactive", service_point_ids=block.service_point_ids):
        if other.seconds == block.seconds:
            found[[rows[point] for point in other.service_point_ids]] = other.wh
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What earlier runs found and people decided of a channel, by point."""

    live: Mapping[str, Sequence[ReadingException]]
    accepted: Mapping[str, Sequence[ReadingException]]
    edited: Mapping[str, Sequence[ReadingException]]
    rejected: Mapping[str, Sequence[ReadingException]]

    @classmethod
    def of(cls, tx: Transaction, *, channel: str, span: Period, points: Collection[str] | None) -> _Kept:
        kinds: dict[str, dict[str, list[ReadingException]]] = defaultdict(lambda: defaultdict(list))
        states = (*LIVE, "accepted", "edited", "rejected")
        for one in exceptions_about(tx, period=span, states=states, channel=channel, service_point_ids=points):
            kinds["live" if one.live else one.state][one.service_point_id].append(one)
        return cls(*(kinds[kind] for kind in ("live", "accepted", "edited", "rejected")))


class _Work:
    """One block: the meter's word, what checks find in it, and what should stand in the store."""

    def __init__(
        self,
        run: _Run,
        channel: str,
        rules: vee.ClassRules,
        block: IntervalBlock,
        passed: int,
        kept: _Kept,
        registers: Mapping[str, RegisterReads],
    ) -> None:
        self._run, self._channel, self._rules, self._kept = run, channel, rules, kept
        self._registers = {row: registers[p] for row, p in enumerate(block.service_point_ids) if p in registers}
        self._points, self._seconds, self._start = block.service_point_ids, block.seconds, epoch(block.first)
        self._stored = Values(block.wh[:, :passed], block.quality[:, :passed])
        self._slots = passed
        self._raw = self._meters_word()
        self._metered = run.metered(self._points)
        self._from, self._until = self._lifetimes()
        first, last = (epoch(at) - self._start for at in (run.period.start, run.period.end))
        self._asked = (max(first // self._seconds, 0), min(-(-last // self._seconds), passed))
        self._found: list[_Found] = []
        self._want = self._stored
        self._methods = np.zeros(0, dtype=np.uint8)
        run.looked_at(len(self._points), len(self._points) * max(self._asked[1] - self._asked[0], 0))

    # --- the meter's word

    def _slot(self, instant: datetime) -> int:
        return (epoch(instant) - self._start) // self._seconds

    def _meters_word(self) -> Values:
        """What is stored, with the values as they came where what an earlier run put in their place still stands."""
        raw = Values(self._stored.wh.copy(), self._stored.quality.copy())
        for row, point in enumerate(self._points):
            for one in self._kept.live.get(point, ()):
                if one.seconds != self._seconds or not len(one.made) or one.rule == EDIT_REPLACED:
                    continue
                first, last = self._slot(one.period.start), self._slot(one.period.end)
                a, b = max(first, 0), min(last, self._slots)
                if a >= b:
                    continue
                seen, made = one.seen.part(a - first, b - first), one.made.part(a - first, b - first)
                now = Values(self._stored.wh[row, a:b], self._stored.quality[row, a:b])
                standing = now.same(made) & ~seen.same(made)
                raw.wh[row, a:b][standing] = seen.wh[standing]
                raw.quality[row, a:b][standing] = seen.quality[standing]
        return raw

    def _lifetimes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """From which slot to before which one each point has a meter; where none is registered, has values."""
        known = self._raw.quality != Quality.MISSING
        first, until = known.argmax(axis=1).astype(np.int64), np.full(len(self._points), self._slots, dtype=np.int64)
        for row, point in enumerate(self._points):
            about = self._metered.get(point)
            if about is None or about.since is None:
                continue
            first[row] = min(max(-(-(epoch(about.since) - self._start) // self._seconds), 0), self._slots)
            if about.until is not None:
                until[row] = min(max(self._slot(about.until), 0), self._slots)
        return first, until

    # --- what checks find

    def check(self, known: vee.Known, elsewhere: Elsewhere) -> None:
        """Look for everything; ``elsewhere`` it is there in another length."""
        self._elsewhere = elsewhere
        for row in elsewhere:
            having = np.flatnonzero(self._raw.quality[row] != Quality.MISSING)
            first, last = (int(having[0]), int(having[-1]) + 1) if len(having) else (self._slots, 0)
            self._from[row], self._until[row] = max(self._from[row], first), min(self._until[row], last)
        block = self._block(self._raw.quality)
        found = vee.check_block(block, rules=self._rules, known=known)
        if self._registers:
            about = register_findings(block, self._registers, rules=self._rules, watts=known.watts)
            found = vee.Findings.joined([found, about])
        findings = self._standing(found)
        flags = findings.flagged(block)
        self._want, self._methods = self._wanted(flags)
        a, b = (self._start + slot * self._seconds for slot in self._asked)
        asked = findings.picked((findings.begins < b) & (findings.ends > a))
        for number in range(len(asked)):
            rule = vee.RULES[int(asked.rules[number])]
            one = _Found(
                row=int(asked.points[number]),
                rule=rule,
                severity=vee.Severity(int(asked.severities[number])),
                first=(int(asked.begins[number]) - self._start) // self._seconds,
                last=(int(asked.ends[number]) - self._start) // self._seconds,
                measured=int(asked.measured[number]),
                limit=int(asked.limits[number]),
            )
            if rule is vee.Rule.MISSING or self._is_metered(one):
                self._found.append(one)

    def _block(self, quality: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> vee.Block:
        wh = self._raw.wh if rows is None else self._raw.wh[rows]
        return vee.Block(
            start=self._start, seconds=self._seconds, values=wh, qualities=quality if rows is None else quality[rows]
        )

    def _is_metered(self, one: _Found) -> bool:
        """Whether it is about anything that a meter said."""
        return bool(np.isin(self._raw.quality[one.row, one.first : one.last], METERED).any())

    def _standing(self, findings: vee.Findings) -> vee.Findings:
        """Without what lies before or after a point's meters, and without what somebody has accepted as it is."""
        missing = findings.rules == vee.RULES.index(vee.Rule.MISSING)
        begins = self._start + self._from[findings.points] * self._seconds
        ends = self._start + self._until[findings.points] * self._seconds
        findings.begins[missing] = np.maximum(findings.begins, begins)[missing]
        findings.ends[missing] = np.minimum(findings.ends, ends)[missing]
        measured = np.where(missing, findings.ends - findings.begins, findings.measured)
        rows = [row for row, point in enumerate(self._points) if point in self._kept.accepted]
        for number in np.flatnonzero(np.isin(findings.points, rows)).tolist():
            rule = vee.RULES[int(findings.rules[number])]
            for one in self._kept.accepted[self._points[int(findings.points[number])]]:
                if one.rule == rule.value and one.seconds == self._seconds and rule is not vee.Rule.MISSING:
                    self._absorb(findings, number, one)
        findings = replace(findings, measured=measured)
        return gaps_cut(findings.picked(findings.ends > findings.begins), start=self._start, elsewhere=self._elsewhere)

    def _absorb(self, findings: vee.Findings, number: int, accepted: ReadingException) -> None:
        """Take from a finding the beginning or the end that was accepted, if the values are still those."""
        row = int(findings.points[number])
        begin, end = int(findings.begins[number]), int(findings.ends[number])
        since, until = max(begin, epoch(accepted.period.start)), min(end, epoch(accepted.period.end))
        if since >= until or (since > begin and until < end):
            return
        a, b = (since - self._start) // self._seconds, (until - self._start) // self._seconds
        at = (since - epoch(accepted.period.start)) // self._seconds
        if not np.array_equal(self._raw.wh[row, a:b], accepted.seen.wh[at : at + b - a]):
            return
        if since == begin:
            findings.begins[number] = until
        else:
            findings.ends[number] = since

    # --- what should stand in the store

    def _wanted(self, flags: NDArray[np.uint8]) -> tuple[Values, NDArray[np.uint8]]:
        """The meter's word with doubts, and estimates where the rules let a run estimate; by which method."""
        quality = flags.copy()
        wh = np.where(quality == Quality.MISSING, np.int32(0), self._raw.wh)
        methods = np.full(wh.shape, vee.UNFILLED, dtype=np.uint8)
        first, last = (from_epoch(self._start + slot * self._seconds) for slot in self._asked)
        self._guesses = np.zeros(wh.shape, dtype=np.int32)  # of longer gaps, too: they say what is at stake
        refused = self._refused()
        zones: dict[str, list[int]] = defaultdict(list)
        for row, point in enumerate(self._points):
            zones[self._metered[point].zone if point in self._metered else "UTC"].append(row)
        for zone, of_zone in sorted(zones.items()):
            rows = np.array(of_zone, dtype=np.int64)
            guessed = vee.estimate_block(
                self._block(flags, rows), rules=self._rules, zone=zone_named(zone), within=Period(first, last)
            )
            place, slots = rows[guessed.per_value(guessed.points)], guessed.slots
            self._guesses[place, slots] = guessed.values
            kinds = guessed.per_value(guessed.methods).copy()
            for row in sorted(self._registers.keys() & set(place.tolist())):
                at = place == row
                kinds[at] = self._scaled(row, slots[at], kinds[at], flags[row], zone_named(zone))
            by_run = (guessed.lasts - guessed.firsts) * self._seconds <= int(self._rules.estimate.run_hours * 3600)
            by_run &= guessed.methods != vee.UNFILLED
            if len(guessed):
                by_run &= ~np.logical_or.reduceat(refused[place, slots], guessed.offsets[:-1])
            filled = guessed.per_value(by_run.astype(np.uint8)) > 0
            place, slots = place[filled], slots[filled]
            wh[place, slots] = self._guesses[place, slots]
            quality[place, slots] = Quality.ESTIMATED
            methods[place, slots] = kinds[filled]
        return Values(wh, quality), methods

    def _scaled(
        self,
        row: int,
        slots: NDArray[np.int64],
        kinds: NDArray[np.uint8],
        flags: NDArray[np.uint8],
        zone: tzinfo,
    ) -> NDArray[np.uint8]:
        """Guesses of one point, in ``slots``, where its register bounds gaps: as it says; and by which methods."""
        found = kinds.copy()
        starts = self._start + self._seconds * np.arange(self._slots, dtype=np.int64)
        series = IntervalSeries(starts, self._raw.wh[row].astype(np.int64), flags, self._seconds)
        for one in bounded_estimates(series, self._registers[row], rules=self._rules, zone=zone, unit="kWh"):
            first = self._slot(one.period.start)
            theirs = (slots >= first) & (slots < first + len(one.values)) & (found != vee.UNFILLED)
            values = np.clip(one.values, 0, _WH_MAX)
            self._guesses[row, slots[theirs]] = values[slots[theirs] - first]
            found[theirs] = vee.METHODS.index(one.method)
        return found

    def _refused(self) -> NDArray[np.bool_]:
        """Where somebody has taken an estimate out: no run makes it again. Nor where there are other intervals."""
        refused = np.zeros(self._raw.wh.shape, dtype=np.bool_)
        for row, elsewhere in self._elsewhere.items():
            refused[row] = elsewhere[: self._slots]
        for row, point in enumerate(self._points):
            for one in self._kept.rejected.get(point, ()):
                if one.rule == vee.Rule.MISSING.value and one.seconds == self._seconds:
                    refused[row, max(self._slot(one.period.start), 0) : max(self._slot(one.period.end), 0)] = True
        return refused

    def decide(self) -> None:
        """Hand to the run what is to be written of this block: values and exceptions."""
        live = [
            (row, one)
            for row, point in enumerate(self._points)
            for one in self._kept.live.get(point, ())
            if one.seconds == self._seconds and one.rule != EDIT_REPLACED and self._is_asked(one)
        ]
        self._replaced_edits()
        self._write_values([one for _, one in live if len(one.made)])
        by_rule: dict[tuple[int, str], list[ReadingException]] = defaultdict(list)
        for row, one in live:
            by_rule[row, one.rule].append(one)
        for found in self._found:
            waiting = by_rule.get((found.row, found.rule.value), [])
            same = next((one for one in waiting if self._overlaps(found, one)), None)
            if same is not None:
                waiting.remove(same)
            self._keep(found, same)
        for _, one in sorted(((key, one) for key, left in by_rule.items() for one in left), key=lambda e: e[1].id):
            self._run.close(one, "what was found is gone: other values have come, or other rules hold")

    def _is_asked(self, one: ReadingException) -> bool:
        return one.period.intersection(self._run.period) is not None

    def _overlaps(self, found: _Found, one: ReadingException) -> bool:
        return found.first < self._slot(one.period.end) and self._slot(one.period.start) < found.last

    def _write_values(self, live: Sequence[ReadingException]) -> None:
        """What differs from what is stored, within what was found and what an earlier run may have left."""
        region = np.zeros(self._raw.wh.shape, dtype=np.bool_)
        rows = {point: row for row, point in enumerate(self._points)}
        a, b = self._asked
        grave = [one for one in self._found if one.severity >= vee.Severity.SUSPECT]
        spans = [(one.row, one.first, one.last, one.rule is vee.Rule.MISSING) for one in grave]
        for kept in live:
            whole = kept.rule == vee.Rule.MISSING.value
            span = (max(self._slot(kept.period.start), 0), min(self._slot(kept.period.end), self._slots))
            spans.append((rows[kept.service_point_id], *span, whole))
        for row, first, last, whole in spans:
            # A gap stands or falls as a whole; of anything else, what lies in other days is those days' affair.
            region[row, (first if whole else max(first, a)) : (last if whole else min(last, b))] = True
        stored, want = self._stored, self._want
        differs = region & ~stored.same(want)
        self._made = Values(np.where(region, want.wh, stored.wh), np.where(region, want.quality, stored.quality))
        for one in sorted(grave, key=lambda found: (-found.severity, found.rule.value)):
            at = one.first + np.flatnonzero(differs[one.row, one.first : one.last])
            if len(at):
                differs[one.row, at] = False
                self._write(one.row, at, one.rule.value)
        for row in np.flatnonzero(differs.any(axis=1)).tolist():
            self._write(row, np.flatnonzero(differs[row]), RESTORED)

    def _write(self, row: int, slots: NDArray[np.int64], rule: str) -> None:
        codes = self._methods[row, slots]
        for code in np.unique(codes).tolist():
            at = slots[codes == code]
            method = "" if code == vee.UNFILLED else vee.METHODS[code].value
            values = Values(self._want.wh[row, at], self._want.quality[row, at])
            starts = self._start + at * self._seconds
            self._run.write(self._channel, self._seconds, rule, method, self._points[row], starts, values)

    # --- exceptions

    def _keep(self, found: _Found, before: ReadingException | None) -> None:
        row, first, last = found.row, found.first, found.last
        seen = Values(self._raw.wh[row, first:last].copy(), self._raw.quality[row, first:last].copy())
        grave = found.severity >= vee.Severity.SUSPECT
        made = Values(self._made.wh[row, first:last].copy(), self._made.quality[row, first:last].copy())
        begin = self._start + first * self._seconds
        measured = found.measured
        if before is not None and first == 0 and epoch(before.period.start) < begin:
            # It began before anything that was looked at now.
            ahead = (begin - epoch(before.period.start)) // self._seconds
            begin = epoch(before.period.start)
            seen, made = (
                Values(np.concatenate([old.wh[:ahead], new.wh]), np.concatenate([old.quality[:ahead], new.quality]))
                for old, new in ((before.seen, seen), (before.made if grave else seen, made))
            )
            if found.rule in {vee.Rule.MISSING, vee.Rule.ZERO_RUN}:
                measured += ahead * self._seconds
        codes = self._methods[row, first:last]
        filled = codes != vee.UNFILLED
        lacking = made.quality[-(last - first) :] == Quality.MISSING
        after = new_exception(
            service_point_id=self._points[row],
            channel=self._channel,
            seconds=self._seconds,
            rule=found.rule.value,
            severity=found.severity,
            span=(begin, self._start + last * self._seconds),
            measured=measured,
            allowed=found.limit,
            state=_state(found.severity, whole=bool(filled.any()) and not bool(lacking.any())),
            seen=seen,
            made=made if grave else Values.none(),
            method=vee.METHODS[int(codes[filled][0])].value if filled.any() and grave else "",
            now=self._run.now,
        )
        if before is not None:
            kept = before.state == "waiting"
            after = replace(
                after,
                id=before.id,
                revision=before.revision,
                found_at=before.found_at,
                changed_at=before.changed_at,
                state="waiting" if kept and not _changed(before, after) else after.state,
                proposal=before.proposal,
            )
        self._run.keep(before, after, self._stake(found))

    def _stake(self, found: _Found) -> int:
        """The energy that may be wrong: what lacks, or by how much it differs from what stands or is usual."""
        row, span = found.row, slice(found.first, found.last)
        said = int(self._raw.wh[row, span].sum(dtype=np.int64))
        if found.rule is vee.Rule.INACTIVE_USE:
            return said
        guesses = self._guesses[row, span]
        if found.severity is vee.Severity.FAIL and guesses.any():
            usual = int(guesses.sum(dtype=np.int64))
        else:
            known = int(np.count_nonzero(self._raw.quality[row] != Quality.MISSING))
            total = int(self._raw.wh[row].sum(dtype=np.int64))
            usual = total * (found.last - found.first) // max(known, 1)
        return abs(said - usual)

    def _replaced_edits(self) -> None:
        for row, point in enumerate(self._points):
            for one in self._kept.edited.get(point, ()):
                if one.seconds != self._seconds or not self._is_asked(one):
                    continue
                first, last = self._slot(one.period.start), self._slot(one.period.end)
                if first >= 0 and last <= self._slots:
                    now = Values(self._stored.wh[row, first:last], self._stored.quality[row, first:last])
                    self._report_edit(one, now)

    def _report_edit(self, one: ReadingException, now: Values) -> None:
        opened = replaced_edit(one, now=now, at=self._run.now)
        if opened is not None:
            self._run.close(one, "a reading came for it")
            self._run.keep(None, opened, abs(opened.measured - opened.allowed))


def _state(severity: vee.Severity, *, whole: bool) -> State:
    if severity < vee.Severity.SUSPECT:
        return "told"
    return "filled" if whole and severity is vee.Severity.FAIL else "open"
