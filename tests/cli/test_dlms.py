"""``wattledger dlms decode`` as a person uses it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from wattledger.app import main
from wattledger.dlms import (
    Ciphered,
    DataNotification,
    DateTime,
    Frame,
    GeneralBlock,
    Keys,
    Packet,
    SecurityControl,
    array,
    int8,
    long_frames,
    obis,
    octets,
    protect,
    structure,
    text,
    uint32,
)

KEY, AUTH_KEY = bytes(range(16)), bytes(range(0xD0, 0xE0))
TITLE = b"WLG\0\0\0\0\1"
AT = DateTime(2026, 3, 1, 7, 12, 0, 0, None, -60, 0)
PUSH = DataNotification(
    7, AT, structure(text("WLG"), octets(obis("1-0:1.8.0")), uint32(4_711), array([int8(-3)]))
).encoded
BODY = ["WLG", "hex:0100010800ff", 4_711, [-3]]


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(given: bytes | str, *arguments: str) -> Result:
        shown = given if isinstance(given, str) else given.hex()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(shown.encode())))
        monkeypatch.setattr(sys, "argv", ["wattledger", "dlms", "decode", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Result(int(ended.value.code or 0), written.out, written.err)

    return command


def ciphered(*, counter: int = 9, suite: int = 0, authenticated: bool = True, encrypted: bool = True) -> bytes:
    control = SecurityControl(suite, authenticated, encrypted)
    closed = protect(PUSH, control=control, title=TITLE, counter=counter, keys=Keys(KEY, AUTH_KEY))
    return Ciphered(0xDB, closed, TITLE).encoded


def hdlc(apdu: bytes, *, part: int = 2_000) -> bytes:
    whole = b"\xe6\xe7\0" + apdu
    starts = range(0, len(whole), part)
    return b"".join(
        Frame(b"\x03", b"\x21", 0x13, whole[at : at + part], at + part < len(whole)).encoded for at in starts
    )


@pytest.mark.parametrize(
    ("framed", "framing"),
    [
        (PUSH, "apdu"),
        (Packet(1, 102, PUSH).encoded, "wrapper"),
        (long_frames(PUSH, source=1, destination=103, part_max=20), "mbus"),
        (hdlc(PUSH), "hdlc"),
        (hdlc(PUSH, part=30), "hdlc-segmented"),
        (PUSH.hex(" ").upper(), "apdu"),
        ("\n".join(f"0x{octet:02x}," for octet in PUSH), "apdu"),
    ],
)
def test_any_framing_says_the_same(run: Run, framed: bytes | str, framing: str) -> None:
    told = json.loads(run(framed, "--json").out)
    assert (told["framing"], told["security"]) == (framing, None)
    assert told["apdu"]["type"] == "data-notification"
    assert told["apdu"]["body"] == BODY
    assert told["apdu"]["datetime"]["hour"] == 12
    assert told["apdu"]["datetime"]["deviation_min"] == -60


@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize(("authenticated", "encrypted"), [(True, True), (True, False), (False, True)])
def test_a_ciphered_push_is_opened(run: Run, suite: int, authenticated: bool, encrypted: bool) -> None:  # noqa: FBT001
    frame = hdlc(ciphered(suite=suite, authenticated=authenticated, encrypted=encrypted))
    told = json.loads(run(frame, "--json", "--key", KEY.hex(), "--auth-key", AUTH_KEY.hex()).out)
    assert told["security"] == {
        "system_title": TITLE.hex(),
        "security_control": suite | authenticated << 4 | encrypted << 5,
        "invocation_counter": 9,
        "authenticated": authenticated,
        "encrypted": encrypted,
        "suite": suite,
        "tag_ok": True if authenticated else None,
    }
    assert told["apdu"]["body"] == BODY


def test_keys_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLEDGER_DLMS_KEY", KEY.hex())
    monkeypatch.setenv("WATTLEDGER_DLMS_AUTH_KEY", AUTH_KEY.hex())
    result = run(ciphered())
    assert result.code == 0
    assert "authenticated and encrypted by WLG 574c470000000001, suite 0, counter 9, its tag fits" in result.out
    assert "octet-string 01 00 01 08 00 ff  (1-0:1.8.0.255)" in result.out


def test_without_a_key_the_envelope_is_told(run: Run) -> None:
    result = run(ciphered(), "--json")
    told = json.loads(result.out)
    assert (result.code, told["apdu"]["type"], told["security"]["invocation_counter"]) == (0, "ciphered", 9)
    assert "give the key with --key" in run(ciphered()).out


def test_a_tag_that_does_not_fit_is_told_and_is_exit_code_1(run: Run) -> None:
    result = run(ciphered(), "--json", "--key", KEY.hex(), "--auth-key", bytes(16).hex())
    assert result.code == 1
    assert json.loads(result.out)["security"]["tag_ok"] is False
    assert result.err.startswith("wattledger: the authentication tag does not fit")


def test_general_blocks_are_put_together(run: Run) -> None:
    parts = [PUSH[:20], PUSH[20:]]
    blocks = [
        GeneralBlock(last=n == 1, streaming=True, window=0, number=n + 1, acknowledged=0, octets=part).encoded
        for n, part in enumerate(parts)
    ]
    told = json.loads(run(b"".join(map(hdlc, blocks)), "--json").out)
    assert told["apdu"]["body"] == BODY


def test_several_messages_are_a_list(run: Run) -> None:
    told = json.loads(run(hdlc(PUSH) + hdlc(PUSH), "--json").out)
    assert [one["apdu"]["body"] for one in told] == [BODY, BODY]


@pytest.mark.parametrize(
    ("apdu", "expected"),
    [
        ("c401c100060000 1267", {"type": "get-response", "invoke_id": 0xC1, "results": ["success"], "body": [4_711]}),
        ("c401c10104", {"type": "get-response", "results": ["object_undefined"], "body": [None]}),
        ("c001c1000301000108 00ff0200", {"type": "get-request"}),
        ("d8010605000000", {"type": "exception-response"}),
        ("6203800100", {"type": "rlrq", "reason": 0}),
        ("c2000003010001 0800ff02 0600000001", {"type": "event-notification", "datetime": None, "body": [1]}),
    ],
)
def test_other_services_are_told(run: Run, apdu: str, expected: dict[str, Any]) -> None:
    told = json.loads(run(apdu, "--json").out)["apdu"]
    assert {name: told[name] for name in expected} == expected
    assert run(apdu).code == 0


@pytest.mark.parametrize(
    ("given", "arguments", "said"),
    [
        ("", [], "nothing came on standard input"),
        ("0f0", [], "3 hexadecimal digits: a byte has two"),
        ("0fzz", [], "digit 3 is z"),
        (PUSH[:-1], [], "truncated: "),
        (hdlc(PUSH)[:-3], [], "truncated: the frame announces"),
        ("77", [], "wrong tag: no service begins with 77"),
        (ciphered(), ["--key", bytes(16).hex(), "--auth-key", AUTH_KEY.hex()], "bad key: "),
        (ciphered(), ["--key", "00"], "--key is not 16 or 32 bytes in hexadecimal"),
        (ciphered(), ["--auth-key", AUTH_KEY.hex()], "--auth-key without --key"),
        (ciphered(), ["--key", KEY.hex(), "--title", "00" * 8], "wrong system title: "),
        ("c80f2000000001" + "00" * 10, ["--key", KEY.hex()], "give the sender's with --title"),
        ("0201" * 40 + "00", [], "wrong tag: no service begins with 02"),
        ("0f000000000002" + "010201" * 20 + "00", [], "nested"),
    ],
)
def test_what_cannot_be_read_is_one_line(run: Run, given: bytes | str, arguments: list[str], said: str) -> None:
    result = run(given, *arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
