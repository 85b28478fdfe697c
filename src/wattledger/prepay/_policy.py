"""The rules of prepayment: what a recharge pays first, emergency credit, thresholds. Read from YAML, kept dated.

A policy is published like a tariff: under a name, from an instant on, never changed. Wallets go by the one called
``default`` unless another is chosen for them; where none was published :func:`plain_policy` holds, which takes nothing
off a recharge. Every key is in docs/prepayment.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import sqlalchemy as sa
import yaml

from wattledger.kernel import Money, Problem
from wattledger.prepay import _tables as t
from wattledger.store import Transaction

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # scalars stay text: no number becomes a float
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)
_WORDS_MAX = 60
_BYTES_MAX = 100_000
_DAYS_MAX = 60
_WHOLE_PERCENT = 100
_LOW_DEFAULT = 10  # units of the currency

DEFAULT = "default"

Step = Literal["fees", "debts", "overdraft", "emergency"]
Offer = Literal["automatic", "on_request"]

STEPS: tuple[Step, ...] = ("fees", "debts", "overdraft", "emergency")
"""What may be taken off a recharge before the wallet, in the order that holds unless a policy says another."""

_Item = TypeVar("_Item")


class PolicyRefused(Problem):
    """A policy of prepayment is not what it should be; ``faults`` are all that were found."""

    slug = "prepay-policy-refused"
    title = "The policy of prepayment was refused"
    status = 422


class PolicyConflict(Problem):
    """A policy of this name was published from the same instant with another content."""

    slug = "prepay-policy-conflict"
    title = "A policy was published from this instant before"
    status = 409


class PolicyNotFound(Problem):
    """No policy of this name was published, or none is in force yet."""

    slug = "prepay-policy-not-found"
    title = "No such policy of prepayment"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """What a recharge costs: ``fixed`` and a ``share`` of it, at most ``most``; by any method if none is named."""

    name: str
    fixed: int = 0
    share: Fraction = Fraction(0)
    most: int | None = None
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtCaps:
    """How much all debts together may take: of one recharge, and of the recharges of a local calendar month."""

    share_most: Fraction = Fraction(1)
    recharge_most: int | None = None
    month_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtTerms:
    """How one debt is paid off: by recharges, by days, or both. ``percent`` of each recharge; the rest micro-units.

    ``instalment``     of each recharge, beside the percentage
    ``recharge_most``  at most so much of one recharge
    ``month_most``     at most so much of the recharges of a local calendar month
    ``per_day``        taken off the wallet each day, like a standing charge
    """

    percent: Decimal = Decimal(0)
    instalment: int = 0
    recharge_most: int | None = None
    month_most: int | None = None
    per_day: int = 0

    @property
    def pays(self) -> bool:
        """Whether anything is ever paid under these terms."""
        return bool(self.percent or self.instalment or self.per_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrearsRule:
    """What becomes of unpaid bills when a contract goes from paying after to paying before.

    Arrears of at least ``least`` micro-units become a debt called ``name`` under ``terms``; less stays on the bills.
    """

    name: str
    terms: DebtTerms
    least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyTerms:
    """Emergency credit, in micro-units; ``amount`` 0 means that there is none.

    ``offer``        lent by itself when nothing is left, or when the customer asks for it
    ``below``        it may be asked for while less than this is available
    ``rearm_above``  once repaid it is there again when more than this is available
    """

    amount: int = 0
    offer: Offer = "automatic"
    below: int = 0
    rearm_above: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of prepayment, in micro-units of ``currency``.

    ``low``     a wallet is low below this; one opened under the policy starts with it
    ``second``  the second warning comes below this
    ``days``    a wallet is also low when it lasts for fewer whole days than this; 0 looks at the money only
    """

    name: str
    currency: str
    order: tuple[Step, ...] = STEPS
    fees: tuple[Fee, ...] = ()
    debts: DebtCaps = DebtCaps()
    arrears: ArrearsRule | None = None
    emergency: EmergencyTerms = EmergencyTerms()
    low: int
    second: int = 0
    days: int = 0


def plain_policy(currency: str) -> Policy:
    """What holds where no policy was published: no fees, debts as agreed, no emergency credit, low below 10 units."""
    return Policy(name=DEFAULT, currency=currency, low=Money.of(_LOW_DEFAULT, currency).micro)


def load_policy(path: Path) -> Policy:
    """The policy in a file; raises :class:`PolicyRefused`."""
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise _refused(str(path), ["it is longer than any policy"])
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(str(path), [f"the file cannot be read: {type(error).__name__}"]) from error
    return read_policy(text, source=str(path))


def read_policy(text: str, *, source: str) -> Policy:
    """A policy from YAML text; raises :class:`PolicyRefused` with everything that is wrong and where."""
    try:
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the base loader makes text, lists and mappings only
    except (yaml.YAMLError, RecursionError) as error:
        raise _refused(source, [f"it is not YAML: {str(error).splitlines()[0]}"]) from error
    return _policy(document, source)


