"""Everything in the file of published vectors, forwards and backwards."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from wattledger.sts import (
    Algorithm,
    BaseDate,
    DecoderKey,
    Derivation,
    Dkga,
    InstalledKey,
    KeyExpired,
    KeyType,
    Kind,
    MeterPan,
    StaTables,
    amount_to_field,
    check_expiry,
    check_sum,
    decode_token,
    encode_token,
    field_to_amount,
    instant_of,
    key_change,
    luhn_digit,
    parse_block,
    tid_at,
)
from wattledger.sts._misty1 import _S7, _S9, Misty1


def derivation(told: dict[str, Any]) -> Derivation:
    return Derivation(
        dkga=Dkga(told["dkga"]),
        ea=Algorithm(told.get("ea", "07")),
        pan=MeterPan.read(pan=told["meter_pan"])
        if "meter_pan" in told
        else MeterPan.of(iin=told["iin"], iain=told["iain"]),
        key_type=KeyType(told["key_type"]),
        sgc=told["sgc"],
        tariff_index=int(told["tariff_index"]),
        krn=told["krn"],
        base_date=BaseDate(told.get("base_date", "93")),
    )


def key_of(told: dict[str, Any]) -> DecoderKey | None:
    return DecoderKey(Algorithm(told["ea"]), bytes.fromhex(told["decoder_key"])) if "decoder_key" in told else None


def test_keys_are_derived(vectors: dict[str, Any]) -> None:
    for told in vectors["derivations"] + [one["derivation"] for one in vectors["tokens"] if "derivation" in one]:
        one = derivation(told)
        assert one.decoder_key(vending_key=bytes.fromhex(told["vending_key"])).octets.hex() == told["decoder_key"]
        if told["dkga"] == "04":
            assert one.kdf_input.hex() == told["kdf_input"]
        else:
            assert (one.pan_block, one.control_block) == (told["pan_block"], told["control_block"])


def test_tokens_are_read_and_made(vectors: dict[str, Any]) -> None:
    for told in vectors["tokens"]:
        token = decode_token(digits=told["token"], key=key_of(told))
        assert f"{token.block:016x}" == told["block64"]
        assert (token.kind.token_class, token.kind.subclass) == (told["class"], told["subclass"])
        assert token.kind is Kind.named(title=told["type"])
        assert encode_token(token=token, key=key_of(told)) == told["token"]
        fields = told.get("fields", told)
        for name, value in token.fields.items():
            assert value == (int(fields[name], 16) if isinstance(fields[name], str) else fields[name])


def test_amounts_and_instants_are_those_told(vectors: dict[str, Any]) -> None:
    for told in vectors["tokens"]:
        for name in {"amount_units_0_1", "maximum_power_limit_w", "phase_unbalance_limit_w"} & told.keys():
            assert amount_to_field(units=told[name]) == told["payload16"]
        if "issued_at" in told:
            base = BaseDate(told["base_date"])
            issued_at = datetime.fromisoformat(told["issued_at"] + "Z")
            assert tid_at(issued_at=issued_at, base_date=base) == told["tid"]
            assert instant_of(tid=told["tid"], base_date=base) == issued_at


def test_the_parts_of_a_key_change_are_those_of_its_new_key(vectors: dict[str, Any]) -> None:
    seen = set()
    for told in vectors["tokens"]:
        if "new_key_derivation" in told:
            new = derivation(told["new_key_derivation"])
            key = new.decoder_key(vending_key=bytes.fromhex(told["new_key_derivation"]["vending_key"]))
            installed = InstalledKey(key=key, krn=new.krn, tariff_index=new.tariff_index, sgc=new.sgc)
            made = [encode_token(token=one, key=key_of(told)) for one in key_change(new=installed, rollover=False)]
            assert told["token"] in made
            seen.add(told["subclass"])
    assert seen == {3, 4, 8, 9}


def test_check_sums(vectors: dict[str, Any]) -> None:
    for told in vectors["crc"]:
        bits = int(told["bits50_as_7_bytes"], 16)
        made = check_sum(token_class=told["class_"], block=(bits & (1 << 48) - 1) << 16)
        assert f"{made:04x}" == told["crc"]


def test_check_digits(vectors: dict[str, Any]) -> None:
    for told in vectors["luhn"]:
        assert luhn_digit(digits=told["body"]) == told["check"]


def test_token_identifiers(vectors: dict[str, Any]) -> None:
    for told in vectors["tid"]:
        issued_at = datetime.fromisoformat(told.get("time") or told["last_valid"])
        assert tid_at(issued_at=issued_at, base_date=BaseDate(told["base"])) == told["tid"]


def test_an_expired_key_is_refused(vectors: dict[str, Any]) -> None:
    told = next(one for one in vectors["negative"] if one["case"] == "key expired")
    tid = tid_at(issued_at=datetime.fromisoformat(told["time"]), base_date=BaseDate(told["base"]))
    with pytest.raises(KeyExpired, match="expiry number is 85"):
        check_expiry(tid=tid, ken=told["ken"])
    check_expiry(tid=tid, ken=90)


def test_misty1(vectors: dict[str, Any], shared: Path) -> None:
    tables = json.loads((shared / "vectors" / "misty1_tables.json").read_text(encoding="utf-8"))
    assert (list(_S7), list(_S9)) == (tables["s7"], tables["s9"])
    for told in vectors["misty1"]:
        cipher = Misty1(bytes.fromhex(told["key"]))
        assert f"{cipher.encrypt(int(told['plain'], 16)):016x}" == told["cipher"]
        assert f"{cipher.decrypt(int(told['cipher'], 16)):016x}" == told["plain"]


def test_the_sample_of_ea07(vectors: dict[str, Any], sample_tables: StaTables) -> None:
    told = vectors["iec_sample_sta"]
    key = DecoderKey(Algorithm.STA, bytes.fromhex(told["decoder_key"]))
    token = parse_block(token_class=told["class"], block=int(told["block64"], 16))
    digits = encode_token(token=token, key=key, tables=sample_tables)
    assert digits == told["token"]
    assert f"{int(digits):017x}" == told["token66_hex"]
    assert decode_token(digits=digits, key=key, tables=sample_tables) == token


def test_the_greatest_amount(vectors: dict[str, Any]) -> None:
    largest = max(one["payload16"] for one in vectors["tokens"] if "maximum_power_limit_w" in one)
    assert field_to_amount(field=largest) == 1_818_624
    assert field_to_amount(field=0xFFFF) == 18_201_624
