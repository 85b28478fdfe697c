"""Routes that explain amounts and hand out signed statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from wattledger import evidence
from wattledger.api import models as m
from wattledger.evidence import Signer
from wattledger.kernel import Clock
from wattledger.store import Store


def add_evidence(
    api: FastAPI,
    *,
    prefix: str,
    store: Store,
    clock: Clock,
    signer: Signer | None,
    problems: Mapping[int | str, dict[str, Any]],
) -> None:
    """Add the routes; statements only where there is somebody to sign them."""

    @api.get(
        f"{prefix}/transfers/{{transfer_id}}/explanation", operation_id="explainTransfer", responses=dict(problems)
    )
    def explanation(transfer_id: str) -> m.TransferExplanation:
        """How an amount came to be: its charge lines, their clauses, the intervals behind them, the meter."""
        with store.read() as tx:
            return m.TransferExplanation(**evidence.explain_transfer(tx, transfer_id=transfer_id))

    if signer is None:
        return

    @api.get(
        f"{prefix}/contracts/{{contract_id}}/statements/{{month}}",
        operation_id="getStatement",
        responses=dict(problems),
    )
    def statement(contract_id: str, month: str) -> dict[str, Any]:
        """A month with all that its price follows from, signed: `wattledger verify` counts it again."""
        with store.read() as tx:
            return evidence.statement(tx, contract_id=contract_id, month=month, signer=signer, now=clock.now())

    @api.get(f"{prefix}/statement-key", operation_id="getStatementKey")
    def key() -> m.StatementKey:
        """The public key that statements are signed with, and what people compare of it."""
        return m.StatementKey(
            algorithm="Ed25519", key=signer.public_key, fingerprint=evidence.fingerprint(signer.public_key)
        )
