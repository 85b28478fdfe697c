"""Tokens as JSON, with the field names of the published vectors (docs/sts.md lists them)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from wattledger.cli._sts_entry import Entry, EntryRefused
from wattledger.cli._sts_keys import Setting, base_date_of, making_key, new_key, reading_key, sources
from wattledger.sts import (
    TID_MAX,
    DecoderKey,
    KeyRefused,
    Kind,
    NotCertain,
    Token,
    TokenIdOutOfRange,
    amount_to_field,
    decode_token,
    encode_token,
    field_to_amount,
    instant_of,
    key_change,
    parse_block,
    tid_at,
)

_KEY_SET = "keychange"
_WORDS = {"nkho", "nklo", "nkmo1", "nkmo2"}  # 32 bits of a key each, in hexadecimal
_WORD_BYTES = 4
_LIMITS = {Kind.POWER_LIMIT: "maximum_power_limit_w", Kind.PHASE_UNBALANCE_LIMIT: "phase_unbalance_limit_w"}
_NAMED = {Kind.CLEAR_CREDIT: "register", Kind.TARIFF_RATE: "tariff_rate", Kind.WATER_FACTOR: "water_meter_factor"}
_OTHER_NAMES = {"base": "base_date", "time": "issued_at"}


def encoded(entry: Entry, setting: Setting) -> dict[str, object]:
    """An entry of ``tokens`` with its token. ``"type": "KeyChange"`` makes all the tokens of a new key."""
    entry = _opened(entry)
    if "type" in entry and entry.text("type").lower() == _KEY_SET:
        return _key_set(entry, setting)
    kind = _kind(entry)
    key = None if kind.token_class == 1 else making_key(entry, setting)
    token = _token(entry, kind, key, setting)
    told = _described(encode_token(token=token, key=key, tables=setting.tables), token, key, entry)
    if kind.is_timed and "issued_at" in entry:
        told["issued_at"] = _written(entry.instant("issued_at"))  # as it was said, though 00:01 became 00:02
    return told


def read_back(entry: Entry, setting: Setting) -> dict[str, object]:
    """What stands in the ``token`` of an entry, as an entry of ``tokens``."""
    entry = _opened(entry)
    digits, key = entry.text("token", digits=20), None
    try:
        token = decode_token(digits=digits, key=None)
    except KeyRefused:  # it is encrypted
        key = reading_key(entry, setting)
        token = decode_token(digits=digits, key=key, tables=setting.tables)
    return _described("".join(filter(str.isdigit, digits)), token, key, entry)


def _opened(entry: Entry) -> Entry:
    """The entry with its ``params`` beside the rest, and every member under its first name."""
    entry = entry.over(entry.inner("params"))
    named = {name: entry.members[other] for other, name in _OTHER_NAMES.items() if other in entry and name not in entry}
    return Entry({**entry.members, **named}, entry.path)


def _kind(entry: Entry) -> Kind:
    if "class" not in entry and "subclass" not in entry:
        if "type" not in entry:
            raise entry.wanted("type", "class and subclass")
        return Kind.named(title=entry.text("type"))
    token_class = entry.number("class")
    # The block of a vector has the subclass in its first digit.
    subclass = _block(entry) >> 60 if "subclass" not in entry and "block64" in entry else entry.number("subclass")
    kind = Kind.numbered(token_class=token_class, subclass=subclass)
    try:
        other = Kind.named(title=entry.text("type")) if "type" in entry else kind
    except NotCertain:  # somebody else's name for it
        other = kind
    if other is not kind:
        raise EntryRefused(f"class {token_class} and subclass {subclass} are {kind.title}, type says {other.title}")
    return kind


def _block(entry: Entry) -> int:
    octets = entry.octets("block64")
    if len(octets) != 8:  # noqa: PLR2004 - 64 bits
        raise EntryRefused("block64 is not 16 hexadecimal digits")
    return int.from_bytes(octets)


# ── Bodies ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _token(entry: Entry, kind: Kind, key: DecoderKey | None, setting: Setting) -> Token:
    """The token that the entry's fields make; without any, the one in its ``block64``."""
    if kind.is_key_part and key is not None:
        told = "fields" in entry or "new_key_derivation" in entry
        fields = _key_part(entry, kind, key, setting) if told or "block64" not in entry else {}
    elif kind.is_timed:
        told = "tid" in entry or "issued_at" in entry
        fields = _timed(entry, kind, setting) if told or "block64" not in entry else {}
    else:
        told = "control" in entry
        fields = {name: entry.number(name) for name, _ in kind.layout} if told or "block64" not in entry else {}
    return Token.of(kind, **fields) if fields else parse_block(token_class=kind.token_class, block=_block(entry))


def _timed(entry: Entry, kind: Kind, setting: Setting) -> dict[str, int]:
    rnd = entry.number("rnd") if "rnd" in entry else setting.chance(16)
    return {"rnd": rnd, "tid": _tid(entry), "payload16": _payload(entry, kind)}


def _tid(entry: Entry) -> int:
    """``tid``, or the identifier of ``issued_at``; both only if they say the same."""
    tid = entry.number("tid") if "tid" in entry else None
    if tid is not None and not 0 <= tid <= TID_MAX:
        raise TokenIdOutOfRange(f"token identifier {tid} is outside 0 to {TID_MAX}")
    base_date = base_date_of(sources(entry)[1])
    if "issued_at" in entry and (base_date is not None or tid is None):
        if base_date is None:
            raise entry.wanted("base_date")
        reckoned = tid_at(issued_at=entry.instant("issued_at"), base_date=base_date)
        if tid not in {None, reckoned}:
            raise EntryRefused(
                f"issued_at is token identifier {reckoned} from base date {base_date} and tid says {tid}",
                remedy="leave one of them away",
            )
        return reckoned
    if tid is None:
        raise entry.wanted("tid", "issued_at and base_date")
    return tid


