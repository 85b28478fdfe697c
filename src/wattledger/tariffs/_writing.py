"""A tariff written as YAML that a person reads and edits, and that reads back as the same version."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from wattledger.tariffs._language import Tariff

_WIDTH = 100
_HEADER = ("id", "version", "name", "currency", "zone", "valid", "supersedes", "eligibility")
_CALENDAR = ("seasons", "holidays", "day_types", "events", "periods", "schedules")
_TOP = (*_HEADER, *_CALENDAR, "netting", "charges", "rounding")
_CHARGE = (
    *("name", "kind", "channel", "schedule", "when", "tiers", "index", "window", "statistic", "over", "duration"),
    *("during", "adder", "factor", "action", "price", "limits", "rate", "of", "on", "most", "per", "times"),
    *("proration", "starts", "covers", "ratchet", "minimum", "contracted", "rounding"),
)
_TIERS = ("counter", "basis", "starts", "allocation", "limits", "per", "adders", "proration", "rounding")
_ALWAYS_BLOCK = frozenset(("charges", "periods", "schedules"))
_TEXTS = frozenset(("id", "version", "name", "supersedes"))
"""Keys whose value is text though it may look like a number or a date to other readers of YAML."""

_PLAIN = re.compile(r"(?:[^\W_]|[-+](?=[0-9]))(?:[\w .\-/+()%&;'=<>$\u00b7:]*[\w)%])?")
_OTHERWISE_NOTHING = frozenset(("null", "Null", "NULL"))
_LIKE_OTHER_TYPES = re.compile(r"[-+.0-9].*|true|false|yes|no|on|off|y|n", re.IGNORECASE)


def export_yaml(tariff: Tariff) -> str:
    """The tariff's document as YAML, an importer's remarks as comments at its head.

    Keys stand in one order, what fits on a line stands on it, and numbers are as they were written. Reading the text
    gives a tariff of the same content hash; the remarks, which are no part of the document, are not read back.
    """
    remarks = [line for remark in tariff.remarks for line in _comment(remark)]
    return "\n".join([*remarks, *([""] if remarks else []), *_block(_ordered(tariff.document, _TOP), "")]) + "\n"


def _comment(remark: str) -> list[str]:
    text = "".join(character if character.isprintable() else " " for character in remark)
    return wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def _ordered(mapping: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """The members in our order; in front of what the order does not know."""
    known = {key: mapping[key] for key in order if key in mapping}
    found = known | {key: value for key, value in mapping.items() if key not in known}
    if order is _TOP:
        found["charges"] = [_ordered(charge, _CHARGE) for charge in found["charges"]]
    if order is _CHARGE and "tiers" in found:
        found["tiers"] = _ordered(found["tiers"], _TIERS)
    return found


def _block(value: Mapping[str, Any] | Sequence[Any], indent: str) -> list[str]:
    """A mapping or list over several lines."""
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, member in value.items():
            lead = f"{indent}{_scalar(key, text=_is_like_another(key))}:"
            flow = _flow(member, text=key in _TEXTS)
            short = key not in _ALWAYS_BLOCK and len(lead) + 1 + len(flow) <= _WIDTH
            if short or _is_one(member):
                lines.append(f"{lead} {flow}")
            else:
                lines += [lead, *_block(member, indent + "  ")]
        return lines
    for member in value:
        flow = _flow(member)
        if len(indent) + 2 + len(flow) <= _WIDTH or _is_one(member):
            lines.append(f"{indent}- {flow}")
        else:
            inner = _block(member, indent + "  ")
            lines += [f"{indent}- {inner[0].lstrip()}", *inner[1:]]
    return lines


def _is_one(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a value has no members to stand on lines of their own."""
    return not isinstance(value, Mapping | list) or not value


def _flow(value: Any, *, text: bool = False) -> str:  # noqa: ANN401 - JSON
    """A value on one line."""
    if isinstance(value, Mapping):
        members = (
            f"{_scalar(key, text=_is_like_another(key))}: {_flow(member, text=key in _TEXTS)}"
            for key, member in value.items()
        )
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(member) for member in value)}]"
    return _scalar(value, text=text)


def _is_like_another(key: str) -> bool:
    """Whether other readers of YAML would not take a key for text."""
    return key != "on" and _LIKE_OTHER_TYPES.fullmatch(key) is not None


def _scalar(value: Any, *, text: bool = False) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, bool):
        return "true" if value else "false"
    written = str(value)
    plain = _PLAIN.fullmatch(written) is not None and ": " not in written and " #" not in written
    if not plain or written in _OTHERWISE_NOTHING or (text and _LIKE_OTHER_TYPES.fullmatch(written)):
        return json.dumps(written, ensure_ascii=False)
    return written