@lru_cache(maxsize=256)
def _kept(document: str) -> Policy:
    return _policy(json.loads(document), "a published policy")


def _refused(source: str, faults: Sequence[str]) -> PolicyRefused:
    return PolicyRefused(
        f"{source}: {'; '.join(faults)}", remedy="docs/prepayment.md lists every key", faults=list(faults)
    )


def _policy(document: object, source: str) -> Policy:
    reader = _Reader()
    policy = reader.policy(document)
    if reader.faults or policy is None:
        raise _refused(source, reader.faults)
    return policy


class _Reader:
    """Reads a document of texts, lists and mappings, and keeps every fault with its path."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._currency = "XXX"

    def policy(self, document: object) -> Policy | None:
        top = self._mapping(
            document,
            "",
            ("name", "currency", "order", "fees", "debts", "arrears", "emergency", "low", "second", "days"),
        )
        name, currency = top.get("name", DEFAULT), top.get("currency")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._fault("name", f"{name!r} is no name: small letters, digits, - and _")
        if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency, re.ASCII):
            self._fault("currency", f"{currency!r} is no ISO 4217 code")
        else:
            self._currency = currency
        order = tuple(self._order(top.get("order", list(STEPS))))
        fees = tuple(self._fee(one, f"fees[{number}]") for number, one in enumerate(self._list(top, "fees")))
        debts = self._mapping(top.get("debts", {}), "debts", ("percent_most", "recharge_most", "month_most"))
        lent = self._mapping(top.get("emergency", {}), "emergency", ("amount", "offer", "below", "rearm_above"))
        offer = lent.get("offer", "automatic")
        if offer not in ("automatic", "on_request"):
            self._fault("emergency.offer", f"{offer!r} is neither automatic nor on_request")
        days = str(top.get("days", "0"))
        if not re.fullmatch(r"[0-9]{1,2}", days, re.ASCII) or int(days) > _DAYS_MAX:
            self._fault("days", f"{days!r} is not a number of days up to {_DAYS_MAX}")
        emergency = EmergencyTerms(
            amount=self._amount(lent, "emergency.amount"),
            offer=cast("Offer", offer),
            below=self._amount(lent, "emergency.below"),
            rearm_above=self._amount(lent, "emergency.rearm_above"),
        )
        if emergency.amount and "emergency" not in order:
            self._fault("order", "emergency credit is lent and no recharge repays it: add emergency")
        low = self._amount(top, "low", or_else=_LOW_DEFAULT * 10**Money.PLACES)
        second = self._amount(top, "second")
        if second > low:
            self._fault("second", "the second warning comes after the first: it cannot be above low")
        arrears = self._arrears(top["arrears"]) if "arrears" in top else None
        if self.faults:
            return None
        return Policy(
            name=str(name),
            currency=self._currency,
            order=order,
            fees=fees,
            debts=DebtCaps(
                share_most=self._share(debts, "debts.percent_most", or_else=Fraction(1)),
                recharge_most=self._cap(debts, "debts.recharge_most"),
                month_most=self._cap(debts, "debts.month_most"),
            ),
            arrears=arrears,
            emergency=emergency,
            low=low,
            second=second,
            days=int(days),
        )

    def _order(self, told: object) -> Iterator[Step]:
        seen: set[object] = set()
        for step in told if isinstance(told, list) else [told]:
            if step not in STEPS:
                self._fault("order", f"{step!r} is none of {', '.join(STEPS)}")
            elif step in seen:
                self._fault("order", f"{step} is there twice")
            else:
                seen.add(step)
                yield step

    def _fee(self, told: object, path: str) -> Fee:
        fee = self._mapping(told, path, ("name", "fixed", "percent", "most", "methods"))
        name = fee.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= _WORDS_MAX:
            self._fault(f"{path}.name", f"a name of 1 to {_WORDS_MAX} characters says what it is for")
        if "fixed" not in fee and "percent" not in fee:
            self._fault(path, "a fee is fixed, a percent, or both")
        return Fee(
            name=str(name),
            fixed=self._amount(fee, f"{path}.fixed"),
            share=self._share(fee, f"{path}.percent"),
            most=self._cap(fee, f"{path}.most"),
            methods=tuple(str(method) for method in self._list(fee, "methods", path)),
        )

    def _arrears(self, told: object) -> ArrearsRule:
        path = "arrears"
        rule = self._mapping(
            told, path, ("name", "least", "percent", "instalment", "recharge_most", "month_most", "per_day")
        )
        name = rule.get("name", "arrears")
        if not isinstance(name, str) or not 0 < len(name) <= _WORDS_MAX:
            self._fault(f"{path}.name", f"a name of 1 to {_WORDS_MAX} characters says what it is for")
        self._share(rule, f"{path}.percent")
        terms = DebtTerms(
            percent=self._read(rule, f"{path}.percent", _PERCENT, Decimal, Decimal(0), "a percentage"),
            instalment=self._amount(rule, f"{path}.instalment"),
            recharge_most=self._cap(rule, f"{path}.recharge_most"),
            month_most=self._cap(rule, f"{path}.month_most"),
            per_day=self._amount(rule, f"{path}.per_day"),
        )
        if not terms.pays:
            self._fault(path, "it is never paid off: say a percent, an instalment or per_day")
        return ArrearsRule(name=str(name), terms=terms, least=self._amount(rule, f"{path}.least"))

    def _mapping(self, told: object, path: str, keys: Sequence[str]) -> Mapping[str, object]:
        if not isinstance(told, dict):
            self._fault(path or "the document", "a mapping is wanted")
            return {}
        for key in told:
            if key not in keys:
                self._fault(f"{path}.{key}".lstrip("."), f"is none of {', '.join(keys)}")
        return told

    def _list(self, of: Mapping[str, object], key: str, path: str = "") -> list[object]:
        told = of.get(key, [])
        if isinstance(told, list):
            return told
        self._fault(f"{path}.{key}".lstrip("."), "a list is wanted")
        return []

    def _amount(self, of: Mapping[str, object], path: str, *, or_else: int = 0) -> int:
        return self._read(of, path, _AMOUNT, self._micro, or_else, "an amount with up to 6 places")

    def _cap(self, of: Mapping[str, object], path: str) -> int | None:
        return self._read(of, path, _AMOUNT, self._micro, None, "an amount with up to 6 places")

    def _share(self, of: Mapping[str, object], path: str, *, or_else: Fraction = Fraction(0)) -> Fraction:
        share = self._read(of, path, _PERCENT, share_of, or_else, "a percentage with up to 4 places")
        if share > 1:
            self._fault(path, "is more than 100 percent")
        return share

    def _micro(self, text: str) -> int:
        return Money.of(text, self._currency).micro

    def _read(
        self,
        of: Mapping[str, object],
        path: str,
        shape: re.Pattern[str],
        made: Callable[[str], _Item],
        or_else: _Item,
        wanted: str,
    ) -> _Item:
        told = of.get(path.rpartition(".")[2])
        if told is None:
            return or_else
        if not isinstance(told, str) or not shape.fullmatch(told):
            self._fault(path, f"{told!r} is not {wanted}")
            return or_else
        return made(told)

    def _fault(self, path: str, cause: str) -> None:
        fault = f"{path}: {cause}"
        if fault not in self.faults:
            self.faults.append(fault)


def share_of(percent: str | Decimal | int) -> Fraction:
    """A percentage as a share of one, exactly."""
    return Fraction(Decimal(percent)) / _WHOLE_PERCENT


# --- Where policies are kept ---


def publish_policy(tx: Transaction, *, text: str, source: str, valid_from: datetime) -> Policy:
    """Put the policy in ``text`` (YAML) in force under its name from ``valid_from`` until a later one.

    The same again changes nothing. Raises :class:`PolicyRefused` and :class:`PolicyConflict`.
    """
    policy = read_policy(text, source=source)
    document = json.dumps(yaml.load(text, Loader=_LOADER), sort_keys=True)  # noqa: S506 - as above
    digest = hashlib.sha256(document.encode()).hexdigest()
    kept = t.prepay_policy
    new = tx.insert_new(kept, [{"name": policy.name, "valid_from": valid_from, "hash": digest, "document": document}])
    if not new:
        earlier = tx.execute(
            sa.select(kept.c.hash).where(kept.c.name == policy.name, kept.c.valid_from == valid_from)
        ).scalar_one()
        if earlier != digest:
            raise PolicyConflict(
                f"policy {policy.name} was published from {valid_from.isoformat()} with another content",
                remedy="publish it from a later instant",
            )
    return policy


def policy_named(tx: Transaction, *, name: str, currency: str, at: datetime) -> Policy:
    """The policy in force at ``at`` under ``name``, for wallets of ``currency``; raises :class:`PolicyNotFound`.

    Where no ``default`` was published for the currency, it is :func:`plain_policy`.
    """
    kept = t.prepay_policy
    select = sa.select(kept.c.document).where(kept.c.name == name, kept.c.valid_from <= at)
    for row in tx.rows(select.order_by(kept.c.valid_from.desc())):
        policy = _kept(row.document)
        if policy.currency == currency:  # one of another currency does not end it
            return policy
    if name == DEFAULT:
        return plain_policy(currency)
    raise PolicyNotFound(
        f"no policy called {name!r} is in force for wallets of {currency} at {at.isoformat()}",
        remedy="publish it first",
    )
