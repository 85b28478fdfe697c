"""Identifiers: random ones for new things, derived ones where a repeat has to find the first."""

from __future__ import annotations

import secrets
from uuid import NAMESPACE_URL, uuid5


def new_id(prefix: str) -> str:
    """A fresh identifier that says what it names: ``rch_5f0c...`` (80 random bits)."""
    return f"{prefix}_{secrets.token_hex(10)}"


def stable_id(prefix: str, *parts: object) -> str:
    """The identifier that always belongs to ``parts``: the same parts give the same one, in any process."""
    digest = uuid5(NAMESPACE_URL, "\x1f".join(str(part) for part in (prefix, *parts)))
    return f"{prefix}_{digest.hex[:20]}"
