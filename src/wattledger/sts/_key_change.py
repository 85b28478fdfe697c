"""How a meter is given another key: in tokens under the old one, two for EA07 and four for EA11 (IEC 62055-41)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wattledger.sts._keys import Algorithm, DecoderKey, KeyType, check_names
from wattledger.sts._tokens import Kind, Token

_WHOLE = {
    Algorithm.STA: (Kind.KEY_1, Kind.KEY_2),
    Algorithm.MISTY1: (Kind.KEY_1, Kind.KEY_2, Kind.KEY_3, Kind.KEY_4),
}
_SGC_LOW_BITS = 12


@dataclass(frozen=True, slots=True)
class InstalledKey:
    """A meter's key and what the meter knows of it: revision 1..9, tariff index 0..99, supply group of 6 digits.

    Raises :class:`KeyRefused` for a value out of range.
    """

    key: DecoderKey
    krn: int
    tariff_index: int
    sgc: str

    def __post_init__(self) -> None:
        check_names(sgc=self.sgc, krn=self.krn, tariff_index=self.tariff_index)


def key_change(*, new: InstalledKey, rollover: bool) -> tuple[Token, ...]:
    """The tokens that give a meter the key ``new``, all to be encrypted under its old key of the same algorithm.

    ``rollover`` when the new key counts from another base date: the meter then forgets the identifiers of old tokens.
    Under EA07 the supply group is not told to the meter.
    """
    key, octets, sgc = new.key, new.key.octets, int(new.sgc)
    parts = {
        Kind.KEY_1: Token.of(
            Kind.KEY_1,
            kenho=key.ken >> 4,
            krn=new.krn,
            ro=int(rollover),
            three_kct=0,
            kt=int(key.key_type),
            nkho=int.from_bytes(octets[:4]),
        ),
        Kind.KEY_2: Token.of(Kind.KEY_2, kenlo=key.ken & 0xF, ti=new.tariff_index, nklo=int.from_bytes(octets[-4:])),
    }
    if key.ea is Algorithm.MISTY1:
        low = (1 << _SGC_LOW_BITS) - 1
        parts[Kind.KEY_3] = Token.of(Kind.KEY_3, sgclo=sgc & low, nkmo2=int.from_bytes(octets[4:8]))
        parts[Kind.KEY_4] = Token.of(Kind.KEY_4, sgcho=sgc >> _SGC_LOW_BITS, nkmo1=int.from_bytes(octets[8:12]))
    return tuple(parts[kind] for kind in _WHOLE[key.ea])


def changed_key(*, old: InstalledKey, parts: Sequence[Token]) -> tuple[InstalledKey, bool] | None:
    """The key that ``parts`` make, and whether it rolls over; ``None`` while one is wanting. In any order.

    Raises :class:`KeyRefused` if the parts make a supply group of more than 6 digits.
    """
    found = {part.kind: part for part in parts}
    if not set(_WHOLE[old.key.ea]) <= found.keys():
        return None
    first, second = found[Kind.KEY_1], found[Kind.KEY_2]
    words, sgc = [first["nkho"], second["nklo"]], old.sgc
    if old.key.ea is Algorithm.MISTY1:
        third, fourth = found[Kind.KEY_3], found[Kind.KEY_4]
        words[1:1] = [third["nkmo2"], fourth["nkmo1"]]
        sgc = f"{fourth['sgcho'] << _SGC_LOW_BITS | third['sgclo']:06d}"
    key = replace(
        old.key,
        octets=b"".join(word.to_bytes(4) for word in words),
        key_type=KeyType(first["kt"]),
        ken=first["kenho"] << 4 | second["kenlo"],
    )
    return InstalledKey(key, krn=first["krn"], tariff_index=second["ti"], sgc=sgc), bool(first["ro"])
