"""Ciphering of APDUs (Green Book 9.2): AES-GCM of suites 0, 1 and 2, GMAC for HLS mechanism 5, key wrap.

Suites 0 and 1 have keys of 16 bytes, suite 2 of 32; what suites 1 and 2 add with elliptic curves is not spoken here.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated

TAG_BYTES = 12
TITLE_BYTES = 8
COUNTER_MAX = 0xFFFF_FFFF
_HEADER_BYTES = 5  # security control, invocation counter
_GCM_TAG_BYTES = 16
_KEY_BYTES = {0: 16, 1: 16, 2: 32}
_SUITES = (0, 1, 2)


class SecurityControl(NamedTuple):
    """The byte that says how an APDU is protected."""

    suite: int
    authenticated: bool
    encrypted: bool
    broadcast: bool = False
    compressed: bool = False

    @property
    def byte(self) -> int:
        flags = self.authenticated << 4 | self.encrypted << 5 | self.broadcast << 6 | self.compressed << 7
        return self.suite | flags

    @classmethod
    def of(cls, byte: int) -> SecurityControl:
        return cls(byte & 0x0F, bool(byte & 0x10), bool(byte & 0x20), bool(byte & 0x40), bool(byte & 0x80))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a security context; never shown.

    ``encryption`` is the global (or dedicated) unicast key, ``broadcast`` the one for frames to everybody, and
    ``authentication`` the one that goes into the authenticated data. 16 bytes each, 32 in suite 2.
    """

    encryption: bytes = field(repr=False)
    authentication: bytes | None = field(default=None, repr=False)
    broadcast: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("encryption", "authentication", "broadcast"):
            key = getattr(self, name)
            if key is not None and len(key) not in _KEY_BYTES.values():
                raise DlmsError(
                    ErrorKind.MALFORMED, f"the {name} key has {len(key)} bytes; 16 are needed, 32 in suite 2"
                )

    def with_dedicated(self, key: bytes) -> Keys:
        """The keys while an association uses a key of its own for ``ded-`` APDUs."""
        return Keys(key, self.authentication, self.broadcast)


class Protected(NamedTuple):
    """What is in a ciphered APDU and how it was protected."""

    control: SecurityControl
    counter: int
    text: bytes
    genuine: bool | None
    """The tag fits; ``None`` where there is no tag, or no authentication key to try it with."""


def protect(
    text: bytes, *, control: SecurityControl, title: bytes, counter: int, keys: Keys, context: bytes = b""
) -> bytes:
    """Security header, text and tag as they follow the length of a ciphered APDU.

    ``title`` is the sender's. ``context`` is what general-ciphering adds to the authenticated data. The caller never
    uses a counter twice with one key: GCM gives the key away then.
    """
    if not 0 <= counter <= COUNTER_MAX:
        raise DlmsError(ErrorKind.MALFORMED, f"the invocation counter {counter} does not fit 32 bits: change the key")
    cipher, nonce = _cipher(control, keys), _nonce(title, counter)
    header = bytes((control.byte,)) + counter.to_bytes(4, "big")
    if not control.authenticated:
        return header + (cipher.encrypt(nonce, text, None)[:-_GCM_TAG_BYTES] if control.encrypted else text)
    associated = header[:1] + _authentication(keys) + context
    if control.encrypted:
        return header + cipher.encrypt(nonce, text, associated)[: len(text) + TAG_BYTES]
    return header + text + cipher.encrypt(nonce, b"", associated + text)[:TAG_BYTES]


def unprotect(protected: bytes, *, title: bytes, keys: Keys, context: bytes = b"", lenient: bool = False) -> Protected:
    """The text of a ciphered APDU; ``protected`` begins with the security control byte.

    Raises ``DlmsError``: *bad key* where nothing sensible comes out, *bad tag* where it does and the tag does not fit.
    ``lenient`` gives the text whatever the tag says, and takes a missing authentication key as no reason to stop.
    """
    control, counter, body, tag = dissected(protected)
    cipher, nonce = _cipher(control, keys), _nonce(title, counter)
    # GCM runs a counter: enciphering a cipher text gives the text back. Half the cost of the streaming interface.
    text = cipher.encrypt(nonce, body, None)[:-_GCM_TAG_BYTES] if control.encrypted else body
    genuine = None
    if control.authenticated and (keys.authentication is not None or not lenient):
        associated = protected[:1] + _authentication(keys) + context
        secret, open_text = (text, associated) if control.encrypted else (b"", associated + text)
        made = cipher.encrypt(nonce, secret, open_text)
        genuine = hmac.compare_digest(made[-_GCM_TAG_BYTES:][:TAG_BYTES], tag)
    if control.encrypted and not genuine and not _sensible(text):
        raise DlmsError(ErrorKind.BAD_KEY, "what comes out is no APDU: another key or another system title")
    if genuine is False and not lenient:
        raise DlmsError(
            ErrorKind.BAD_TAG, "the authentication tag does not fit: altered, or another authentication key"
        )
    return Protected(control, counter, text, genuine)


