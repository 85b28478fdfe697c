"""Keys as JSON, with the field names of the published vectors (docs/sts.md lists them)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from wattledger.cli._sts_entry import Entry, EntryRefused
from wattledger.sts import (
    KEN_NEVER,
    Algorithm,
    BaseDate,
    DecoderKey,
    Derivation,
    Dkga,
    InstalledKey,
    KeyRefused,
    KeyType,
    MeterNumberRefused,
    MeterPan,
    NotCertain,
    StaTables,
)

_V = TypeVar("_V")
_ALGORITHMS = {int(one): one for one in Algorithm}
_DKGAS = {int(one): one for one in Dkga}
_KEY_TYPES = {int(one): one for one in KeyType}
_BASE_DATES = {**{int(one): one for one in BaseDate}, **{one.instant.year: one for one in BaseDate}}
_OUT_OF_USE = {9: "encryption algorithm 09 (DEA)", 1: "DKGA01", 3: "DKGA03"}
_DES_KEY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line says: the tables of EA07, whether check digits are checked; and a source of chance."""

    tables: StaTables | None
    check_digits: bool
    chance: Callable[[int], int]


def derived(entry: Entry, setting: Setting) -> dict[str, object]:
    """An entry of ``derivations`` with its decoder key; the vending key is not repeated."""
    derivation, key = _derive(entry, setting)
    told: dict[str, object] = {
        "dkga": derivation.dkga.value,
        "meter_pan": str(derivation.pan),
        "iin": derivation.pan.iin,
        "iain": derivation.pan.iain,
        "key_type": int(derivation.key_type),
        "sgc": derivation.sgc,
        "tariff_index": f"{derivation.tariff_index:02d}",
        "krn": derivation.krn,
        "ea": derivation.ea.value,
    }
    if derivation.dkga is Dkga.DES:
        told |= {"pan_block": derivation.pan_block, "control_block": derivation.control_block}
    else:
        told |= {"base_date": derivation.base_date.value, "kdf_input": derivation.kdf_input.hex()}
    return {**told, "decoder_key": key.octets.hex()}


def _derive(told: Entry, setting: Setting, ea: Algorithm | None = None) -> tuple[Derivation, DecoderKey]:
    """The key of an entry of ``derivations``; ``ea`` where it does not say its own."""
    vending_key = told.octets("vending_key")
    if "dkga" in told:
        dkga = _in_use(told, "dkga", _DKGAS)
    else:
        dkga = Dkga.DES if len(vending_key) == _DES_KEY_BYTES else Dkga.HMAC
    own = _in_use(told, "ea", _ALGORITHMS) if "ea" in told else ea
    derivation = Derivation(
        dkga=dkga,
        ea=own or (Algorithm.STA if dkga is Dkga.DES else Algorithm.MISTY1),
        pan=_pan(told, setting),
        key_type=told.one_of("key_type", _KEY_TYPES),
        sgc=told.text("sgc", digits=6),
        tariff_index=told.number("tariff_index"),
        krn=told.number("krn"),
        base_date=told.one_of("base_date", _BASE_DATES) if dkga is Dkga.HMAC else BaseDate.Y1993,
    )
    ken = told.number("ken") if "ken" in told else KEN_NEVER
    return derivation, derivation.decoder_key(vending_key=vending_key, ken=ken)


def _in_use(told: Entry, name: str, known: Mapping[int, _V]) -> _V:
    value = told.number(name)
    if value in _OUT_OF_USE:
        raise NotCertain(f"{_OUT_OF_USE[value]} is out of use and not offered")
    return told.one_of(name, known)


def _pan(told: Entry, setting: Setting) -> MeterPan:
    pan: MeterPan | None = None
    if "meter_pan" in told:
        pan = MeterPan.read(pan=_digits(told, "meter_pan", 18), check_digits=setting.check_digits)
    if "iin" not in told and "iain" not in told:
        if pan is None:
            raise told.wanted("meter_pan", "iin and iain")
        return pan
    iin = _digits(told, "iin", 4)
    iain = _digits(told, "iain", 13 if iin == "0000" else 11)
    made = MeterPan.of(iin=iin, iain=iain, check_digits=setting.check_digits)
    if pan is not None and (pan.iin, pan.iain) != (iin, iain):
        raise MeterNumberRefused(f"meter PAN {pan} is not that of issuer {iin} and number {iain}")
    return pan or made


