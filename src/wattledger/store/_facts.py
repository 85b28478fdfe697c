"""Facts that travel sideways between rooms, written in the transaction of the change they tell of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from json.encoder import encode_basestring_ascii
from typing import Any, Self


class JsonText(str):
    """A document for a JSON column that is written out already: it goes into the database as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened. Subclasses add fields of type ``str``, ``int``, ``bool`` or ``None``.

    The class's name is the fact's kind for ever: rename neither it nor its fields.
    """

    at: datetime
    contract_id: str | None = None

    @classmethod
    def from_recorded(cls, recorded: RecordedFact) -> Self:
        """The typed fact as it was emitted."""
        return cls(at=recorded.at, contract_id=recorded.contract_id, **recorded.data)


@dataclass(frozen=True, slots=True)
class RecordedFact:
    """A fact as the outbox keeps it."""

    seq: int
    at: datetime
    kind: str
    contract_id: str | None
    data: Mapping[str, Any]


def outbox_rows(facts: Sequence[Fact]) -> list[dict[str, object]]:
    """The rows of the outbox that ``facts`` are, in their order."""
    names = {
        kind: [(f.name, f"{json.dumps(f.name)}: ") for f in fields(kind) if f.name not in ("at", "contract_id")]
        for kind in set(map(type, facts))
    }
    return [
        {
            "at": fact.at,
            "kind": type(fact).__name__,
            "contract_id": fact.contract_id,
            "payload": JsonText(
                f"{{{', '.join([key + _written(getattr(fact, name)) for name, key in names[type(fact)]])}}}"
            ),
        }
        for fact in facts
    ]


def _written(value: object) -> str:
    # As json.dumps does it, which makes ready for anything each time; a bill run tells a hundred thousand facts.
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return str(value)
    return json.dumps(value)
