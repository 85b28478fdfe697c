"""What amounts are made of: any transfer explained down to its intervals, and statements that anyone can verify."""

from wattledger.evidence._explained import Told, explain_transfer
from wattledger.evidence._purposes import WORDS
from wattledger.evidence._signing import (
    DocumentUnreadable,
    PublicKeyRefused,
    Signer,
    SigningKeyUnusable,
    fingerprint,
    public_key_of,
    signer_from_file,
)
from wattledger.evidence._statements import StatementRefused, statement
from wattledger.evidence._verify import Verdict, verify

__all__ = [
    "WORDS",
    "DocumentUnreadable",
    "PublicKeyRefused",
    "Signer",
    "SigningKeyUnusable",
    "StatementRefused",
    "Told",
    "Verdict",
    "explain_transfer",
    "fingerprint",
    "public_key_of",
    "signer_from_file",
    "statement",
    "verify",
]
