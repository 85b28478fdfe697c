"""Frames of real meters and the Green Book's examples, where the published vectors are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattledger.cli._frames_told import message_json
from wattledger.dlms import DlmsError, ErrorKind, Keys, SecurityControl, gmac, protect, read_messages, unprotect

VECTORS = Path(__file__).parents[2].parent / "shared/vectors/frames.json"
PUBLISHED: dict[str, Any] = json.loads(VECTORS.read_text()) if VECTORS.exists() else {}
FRAMES: list[dict[str, Any]] = PUBLISHED.get("frames", [])
MALFORMED = {"esp_hdlc_landis_gyr_zmf100": ErrorKind.MALFORMED, "esp_raw_egd_example": ErrorKind.WRONG_TAG}

pytestmark = pytest.mark.skipif(not PUBLISHED, reason="the published frames are not beside this checkout")


def keys_of(frame: dict[str, Any]) -> Keys | None:
    if "key" not in frame:
        return None
    authentication = bytes.fromhex(frame["auth_key"]) if frame.get("auth_key") else None
    return Keys(bytes.fromhex(frame["key"]), authentication)


@pytest.mark.parametrize("frame", [one for one in FRAMES if one["decoded"]], ids=lambda frame: frame["id"])
def test_a_frame_says_what_it_is_said_to_say(frame: dict[str, Any]) -> None:
    messages = read_messages(bytes.fromhex(frame["hex"]), keys=keys_of(frame))
    assert len(messages) == len(frame["decoded"])
    for message, expected in zip(messages, frame["decoded"], strict=True):
        told = message_json(message)
        assert told["framing"] == frame["framing"]
        assert message.raw.hex() == expected["apdu_hex"]
        assert told["security"] == (
            expected["cipher"] | {"tag_ok": expected["cipher"].get("tag_ok")} if "cipher" in expected else None
        )
        if "plain_hex" in expected:
            assert told["apdu"]["plain_hex"] == expected["plain_hex"]
        if "data_notification" in expected:
            assert {name: told["apdu"][name] for name in expected["data_notification"]} == expected["data_notification"]


@pytest.mark.parametrize("frame", [one for one in FRAMES if not one["decoded"]], ids=lambda frame: frame["id"])
def test_a_frame_that_is_none_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises(DlmsError) as refused:
        read_messages(bytes.fromhex(frame["hex"]))
    assert refused.value.kind is MALFORMED[frame["id"]]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["id"])
def test_a_frame_that_ends_early_is_told_from_a_whole_one(frame: dict[str, Any]) -> None:
    whole, keys = bytes.fromhex(frame["hex"]), keys_of(frame)
    for end in range(len(whole)):
        try:
            messages = read_messages(whole[:end], keys=keys)
        except DlmsError:
            continue
        # What is left out was a later frame, or filling: what is there is right.
        assert message_json(messages[0])["apdu"] is not None


def test_the_green_book_ciphers_as_we_do() -> None:
    for vector in PUBLISHED["green_book_vectors"]:
        keys = Keys(bytes.fromhex(vector["key"]), bytes.fromhex(vector["auth_key"]))
        title, counter = bytes.fromhex(vector["system_title"]), int(vector["invocation_counter"], 16)
        if "challenge" in vector:
            answer = gmac(bytes.fromhex(vector["challenge"]), suite=0, title=title, counter=counter, keys=keys)
            assert answer[5:].hex() == vector["gmac_hex"].lower()
            continue
        control = SecurityControl.of(int(vector["security_control"], 16))
        plain = bytes.fromhex(vector["plain_hex"])
        protected = protect(plain, control=control, title=title, counter=counter, keys=keys)
        assert protected[5:].hex() == vector["ciphered_hex"].lower()
        assert unprotect(protected, title=title, keys=keys).text == plain


def test_a_wrong_key_opens_nothing() -> None:
    frame = next(one for one in FRAMES if one.get("auth_key"))
    raw = bytes.fromhex(frame["hex"])
    right = keys_of(frame)
    assert right is not None
    for wrong in (Keys(bytes(16), right.authentication), Keys(bytes(16))):
        with pytest.raises(DlmsError) as refused:
            read_messages(raw, keys=wrong)
        assert refused.value.kind in {ErrorKind.BAD_KEY, ErrorKind.BAD_TAG}
    (unproved,) = read_messages(raw, keys=Keys(right.encryption))
    (altered,) = read_messages(raw, keys=Keys(right.encryption, bytes(16)))
    assert unproved.envelope is not None
    assert altered.envelope is not None
    assert (unproved.envelope.genuine, altered.envelope.genuine) == (None, False)