class Dissected(NamedTuple):
    """A ciphered APDU by its parts, nothing deciphered."""

    control: SecurityControl
    counter: int
    body: bytes
    tag: bytes


def dissected(protected: bytes) -> Dissected:
    """The parts of a ciphered APDU from the security control byte on; raises ``DlmsError``."""
    if len(protected) < _HEADER_BYTES:
        raise Truncated(f"a security header has {_HEADER_BYTES} bytes, here are {len(protected)}")
    control = SecurityControl.of(protected[0])
    if control.suite not in _SUITES:
        raise DlmsError(ErrorKind.UNSUPPORTED, f"security suite {control.suite}")
    if control.compressed:
        raise DlmsError(ErrorKind.UNSUPPORTED, "a compressed APDU (V.44)")
    counter = int.from_bytes(protected[1:_HEADER_BYTES], "big")
    body = protected[_HEADER_BYTES:]
    if not control.authenticated:
        return Dissected(control, counter, body, b"")
    if len(body) < TAG_BYTES:
        raise Truncated(f"an authentication tag has {TAG_BYTES} bytes, here are {len(body)}")
    return Dissected(control, counter, body[:-TAG_BYTES], body[-TAG_BYTES:])


def gmac(challenge: bytes, *, suite: int, title: bytes, counter: int, keys: Keys) -> bytes:
    """The answer to an HLS challenge by mechanism 5: security control, counter and tag (17 bytes)."""
    control = SecurityControl(suite, authenticated=True, encrypted=False)
    protected = protect(challenge, control=control, title=title, counter=counter, keys=keys)
    return protected[:_HEADER_BYTES] + protected[-TAG_BYTES:]


def check_gmac(answer: bytes, *, challenge: bytes, title: bytes, keys: Keys) -> int:
    """The invocation counter of the answer to our challenge; raises ``DlmsError`` where it is not the peer's."""
    if len(answer) != _HEADER_BYTES + TAG_BYTES:
        raise DlmsError(ErrorKind.MALFORMED, f"an answer to a challenge has 17 bytes, not {len(answer)}")
    control, counter, *_ = dissected(answer)
    if control.encrypted or not control.authenticated:
        raise DlmsError(ErrorKind.MALFORMED, "an answer to a challenge is authenticated and nothing else")
    made = gmac(challenge, suite=control.suite, title=title, counter=counter, keys=keys)
    if not hmac.compare_digest(made, answer):
        raise DlmsError(ErrorKind.BAD_KEY, "the peer does not have the keys that we have (its answer to our challenge)")
    return counter


def wrap_key(key: bytes, *, master: bytes) -> bytes:
    """A key under the master key (RFC 3394), as ``global_key_transfer`` takes it."""
    return aes_key_wrap(master, key)


def unwrap_key(wrapped: bytes, *, master: bytes) -> bytes:
    """The key again; raises ``DlmsError`` (bad key) where it was wrapped under another."""
    try:
        return aes_key_unwrap(master, wrapped)
    except (InvalidUnwrap, ValueError):
        raise DlmsError(ErrorKind.BAD_KEY, "the key was wrapped under another master key") from None


@lru_cache(maxsize=64)
def _aes(key: bytes) -> AESGCM:
    return AESGCM(key)


def _cipher(control: SecurityControl, keys: Keys) -> AESGCM:
    key = keys.broadcast if control.broadcast else keys.encryption
    if key is None:
        raise DlmsError(ErrorKind.NO_KEY, "ciphered for everybody, and no broadcast key was given")
    if len(key) != _KEY_BYTES[control.suite]:
        needed = _KEY_BYTES[control.suite]
        raise DlmsError(ErrorKind.BAD_KEY, f"suite {control.suite} has keys of {needed} bytes, this one has {len(key)}")
    return _aes(key)


def _authentication(keys: Keys) -> bytes:
    if keys.authentication is None:
        raise DlmsError(ErrorKind.NO_KEY, "authenticated, and no authentication key was given")
    return keys.authentication


def _nonce(title: bytes, counter: int) -> bytes:
    if len(title) != TITLE_BYTES:
        raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, f"a system title has {TITLE_BYTES} bytes, not {len(title)}")
    return title + counter.to_bytes(4, "big")


# The services that may be ciphered: their first bytes, and how the fewest bytes after them may begin.
_PLAIN_SERVICES = frozenset({0x01, 0x08, 0x0E, 0x0F, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC7, 0xD8, 0xD9, 0xDA, 0xE0})
_SERVICE_CHOICES = {0xC0: 3, 0xC1: 5, 0xC3: 6, 0xC4: 3, 0xC5: 6, 0xC7: 4}


def _sensible(text: bytes) -> bool:
    """Whether a deciphered text begins as an APDU does: one in hundreds does by chance."""
    if not text or text[0] not in _PLAIN_SERVICES:
        return False
    choices = _SERVICE_CHOICES.get(text[0])
    return choices is None or (len(text) > 2 and 1 <= text[1] <= choices)  # noqa: PLR2004 - choice, invoke id
