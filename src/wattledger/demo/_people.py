"""The people who prepay: who recharges when, how much, and how their money gets to the wallet.

Three styles. The *careful* recharge some hours after the low-balance message; the *usual* when they are warned of the
cut-off. The *late* live from day to day: they recharge when the light is out, and no more than a day or two will take.
They are few, but every evening some of them sit in the dark. Everybody sleeps at night.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, Protocol

import httpx

from wattledger import control, prepay
from wattledger.demo._noise import chance, pick, whole
from wattledger.demo._town import CURRENCY, ZONE, Kind, Supply, Town
from wattledger.kernel import Money, Problem, epoch, zone_named
from wattledger.prepay import Wallet
from wattledger.store import RecordedFact, Store

Style = Literal["careful", "usual", "late"]

_USUAL_SHARE, _LATE_SHARE = 0.28, 0.025
_WAKES, _SLEEPS = timedelta(hours=6, minutes=30), timedelta(hours=23, minutes=30)
_LONG_LIE_MINUTES = 90
_DAY = timedelta(days=1)

_HEARD = {
    prepay.BalanceLow.__name__: "low",
    control.DisconnectPlanned.__name__: "warned",
    control.SupplyDisconnected.__name__: "off",
}
# After what they hear, each style acts this many minutes later; a style that is not listed lets it pass.
_MINUTES: dict[str, dict[Style, tuple[int, int]]] = {
    "low": {"careful": (30, 540)},
    "warned": {"careful": (8, 40), "usual": (6, 45)},
    "off": {"careful": (20, 60), "usual": (20, 60), "late": (20, 90)},
}

_AMOUNTS: dict[Style, tuple[int, ...]] = {
    "careful": (50, 50, 100, 100, 100, 200),
    "usual": (20, 30, 50, 50),
    "late": (10,),  # until they know what a day costs them
}
_SCALE: dict[Kind, int] = {"home": 1, "shop": 5, "dormitory": 20, "building_site": 20, "cafe": 5}
_THRESHOLDS: dict[Kind, int] = {"home": 10, "shop": 40, "dormitory": 250, "building_site": 250, "cafe": 40}
_ROUND_TO = 10
_LATE_LEAST, _LATE_PERCENT = 4, (75, 120)  # of what a day costs them
_FIRST_TENS = 3

_TRIES = 4
_TRY_SECONDS_FIRST = 0.25
_TIMEOUT_SECONDS = 10.0
_SERVER_FAULT, _TOO_MANY, _OK_BELOW = 500, 429, 300


class RechargeUnanswered(Problem):
    """A recharge was asked for and no answer came; with the same key it may be asked for again."""

    slug = "recharge-unanswered"
    title = "The recharge was not answered"
    status = 503


class RechargeRejected(Problem):
    """The API refused a recharge."""

    slug = "recharge-rejected"
    title = "The recharge was refused"
    status = 422


@dataclass(frozen=True, slots=True)
class Intention:
    """Somebody means to recharge at ``due``. ``key`` stays the same however often it is tried."""

    due: datetime
    contract_id: str
    key: str


class Payer(Protocol):
    """Carries a recharge to the house."""

    def __call__(self, *, contract_id: str, amount: Decimal, key: str) -> None:
        """Recharge; harmless to repeat with the same key; raises a :class:`Problem`."""
        ...


class People:
    """Everybody who prepays, and what they mean to do next."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._seed = town.plan.seed
        self._meant: dict[str, Intention] = {}
        homes = sorted(
            (s for s in town.prepaid if s.kind == "home"), key=lambda s: chance(self._seed, "style", s.index)
        )
        late, usual = (max(1, round(len(homes) * share)) for share in (_LATE_SHARE, _USUAL_SHARE))
        # Shares of those who are there, not of a chance: the smallest town has its late ones, a large one not too many.
        self._styles: dict[str, Style] = dict.fromkeys((s.contract_id for s in homes[: late + usual]), "usual")
        self._styles.update(dict.fromkeys((s.contract_id for s in homes[:late]), "late"))

    def style(self, supply: Supply) -> Style:
        """How this customer goes about recharging; businesses are never late on purpose."""
        return self._styles.get(supply.contract_id, "careful")

    def low_threshold(self, supply: Supply) -> Money:
        """When this customer wants to be told that the balance is low."""
        return Money.of(_THRESHOLDS[supply.kind], CURRENCY)

    def first_amount(self, supply: Supply) -> Decimal:
        """What is on the wallet when the town begins: so much that by the end of history people recharge every day."""
        low, days = _FIRST_TENS, self._town.plan.days
        tens = whole(self._seed, "first", supply.index, low=min(low, 1 + days // 20), high=low + 1 + days * 5 // 12)
        return Decimal(tens * _ROUND_TO * _SCALE[supply.kind])

    def hear(self, facts: Iterable[RecordedFact]) -> None:
        """Let people react to what happened to them."""
        for fact in facts:
            heard = _HEARD.get(fact.kind)
            if heard is not None and fact.contract_id in self._town.by_contract:
                self._mean_to(self._town.by_contract[fact.contract_id], heard, at=fact.at, cause=str(fact.seq))

    def look(self, store: Store, *, now: datetime) -> None:
        """Let everybody look at wallet and lamp: nobody stays in the dark because a message was missed."""
        with store.read() as tx:
            near = prepay.lowest_wallets(tx, now=now, limit=len(self._town.supplies))
            points = [self._town.by_contract[w.contract_id].service_point_id for w in near]
            supplies = control.supplies(tx, service_point_ids=points)
        for wallet in near:
            supply = self._town.by_contract[wallet.contract_id]
            if supply.contract_id in self._meant:
                continue
            off = supplies[supply.service_point_id].state != "on"
            heard = "off" if off else "warned" if wallet.state == "empty" else "low"
            self._mean_to(supply, heard, at=now, cause=f"look-{epoch(now)}")

    def next_due(self) -> datetime | None:
        """When the next one acts."""
        return min((meant.due for meant in self._meant.values()), default=None)

    def take_due(self, now: datetime) -> list[Intention]:
        """Those who act now, in order; each is given once, :meth:`again` puts it back."""
        due = sorted(
            (meant for meant in self._meant.values() if meant.due <= now), key=lambda m: (m.due, m.contract_id)
        )
        for meant in due:
            del self._meant[meant.contract_id]
        return due

    def again(self, intention: Intention, *, at: datetime) -> None:
        """The recharge did not go through: the same one again at ``at``."""
        self._meant[intention.contract_id] = replace(intention, due=at)

    def amount(self, intention: Intention, *, wallet: Wallet) -> Decimal | None:
        """How much is paid after a look at the wallet; ``None`` when somebody has paid already."""
        supply = self._town.by_contract[intention.contract_id]
        style = self.style(supply)
        if wallet.state == "ok" or (style != "careful" and wallet.available.micro > 0):
            return None
        usual = self._habit(supply, intention.key, wallet)
        # Who is in the red pays that as well, or the light would stay off or soon go out again.
        needed = Decimal(usual) / 2 - wallet.available.amount
        unit = 1 if style == "late" else _ROUND_TO
        return Decimal(max(usual, math.ceil(needed / unit) * unit))

    def _habit(self, supply: Supply, key: str, wallet: Wallet) -> int:
        style = self.style(supply)
        if style == "late" and wallet.daily_mean is not None:
            percent = whole(self._seed, f"days-worth/{key}", supply.index, low=_LATE_PERCENT[0], high=_LATE_PERCENT[1])
            return max(_LATE_LEAST, int(wallet.daily_mean.amount * percent / 100))
        return pick(self._seed, f"amount/{key}", supply.index, among=_AMOUNTS[style]) * _SCALE[supply.kind]

    def _mean_to(self, supply: Supply, heard: str, *, at: datetime, cause: str) -> None:
        span = _MINUTES[heard].get(self.style(supply))
        if span is None or supply.mode != "prepay":
            return
        minutes = whole(self._seed, f"delay/{heard}", supply.index, epoch(at), low=span[0], high=span[1])
        due = self._awake(at + timedelta(minutes=minutes), supply)
        meant = self._meant.get(supply.contract_id)
        if meant is None:
            key = f"town:{self._seed}:{supply.contract_id}:{cause}"
            self._meant[supply.contract_id] = Intention(due=due, contract_id=supply.contract_id, key=key)
        elif due < meant.due:
            self._meant[supply.contract_id] = replace(meant, due=due)

    def _awake(self, due: datetime, supply: Supply) -> datetime:
        """``due``, or when this person is up in the morning if it falls into the night."""
        local = due.astimezone(zone_named(ZONE))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight + _WAKES <= local < midnight + _SLEEPS:
            return due
        morning = midnight + _WAKES + (_DAY if local >= midnight + _SLEEPS else timedelta())
        lie_in = whole(self._seed, "lie-in", supply.index, epoch(due) // 3600, low=0, high=_LONG_LIE_MINUTES)
        return (morning + timedelta(minutes=lie_in)).astimezone(due.tzinfo)


def pay(people: People, intention: Intention, *, store: Store, payer: Payer, now: datetime) -> Decimal | None:
    """Carry out one intention: look at the wallet, then recharge if it is still needed. Returns what was paid.

    Raises :class:`Problem` when the payment did not go through; the caller decides when to try again.
    """
    with store.read() as tx:
        wallet = prepay.wallet(tx, contract_id=intention.contract_id, now=now)
    amount = people.amount(intention, wallet=wallet)
    if amount is not None:
        payer(contract_id=intention.contract_id, amount=amount, key=intention.key)
    return amount


class HttpPayer:
    """Recharges through the running API, as a customer's phone would: with a key, a timeout and patience."""

    def __init__(self, *, base_url: str, pause: Callable[[float], object] = time.sleep) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._pause = pause

    def __call__(self, *, contract_id: str, amount: Decimal, key: str) -> None:
        """POST the recharge; the key makes a repeat harmless.

        Raises :class:`RechargeUnanswered` when no answer comes and :class:`RechargeRejected` when it is a refusal.
        """
        cause = ""
        for attempt in range(_TRIES):
            if attempt:
                self._pause(_TRY_SECONDS_FIRST * 2 ** (attempt - 1))
            try:
                answer = self._client.post(
                    f"/api/v1/contracts/{contract_id}/recharges",
                    json={"amount": f"{amount:.2f}", "method": "simulated"},
                    headers={"Idempotency-Key": key},
                )
            except httpx.TransportError as error:
                cause = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code < _OK_BELOW:
                return
            cause = f"HTTP {answer.status_code}: {answer.text[:200]}"
            if answer.status_code < _SERVER_FAULT and answer.status_code != _TOO_MANY:
                raise RechargeRejected(f"recharge of {amount} {CURRENCY} on {contract_id}: {cause}")
        raise RechargeUnanswered(
            f"recharge of {amount} {CURRENCY} on {contract_id}, {_TRIES} times: {cause}",
            remedy="it is tried again later with the same key",
        )

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()
