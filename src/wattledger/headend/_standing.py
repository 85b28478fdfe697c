"""How the whole head-end stands: what an operator, and Prometheus, look at first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from wattledger.headend import _tables as t
from wattledger.headend._gaps import gaps
from wattledger.headend._metrics import told_figures
from wattledger.headend._queue import OPEN_COMMANDS
from wattledger.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All meters together, at one instant.

    ``failing``    meters whose last visit failed, by the kind of the failure
    ``rows_due``   profile rows that are due and have not come; ``rows_given_up`` of them are not asked for any more
    ``commands``   commands whose outcome is not known yet
    """

    linked: int
    failing: Mapping[str, int]
    rows_due: int
    rows_given_up: int
    commands: int

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from told_figures("meters_linked", "gauge", "Meters that can be reached.", {"": self.linked})
        kinds = {f'{{kind="{kind}"}}': count for kind, count in sorted(self.failing.items())}
        yield from told_figures("meters_failing", "gauge", "Meters whose last visit failed, by kind.", kinds)
        rows = {'{state="due"}': self.rows_due - self.rows_given_up, '{state="given_up"}': self.rows_given_up}
        yield from told_figures("rows_missing", "gauge", "Profile rows that are due and have not come.", rows)
        words = "Commands whose outcome is not known."
        yield from told_figures("commands_open", "gauge", words, {"": self.commands})


def standing(tx: Transaction, *, now: datetime) -> Standing:
    """How the head-end stands with all its meters."""
    kind = sa.func.coalesce(t.meter.c.fault, "error")
    failing = sa.select(kind.label("kind"), sa.func.count().label("meters")).where(t.meter.c.failures > 0)
    seconds = {(row.meter_id, row.profile): row.seconds for row in tx.rows(sa.select(t.profile))}
    due = given_up = 0
    for gap in gaps(tx, now=now):
        rows = gap.period.seconds // seconds[gap.meter_id, gap.profile]
        due += rows
        given_up += rows if gap.given_up else 0
    waiting = sa.select(sa.func.count()).select_from(t.command).where(t.command.c.state.in_(OPEN_COMMANDS))
    return Standing(
        linked=int(tx.execute(sa.select(sa.func.count()).select_from(t.meter)).scalar_one()),
        failing={row.kind: row.meters for row in tx.rows(failing.group_by(kind))},
        rows_due=due,
        rows_given_up=given_up,
        commands=int(tx.execute(waiting).scalar_one()),
    )
