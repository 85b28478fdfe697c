"""What the simulated town asks of the house it lives in, and what it shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from wattledger.headend import Vault
from wattledger.kernel import Money
from wattledger.store import RecordedFact, Store


class TownHost(Protocol):
    """The house as the town sees it: ``app`` builds it on the town's clock, its head-end with the town's driver.

    While history is made the town calls everything itself, one thing after the other, and the clock stands still within
    each call. :meth:`go_live` ends that: from then on the host's own workers do what :meth:`settle_town` did.
    """

    store: Store

    @property
    def vault(self) -> Vault:
        """What seals the keys of meters."""
        ...

    def collect(self) -> int:
        """Have the head-end talk to every meter that is due, while history is made; how many rows came."""
        ...

    def rows_brought(self) -> int:
        """How many rows of profiles the head-end has brought since the program began."""
        ...

    def settle_town(self) -> None:
        """Do everything that is due by the town's clock, and wait for it.

        That is: tell the outbox, send notices, carry out commands with their read-back, post the day.
        """
        ...

    def recharge(self, *, contract_id: str, amount: Decimal, key: str) -> None:
        """Put money on a wallet without HTTP: while history is made, and in a town that is not served."""
        ...

    def run_bills(self, *, month: str) -> None:
        """Start the durable bill run of ``YYYY-MM``; waits for its end while history is made, not afterwards."""
        ...

    def facts_since(self, seq: int) -> Sequence[RecordedFact]:
        """The facts recorded after ``seq``, oldest first; of all contracts."""
        ...

    def last_fact(self) -> int:
        """The number of the newest fact, 0 when there is none."""
        ...

    def go_live(self) -> None:
        """History is made: start the workers, and the server if there is to be one."""
        ...


SupplyWord = Literal["on", "off", "disconnecting", "reconnecting"]


@dataclass(frozen=True, slots=True)
class WalletLine:
    """A wallet near its end."""

    contract_id: str
    available: Money
    low_threshold: Money
    days_left: int | None
    supply: SupplyWord


@dataclass(frozen=True, slots=True)
class BillRunLine:
    """The running bill run, or the latest."""

    month: str
    running: bool
    contracts: int
    posted: int
    held: int
    statements: int
    statements_agreeing: int
    amounts: Mapping[str, Money]

    @property
    def done(self) -> int:
        """How many contracts have their document, posted or held."""
        return self.posted + self.held


@dataclass(frozen=True, slots=True)
class TownSnapshot:
    """The town at one instant, for the terminal."""

    now: datetime
    stored_total: int
    expected_today: int
    arrived_today: int
    wallets: Sequence[WalletLine]
    wallet_count: int
    wallets_low: int
    wallets_empty: int
    supplies_off: int
    bill_run: BillRunLine | None
