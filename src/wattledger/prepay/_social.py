"""Free units for those who are entitled: money or kWh for one calendar month, which lapse when it is over.

A grant is never money in the wallet: it covers what the month has cost, as far as it goes, by cumulative difference.
What it does not cover by the month's end it never will, so nothing has to be taken back; a late correction of that
month moves it either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

import sqlalchemy as sa

from wattledger import registry, tariffs
from wattledger.kernel import Energy, Money, Period, Problem, local_months, stable_id, zone_named
from wattledger.prepay import _tables as t
from wattledger.store import Row, Transaction

_NAME_MAX = 60
_WH_PER_KWH = 1000


class GrantRefused(Problem):
    """Free units cannot be granted as it is asked for."""

    slug = "social-grant-refused"
    title = "These free units cannot be granted"
    status = 422


@dataclass(frozen=True, slots=True)
class Grant:
    """Free units of a month: ``amount`` is money or energy, ``covered`` the money that they have come to so far."""

    id: str
    contract_id: str
    name: str
    month: Period
    amount: Money | Energy
    covered: Money


def add_grant(
    tx: Transaction, *, contract_id: str, name: str, amount: Money | Energy, month: datetime, now: datetime
) -> str:
    """Write down free units for the local calendar month that ``month`` lies in; returns the grant's id.

    One name counts once a month: the same again changes nothing. Raises :class:`GrantRefused`.
    """
    contract = registry.contract(tx, contract_id=contract_id, at=now)
    whole = next(local_months(Period(month, month + timedelta(seconds=1)), zone=zone_named(contract.zone)))
    if isinstance(amount, Money):
        kind, units, fits = "money", amount.micro, amount.currency == contract.currency
    else:
        kind, units, fits = "energy", amount.wh, True
    if units <= 0 or not 0 < len(name) <= _NAME_MAX or not fits:
        raise GrantRefused(
            f"{amount} cannot be granted to contract {contract_id} as {name!r}",
            remedy=f"more than nothing, as kWh or in {contract.currency}, under a name of up to {_NAME_MAX} characters",
        )
    grant_id = stable_id("sgr", contract_id, whole.start.isoformat(), name)
    row = {
        "id": grant_id,
        "contract_id": contract_id,
        "name": name,
        "month_start": whole.start,
        "month_end": whole.end,
        "kind": kind,
        "amount": units,
        "covered": 0,
        "posted": 0,
        "postings": 0,
    }
    if not tx.insert_new(t.social_grant, [row]):
        kept = tx.execute(sa.select(t.social_grant).where(t.social_grant.c.id == grant_id)).one()
        if (kept.kind, kept.amount) != (kind, units):
            raise GrantRefused(f"contract {contract_id} was granted another amount as {name!r} for that month")
    return grant_id


def grants_of(tx: Transaction, *, contract_id: str) -> list[Grant]:
    """What a contract was granted, the newest month first."""
    grant = t.social_grant.c
    rows = tx.rows(
        sa.select(t.social_grant, t.wallet.c.currency)
        .join(t.wallet, t.wallet.c.contract_id == grant.contract_id)
        .where(grant.contract_id == contract_id)
        .order_by(grant.month_start.desc(), grant.name)
    )
    return [
        Grant(
            row.id,
            contract_id,
            row.name,
            Period(row.month_start, row.month_end),
            Money(row.amount, row.currency) if row.kind == "money" else Energy(row.amount),
            Money(row.covered, row.currency),
        )
        for row in rows
    ]


def cover(tx: Transaction, *, contract_ids: Collection[str], span: Period) -> Mapping[str, int]:
    """Bring the grants of the months that ``span`` touches up to date with what these wallets were charged.

    Returns by how many micro-units more than before is covered, by contract.
    """
    grant = t.social_grant.c
    any_at_all = tx.execute(sa.select(grant.id).limit(1)).first()
    if any_at_all is None or not contract_ids:
        return {}  # the usual case costs next to nothing
    rows = tx.rows(
        sa.select(t.social_grant)
        .where(
            tx.among(grant.contract_id, sorted(contract_ids)),
            grant.month_start < span.end,
            grant.month_end > span.start,
        )
        .order_by(grant.contract_id, grant.month_start, grant.name)
    )
    by_month: dict[tuple[str, datetime, datetime], list[Row]] = defaultdict(list)
    for row in rows:
        by_month[row.contract_id, row.month_start, row.month_end].append(row)
    moved: dict[str, int] = defaultdict(int)
    changed = []
    for (contract, start, end), grants in by_month.items():
        segment = t.wallet_segment.c
        segments = tx.rows(
            sa.select(t.wallet_segment).where(
                segment.contract_id == contract, segment.start >= start, segment.start < end
            )
        )
        left = max(0, sum(row.total for row in segments))
        for row in grants:
            worth = row.amount if row.kind == "money" else _worth(tx, segments, row.amount)
            covered = min(worth, left)
            left -= covered
            if covered != row.covered:
                moved[contract] += covered - row.covered
                changed.append({"key": row.id, "now_covered": covered})
    tx.execute_many(
        t.social_grant.update().where(grant.id == sa.bindparam("key")).values(covered=sa.bindparam("now_covered")),
        changed,
    )
    return moved


def _worth(tx: Transaction, segments: Collection[Row], free_wh: int) -> int:
    """What free energy is worth: the month's energy charges per kWh used, times the free ones that were used."""
    micro, kwh = 0, Fraction(0)
    for row in segments:
        if row.waits is not None:
            continue
        tariff = registry.tariff_with_hash(tx, tariff_hash=row.tariff_hash)
        rating = tariffs.settle(tariff=tariff, state=tariffs.RatingState.from_json(row.state), until=row.until)
        for line in rating.lines:
            if line.kind == "energy" and isinstance(line.amount, Money):
                micro += line.amount.micro
                kwh += Fraction(line.quantity)
    if kwh <= 0 or micro <= 0:
        return 0
    return round(micro * min(Fraction(free_wh, _WH_PER_KWH), kwh) / kwh)
