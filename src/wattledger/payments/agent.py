"""Cash over the counter: agents whose tills tell what they took, each with a key of its own.

An order is a code that the payer shows. There is no company behind it to be asked: what a till tells, signed, is all
there is, until the agents' lists of the day come in.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from wattledger.kernel import Clock, epoch, from_epoch, new_id, zone_named
from wattledger.payments.ports import (
    Callback,
    Checkout,
    MalformedCallback,
    Order,
    Payment,
    ProviderUnreachable,
    Refund,
    RefundAnswer,
    SettingsWrong,
    StatementLine,
    TamperedCallback,
    Told,
    UnknownCertificate,
    document,
    of_minor_units,
)

_KEY_LENGTH_MIN = 16


@dataclass(slots=True)
class Agents:
    """The provider. ``tills`` has the key of each till by its name; ``lists`` is where the lists of days are put."""

    name: ClassVar[str] = "agent"
    tills: Mapping[str, bytes] = field(repr=False)
    lists: Path
    zone: str = "UTC"

    def create(self, order: Order) -> Checkout:
        """The code to show at the counter: the order's own id."""
        return Checkout(order.id, {"code": order.id, "amount": order.amount.text, "currency": order.amount.currency})

    def query(self, order: Order) -> Payment | None:  # noqa: ARG002 - the port's signature
        """Nobody can be asked."""
        return None

    def verify(self, callback: Callback) -> Told:
        """Prove what a till tells by its HMAC-SHA256 over name, instant, nonce and body."""
        till, at, nonce = (callback.header(f"Till-{name}") for name in ("Name", "Timestamp", "Nonce"))
        key = self.tills.get(till)
        if key is None:
            raise UnknownCertificate(f"no till is called {till[:40]!r}")
        if not re.fullmatch(r"[0-9]{1,11}", at, re.ASCII):
            raise MalformedCallback("its timestamp is not in seconds")
        signed = _message(till, at, nonce, callback.body)
        made = hmac.new(key, signed, hashlib.sha256).hexdigest().encode()
        if not hmac.compare_digest(made, callback.header("Till-Signature").encode()):
            raise TamperedCallback("the signature does not fit")
        try:
            told = document(callback.body)
            # Two tills may give one number: the receipt's name has the till in it.
            receipt, signed_at = f"{till}:{told['receipt']}", from_epoch(int(at))
            if told["kind"] == "refund":
                refund = RefundAnswer(str(told["refund"]), receipt, "done")
                return Told(f"refund {receipt}", signed_at, signed, refund=refund)
            if told["kind"] != "payment":
                raise MalformedCallback("it is neither a payment nor a refund")
            amount = of_minor_units(told["minor"], str(told["currency"]))
            payment = Payment(receipt, str(told["order"]), amount, from_epoch(told["paid_at"]))
            return Told(f"payment {receipt}", signed_at, signed, payment=payment)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise MalformedCallback(f"it cannot be read: {type(error).__name__}") from error

    def refund(self, refund: Refund) -> RefundAnswer:
        """Cash goes back over a counter: under way until a till tells that it was handed out."""
        return RefundAnswer(refund.id, refund.id, "under_way")

    def statement(self, day: date) -> Sequence[StatementLine]:
        """The agents' list of a day, ``2026-03-01.csv``: columns kind, id, order, minor, currency, at.

        ``id`` is ``till:receipt`` of a payment and our id of a refund; ``at`` is in epoch seconds. Raises
        :class:`~wattledger.payments.ProviderUnreachable` while the list has not come or cannot be read.
        """
        file = self.lists / f"{day.isoformat()}.csv"
        try:
            with file.open(encoding="utf-8-sig", newline="") as text:
                return [_line(row) for row in csv.DictReader(text, strict=True)]
        except OSError as error:
            raise ProviderUnreachable(f"the agents' list of {day} is not there", remedy=f"put it at {file}") from error
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ProviderUnreachable(f"the agents' list of {day} cannot be read: {error}") from error


def tell(*, till: str, key: bytes, clock: Clock, content: Mapping[str, Any]) -> Callback:
    """What a till sends: ``content`` signed with its key. For tills written in Python, and for tests.

    A payment: ``{"kind": "payment", "receipt": "17", "order": "pay_...", "minor": 5000, "currency": "CNY",
    "paid_at": 1772337600}``; money handed back: ``{"kind": "refund", "receipt": "18", "refund": "ref_..."}``.
    """
    body, at, nonce = json.dumps(content).encode(), str(epoch(clock.now())), new_id("n")
    signature = hmac.new(key, _message(till, at, nonce, body), hashlib.sha256).hexdigest()
    return Callback({"Till-Name": till, "Till-Timestamp": at, "Till-Nonce": nonce, "Till-Signature": signature}, body)


def _message(till: str, at: str, nonce: str, body: bytes) -> bytes:
    return f"{till}\n{at}\n{nonce}\n".encode() + body


def _line(row: Mapping[str, str]) -> StatementLine:
    amount, at = of_minor_units(int(row["minor"]), row["currency"]), from_epoch(int(row["at"]))
    match row["kind"]:
        case "payment":
            return StatementLine("payment", row["id"], row["order"], amount, at)
        case "refund":
            return StatementLine("refund", row["id"], row["order"], amount, at)
    msg = f"{row['kind']!r} is neither a payment nor a refund"
    raise ValueError(msg)


def agent(settings: Mapping[str, str], *, clock: Clock) -> Agents:  # noqa: ARG001 - what all factories get
    """The provider from settings.

    ``tills`` (path of a JSON file: each till's name and its key of 16 characters or more), ``lists`` (folder of the
    lists of days), ``zone``. Raises :class:`~wattledger.payments.SettingsWrong`.
    """
    missing = [name for name in ("tills", "lists", "zone") if not settings.get(name)]
    if missing:
        raise SettingsWrong(f"the agents lack {', '.join(missing)}")
    zone_named(settings["zone"])
    try:
        keys = document(Path(settings["tills"]).read_bytes())
        tills = {str(till): str(key).encode() for till, key in keys.items()}
    except (OSError, ValueError) as error:
        raise SettingsWrong(f"the tills' keys cannot be read: {type(error).__name__}") from None
    short = sorted(till for till, key in tills.items() if len(key) < _KEY_LENGTH_MIN or "\n" in till)
    if short:
        raise SettingsWrong(f"the key of {', '.join(short)} is shorter than {_KEY_LENGTH_MIN}")
    return Agents(tills, Path(settings["lists"]), settings["zone"])