def _payload(entry: Entry, kind: Kind) -> int:
    """The 16 bits at a timed body's end, from every field that tells them; they may not contradict each other."""
    told: dict[str, int] = {}
    if "payload16" in entry:
        told["payload16"] = entry.number("payload16")
    if kind.is_credit:
        if "amount" in entry:
            told["amount"] = amount_to_field(units=_tenths(entry))
        if "amount_units_0_1" in entry:
            told["amount_units_0_1"] = amount_to_field(units=entry.number("amount_units_0_1"))
    elif kind in _LIMITS and _LIMITS[kind] in entry:
        told[_LIMITS[kind]] = amount_to_field(units=entry.number(_LIMITS[kind]))
    elif kind in _NAMED and _NAMED[kind] in entry:
        told[_NAMED[kind]] = entry.number(_NAMED[kind])
    elif kind is Kind.CLEAR_TAMPER:
        told.setdefault("payload16", 0)
    if len(set(told.values())) > 1:
        raise EntryRefused(f"{' and '.join(told)} contradict each other", remedy="leave all but one of them away")
    if not told:
        own = "amount_units_0_1" if kind.is_credit else {**_LIMITS, **_NAMED}[kind]
        raise entry.wanted(own, "payload16")
    return next(iter(told.values()))


def _tenths(entry: Entry) -> int:
    tenths = Fraction(entry.decimal("amount")) * 10  # a Decimal's product would be rounded to 28 digits
    if tenths.denominator != 1:
        raise EntryRefused(f"amount {entry.decimal('amount')} is finer than 0.1", remedy="round it before it is sold")
    return int(tenths)


def _key_set(entry: Entry, setting: Setting) -> dict[str, object]:
    key = making_key(entry, setting)
    new, ken_is_told = new_key(entry, key, setting)
    rollover = _rollover(entry)
    if not ken_is_told:
        raise entry.wanted("new_ken")
    if rollover is None:
        raise entry.wanted("ro")
    parts = key_change(new=new, rollover=rollover)
    made = [(encode_token(token=part, key=key, tables=setting.tables), part) for part in parts]
    return {"type": "KeyChange", "tokens": [_described(digits, token, key, entry) for digits, token in made]}


def _key_part(entry: Entry, kind: Kind, key: DecoderKey, setting: Setting) -> dict[str, int]:
    """One token of a key change: from ``fields``, from ``new_key_derivation``, or from both if they agree."""
    told = entry.over(entry.inner("fields"))
    given = {name: _part_field(told, name) for name, _ in kind.layout if name in told}
    reckoned = {"three_kct": 0}
    if "new_key_derivation" in entry:
        new, ken_is_told = new_key(entry, key, setting)
        rollover = _rollover(entry)
        part = next((one for one in key_change(new=new, rollover=bool(rollover)) if one.kind is kind), None)
        reckoned |= {} if part is None else part.fields
        unknown = {"ro"} if rollover is None else set[str]()
        unknown |= set() if ken_is_told else {"kenho", "kenlo"}
        reckoned = {name: value for name, value in reckoned.items() if name not in unknown}
        for name in given.keys() & reckoned.keys() - {"three_kct"}:
            if given[name] != reckoned[name]:
                raise EntryRefused(f"fields.{name} is not that of new_key_derivation", remedy="leave one of them away")
    found = {**reckoned, **given}
    for name, _ in kind.layout:
        if name not in found:
            raise entry.wanted(f"fields.{name}")
    return {name: found[name] for name, _ in kind.layout}


def _part_field(told: Entry, name: str) -> int:
    if name not in _WORDS:
        return told.number(name)
    octets = told.octets(name)
    if len(octets) != _WORD_BYTES:
        raise EntryRefused(f"{name} is not 8 hexadecimal digits")
    return int.from_bytes(octets)


def _rollover(entry: Entry) -> bool | None:
    """``ro``, or else whether the base dates of the two keys differ; ``None`` if that is not said."""
    told = entry.over(entry.inner("fields"))
    if "ro" in told:
        return told.one_of("ro", {0: False, 1: True})
    new = entry.inner("new_key_derivation")
    bases = base_date_of(sources(entry)[1]), base_date_of([new] if new is not None else [])
    return None if None in bases else bases[0] is not bases[1]


# ── What stands in a token ────────────────────────────────────────────────────────────────────────────────────────────


def _described(digits: str, token: Token, key: DecoderKey | None, entry: Entry) -> dict[str, object]:
    """A token as an entry of ``tokens``."""
    kind = token.kind
    told: dict[str, object] = {"token": digits, "class": kind.token_class}
    if key is not None:
        told["ea"] = key.ea.value
    told |= {"subclass": kind.subclass, "type": kind.title, "block64": f"{token.block:016x}"}
    if kind.is_key_part:
        return {**told, "fields": {n: f"{v:08x}" if n in _WORDS else v for n, v in token.fields.items()}}
    told |= token.fields
    if token.tid is None:
        return told
    base_date = base_date_of(sources(entry)[1])
    if base_date is not None:
        told["issued_at"] = _written(instant_of(tid=token.tid, base_date=base_date))
        told["base_date"] = base_date.value
    payload = token["payload16"]
    if kind.is_credit:
        units = field_to_amount(field=payload)
        told |= {"amount": Decimal(units).scaleb(-1), "amount_units_0_1": units}
    elif kind in _LIMITS:
        told[_LIMITS[kind]] = field_to_amount(field=payload)
    elif kind in _NAMED:
        told[_NAMED[kind]] = payload
    return told


def _written(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}"
