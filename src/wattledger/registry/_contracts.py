"""Contracts, their dated terms, and which tariff prices which stretch of time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import sqlalchemy as sa

from wattledger.kernel import Period, Problem, local_months, zone_named
from wattledger.registry import _tables as t
from wattledger.registry._revisions import note_terms_change
from wattledger.store import Fact, Row, Transaction, chunked
from wattledger.tariffs import Tariff

PaymentMode = Literal["prepay", "postpay"]

_FAR = datetime(9000, 1, 1, tzinfo=UTC)  # the end of what has no end
_NAME_LENGTH_MAX = 60
_FACT_LENGTH_MAX = 200


class ContractNotFound(Problem):
    """A contract is not in the registry."""

    slug = "contract-not-found"
    title = "No such contract"
    status = 404


class TariffVersionConflict(Problem):
    """A tariff version was published before with other content, or no version was in force."""

    slug = "tariff-version-conflict"
    title = "This tariff version cannot be used"
    status = 409


class FactRefused(Problem):
    """A fact of a contract cannot be kept as it is told."""

    slug = "fact-refused"
    title = "This fact cannot be kept"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTold(Fact):
    """A fact of a contract was told, or told anew: from ``valid_from`` on (ISO 8601) ``name`` is ``value``.

    ``before`` is what was told before from the same instant.
    """

    name: str
    value: str
    before: str | None
    valid_from: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One supply contract with the terms of one instant."""

    id: str
    account_id: str
    account_name: str
    language: str
    service_point_id: str
    premise_kind: str
    zone: str
    currency: str
    mode: PaymentMode
    tariff_id: str


@dataclass(frozen=True, slots=True)
class Segment:
    """The longest stretch within one calendar month that one tariff version prices under one contract term.

    ``period``  the stretch itself, half-open: month, term and version validity intersected
    ``bill``    the whole bill that it is part of: month and term intersected
    ``month``   the whole local calendar month it belongs to
    ``since``   from when on the contract has been on this tariff, whichever its versions and terms
    ``facts``   what was told of the contract, as in force where the stretch begins
    """

    contract_id: str
    service_point_id: str
    mode: PaymentMode
    zone: str
    currency: str
    month: Period
    bill: Period
    period: Period
    since: datetime
    tariff: Tariff
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[str, datetime]:
        """What tells it from all others: the contract and where the stretch begins."""
        return self.contract_id, self.period.start


