"""Explaining transfers, and signing and verifying statements, in a system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wattledger import evidence
from wattledger.app._system import opened, signer_in
from wattledger.cli import SystemOptions


def explain_transfer(options: SystemOptions, transfer_id: str) -> Mapping[str, Any]:
    """What a transfer is, down to its intervals."""
    with opened(options) as system, system.store.read() as tx:
        return evidence.explain_transfer(tx, transfer_id=transfer_id)


def statement(options: SystemOptions, contract_id: str, month: str) -> Mapping[str, Any]:
    """A signed statement of a month."""
    with opened(options) as system, system.store.read() as tx:
        now = system.clock.now()
        return evidence.statement(tx, contract_id=contract_id, month=month, signer=signer_in(options.data), now=now)


def statement_key(options: SystemOptions) -> Mapping[str, str]:
    """The public key that statements are verified with."""
    key = signer_in(options.data).public_key
    return {"algorithm": "Ed25519", "key": key, "fingerprint": evidence.fingerprint(key)}
