"""Whole bills of many contracts at once: those priced by one rule for one stretch of time, from blocks of readings.

What has no form for many (what an earlier bill left, several versions in a bill, energy given back ...) is left out, to
be counted one by one. What is priced here is what would have been counted there, to the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattledger import readings, tariffs
from wattledger.kernel import Period, Problem, Quality, epoch
from wattledger.pricing._counting import looks_back_to
from wattledger.pricing._signals import signals
from wattledger.readings import IntervalBlock
from wattledger.registry import Segment
from wattledger.store import Transaction
from wattledger.tariffs import RatedBlock, Signals

_FEWEST = 16
"""Fewer that are priced alike are as soon counted one by one."""

_POINTS_TOGETHER = 1_000  # four groups of the files' rows

_USUAL_SECONDS = 900


@dataclass(frozen=True, slots=True, eq=False)
class PricedBlock:
    """Some contracts' bills.

    ``rated``      one bill a row; rows that are nobody's do not count
    ``members``    the row of each segment, which is a whole bill
    ``estimated``  of each row how many of its intervals are estimates
    """

    rated: RatedBlock
    members: Sequence[tuple[int, Segment]]
    estimated: NDArray[np.int64]


class _Rule(NamedTuple):
    """What contracts have in common that are priced at once."""

    tariff_hash: str
    currency: str
    zone: str
    period: Period
    facts: tuple[tuple[str, str], ...]


def priced_together(
    tx: Transaction,
    *,
    segments: Sequence[Segment],
    executor: Executor | None = None,
    stage: Callable[[str], object] = lambda _: None,
) -> list[PricedBlock]:
    """The bills of those of ``segments`` that can be priced many at once; the others are for :func:`counted`.

    With an ``executor`` (of threads) blocks are read and rated side by side. ``stage`` is told ``scan`` and ``rate``
    when the one or the other begins.
    """
    stage("rate")
    rules: dict[_Rule, list[Segment]] = defaultdict(list)
    for segment in segments:
        if segment.bill == segment.period:
            rules[_rule_of(segment)].append(segment)
    by_period: dict[Period, list[_Group]] = defaultdict(list)
    for rule, members in rules.items():
        if len(members) >= _FEWEST and _stands_alone(members[0]):
            group = _Group(rule, members, signals(tx, tariffs=[members[0].tariff], period=rule.period))
            if group.has_form():
                by_period[rule.period].append(group)
    found: list[PricedBlock] = []
    for period, groups in by_period.items():
        found += _of_period(tx, period, groups, executor, stage)
    return found


def _rule_of(segment: Segment) -> _Rule:
    asked = segment.tariff.facts
    facts = tuple(sorted((name, text) for name, text in segment.facts.items() if name in asked)) if asked else ()
    return _Rule(segment.tariff.hash, segment.currency, segment.zone, segment.period, facts)


def _stands_alone(segment: Segment) -> bool:
    """Whether the bill depends on nothing but its own readings, and has no line that says when it was measured."""
    first = looks_back_to(segment)
    return (
        first is not None
        and first >= segment.bill.start
        and segment.currency == segment.tariff.currency
        and all(charge["kind"] != "demand" for charge in segment.tariff.document["charges"])
    )


class _Group:
    """Contracts that are priced by one rule, and what the rule is."""

    def __init__(self, rule: _Rule, members: Sequence[Segment], told: Signals) -> None:
        self.rule, self.tariff, self._told = rule, members[0].tariff, told
        self.at: dict[str, list[Segment]] = defaultdict(list)
        for segment in members:
            self.at[segment.service_point_id].append(segment)

    def has_form(self) -> bool:
        """Whether many can be rated at once; whatever keeps a price from being known is told one by one."""
        nobody = np.zeros((0, self.rule.period.seconds // _USUAL_SECONDS), dtype=np.int32)
        try:
            return self._rated(nobody, None, _USUAL_SECONDS).vectorised
        except Problem:
            return False

    def rated(self, block: IntervalBlock) -> PricedBlock | None:
        """The bills of those in a block; ``None`` if they are none, or must be counted one by one after all."""
        places = [place for place, point in enumerate(block.service_point_ids) if point in self.at]
        if not places:
            return None
        points = [block.service_point_ids[place] for place in places]
        members = [(row, segment) for row, point in enumerate(points) for segment in self.at[point]]
        wh, quality = block.wh, block.quality
        if len(places) < len(wh):
            wh, quality = wh[places], quality[places]
        try:
            rated = self._rated(wh, None if block.whole else quality == Quality.MISSING, block.seconds)
        except Problem:
            return None
        return PricedBlock(rated, members, _estimated(quality)) if rated.vectorised else None

    def _rated(self, wh: NDArray[np.int32], missing: NDArray[np.bool_] | None, seconds: int) -> RatedBlock:
        return tariffs.rate_many(
            tariff=self.tariff,
            block=wh,
            start=self.rule.period.start,
            seconds=seconds,
            period=self.rule.period,
            zone=self.rule.zone,
            missing=missing,
            facts=dict(self.rule.facts),
            signals=self._told,
        )


def _estimated(quality: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(quality == Quality.ESTIMATED, axis=1))


def _of_period(
    tx: Transaction,
    period: Period,
    groups: Sequence[_Group],
    executor: Executor | None,
    stage: Callable[[str], object],
) -> list[PricedBlock]:
    stage("scan")
    points = {point for group in groups for point in group.at}
    excused = _with_other_channels(tx, period, groups)
    coming: list[Future[PricedBlock | None] | PricedBlock | None] = []
    seen: set[str] = set()
    for block in readings.scan(
        tx, period=period, service_point_ids=points, together=_POINTS_TOGETHER, executor=executor
    ):
        excused |= seen.intersection(block.service_point_ids)  # read at two lengths of interval
        seen.update(block.service_point_ids)
        if epoch(period.start) % block.seconds or epoch(period.end) % block.seconds:
            continue
        stage("rate")
        if executor is None:
            coming += [group.rated(block) for group in groups]
        else:
            coming += [executor.submit(group.rated, block) for group in groups]
        stage("scan")
    stage("rate")
    priced = [one.result() if isinstance(one, Future) else one for one in coming]
    return [_without(one, excused) for one in priced if one is not None]


def _without(block: PricedBlock, points: Collection[str]) -> PricedBlock:
    if not points:
        return block
    members = [(row, segment) for row, segment in block.members if segment.service_point_id not in points]
    return PricedBlock(block.rated, members, block.estimated)


def _with_other_channels(tx: Transaction, period: Period, groups: Sequence[_Group]) -> set[str]:
    """The points that have readings of a channel that is priced beside the energy taken."""
    asked: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for channel in group.tariff.channels:
            if channel != readings.IMPORT:
                asked[channel].update(group.at)
    return {
        point
        for channel, points in asked.items()
        for block in readings.scan(tx, period=period, channel=channel, service_point_ids=points)
        for point in block.service_point_ids
    }
