"""Premises, service points, meters and the people who answer for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger.kernel import Problem, zone_named
from wattledger.registry import _tables as t
from wattledger.store import Transaction, chunked


class ServicePointUnknown(Problem):
    """A service point is not in the registry, or has no meter."""

    slug = "service-point-unknown"
    title = "No such service point"
    status = 404


class AccountNotFound(Problem):
    """An account is not in the registry."""

    slug = "account-not-found"
    title = "No such account"
    status = 404


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays. ``language`` is ``en`` or ``zh``."""

    id: str
    name: str
    language: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Installation:
    """A meter at a service point since a day."""

    service_point_id: str
    meter_id: str
    serial: str
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A stretch of time that a meter hung at a service point: ``until`` is ``None`` while it does."""

    service_point_id: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Metered:
    """A service point with its zone, and the time it has had meters for: ``until`` is ``None`` while it has one.

    ``since`` is ``None`` for a point that never had a meter.
    """

    service_point_id: str
    zone: str
    since: datetime | None
    until: datetime | None


def add_premise(tx: Transaction, *, premise_id: str, kind: str, address: str, zone: str) -> None:
    """Record a place that is supplied; its IANA ``zone`` is the local time of everything on it."""
    zone_named(zone)
    tx.execute(t.premise.insert().values(id=premise_id, kind=kind, address=address, zone=zone))


def add_service_point(tx: Transaction, *, service_point_id: str, premise_id: str) -> None:
    """Record a point where a premise takes from (or gives to) the network."""
    tx.execute(t.service_point.insert().values(id=service_point_id, premise_id=premise_id))


def install_meter(
    tx: Transaction,
    *,
    meter_id: str,
    serial: str,
    service_point_id: str,
    interval_seconds: int,
    at: datetime,
) -> None:
    """Record that a new meter hangs at a service point since ``at``; the one before it ends then."""
    tx.execute(t.meter.insert().values(id=meter_id, serial=serial, interval_seconds=interval_seconds))
    tx.execute(
        t.installation.update()
        .where(t.installation.c.service_point_id == service_point_id, t.installation.c.valid_to.is_(None))
        .values(valid_to=at)
    )
    tx.execute(t.installation.insert().values(service_point_id=service_point_id, valid_from=at, meter_id=meter_id))


def installations(tx: Transaction, *, at: datetime) -> list[Installation]:
    """Every meter installed at the instant ``at``, by service point."""
    return [Installation(*row) for row in tx.rows(_installed(at).order_by(t.installation.c.service_point_id))]


def installed_at(tx: Transaction, *, meter_ids: Collection[str]) -> dict[str, list[Placed]]:
    """Where each of these meters hung and hangs, in order of time; one that was never installed is left out."""
    inst = t.installation
    found: dict[str, list[Placed]] = {}
    for meter_id, point, since, until in tx.rows(
        sa.select(inst.c.meter_id, inst.c.service_point_id, inst.c.valid_from, inst.c.valid_to)
        .where(tx.among(inst.c.meter_id, meter_ids))
        .order_by(inst.c.meter_id, inst.c.valid_from)
    ):
        found.setdefault(meter_id, []).append(Placed(point, since, until))
    return found


def meter_at(tx: Transaction, *, service_point_id: str, at: datetime) -> Installation:
    """The meter at a service point at the instant ``at``; raises :class:`ServicePointUnknown` when there is none."""
    rows = tx.rows(_installed(at).where(t.installation.c.service_point_id == service_point_id))
    if not rows:
        raise ServicePointUnknown(f"service point {service_point_id!r} has no meter at {at.isoformat()}")
    return Installation(*rows[0])


def _installed(at: datetime) -> sa.Select[tuple[str, str, str, int]]:
    inst, meter = t.installation, t.meter
    return (
        sa.select(inst.c.service_point_id, meter.c.id, meter.c.serial, meter.c.interval_seconds)
        .join(meter, meter.c.id == inst.c.meter_id)
        .where(inst.c.valid_from <= at, sa.or_(inst.c.valid_to.is_(None), inst.c.valid_to > at))
    )


def metered_points(tx: Transaction, *, service_point_ids: Collection[str]) -> dict[str, Metered]:
    """Where these points lie and since when they have had meters, by id; those that do not exist are left out."""
    point, inst = t.service_point, t.installation
    ends = sa.case((sa.func.count() == sa.func.count(inst.c.valid_to), sa.func.max(inst.c.valid_to)))
    select = (
        sa.select(point.c.id, t.premise.c.zone, sa.func.min(inst.c.valid_from), ends)
        .join(t.premise, t.premise.c.id == point.c.premise_id)
        .join(inst, inst.c.service_point_id == point.c.id, isouter=True)
        .where(tx.among(point.c.id, service_point_ids))
        .group_by(point.c.id, t.premise.c.zone)
    )
    return {row[0]: Metered(*row) for row in tx.rows(select)}


def unknown_points(tx: Transaction, *, service_point_ids: Collection[str]) -> set[str]:
    """Those of ``service_point_ids`` that the registry does not have."""
    wanted = sorted(set(service_point_ids))
    known: set[str] = set()
    for piece in chunked(wanted):
        known.update(row.id for row in tx.rows(sa.select(t.service_point.c.id).where(t.service_point.c.id.in_(piece))))
    return set(wanted) - known


def add_account(tx: Transaction, *, account_id: str, name: str, language: str, phone: str | None) -> None:
    """Record who pays."""
    tx.execute(t.account.insert().values(id=account_id, name=name, language=language, phone=phone))


def account(tx: Transaction, *, account_id: str) -> Account:
    """The account called ``account_id``; raises :class:`AccountNotFound`."""
    row = tx.execute(sa.select(t.account).where(t.account.c.id == account_id)).one_or_none()
    if row is None:
        raise AccountNotFound(f"no account is called {account_id!r}")
    return Account(*row)