def _digits(told: Entry, name: str, digits: int) -> str:
    return told.text(name, digits=digits).replace(" ", "").replace("-", "")


def sources(entry: Entry) -> tuple[Entry | None, Sequence[Entry]]:
    """Where the vending key's derivation is, and every place that may say something about the key."""
    inner = entry.inner("derivation")
    if inner is None and "vending_key" in entry:
        return entry, [entry]
    return inner, [entry] if inner is None else [entry, inner]


def agreed(places: Sequence[Entry], name: str, read: Callable[[Entry], _V]) -> _V | None:
    """What the places say of ``name``; refused where they contradict each other."""
    found = [(place.path, read(place)) for place in places if name in place]
    if any(value != found[0][1] for _, value in found):
        raise EntryRefused(f"{' and '.join(path + name for path, _ in found)} contradict each other")
    return found[0][1] if found else None


def making_key(entry: Entry, setting: Setting) -> DecoderKey:
    """The key to make tokens with: derived and checked wherever there is a vending key, or as it is given."""
    derivation, places = sources(entry)
    ea = agreed(places, "ea", lambda place: _in_use(place, "ea", _ALGORITHMS))
    given = agreed(places, "decoder_key", lambda place: place.octets("decoder_key"))
    ken = agreed(places, "ken", lambda place: place.number("ken"))
    key_type = agreed(places, "key_type", lambda place: place.one_of("key_type", _KEY_TYPES))
    if derivation is not None and "vending_key" in derivation:
        _, key = _derive(derivation, setting, ea)
        if given is not None and given != key.octets:
            raise EntryRefused("decoder_key is not the key that the derivation gives", remedy="leave one of them away")
    else:
        for place in places:
            if "meter_pan" in place:
                _pan(place, setting)
        key = _given_key(given, ea, entry)
    return replace(key, key_type=key.key_type if key_type is None else key_type, ken=key.ken if ken is None else ken)


def reading_key(entry: Entry, setting: Setting) -> DecoderKey:
    """The key to read a token with: as it is given, or else derived."""
    derivation, places = sources(entry)
    ea = agreed(places, "ea", lambda place: _in_use(place, "ea", _ALGORITHMS))
    place = next((place for place in places if "decoder_key" in place), None)
    if place is None and derivation is not None:
        return _derive(derivation, setting, ea)[1]
    return _given_key(None if place is None else place.octets("decoder_key"), ea, entry)


def _given_key(octets: bytes | None, ea: Algorithm | None, entry: Entry) -> DecoderKey:
    if octets is None:
        raise entry.wanted("decoder_key", "derivation")
    if ea is None:
        ea = next((one for one in Algorithm if one.key_bytes == len(octets)), Algorithm.MISTY1)
    return DecoderKey(ea=ea, octets=octets)


def new_key(entry: Entry, old: DecoderKey, setting: Setting) -> tuple[InstalledKey, bool]:
    """The key that ``new_key_derivation`` makes, and whether its expiry number is said."""
    told = entry.inner("new_key_derivation")
    if told is None:
        raise entry.wanted("new_key_derivation")
    derivation, key = _derive(told, setting, old.ea)
    if key.ea is not old.ea:
        raise KeyRefused(f"the new key is for encryption algorithm {key.ea}, the old one for {old.ea}")
    ken = agreed([entry, told], "new_ken", lambda place: place.number("new_ken"))
    if ken is not None:
        key = replace(key, ken=ken)
    new = InstalledKey(key, derivation.krn, derivation.tariff_index, derivation.sgc)
    return new, ken is not None or "ken" in told


def base_date_of(places: Sequence[Entry]) -> BaseDate | None:
    """From when the minutes of a token are counted, where it is said."""
    return agreed(places, "base_date", lambda place: place.one_of("base_date", _BASE_DATES))
