"""The 20 digits of a token and what stands in them (IEC 62055-41): 66 bits, two of them a class, 64 a block.

A block holds a subclass (4 bits), a body (44) and a check sum (16). It is encrypted under the meter's decoder key but
for class 1, which is for any meter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, unique

from wattledger.kernel import Problem
from wattledger.sts._instants import check_expiry
from wattledger.sts._keys import KRN_MAX, TARIFF_INDEX_MAX, Algorithm, DecoderKey, KeyRefused, KeyType, NotCertain
from wattledger.sts._misty1 import Misty1
from wattledger.sts._sta import StaTables, TablesMissing, sta_decrypt, sta_encrypt

TOKEN_DIGITS = 20
_TOKEN_BITS = 66
_BODY_BITS = 44
_CRC_BITS = 16
_CLASS_LOW = 27  # where in the ciphertext the two bits of the class take their place
_SEPARATORS = str.maketrans("", "", " -\t")
_CURRENCY_SUBCLASSES = range(4, 8)
_PLAIN_CLASS = 1
_RESERVED_CLASS = 3

_TIMED = (("rnd", 4), ("tid", 24), ("payload16", 16))
# Either control is as wide as the code of the manufacturer leaves it.
_TEST_OF_2_DIGITS = (("control", 36), ("manufacturer_code", 8))
_TEST_OF_4_DIGITS = (("control", 28), ("manufacturer_code", 16))
_KEY_1 = (("kenho", 4), ("krn", 4), ("ro", 1), ("three_kct", 1), ("kt", 2), ("nkho", 32))
_KEY_2 = (("kenlo", 4), ("ti", 8), ("nklo", 32))
_KEY_3 = (("sgclo", 12), ("nkmo2", 32))
_KEY_4 = (("sgcho", 12), ("nkmo1", 32))

# What a body's fields may hold where their bits would hold more.
_LIMITS = {
    "ti": range(TARIFF_INDEX_MAX + 1),
    "krn": range(1, KRN_MAX + 1),
}


@unique
class Kind(Enum):
    """What a token does. Its value is class, subclass, the standard's name and the fields of the body, high to low."""

    ELECTRICITY = (0, 0, "TransferCredit.Electricity", _TIMED)
    WATER = (0, 1, "TransferCredit.Water", _TIMED)
    GAS = (0, 2, "TransferCredit.Gas", _TIMED)
    TIME = (0, 3, "TransferCredit.Time", _TIMED)
    TEST_OF_2_DIGITS = (1, 0, "InitiateMeterTest/Display1", _TEST_OF_2_DIGITS)
    TEST_OF_4_DIGITS = (1, 1, "InitiateMeterTest/Display2", _TEST_OF_4_DIGITS)
    POWER_LIMIT = (2, 0, "SetMaximumPowerLimit", _TIMED)
    CLEAR_CREDIT = (2, 1, "ClearCredit", _TIMED)
    TARIFF_RATE = (2, 2, "SetTariffRate", _TIMED)
    KEY_1 = (2, 3, "Set1stSectionDecoderKey", _KEY_1)
    KEY_2 = (2, 4, "Set2ndSectionDecoderKey", _KEY_2)
    CLEAR_TAMPER = (2, 5, "ClearTamperCondition", _TIMED)
    PHASE_UNBALANCE_LIMIT = (2, 6, "SetMaximumPhasePowerUnbalanceLimit", _TIMED)
    WATER_FACTOR = (2, 7, "SetWaterMeterFactor", _TIMED)
    KEY_3 = (2, 8, "Set3rdSectionDecoderKey", _KEY_3)
    KEY_4 = (2, 9, "Set4thSectionDecoderKey", _KEY_4)

    def __init__(self, token_class: int, subclass: int, title: str, layout: tuple[tuple[str, int], ...]) -> None:
        self.token_class = token_class
        self.subclass = subclass
        self.title = title
        self.layout = layout

    @property
    def is_credit(self) -> bool:
        """Whether it gives the customer something."""
        return self.token_class == 0

    @property
    def is_timed(self) -> bool:
        """Whether it carries a token identifier, and so is taken once only."""
        return self.layout is _TIMED

    @property
    def is_key_part(self) -> bool:
        """Whether it is one of the tokens that change the key together."""
        return self.layout in {_KEY_1, _KEY_2, _KEY_3, _KEY_4}

    @classmethod
    def numbered(cls, *, token_class: int, subclass: int) -> Kind:
        """The kind of a class and subclass. Raises :class:`NotCertain`, by name, for one that is not offered."""
        for kind in cls:
            if (kind.token_class, kind.subclass) == (token_class, subclass):
                return kind
        raise NotCertain(
            f"a token of class {token_class}, subclass {subclass} ({_unoffered(token_class, subclass)}), is not "
            "offered: no published vector proves its layout"
        )

    @classmethod
    def named(cls, *, title: str) -> Kind:
        """The kind of the standard's name, as ``TransferCredit.Gas``. Raises :class:`NotCertain` for any other."""
        for kind in cls:
            if kind.title.lower() == title.lower():
                return kind
        raise NotCertain(f"a token {title!r} is not offered", remedy=", ".join(kind.title for kind in cls))


