"""The kinds of messages: how each is treated here, what it says in ``words/``, one file for each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Literal

import yaml

from wattledger.kernel import Problem


class UnknownKind(Problem):
    """A message of a kind that has no wording."""

    slug = "unknown-notice-kind"
    title = "Unknown kind of notice"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of message is treated.

    ``waits``      it can wait until a person's quiet hours are over
    ``optional``   a person may choose not to get it at all
    ``once``       what may not be said twice in an hour: the same words about a ``contract``; the same words to a
                   ``person``, however many contracts they have; or only the very same ``thing``, because two receipts
                   in an hour are two payments
    ``useful``     for so long it is worth sending
    ``overtakes``  what need not be sent any more, if it was not, once this is said
    """

    waits: bool
    optional: bool = False
    once: Literal["thing", "contract", "person"] = "contract"
    useful: timedelta = timedelta(days=3)
    overtakes: frozenset[str] = frozenset()


_LOW = frozenset({"low_balance", "low_balance_days", "low_balance_tomorrow", "low_balance_today"})
_DAY = timedelta(days=1)

KINDS: Mapping[str, Kind] = {
    "low_balance": Kind(waits=True, useful=_DAY, overtakes=_LOW),
    "low_balance_days": Kind(waits=True, useful=_DAY, overtakes=_LOW),
    "low_balance_tomorrow": Kind(waits=True, useful=_DAY, overtakes=_LOW),
    "low_balance_today": Kind(waits=True, useful=_DAY, overtakes=_LOW),
    "cut_off_warning": Kind(waits=False, useful=_DAY, overtakes=_LOW),
    "disconnected": Kind(waits=False, overtakes=_LOW | {"cut_off_warning", "reconnected"}),
    "reconnected": Kind(waits=False, overtakes=frozenset({"disconnected", "cut_off_warning"})),
    # It answers what somebody did a moment ago, and tells the balance.
    "recharge_receipt": Kind(waits=False, once="thing", useful=timedelta(days=7), overtakes=_LOW),
    "load_notice": Kind(waits=False, useful=timedelta(hours=2)),
    "load_curtail": Kind(waits=False, useful=timedelta(hours=2), overtakes=frozenset({"load_notice"})),
    "tariff_change": Kind(waits=True, once="person", useful=timedelta(days=30)),
    "bill_ready": Kind(waits=True, once="thing", useful=timedelta(days=30)),
    "statement_ready": Kind(waits=True, once="thing", optional=True, useful=timedelta(days=30)),
    "tamper": Kind(waits=True, useful=timedelta(days=7)),
    "outage": Kind(waits=False, useful=timedelta(hours=12)),
    "outage_over": Kind(waits=True, useful=timedelta(hours=12), overtakes=frozenset({"outage"})),
    "savings_event": Kind(waits=True, once="person", optional=True, useful=_DAY),
}
"""Every kind of message there is."""


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str


@cache
def _words() -> dict[str, dict[str, _Words]]:
    """What each kind says, by language."""
    found = {}
    for file in (files("wattledger.notices") / "words").iterdir():
        if file.name.endswith(".yaml"):
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            found[file.name.removesuffix(".yaml")] = {kind: _Words(**words) for kind, words in document.items()}
    return found


def languages() -> frozenset[str]:
    """The languages that messages are written in, by their codes: ``en``, ``zh``."""
    return frozenset(_words())


def language_for(code: str) -> str:
    """The language for somebody of ``code`` (``zh``, ``zh-CN``, ``fr``); English where nothing is written in theirs."""
    base = code.partition("-")[0].partition("_")[0].lower()
    return base if base in _words() else "en"


def kind_named(kind: str) -> Kind:
    """How ``kind`` is treated; raises :class:`UnknownKind`."""
    if kind not in KINDS:
        raise UnknownKind(f"no notice is of kind {kind!r}", remedy=f"use one of {', '.join(sorted(KINDS))}")
    return KINDS[kind]


def worded(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """The message in every language; raises :class:`UnknownKind`, and ``KeyError`` when a value is not given."""
    kind_named(kind)
    return {language: words[kind].text.format(**values) for language, words in sorted(_words().items())}


def title_of(kind: str, language: str) -> str:
    """A few words that say what a message is about."""
    kind_named(kind)
    return _words()[language][kind].title


def values_of(kind: str) -> frozenset[str]:
    """The names of the values that ``kind`` is told with."""
    kind_named(kind)
    return frozenset(name for _, name, _, _ in Formatter().parse(_words()["en"][kind].text) if name is not None)
