"""What has changed of how time is to be priced: who keeps what followed from it asks whether it still holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from wattledger.registry import _tables as t
from wattledger.store import Transaction


@dataclass(frozen=True, slots=True)
class TermsChanges:
    """Changes up to ``revision``: the service points whose contracts, terms or facts changed, and the tariffs."""

    revision: int
    points: frozenset[str] = frozenset()
    tariffs: frozenset[str] = frozenset()


def note_terms_change(tx: Transaction, *, kind: Literal["point", "tariff"], subject: str) -> None:
    """Note a change in its own unit of work. Who changes waits for others: revisions are in the order of commits."""
    head = t.terms_head
    tx.execute(head.update().values(revision=head.c.revision + 1))
    revision = tx.execute(sa.select(head.c.revision)).scalar_one()
    tx.upsert(t.terms_change, [{"kind": kind, "subject": subject, "revision": revision}], update=("revision",))


def terms_changes(tx: Transaction, *, after: int | None = None) -> TermsChanges:
    """What has changed after a revision; without one only how far it is."""
    revision = int(tx.execute(sa.select(t.terms_head.c.revision)).scalar_one())
    if after is None or after >= revision:
        return TermsChanges(revision)
    change = t.terms_change.c
    rows = tx.rows(sa.select(change.kind, change.subject).where(change.revision > after))
    return TermsChanges(
        revision,
        frozenset(row.subject for row in rows if row.kind == "point"),
        frozenset(row.subject for row in rows if row.kind == "tariff"),
    )