def open_contract(  # noqa: PLR0913 - a contract's facts, all of them
    tx: Transaction,
    *,
    contract_id: str,
    account_id: str,
    service_point_id: str,
    mode: PaymentMode,
    tariff_id: str,
    currency: str,
    valid_from: datetime,
) -> None:
    """Record a supply contract and its first terms."""
    tx.execute(
        t.contract.insert().values(
            id=contract_id, account_id=account_id, service_point_id=service_point_id, currency=currency
        )
    )
    tx.execute(
        t.contract_term.insert().values(contract_id=contract_id, valid_from=valid_from, mode=mode, tariff_id=tariff_id)
    )
    note_terms_change(tx, kind="point", subject=service_point_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """A place that is supplied, with all that there is to say of it: what :func:`take_on` records."""

    service_point_id: str
    premise_id: str
    premise_kind: str
    address: str
    zone: str
    account_id: str
    account_name: str
    language: str
    phone: str | None
    contract_id: str
    mode: PaymentMode
    tariff_id: str
    currency: str
    valid_from: datetime


def take_on(tx: Transaction, *, supplies: Sequence[Supply]) -> None:
    """Record many supplies at once, as from another system: premise, service point, account, contract and terms.

    Premises and accounts may be shared; what is there already stays as it is. Contracts and service points are new.
    """
    for zone in {supply.zone for supply in supplies}:
        zone_named(zone)
    premises = {s.premise_id: s for s in supplies}
    accounts = {s.account_id: s for s in supplies}
    tx.insert_new(
        t.premise,
        [{"id": s.premise_id, "kind": s.premise_kind, "address": s.address, "zone": s.zone} for s in premises.values()],
    )
    tx.insert_new(
        t.account,
        [
            {"id": s.account_id, "name": s.account_name, "language": s.language, "phone": s.phone}
            for s in accounts.values()
        ],
    )
    if supplies:
        points = [{"id": s.service_point_id, "premise_id": s.premise_id} for s in supplies]
        tx.insert(t.service_point, points)
        contracts_ = [
            {
                "id": s.contract_id,
                "account_id": s.account_id,
                "service_point_id": s.service_point_id,
                "currency": s.currency,
            }
            for s in supplies
        ]
        tx.insert(t.contract, contracts_)
        terms = [
            {"contract_id": s.contract_id, "valid_from": s.valid_from, "mode": s.mode, "tariff_id": s.tariff_id}
            for s in supplies
        ]
        tx.insert(t.contract_term, terms)


def tell_fact(
    tx: Transaction,
    *,
    contract_id: str,
    name: str,
    value: str | bool | int | Decimal,
    valid_from: datetime,
    now: datetime,
) -> None:
    """Keep what a tariff may ask about a contract (``contracted_kw``, ``persons`` ...), from ``valid_from`` on.

    It holds until it is told anew from a later instant, and tells :class:`FactTold`; the same again changes nothing.
    Raises :class:`FactRefused`.
    """
    text = _fact_text(value)
    if not name or len(name) > _NAME_LENGTH_MAX or not text or len(text) > _FACT_LENGTH_MAX:
        raise FactRefused(
            f"contract {contract_id}: {name!r} = {text!r}",
            remedy=f"a name of 1 to {_NAME_LENGTH_MAX} characters and a value of 1 to {_FACT_LENGTH_MAX} are kept",
        )
    point = tx.execute(
        sa.select(t.contract.c.service_point_id).where(t.contract.c.id == contract_id)
    ).scalar_one_or_none()
    if point is None:
        raise ContractNotFound(f"no contract is called {contract_id!r}")
    kept = t.contract_fact
    before = tx.execute(
        sa.select(kept.c.value).where(
            kept.c.contract_id == contract_id, kept.c.name == name, kept.c.valid_from == valid_from
        )
    ).scalar_one_or_none()
    if before == text:
        return
    tx.upsert(
        kept,
        [{"contract_id": contract_id, "name": name, "valid_from": valid_from, "value": text}],
        update=("value",),
    )
    note_terms_change(tx, kind="point", subject=point)
    tx.emit(
        FactTold(
            at=now,
            contract_id=contract_id,
            name=name,
            value=text,
            before=before,
            valid_from=valid_from.astimezone(UTC).isoformat(),
        )
    )


def _fact_text(value: str | bool | int | Decimal) -> str:  # noqa: FBT001 - a truth is a fact like any other
    """The one spelling of a fact: numbers without needless zeros, truth as words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def facts_of(tx: Transaction, *, contract_id: str, at: datetime) -> dict[str, str]:
    """What was told of a contract, as in force at ``at``."""
    return _facts_at(_facts(tx, [contract_id])[contract_id], at)


def _facts(tx: Transaction, contract_ids: Collection[str]) -> Mapping[str, Sequence[Row]]:
    """Everything that was ever told of these contracts, in the order in which it came into force."""
    kept = t.contract_fact
    found: dict[str, list[Row]] = defaultdict(list)
    select = sa.select(kept).where(tx.among(kept.c.contract_id, sorted(set(contract_ids)))).order_by(kept.c.valid_from)
    for row in tx.rows(select):
        found[row.contract_id].append(row)
    return found


def _facts_at(told: Sequence[Row], at: datetime) -> dict[str, str]:
    return {row.name: row.value for row in told if row.valid_from <= at}  # what came into force later stands later


def publish_tariff(tx: Transaction, *, tariff: Tariff, valid_from: datetime) -> None:
    """Put a tariff version in force from ``valid_from`` until a later one; the same version again changes nothing.

    A version is immutable: publishing its number with other content raises :class:`TariffVersionConflict`.
    """
    found = tx.execute(
        sa.select(t.tariff_version.c.hash).where(
            t.tariff_version.c.tariff_id == tariff.id, t.tariff_version.c.version == tariff.version
        )
    ).scalar_one_or_none()
    if found == tariff.hash:
        return
    if found is not None:
        raise TariffVersionConflict(
            f"tariff {tariff.id} version {tariff.version} was published before with other content",
            remedy="give the changed tariff a new version",
        )
    tx.execute(
        t.tariff_version.insert().values(
            tariff_id=tariff.id,
            valid_from=valid_from,
            version=tariff.version,
            hash=tariff.hash,
            document=json.dumps(tariff.document, sort_keys=True, separators=(",", ":")),
        )
    )
    note_terms_change(tx, kind="tariff", subject=tariff.id)


@lru_cache(maxsize=4096)
def _parsed(_hash: str, document: str) -> Tariff:
    return Tariff.from_document(json.loads(document))


def tariff_with_hash(tx: Transaction, *, tariff_hash: str) -> Tariff:
    """The published tariff version with this content hash; raises :class:`TariffVersionConflict`."""
    row = tx.execute(
        sa.select(t.tariff_version.c.hash, t.tariff_version.c.document).where(t.tariff_version.c.hash == tariff_hash)
    ).first()
    if row is None:
        raise TariffVersionConflict(f"no published tariff version has the hash {tariff_hash}")
    return _parsed(row.hash, row.document)


def published_tariffs(tx: Transaction) -> list[Tariff]:
    """Every version of every tariff."""
    version = t.tariff_version.c
    return [_parsed(row.hash, row.document) for row in tx.rows(sa.select(version.hash, version.document))]


def contract(tx: Transaction, *, contract_id: str, at: datetime) -> Contract:
    """One contract with its terms at ``at``; raises :class:`ContractNotFound`."""
    row = tx.execute(_contracts_at(at).where(t.contract.c.id == contract_id)).one_or_none()
    if row is None:
        raise ContractNotFound(f"no contract is called {contract_id!r}, or it was not in force at {at.isoformat()}")
    return _contract(row)


def contracts(
    tx: Transaction,
    *,
    at: datetime,
    mode: PaymentMode | None = None,
    text: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[Contract]:
    """Contracts in force at ``at`` by id, a page of them; ``text`` matches name, id, service point or kind."""
    select = _filtered(_contracts_at(at), mode=mode, text=text)
    return [_contract(row) for row in tx.rows(select.order_by(t.contract.c.id).limit(limit).offset(offset))]


def contract_count(tx: Transaction, *, at: datetime, mode: PaymentMode | None = None, text: str | None = None) -> int:
    """How many contracts :func:`contracts` would page through."""
    listed = _filtered(_contracts_at(at), mode=mode, text=text).subquery()
    return int(tx.execute(sa.select(sa.func.count()).select_from(listed)).scalar_one())


def account_names(tx: Transaction, *, contract_ids: Collection[str], at: datetime) -> dict[str, str]:
    """The account's name of each of these contracts that was in force at ``at``."""
    names: dict[str, str] = {}
    for piece in chunked(sorted(set(contract_ids))):
        names.update((row.id, row.name) for row in tx.rows(_contracts_at(at).where(t.contract.c.id.in_(piece))))
    return names


def contract_ids(tx: Transaction, *, period: Period) -> list[str]:
    """The ids of all contracts in force at any time in ``period``, in order."""
    term = t.contract_term
    select = (
        sa.select(term.c.contract_id)
        .where(term.c.valid_from < period.end, sa.or_(term.c.valid_to.is_(None), term.c.valid_to > period.start))
        .distinct()
        .order_by(term.c.contract_id)
    )
    return [row.contract_id for row in tx.rows(select)]


def accounts_contracts(tx: Transaction, *, account_id: str, at: datetime) -> list[Contract]:
    """An account's contracts in force at ``at``."""
    select = _contracts_at(at).where(t.contract.c.account_id == account_id).order_by(t.contract.c.id)
    return [_contract(row) for row in tx.rows(select)]


def _filtered(select: sa.Select[Any], *, mode: PaymentMode | None, text: str | None) -> sa.Select[Any]:
    if mode is not None:
        select = select.where(t.contract_term.c.mode == mode)
    if text:
        columns = (t.account.c.name, t.contract.c.id, t.contract.c.service_point_id, t.premise.c.kind)
        select = select.where(sa.or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return select


def _contracts_at(at: datetime) -> sa.Select[Any]:
    term = t.contract_term
    return (
        sa.select(
            t.contract.c.id,
            t.contract.c.account_id,
            t.account.c.name,
            t.account.c.language,
            t.contract.c.service_point_id,
            t.premise.c.kind,
            t.premise.c.zone,
            t.contract.c.currency,
            term.c.mode,
            term.c.tariff_id,
        )
        .join(t.account, t.account.c.id == t.contract.c.account_id)
        .join(t.service_point, t.service_point.c.id == t.contract.c.service_point_id)
        .join(t.premise, t.premise.c.id == t.service_point.c.premise_id)
        .join(term, term.c.contract_id == t.contract.c.id)
        .where(term.c.valid_from <= at, sa.or_(term.c.valid_to.is_(None), term.c.valid_to > at))
    )


def _contract(row: Row) -> Contract:
    return Contract(*row)


def segments_of_points(tx: Transaction, *, service_point_ids: Collection[str], period: Period) -> list[Segment]:
    """How the time in ``period`` at these points is to be priced: whole segments of every month it touches.

    The segments are not clipped to ``period``: a late reading re-prices all of its month's segment.
    """
    return list(_segments(tx, _terms(tx, t.contract.c.service_point_id, service_point_ids), _months_of(period)))


def segments(tx: Transaction, *, contract_ids: Collection[str], period: Period) -> list[Segment]:
    """As :func:`segments_of_points`, for contracts."""
    return list(_segments(tx, _terms(tx, t.contract.c.id, contract_ids), _months_of(period)))


def month_segments(
    tx: Transaction, *, contract_ids: Collection[str], month_of: Callable[[str], Period]
) -> list[Segment]:
    """As :func:`segments`, of one month only: the one that ``month_of`` tells of a zone's name."""
    return list(_segments(tx, _terms(tx, t.contract.c.id, contract_ids), lambda zone: [month_of(zone)]))


def month_contracts(tx: Transaction, *, month_of: Callable[[str], Period]) -> dict[str, list[tuple[str, str]]]:
    """By zone the service point and contract of whom :func:`month_segments` has a segment, without making it."""
    first = sa.select(t.tariff_version.c.tariff_id, sa.func.min(t.tariff_version.c.valid_from).label("first"))
    versions = first.group_by(t.tariff_version.c.tariff_id).subquery()
    term = t.contract_term.c
    found: dict[str, list[tuple[str, str]]] = {}
    for (zone,) in tx.rows(sa.select(t.premise.c.zone).distinct().order_by(t.premise.c.zone)):
        month = month_of(zone)
        in_force = sa.and_(
            t.premise.c.zone == zone,
            term.valid_from < month.end,
            sa.or_(term.valid_to.is_(None), term.valid_to > month.start),
        )
        supplied = (
            sa.select(t.contract.c.service_point_id, t.contract.c.id)
            .join(t.service_point, t.service_point.c.id == t.contract.c.service_point_id)
            .join(t.premise, t.premise.c.id == t.service_point.c.premise_id)
            .join(t.contract_term, term.contract_id == t.contract.c.id)
        )
        unpublished = supplied.with_only_columns(term.tariff_id).where(
            in_force, term.tariff_id.not_in(sa.select(versions.c.tariff_id))
        )
        for (tariff_id,) in tx.rows(unpublished.limit(1)):
            _versions(tx, tariff_id)  # raises
        priced = supplied.join(versions, versions.c.tariff_id == term.tariff_id).where(
            in_force, versions.c.first < month.end, sa.or_(term.valid_to.is_(None), term.valid_to > versions.c.first)
        )
        placed = {(point, contract) for point, contract in tx.rows(priced)}
        if placed:
            found[zone] = sorted(placed)
    return found


def _months_of(period: Period) -> Callable[[str], list[Period]]:
    return lambda zone: list(local_months(period, zone=zone_named(zone)))


def _terms(tx: Transaction, key: sa.Column[Any], values: Collection[str]) -> Sequence[Row]:
    columns = (
        t.contract.c.id,
        t.contract.c.service_point_id,
        t.contract.c.currency,
        t.premise.c.zone,
        t.contract_term.c.mode,
        t.contract_term.c.tariff_id,
        t.contract_term.c.valid_from,
        t.contract_term.c.valid_to,
    )
    select = (
        sa.select(*columns)
        .join(t.service_point, t.service_point.c.id == t.contract.c.service_point_id)
        .join(t.premise, t.premise.c.id == t.service_point.c.premise_id)
        .join(t.contract_term, t.contract_term.c.contract_id == t.contract.c.id)
        .order_by(t.contract.c.id, t.contract_term.c.valid_from)
    )  # in the order in which _segments takes them
    return tx.rows(select.where(tx.among(key, sorted(set(values)))))


def _segments(tx: Transaction, terms: Sequence[Row], months_of: Callable[[str], list[Period]]) -> Iterator[Segment]:
    told = _facts(tx, {term[0] for term in terms})
    stretches = _Stretches(tx, months_of)
    before: tuple[str, str, datetime | None] | None = None
    since = _FAR
    for contract_id, point, currency, zone, mode, tariff_id, begin, end in terms:
        if before != (contract_id, tariff_id, begin):
            since = begin  # of the row of terms on the same tariff
        before = contract_id, tariff_id, end
        facts = told.get(contract_id, ())
        for month, bill, stretch, tariff in stretches.of(zone, tariff_id, begin, end):
            own = _facts_at(facts, stretch.start) if facts else {}
            yield Segment(contract_id, point, mode, zone, currency, month, bill, stretch, since, tariff, own)


class _Stretches:
    """What terms on a tariff in a zone cut its months into: month, bill, stretch and tariff version of each piece.

    Most contracts' terms began long ago and have no end: what was cut for one is kept for the others.
    """

    def __init__(self, tx: Transaction, months_of: Callable[[str], list[Period]]) -> None:
        self._tx, self._months_of = tx, months_of
        self._months: dict[str, list[Period]] = {}
        self._versions: dict[str, list[tuple[Period, Tariff]]] = {}
        self._cut: dict[tuple[str, str, datetime, datetime], list[tuple[Period, Period, Period, Tariff]]] = {}

    def of(
        self, zone: str, tariff_id: str, begin: datetime, end: datetime | None
    ) -> Sequence[tuple[Period, Period, Period, Tariff]]:
        """The pieces of one row of terms, in order."""
        months = self._months.get(zone)
        if months is None:
            months = self._months[zone] = self._months_of(zone)
        if tariff_id not in self._versions:
            self._versions[tariff_id] = _versions(self._tx, tariff_id)
        # Of two that are equal the month's own: it has been hashed before.
        first, last = max(months[0].start, begin), min(months[-1].end, end or _FAR)
        key = zone, tariff_id, first, last
        found = self._cut.get(key)
        if found is None:
            found = self._cut[key] = list(self._pieces(months, tariff_id, first, last))
        return found

    def _pieces(
        self, months: Sequence[Period], tariff_id: str, first: datetime, last: datetime
    ) -> Iterator[tuple[Period, Period, Period, Tariff]]:
        if first >= last:
            return
        terms = Period(first, last)
        for month in months:
            bill = month.intersection(terms)
            for validity, tariff in () if bill is None else self._versions[tariff_id]:
                stretch = bill.intersection(validity) if bill is not None else None
                if bill is not None and stretch is not None:
                    yield month, bill, stretch, tariff


def _versions(tx: Transaction, tariff_id: str) -> list[tuple[Period, Tariff]]:
    rows = tx.rows(
        sa.select(t.tariff_version)
        .where(t.tariff_version.c.tariff_id == tariff_id)
        .order_by(t.tariff_version.c.valid_from)
    )
    if not rows:
        raise TariffVersionConflict(f"no version of tariff {tariff_id!r} is published")
    ends = [*(row.valid_from for row in rows[1:]), _FAR]
    return [(Period(row.valid_from, end), _parsed(row.hash, row.document)) for row, end in zip(rows, ends, strict=True)]
