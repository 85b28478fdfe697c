"""How a contract's terms change and end: the row in force is closed and, unless the contract ends, another begun."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from wattledger.kernel import Problem
from wattledger.registry import _tables as t
from wattledger.registry._contracts import ContractNotFound, PaymentMode
from wattledger.registry._revisions import note_terms_change
from wattledger.store import Fact, Row, Transaction


class TermsRefused(Problem):
    """A contract's terms cannot change or end as it is asked for."""

    slug = "terms-refused"
    title = "The contract's terms cannot change like this"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsChanged(Fact):
    """From ``valid_from`` (ISO 8601) a contract is paid for in another ``mode`` or by another tariff."""

    mode: str
    mode_before: str
    tariff_id: str
    valid_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractEnded(Fact):
    """A contract is not in force any more from ``ended_at`` (ISO 8601) on."""

    ended_at: str


def change_terms(
    tx: Transaction,
    *,
    contract_id: str,
    mode: PaymentMode,
    valid_from: datetime,
    now: datetime,
    tariff_id: str | None = None,
) -> None:
    """Let a contract be paid for in ``mode`` from ``valid_from`` on, by its tariff or another; tells the change.

    The same again changes nothing. Raises :class:`ContractNotFound`, and :class:`TermsRefused` for an instant that is
    not reached yet or lies before terms that were changed later.
    """
    if valid_from > now:
        raise TermsRefused(
            f"contract {contract_id}: {valid_from.isoformat()} has not come yet", remedy="change it when it has"
        )
    row = _last(tx, contract_id)
    wanted = tariff_id or row.tariff_id
    if (row.mode, row.tariff_id) == (mode, wanted) and row.valid_to is None and row.valid_from <= valid_from:
        return
    _close(tx, row, valid_from)
    tx.insert(
        t.contract_term,
        [{"contract_id": contract_id, "valid_from": valid_from, "mode": mode, "tariff_id": wanted}],
    )
    tx.emit(
        TermsChanged(
            at=now,
            contract_id=contract_id,
            mode=mode,
            mode_before=row.mode,
            tariff_id=wanted,
            valid_from=valid_from.astimezone(UTC).isoformat(),
        )
    )


def end_contract(tx: Transaction, *, contract_id: str, at: datetime, now: datetime) -> None:
    """Let a contract end at ``at`` and tell it; the same again changes nothing.

    Raises :class:`ContractNotFound`, and :class:`TermsRefused` if it ended at another instant already.
    """
    row = _last(tx, contract_id)
    if row.valid_to == at:
        return
    _close(tx, row, at)
    tx.emit(ContractEnded(at=now, contract_id=contract_id, ended_at=at.astimezone(UTC).isoformat()))


def _last(tx: Transaction, contract_id: str) -> Row:
    term = t.contract_term
    select = sa.select(term).where(term.c.contract_id == contract_id).order_by(term.c.valid_from.desc()).limit(1)
    row = tx.execute(tx.locked(select)).one_or_none()
    if row is None:
        raise ContractNotFound(f"no contract is called {contract_id!r}")
    return row


def _close(tx: Transaction, row: Row, at: datetime) -> None:
    if row.valid_to is not None:
        raise TermsRefused(f"contract {row.contract_id} ended at {row.valid_to.isoformat()}")
    if at <= row.valid_from:
        raise TermsRefused(
            f"contract {row.contract_id} has had its terms since {row.valid_from.isoformat()} only",
            remedy="give a later instant",
        )
    term = t.contract_term
    tx.execute(
        term.update()
        .where(term.c.contract_id == row.contract_id, term.c.valid_from == row.valid_from)
        .values(valid_to=at)
    )
    select = sa.select(t.contract.c.service_point_id).where(t.contract.c.id == row.contract_id)
    note_terms_change(tx, kind="point", subject=tx.execute(select).scalar_one())
