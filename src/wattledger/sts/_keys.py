"""Decoder keys: what they are, and how a meter's is derived from a vending key (DKGA02 and DKGA04 of IEC 62055-41).

Keys never appear in a text of ours: not in an error, not in the ``repr`` of an object.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from wattledger.kernel import Problem
from wattledger.sts import _misty1, _sta
from wattledger.sts._instants import KEN_NEVER, BaseDate
from wattledger.sts._meters import MeterPan

SGC_DIGITS = 6
KRN_MAX = 9
TARIFF_INDEX_MAX = 99
_DES_BYTES = 8
_DKGA04_BYTES = 20


class KeyRefused(Problem):
    """A key, or what names one, is not as the algorithm needs it."""

    slug = "sts-key"
    title = "This key cannot be used"
    status = 422


class NotCertain(Problem):
    """A part of STS that no published vector and no second source proves, or that is out of use: it is not guessed."""

    slug = "sts-not-certain"
    title = "This part of STS is not offered"
    status = 422


class Algorithm(StrEnum):
    """The encryption algorithms (EA)."""

    STA = "07"
    MISTY1 = "11"

    @property
    def key_bytes(self) -> int:
        """How long a decoder key is."""
        return _sta.KEY_BYTES if self is Algorithm.STA else _misty1.KEY_BYTES


class Dkga(StrEnum):
    """The algorithms that derive a decoder key."""

    DES = "02"
    HMAC = "04"


class KeyType(IntEnum):
    """What a decoder key is: from the factory, of a supply group by default, of one meter, shared by a group."""

    DITK = 0
    DDTK = 1
    DUTK = 2
    DCTK = 3


@dataclass(frozen=True, slots=True)
class DecoderKey:
    """The key of one meter, its type and its expiry number (255: never).

    Raises :class:`KeyRefused` if ``octets`` are not as many as ``ea`` needs, or ``ken`` is outside 0..255.
    """

    ea: Algorithm
    octets: bytes = field(repr=False)
    key_type: KeyType = KeyType.DUTK
    ken: int = KEN_NEVER

    def __post_init__(self) -> None:
        if len(self.octets) != self.ea.key_bytes:
            raise KeyRefused(
                f"a decoder key of encryption algorithm {self.ea} has {self.ea.key_bytes} bytes, "
                f"this one {len(self.octets)}"
            )
        if not 0 <= self.ken <= KEN_NEVER:
            raise KeyRefused(f"key expiry number {self.ken} is outside 0 to {KEN_NEVER}")


@dataclass(frozen=True, slots=True)
class Derivation:
    """Everything a decoder key is derived from but the vending key.

    ``sgc`` is the supply group of 6 digits, ``krn`` the revision 1..9. Raises :class:`KeyRefused` for a value out of
    range or an algorithm that does not go with ``ea``, and :class:`NotCertain` for a common key (DCTK) under DKGA04.
    """

    dkga: Dkga
    ea: Algorithm
    pan: MeterPan
    key_type: KeyType
    sgc: str
    tariff_index: int
    krn: int
    base_date: BaseDate

    def __post_init__(self) -> None:
        check_names(sgc=self.sgc, krn=self.krn, tariff_index=self.tariff_index)
        if self.dkga is Dkga.DES and self.ea is not Algorithm.STA:
            raise KeyRefused(
                f"DKGA02 makes keys of 8 bytes, encryption algorithm {self.ea} needs {self.ea.key_bytes}",
                remedy="derive with DKGA04",
            )
        if self.dkga is Dkga.HMAC and self.key_type is KeyType.DCTK:
            raise NotCertain("a common key (key type 3, DCTK) under DKGA04: which PAN goes into it is not published")

    @property
    def pan_block(self) -> str:
        """The meter, as 16 digits (DKGA02): the PAN without its first and last; zeros for the meter of a common key."""
        issuer = str(self.pan)[1 : len(self.pan.iin)]
        return issuer + ("0" * len(self.pan.iain) if self.key_type is KeyType.DCTK else self.pan.iain)

    @property
    def control_block(self) -> str:
        """Key type, supply group, tariff index and revision, as 16 hexadecimal digits (DKGA02)."""
        return f"{self.key_type:d}{self.sgc}{self.tariff_index:02d}{self.krn}FFFFFF"

    @property
    def kdf_input(self) -> bytes:
        """What is authenticated under the vending key (DKGA04)."""
        before = (Dkga.HMAC, self.base_date, self.ea, f"{self.tariff_index:02d}")
        after = (self.sgc, f"{self.key_type:d}", f"{self.krn}", str(self.pan))
        told = [bytes([len(text)]) + text.encode("ascii") for text in (*before, *after)]
        length = (8 * self.ea.key_bytes).to_bytes(4)
        return b"".join([b"\x04", *told[:4], b"\x00\x04", *told[4:], length])

    def decoder_key(self, *, vending_key: bytes, ken: int = KEN_NEVER) -> DecoderKey:
        """The meter's key under ``vending_key``: 8 bytes of odd parity (DKGA02) or 20 bytes (DKGA04).

        Raises :class:`KeyRefused`.
        """
        expected = _DES_BYTES if self.dkga is Dkga.DES else _DKGA04_BYTES
        if len(vending_key) != expected:
            raise KeyRefused(f"a vending key of DKGA{self.dkga} has {expected} bytes, this one {len(vending_key)}")
        octets = self._by_des(vending_key) if self.dkga is Dkga.DES else self._by_hmac(vending_key)
        return DecoderKey(ea=self.ea, octets=octets, key_type=self.key_type, ken=ken)

    def _by_des(self, vending_key: bytes) -> bytes:
        if any(octet.bit_count() % 2 == 0 for octet in vending_key):
            # Sources differ on what is xored at the end, the key as it is or with its parity mended.
            raise KeyRefused(
                "the vending key is no DES key: not every byte of it has odd parity",
                remedy="take the key as the key management centre issued it",
            )
        mixed = int(self.pan_block, 16) ^ int(self.control_block, 16)
        # DES is triple DES with one key thrice; the standard asks for ECB of this one block.
        encryptor = Cipher(TripleDES(vending_key * 3), modes.ECB()).encryptor()  # noqa: S305 - as it says above
        coded = int.from_bytes(encryptor.update(mixed.to_bytes(8)) + encryptor.finalize())
        return (coded ^ mixed ^ int.from_bytes(vending_key)).to_bytes(8)

    def _by_hmac(self, vending_key: bytes) -> bytes:
        return hmac.digest(vending_key, self.kdf_input, "sha256")[: self.ea.key_bytes]


def check_names(*, sgc: str, krn: int, tariff_index: int) -> None:
    """Raise :class:`KeyRefused` unless these name a key: 6 digits, 1..9, 0..99."""
    if len(sgc) != SGC_DIGITS or not sgc.isascii() or not sgc.isdigit():
        raise KeyRefused(f"supply group code {sgc!r} is not {SGC_DIGITS} digits")
    if not 1 <= krn <= KRN_MAX:
        raise KeyRefused(f"key revision number {krn} is outside 1 to {KRN_MAX}")
    if not 0 <= tariff_index <= TARIFF_INDEX_MAX:
        raise KeyRefused(f"tariff index {tariff_index} is outside 0 to {TARIFF_INDEX_MAX}")
