"""``wattledger sts``: the published vectors through the commands, and what they refuse."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattledger.app import main

Run = Callable[..., tuple[int, str, str]]

DERIVATION: dict[str, Any] = {
    "dkga": "04",
    "vending_key": "abababababababab949494949494949401234567",
    "meter_pan": "600727000000000009",
    "key_type": 2,
    "sgc": "123457",
    "tariff_index": "01",
    "krn": 1,
    "base_date": "93",
    "ea": "11",
}
DES: dict[str, Any] = {
    "dkga": "02",
    "vending_key": "abababababababab",
    "iin": "600727",
    "iain": "00000000000",
    "key_type": 2,
    "sgc": "123456",
    "tariff_index": "01",
    "krn": 1,
}
CREDIT: dict[str, Any] = {
    "type": "TransferCredit.Electricity",
    "rnd": 5,
    "issued_at": "2004-03-01T13:55:00",
    "base_date": "93",
    "amount_units_0_1": 1,
    "derivation": DERIVATION,
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(command: str, given: object, *options: object) -> tuple[int, str, str]:
        text = given if isinstance(given, str) else json.dumps(given)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        monkeypatch.setattr("sys.argv", ["wattledger", "sts", command, *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def answered(run: Run) -> Callable[..., Any]:
    """What a command answers that has nothing to refuse."""

    def answered(command: str, given: object, *options: object) -> Any:  # noqa: ANN401 - JSON
        code, out, err = run(command, given, *options)
        assert (code, err) == (0, "")
        return json.loads(out)

    return answered


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """The one line that a command refuses with."""

    def refused(command: str, given: object, *options: object) -> str:
        code, out, err = run(command, given, *options)
        assert (code, out) == (2, "")
        assert err.startswith("wattledger: ")
        assert err.count("\n") == 1
        assert "abababab" not in err.lower()
        return err

    return refused


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "vectors" / "sts.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def tables(vectors: dict[str, Any], tmp_path: Path) -> Path:
    file = tmp_path / "tables.json"
    file.write_text(json.dumps(vectors["iec_sample_sta"]["sample_tables"]), encoding="utf-8")
    return file


def told(entry: dict[str, Any]) -> dict[str, Any]:
    """What of a vector the commands have to answer: a limit is told as the meter will keep it, secrets not at all."""
    secret = {"derivation", "new_key_derivation", "decoder_key", "maximum_power_limit_w", "phase_unbalance_limit_w"}
    return {name: value for name, value in entry.items() if name not in secret}


def test_published_keys_are_derived(vectors: dict[str, Any], answered: Callable[..., Any]) -> None:
    asked = [{**one, "decoder_key": None, "kdf_input": None} for one in vectors["derivations"]]
    for entry, answer in zip(vectors["derivations"], answered("derive", asked), strict=True):
        assert {name: value for name, value in entry.items() if name != "vending_key"}.items() <= answer.items()


def test_published_tokens_are_made_from_their_fields(vectors: dict[str, Any], answered: Callable[..., Any]) -> None:
    asked = [{n: v for n, v in one.items() if n not in {"token", "block64"}} for one in vectors["tokens"]]
    for entry, answer in zip(vectors["tokens"], answered("encode", asked), strict=True):
        assert told(entry).items() <= answer.items()


@pytest.mark.parametrize(
    "left_out", [("decoder_key", "tid", "payload16"), ("derivation", "issued_at", "class", "subclass")]
)
def test_published_tokens_are_made_from_less(
    left_out: tuple[str, ...], vectors: dict[str, Any], answered: Callable[..., Any]
) -> None:
    asked = []
    for entry in vectors["tokens"]:
        asked.append({n: v for n, v in entry.items() if n not in {"token", "block64", *left_out}})
        if "payload16" in left_out and entry["type"] == "ClearCredit":
            asked[-1]["register"] = entry["payload16"]
    assert [one["token"] for one in answered("encode", asked)] == [one["token"] for one in vectors["tokens"]]


def test_published_tokens_are_read(vectors: dict[str, Any], answered: Callable[..., Any]) -> None:
    asked = [{n: one[n] for n in ("token", "ea", "decoder_key", "base_date") if n in one} for one in vectors["tokens"]]
    for entry, answer in zip(vectors["tokens"], answered("decode", asked), strict=True):
        assert told(entry).items() <= answer.items()
    asked = [{n: one[n] for n in ("token", "derivation") if n in one} for one in vectors["tokens"]]
    for entry, answer in zip(vectors["tokens"], answered("decode", asked), strict=True):
        assert told(entry).items() <= answer.items()


def test_a_published_key_change_is_made_whole(vectors: dict[str, Any], answered: Callable[..., Any]) -> None:
    parts = [one for one in vectors["tokens"] if one.get("new_key_derivation", {}).get("sgc") == "123461"]
    assert len(parts) == 4
    asked = {n: parts[0][n] for n in ("derivation", "new_key_derivation")} | {"type": "KeyChange", "new_ken": 255}
    made = answered("encode", asked)["tokens"]
    assert [one["token"] for one in made] == [one["token"] for one in parts]
    assert [one["fields"] for one in made] == [one["fields"] for one in parts]
    for part in parts:  # and each by itself, without its fields
        one = {"class": 2, "subclass": part["subclass"], "new_ken": 255}
        one |= {n: part[n] for n in ("derivation", "new_key_derivation")}
        assert answered("encode", one)["token"] == part["token"]


def test_the_published_sample_of_ea07(vectors: dict[str, Any], tables: Path, answered: Callable[..., Any]) -> None:
    sample = vectors["iec_sample_sta"]
    asked = {"class": 0, "block64": sample["block64"].upper(), "decoder_key": sample["decoder_key"].upper(), "ea": "07"}
    assert answered("encode", asked, "--tables", tables)["token"] == sample["token"]
    read = answered("decode", {"token": sample["token"], **asked}, "--tables", tables)
    assert (read["block64"], read["amount"], read["rnd"]) == (sample["block64"], 25.6, 11)


def test_ea07_without_tables_says_where_they_come_from(refused: Callable[..., str]) -> None:
    entry = {**CREDIT, "ea": "07", "derivation": {**DERIVATION, "ea": "07"}}
    assert "the STS Association issues the tables to its licensees" in refused("encode", entry)
    assert "--tables" in refused("decode", {"token": "51043465443420856213", "decoder_key": "0abc12def3456789"})


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read"), ("{", "no JSON"), ('{"s1": [1], "s2": [], "p": []}', "table s1")]
)
def test_tables_that_are_none_are_refused(
    content: str | None, says: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    file = tmp_path / "tables.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert says in refused("encode", CREDIT, "--tables", file)


# The worked example of the design and its DES key: public in every text on STS.
def test_a_worked_example(answered: Callable[..., Any]) -> None:
    made = answered("encode", {**CREDIT, "issued_at": "2004-03-01T13:00:00"})
    assert (made["token"], made["tid"]) == ("59386323472137426967", 5_871_660)
    assert made["block64"] == "0559982c00012831"
    assert answered("derive", DES)["decoder_key"] == "e653341f9d5bf36f"


def test_answers_come_in_the_shape_of_the_question(run: Run) -> None:
    one = json.dumps(DES)
    assert run("derive", json.dumps(DES, indent=2))[1].count("\n") == 1
    assert [json.loads(line)["krn"] for line in run("derive", f"{one}\n\n{one}\n")[1].splitlines()] == [1, 1]
    assert len(json.loads(run("derive", f"[{one}, {one}, {one}]")[1])) == 3
    assert json.loads(run("derive", "[]")[1]) == []


def test_members_may_be_written_in_many_ways(answered: Callable[..., Any]) -> None:
    right = answered("derive", DERIVATION)
    loose = {
        **DERIVATION,
        "dkga": 4,
        "ea": 11,
        "vending_key": DERIVATION["vending_key"].upper(),
        "meter_pan": 600727000000000009,
        "key_type": "2",
        "sgc": 123457,
        "tariff_index": 1,
        "krn": "1",
        "base_date": 1993,
        "unheard_of": {"and": "ignored"},
    }
    assert answered("derive", loose) == right
    apart = {n: v for n, v in loose.items() if n not in {"meter_pan", "dkga", "ea"}}
    assert answered("derive", {**apart, "iin": "600727", "iain": "00000000000"}) == right
    made = answered("encode", CREDIT)
    in_params = {n: CREDIT[n] for n in ("rnd", "issued_at", "base_date", "amount_units_0_1")}
    others = {n: v for n, v in CREDIT.items() if n not in in_params}
    assert answered("encode", {**others, "params": in_params}) == made
    assert answered("encode", {**CREDIT, "amount_units_0_1": None, "amount": "0.1"}) == made
    grouped = "-".join(made["token"][n : n + 4] for n in range(0, 20, 4))
    assert answered("decode", {"token": grouped, "derivation": loose}) == made
    assert answered("decode", {"token": int(made["token"]), "derivation": DERIVATION}) == made


def test_what_is_by_chance_is_drawn_when_it_is_not_said(answered: Callable[..., Any]) -> None:
    unsaid = {n: v for n, v in CREDIT.items() if n != "rnd"}
    drawn = {one["rnd"] for one in answered("encode", [unsaid] * 60)}
    assert drawn <= set(range(16))
    assert len(drawn) > 1


def test_the_minute_past_midnight_is_left_free(answered: Callable[..., Any]) -> None:
    made = answered("encode", {**CREDIT, "issued_at": "2004-03-29T00:01:00Z"})
    assert (made["tid"], made["issued_at"]) == (5_911_202, "2004-03-29T00:01:00")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"meter_pan": "600727000000000008"}, "check digit 8, not 9"),
        ({"meter_pan": "600727000000000017"}, "check digit 1, not 0"),
        ({"meter_pan": "60072700000000000"}, "not 18 digits"),
        ({"meter_pan": None}, "derivation.meter_pan or derivation.iin and iain is missing"),
        ({"dkga": "01"}, "DKGA01 is out of use"),
        ({"dkga": "03"}, "DKGA03 is out of use"),
        ({"ea": "09"}, "encryption algorithm 09 (DEA) is out of use"),
        ({"key_type": 3}, "DCTK"),
        ({"key_type": 1}, "default key"),
        ({"key_type": 4}, "key_type 4 is none of 0, 1, 2, 3"),
        ({"krn": 0}, "key revision number 0"),
        ({"krn": 10}, "key revision number 10"),
        ({"sgc": "12345"}, "not 6 digits"),
        ({"tariff_index": "100"}, "tariff index 100"),
        ({"base_date": "94"}, "base_date 94 is none of"),
        ({"base_date": "14"}, "contradict each other"),
        ({"vending_key": "abababababababab"}, "20 bytes, this one 8"),
        ({"vending_key": "xbababababababab949494949494949401234567"}, "not hexadecimal"),
        ({"ken": 85}, "expiry number is 85"),
        ({"ken": 256}, "key expiry number 256"),
    ],
)
def test_a_credit_is_not_made_under_a_key_that_is_not_right(
    change: dict[str, Any], says: str, refused: Callable[..., str]
) -> None:
    assert says in refused("encode", {**CREDIT, "derivation": {**DERIVATION, **change}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"issued_at": "1992-12-31T23:59:00"}, "outside base date 93"),
        ({"issued_at": "2024-11-24T20:16:00"}, "reaches from 1993-01-01 to 2024-11-24 20:15 UTC"),
        ({"issued_at": "yesterday"}, "no date and time"),
        ({"issued_at": None, "time": "2025-01-01T00:00:00Z"}, "outside base date 93"),
        ({"issued_at": None, "tid": 1 << 24}, "outside 0 to 16777215"),
        ({"issued_at": None, "tid": -1}, "outside 0 to 16777215"),
        ({"issued_at": None}, "tid or issued_at and base_date is missing"),
        ({"tid": 5}, "issued_at is token identifier"),
        ({"ken": 85, "time": "2004-04-01T09:30:00Z"}, "expiry number is 85"),
        ({"key_type": 1}, "contradict each other"),
        ({"rnd": 16}, "rnd of TransferCredit.Electricity does not go into 4 bits"),
        ({"amount_units_0_1": None}, "amount_units_0_1 or payload16 is missing"),
        ({"amount_units_0_1": -1}, "outside a token's"),
        ({"amount_units_0_1": 18_201_625}, "outside a token's"),
        ({"amount_units_0_1": True}, "no number"),
        ({"amount": 0.25, "amount_units_0_1": None}, "finer than 0.1"),
        ({"amount": "0.100000000000000000000000000001", "amount_units_0_1": None}, "finer than 0.1"),
        ({"amount": 0.2}, "contradict each other"),
        ({"payload16": 2}, "contradict each other"),
        ({"decoder_key": "00" * 16}, "not the key that the derivation gives"),
        ({"derivation": None, "decoder_key": "00" * 8, "ea": "11"}, "has 16 bytes, this one 8"),
        ({"derivation": None}, "decoder_key or derivation is missing"),
        ({"derivation": "secret"}, "no JSON object"),
        ({"type": "TransferCredit.Beer"}, "'TransferCredit.Beer' is not offered"),
        ({"class": 2, "subclass": 0}, "type says TransferCredit.Electricity"),
        ({"class": 0, "subclass": 4}, "currency credit"),
        ({"class": 1, "subclass": 6}, "a manufacturer's own test"),
        ({"class": 2, "subclass": 10}, "extended token set"),
        ({"class": 2, "subclass": 11}, "a manufacturer's own use"),
        ({"class": 3, "subclass": 0}, "reserved"),
        ({"class": 0, "subclass": 9}, "reserved"),
        ({"type": None}, "type or class and subclass is missing"),
    ],
)
def test_a_token_that_may_not_be_made_is_refused(
    change: dict[str, Any], says: str, refused: Callable[..., str]
) -> None:
    entry = {**CREDIT, **change}
    if "class" in change and change["class"] != 2:
        entry.pop("type")
    assert says in refused("encode", entry)


def test_a_des_key_of_even_parity_is_refused(refused: Callable[..., str]) -> None:
    assert "odd parity" in refused("derive", {**DES, "vending_key": "aaabababababab" + "ab"})
    entry = {**CREDIT, "derivation": {**DES, "vending_key": "aaabababababab" + "ab"}, "decoder_key": "00" * 8}
    assert "odd parity" in refused("encode", entry)
    assert "needs 16" in refused("derive", {**DES, "ea": "11"})


def test_a_common_key_leaves_the_meter_out(answered: Callable[..., Any]) -> None:
    made = answered("derive", {**DES, "key_type": 3})
    assert (made["pan_block"], made["control_block"]) == ("0072700000000000", "3123456011FFFFFF")
    assert made["decoder_key"] == answered("derive", {**DES, "key_type": 3, "iain": "01000000016"})["decoder_key"]


def test_a_test_may_leave_check_digits_unchecked(answered: Callable[..., Any], refused: Callable[..., str]) -> None:
    wrong = {**DERIVATION, "meter_pan": "600727000000000010"}
    assert "check digit" in refused("derive", wrong)
    assert answered("derive", wrong, "--unchecked-digits")["meter_pan"] == "600727000000000010"


PART: dict[str, Any] = {
    "class": 2,
    "subclass": 3,
    "derivation": DERIVATION,
    "fields": {"kenho": 15, "krn": 1, "ro": 0, "kt": 2},
}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (PART, "fields.nkho is missing"),
        ({**PART, "fields": {**PART["fields"], "nkho": "b20883"}}, "nkho is not 8 hexadecimal digits"),
        ({**PART, "fields": {**PART["fields"], "nkho": "b2088343", "three_kct": 1}}, "three tokens"),
        ({**PART, "fields": {**PART["fields"], "nkho": "b2088343", "krn": 0}}, "krn 0 is outside 1 to 9"),
        (
            {**PART, "fields": {"nkho": "b2088343"}, "new_key_derivation": {**DERIVATION, "krn": 2}, "new_ken": 255},
            "fields.nkho is not that of new_key_derivation",
        ),
        ({"type": "KeyChange", "derivation": DERIVATION}, "new_key_derivation is missing"),
        ({"type": "KeyChange", "derivation": DERIVATION, "new_key_derivation": DERIVATION}, "new_ken is missing"),
        (
            {"type": "KeyChange", "derivation": DERIVATION, "new_key_derivation": {**DERIVATION, "ea": "07"}},
            "the new key is for encryption algorithm 07, the old one for 11",
        ),
        (
            {"class": 2, "subclass": 8, "decoder_key": "00" * 8, "fields": {"sgclo": 1, "nkmo2": "00000000"}},
            "under encryption algorithm 07",
        ),
    ],
)
def test_a_part_of_a_key_that_is_not_right_is_refused(
    entry: dict[str, Any], says: str, refused: Callable[..., str]
) -> None:
    assert says in refused("encode", entry)


def test_a_change_of_base_date_rolls_over(answered: Callable[..., Any]) -> None:
    entry = {"type": "KeyChange", "derivation": DERIVATION, "new_ken": 200}
    made = answered("encode", {**entry, "new_key_derivation": {**DERIVATION, "base_date": "14"}})["tokens"]
    assert [one["subclass"] for one in made] == [3, 4, 8, 9]
    assert (made[0]["fields"]["ro"], made[0]["fields"]["kenho"], made[1]["fields"]["kenlo"]) == (1, 12, 8)
    assert answered("encode", {**entry, "new_key_derivation": DERIVATION})["tokens"][0]["fields"]["ro"] == 0


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"token": "59386323472137426968", "derivation": DERIVATION}, "check sum does not fit"),
        ({"token": "59386323472137426967", "decoder_key": "00" * 16}, "check sum does not fit"),
        ({"token": "5938632347213742696", "derivation": DERIVATION}, "a token is 20 digits"),
        ({"token": "99999999999999999999", "derivation": DERIVATION}, "a token is 20 digits"),
        ({"token": "59386323472137426967"}, "decoder_key or derivation is missing"),
        ({"derivation": DERIVATION}, "token is missing"),
    ],
)
def test_what_is_no_token_is_refused(entry: dict[str, Any], says: str, refused: Callable[..., str]) -> None:
    assert says in refused("decode", entry)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "standard input is empty"),
        ("{", "standard input is no JSON"),
        ("3", "what came is no JSON object"),
        ("[3]", "entry 1 is no JSON object"),
        ('{"amount": NaN}', "holds NaN"),
        ('{"a": ' + "9" * 5000 + "}", "too large"),
        ("[" * 100_000, "too large"),
        (f"{json.dumps(DES)}\n{json.dumps({**DES, 'krn': 0})}", "entry 2: key revision number 0"),
    ],
)
def test_what_cannot_be_understood_is_one_readable_line(text: str, says: str, refused: Callable[..., str]) -> None:
    assert says in refused("derive", text)
