"""Signatures of documents: Ed25519 over one way of writing JSON, and keys in files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wattledger.kernel import Problem

ALGORITHM = "Ed25519"
_KEY_BYTES = 32
_OTHERS = 0o077
_SHOWN = 16


class SigningKeyUnusable(Problem):
    """The key that statements are signed with cannot be had, or is none."""

    slug = "signing-key-unusable"
    title = "Statements cannot be signed"
    status = 500


class PublicKeyRefused(Problem):
    """What was given is no public key."""

    slug = "public-key-refused"
    title = "This is no public key"
    status = 422


class DocumentUnreadable(Problem):
    """A document is not JSON as it is signed."""

    slug = "statement-unreadable"
    title = "The statement cannot be read"
    status = 422


def canonical(document: Any) -> bytes:  # noqa: ANN401 - any JSON
    """The one way to write JSON that is signed: members sorted, no white space, UTF-8, no number that is not whole."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_no_json)
    read_document(text)  # what could not be read again the same is not signed
    return text.encode()


def read_document(text: str) -> Any:  # noqa: ANN401 - any JSON
    """JSON with whole numbers only, no member told twice; raises :class:`DocumentUnreadable`."""
    try:
        return json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise DocumentUnreadable(f"it is not JSON as statements are written: {error}") from None


def _no_json(value: object) -> NoReturn:
    raise TypeError(f"{value!r} is not written into a document")


def _no_fraction(text: str) -> NoReturn:
    raise ValueError(f"the number {text} is not whole")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is told twice")
    return found


@final
class Signer:
    """Signs documents with one key."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise SigningKeyUnusable(
                f"a signing key has {_KEY_BYTES} bytes; this one has {len(seed)}",
                remedy="make one: openssl rand -hex 32",
            )
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """The public key, as 64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def signed(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with its signature under ``signed``."""
        signature = self._key.sign(canonical(document)).hex()
        return {**document, "signed": {"algorithm": ALGORITHM, "key": self.public_key, "signature": signature}}


def signer_from_file(path: Path, *, make: bytes | None = None) -> Signer:
    """The signer whose key (64 hexadecimal digits) is in a file; with ``make`` the file is made if there is none."""
    try:
        if make is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
            with os.fdopen(made, "w") as file:
                file.write(make.hex() + "\n")
        if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
            raise SigningKeyUnusable(f"{path} can be read by others than its owner", remedy=f"chmod 600 {path}")
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SigningKeyUnusable(f"{path}: {error}", remedy="name a file that holds the key") from None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise SigningKeyUnusable(f"{path} holds no 64 hexadecimal digits", remedy="make one: openssl rand -hex 32")
    return Signer(bytes.fromhex(text))


def public_key_of(text: str) -> str:
    """A public key as it is compared: 64 lower-case hexadecimal digits; raises :class:`PublicKeyRefused`."""
    stripped = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", stripped):
        raise PublicKeyRefused("a public key is 64 hexadecimal digits", remedy="get it from who issues the statements")
    return stripped


def fingerprint(public_key: str) -> str:
    """What people compare of a public key: the first 16 hexadecimal digits of its SHA-256, in groups of four."""
    digits = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:_SHOWN]
    return " ".join(digits[at : at + 4] for at in range(0, _SHOWN, 4))


def is_signed(document: dict[str, Any], *, signature: str, public_key: str) -> bool:
    """Whether this is the signature of the document by this key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), canonical(document))
    except (InvalidSignature, ValueError):
        return False
    return True
