"""A statement counted again by whoever holds it: no database, no network, nothing but the statement itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wattledger.billing import month_period
from wattledger.evidence._lines import line_told
from wattledger.evidence._signing import ALGORITHM, DocumentUnreadable, fingerprint, is_signed, read_document
from wattledger.evidence._statements import FORMAT
from wattledger.kernel import IntervalSeries, Money, Period, Problem, from_epoch
from wattledger.tariffs import IndexPrices, RatingState, Signals, Tariff, advance, open_state, parse_tariff, settle

_NOT_AS_WRITTEN = (
    Problem,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    OSError,  # an instant that no calendar has
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it.

    ``differences``  where the statement is not what it says; none: it is true
    ``key``          the public key that it names; ``known`` whether that is the one it was to be signed with (``None``:
                     nobody said which that is)
    """

    contract: str
    month: str
    currency: str
    total: str
    intervals: int
    key: str
    known: bool | None
    differences: Sequence[str]

    @property
    def is_true(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def fingerprint(self) -> str:
        """What people compare of the key."""
        return fingerprint(self.key)


def verify(text: str, *, public_key: str | None = None) -> Verdict:
    """Check a statement's signature, and count it again from its own readings and tariff.

    ``public_key`` is the issuer's, got another way; without it the signature proves only that the statement was not
    changed since whoever holds the key in it signed it. Raises
    :class:`~wattledger.evidence.DocumentUnreadable` for what is no statement at all.
    """
    document = read_document(text)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DocumentUnreadable("it is no statement of this kind", remedy=f'its "format" would be {FORMAT}')
    signed = document.get("signed")
    if not isinstance(signed, dict) or not re.fullmatch("[0-9a-f]{64}", str(signed.get("key"))):
        raise DocumentUnreadable("it is not signed", remedy="ask for it once more")
    key = str(signed["key"])
    differences = [*_unsigned(document, signed, key, public_key), *_not_adding_up(document)]
    return Verdict(
        contract=str(document.get("contract")),
        month=str(document.get("month")),
        currency=str(document.get("currency")),
        total=str(document.get("total")),
        intervals=_intervals(document),
        key=key,
        known=None if public_key is None else key == public_key,
        differences=differences,
    )


def _unsigned(document: dict[str, Any], signed: dict[str, Any], key: str, public_key: str | None) -> Iterator[str]:
    if set(signed) != {"algorithm", "key", "signature"} or signed["algorithm"] != ALGORITHM:
        yield "the signature is of a kind that is not known"
    bare = {name: value for name, value in document.items() if name != "signed"}
    if not is_signed(bare, signature=str(signed.get("signature")), public_key=key):
        yield "the signature does not fit: it was changed after it was signed"
    if public_key is not None and key != public_key:
        yield f"it is signed by {fingerprint(key)}, not by {fingerprint(public_key)}"


def _not_adding_up(document: dict[str, Any]) -> Iterator[str]:
    """Where it differs from what follows from its own readings and tariffs, or why that cannot be told."""
    try:
        total, reached = Money.zero(str(document["currency"])), None
        month = month_period(str(document["month"]), zone=str(document["zone"]))
        for number, part in enumerate(document["parts"], 1):
            where = f"part {number}"
            period = Period(from_epoch(part["start"]), from_epoch(part["end"]))
            if not month.start <= period.start < period.end <= month.end or (reached and period.start < reached):
                yield f"{where}: its time is not of the month, or of another part too"
            reached = period.end
            amount, found = _counted(part, period)
            total += amount
            yield from (f"{where}: {one}" for one in found)
        if total.text != document["total"]:
            yield f"the parts add up to {total.text}, it says {document['total']}"
    except _NOT_AS_WRITTEN as error:
        yield f"it cannot be counted again: {error if isinstance(error, Problem) else repr(error)}"


def _intervals(document: dict[str, Any]) -> int:
    try:
        return sum(len(one["starts"]) for part in document["parts"] for one in part["readings"])
    except _NOT_AS_WRITTEN:
        return 0


def _counted(part: Mapping[str, Any], period: Period) -> tuple[Money, list[str]]:
    """The amount of a part, counted again, and where it differs from what it says."""
    tariff = parse_tariff(part["tariff"]["document"], source="the statement")
    differences = []
    if tariff.hash != part["tariff"]["hash"]:
        told = f"its tariff has the hash {tariff.hash[:12]}, it says {str(part['tariff']['hash'])[:12]}"
        return Money.zero(tariff.currency), [told]
    state = RatingState.from_json(part["opening"])
    if state.to_json() != _opened(tariff, state, period).to_json():
        differences.append("it begins with something counted already, or for another time")
    signals = _signals(part)
    for piece in part["readings"]:
        series = _series(piece)
        if len(series) and not (
            period.start <= from_epoch(int(series.starts[0]))
            and from_epoch(int(series.starts[-1]) + series.seconds) <= period.end
        ):
            differences.append(f"readings of {piece['channel']} lie outside of its time")
        state = advance(tariff=tariff, state=state, series={str(piece["channel"]): series}, signals=signals)
    until = from_epoch(part["until"])
    if not period.start <= until <= period.end:
        differences.append("it is reckoned to an instant outside of its time")
    rating = settle(tariff=tariff, state=state, until=until)
    differences += _different([line_told(line) for line in rating.lines], part["lines"])
    if rating.missing != part["missing"]:
        differences.append(f"{rating.missing} intervals have no reading, it says {part['missing']}")
    if rating.total.text != part["total"]:
        differences.append(f"counted again it comes to {rating.total.text}, it says {part['total']}")
    return rating.total, differences


def _opened(tariff: Tariff, state: RatingState, period: Period) -> RatingState:
    bill = Period(from_epoch(state.bill[0]), from_epoch(state.bill[1]))
    return open_state(
        tariff=tariff, period=period, zone=state.zone, bill=bill, facts=dict(state.facts), history=state.history
    )


def _series(piece: Mapping[str, Any]) -> IntervalSeries:
    starts = np.array(piece["starts"], dtype=np.int64)
    values = np.array(piece["values"], dtype=np.int64)
    qualities = np.array(piece["qualities"], dtype=np.uint8)
    if not len(starts) == len(values) == len(qualities):
        raise ValueError("as many starts as values as qualities are needed")
    if (np.diff(starts) < piece["seconds"]).any():
        raise ValueError("intervals are not in order, or overlap")
    return IntervalSeries(starts, values, qualities, piece["seconds"], piece["decimals"])


def _signals(part: Mapping[str, Any]) -> Signals:
    return Signals(
        events={
            name: tuple(Period(from_epoch(first), from_epoch(last)) for first, last in periods)
            for name, periods in part["events"].items()
        },
        prices={
            name: IndexPrices(
                starts=np.array(one["starts"], dtype=np.int64),
                values=tuple(map(int, one["values"])),
                decimals=one["decimals"],
                seconds=one["seconds"],
            )
            for name, one in part["prices"].items()
        },
    )


def _different(counted: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number in range(max(len(counted), len(told))):
        mine = counted[number] if number < len(counted) else None
        its = told[number] if number < len(told) else None
        if mine is None:
            yield f"line {number + 1} ({_named(its)}) does not follow from its readings"
        elif its is None:
            yield f"a line is missing: {_named(mine)}, {mine['amount']}"
        else:
            for name in mine.keys() | its.keys():
                if mine.get(name) != its.get(name):
                    yield (
                        f"line {number + 1} ({_named(mine)}): {name} is {mine.get(name)!r} counted again, "
                        f"it says {its.get(name)!r}"
                    )


def _named(line: Mapping[str, Any] | None) -> str:
    told = line or {}
    parts = [told.get("charge"), told.get("period"), f"tier {told['tier']}" if told.get("tier") else None]
    return ", ".join(str(one) for one in parts if one)