def _unoffered(token_class: int, subclass: int) -> str:
    match token_class, subclass:
        case 0, 4 | 5 | 6 | 7:
            return "currency credit"
        case 1, n if n > 5:  # noqa: PLR2004 - 6..15, from the standard's table
            return "a manufacturer's own test"
        case 2, 10:
            return "extended token set"
        case 2, n if n > 10:  # noqa: PLR2004 - 11..15, from the standard's table
            return "a manufacturer's own use"
        case _:
            return "reserved"


class Fault(StrEnum):
    """Why digits are no token under a key."""

    FORMAT = "Format"
    CRC = "CRC"
    FUNCTION = "Function"


class TokenUnreadable(Problem):
    """Digits that are no token, or none under this key; ``fault`` says which."""

    slug = "sts-token-unreadable"
    title = "These digits are no token for this meter"
    status = 422

    def __init__(self, fault: Fault, detail: str, *, remedy: str | None = None) -> None:
        super().__init__(detail, remedy=remedy, fault=fault.value)
        self.fault = fault


class TokenRefused(Problem):
    """A token that may not be made: a field is out of range, or its key is not for it."""

    slug = "sts-token-refused"
    title = "This token may not be made"
    status = 422


@dataclass(frozen=True, slots=True)
class Token:
    """A kind and the values of its body, one for each field of ``kind.layout``. Made by :meth:`of`."""

    kind: Kind
    values: tuple[int, ...] = field(repr=False)  # parts of keys are among them

    def __post_init__(self) -> None:
        for (name, bits), value in zip(self.kind.layout, self.values, strict=True):
            if not 0 <= value < 1 << bits:
                raise TokenRefused(f"{name} of {self.kind.title} does not go into {bits} bits")

    @classmethod
    def of(cls, kind: Kind, /, **fields: int) -> Token:
        """The token of these fields, named as in ``kind.layout``. Raises :class:`TokenRefused`."""
        names = [name for name, _ in kind.layout]
        if set(fields) != set(names):
            raise TokenRefused(f"{kind.title} has the fields {', '.join(names)}")
        return cls(kind, tuple(fields[name] for name in names))

    def __getitem__(self, name: str) -> int:
        return self.fields[name]

    @property
    def fields(self) -> dict[str, int]:
        """The values by name."""
        return {name: value for (name, _), value in zip(self.kind.layout, self.values, strict=True)}

    @property
    def tid(self) -> int | None:
        """The token identifier, of a kind that has one."""
        return self["tid"] if self.kind.is_timed else None

    @property
    def block(self) -> int:
        """The 64 bits before encryption."""
        body = self.kind.subclass
        for (_, bits), value in zip(self.kind.layout, self.values, strict=True):
            body = body << bits | value
        return body << _CRC_BITS | check_sum(token_class=self.kind.token_class, block=body << _CRC_BITS)

    @property
    def fault(self) -> str | None:
        """What is out of the range of its field though the bits would hold it."""
        for name, value in self.fields.items():
            if value not in _LIMITS.get(name, range(value + 1)):
                return f"{name} {value} is outside {_LIMITS[name].start} to {_LIMITS[name].stop - 1}"
        fields = self.fields
        if self.kind in {Kind.TEST_OF_2_DIGITS, Kind.TEST_OF_4_DIGITS}:
            last = 99 if self.kind is Kind.TEST_OF_2_DIGITS else 9999
            if fields["manufacturer_code"] > last:
                return f"manufacturer_code {fields['manufacturer_code']} is outside 0 to {last}"
        if self.kind is Kind.CLEAR_TAMPER and fields["payload16"]:
            return "nothing but 0 is the payload of ClearTamperCondition"
        return None


def check_sum(*, token_class: int, block: int, currency: bool = False) -> int:
    """The 16 bits at the end of ``block``, from its class and the 48 bits before; ``currency`` adds a byte 01."""
    message = (token_class << 48 | block >> _CRC_BITS).to_bytes(7) + (b"\x01" if currency else b"")
    crc = 0xFFFF
    for octet in message:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return (crc & 0xFF) << 8 | crc >> 8


