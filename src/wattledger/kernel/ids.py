"""Identifiers: random ones for new things, derived ones where a repeat has to find the first."""

from __future__ import annotations

import secrets
from hashlib import sha1
from uuid import NAMESPACE_URL


def new_id(prefix: str) -> str:
    """A fresh identifier that says what it names: ``rch_5f0c...`` (80 random bits)."""
    return f"{prefix}_{secrets.token_hex(10)}"


def stable_id(prefix: str, *parts: object) -> str:
    """The identifier that always belongs to ``parts``: the same parts give the same one, in any process."""
    name = "\x1f".join(map(str, (prefix, *parts)))
    # The beginning of the name's UUID of version 5; hundreds of thousands are made in a bill run.
    digest = sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"{prefix}_{digest[:12]}5{digest[13:16]}{'89ab'[int(digest[16], 16) & 3]}{digest[17:20]}"