def parse_block(*, token_class: int, block: int) -> Token:
    """What stands in the 64 bits of a block that is not encrypted (any more).

    Raises :class:`TokenUnreadable` if the check sum is wrong: mistyped, or another meter's key. Raises
    :class:`NotCertain` for a kind that is not offered.
    """
    subclass, given = block >> 60, block & 0xFFFF
    currency = token_class == 0 and subclass in _CURRENCY_SUBCLASSES
    right = [check_sum(token_class=token_class, block=block)]
    right += [check_sum(token_class=token_class, block=block, currency=True)] if currency else []
    if given not in right:
        raise TokenUnreadable(
            Fault.CRC, "the token's check sum does not fit", remedy="look for a mistyped digit, or for another key"
        )
    kind = Kind.numbered(token_class=token_class, subclass=subclass)
    rest, values = block >> _CRC_BITS & (1 << _BODY_BITS) - 1, list[int]()
    for _, bits in reversed(kind.layout):
        values.append(rest & (1 << bits) - 1)
        rest >>= bits
    return Token(kind, tuple(reversed(values)))


def encode_token(*, token: Token, key: DecoderKey | None, tables: StaTables | None = None) -> str:
    """The 20 digits of a token for the meter with ``key`` (``None`` for class 1, which is for any meter).

    Refused: a field out of range, a credit under a default key, a part of a key that goes with another algorithm
    (:class:`TokenRefused`); a token identifier beyond the key's expiry (:class:`KeyExpired`); EA07 without ``tables``
    (:class:`TablesMissing`); a key change in three tokens (:class:`NotCertain`).
    """
    if token.fault is not None:
        raise TokenRefused(token.fault)
    token_class, block = token.kind.token_class, token.block
    if token_class != _PLAIN_CLASS:
        key = _needed(key)
        _check_issue(token, key)
        block = _enciphered(block, key, tables)
    high = block >> _CLASS_LOW & 3
    return f"{high << 64 | block & ~(3 << _CLASS_LOW) | token_class << _CLASS_LOW:0{TOKEN_DIGITS}d}"


def decode_token(*, digits: str, key: DecoderKey | None, tables: StaTables | None = None) -> Token:
    """What the 20 digits (spaces and hyphens do not matter) say to the meter with ``key``.

    Raises :class:`TokenUnreadable`, :class:`NotCertain`, :class:`KeyRefused` without the key it needs, and
    :class:`TablesMissing`. Whether the meter would take it is the keypad's question.
    """
    plain = digits.translate(_SEPARATORS)
    if len(plain) != TOKEN_DIGITS or not plain.isascii() or not plain.isdigit() or int(plain) >> _TOKEN_BITS:
        raise TokenUnreadable(Fault.FORMAT, f"a token is {TOKEN_DIGITS} digits, up to {(1 << _TOKEN_BITS) - 1}")
    number = int(plain)
    token_class = number >> _CLASS_LOW & 3
    block = number & (1 << 64) - 1 & ~(3 << _CLASS_LOW) | number >> 64 << _CLASS_LOW
    if token_class == _RESERVED_CLASS:
        raise TokenUnreadable(Fault.FUNCTION, "a token of class 3, which the standard reserves")
    if token_class != _PLAIN_CLASS:
        key = _needed(key)
        block = _deciphered(block, key, tables)
    token = parse_block(token_class=token_class, block=block)
    if key is not None:
        _check_parts(token, key)
    return token


def _needed(key: DecoderKey | None) -> DecoderKey:
    if key is None:
        raise KeyRefused("this token is encrypted and no decoder key is given")
    return key


def _check_issue(token: Token, key: DecoderKey) -> None:
    if token.kind.is_credit and key.key_type is KeyType.DDTK:
        raise TokenRefused(
            "a credit may not be made under a default key (key type 1, DDTK)",
            remedy="change the meter's key to its own first (key type 2)",
        )
    if token.tid is not None:
        check_expiry(tid=token.tid, ken=key.ken)
    _check_parts(token, key)
    if token.kind is Kind.KEY_1 and token["three_kct"]:
        raise NotCertain("a key change in three tokens (three_kct 1): no published vector proves its layout")


def _check_parts(token: Token, key: DecoderKey) -> None:
    if token.kind in {Kind.KEY_3, Kind.KEY_4} and key.ea is Algorithm.STA:
        raise NotCertain(f"{token.kind.title} under encryption algorithm 07: no published vector proves its layout")


def _enciphered(block: int, key: DecoderKey, tables: StaTables | None) -> int:
    if key.ea is Algorithm.MISTY1:
        return Misty1(key.octets).encrypt(block)
    if tables is None:
        raise TablesMissing
    return sta_encrypt(block=block, key=key.octets, tables=tables)


def _deciphered(block: int, key: DecoderKey, tables: StaTables | None) -> int:
    if key.ea is Algorithm.MISTY1:
        return Misty1(key.octets).decrypt(block)
    if tables is None:
        raise TablesMissing
    return sta_decrypt(block=block, key=key.octets, tables=tables)
