"""What a client and a server of ours say to each other; strangers are in interop/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dlms_peers import CLOCK, ECHO, ENERGY, KEYS, METER_TITLE, NOTE, PROFILE, Shelf, profile, talk

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Client,
    Conformance,
    DlmsError,
    ErrorKind,
    Keys,
    Mechanism,
    Reference,
    Selection,
    Server,
    octets,
    structure,
    uint8,
    uint32,
)

Pair = Callable[..., tuple[Client, Server]]
SUITE_2 = Keys(bytes(range(32)), bytes(range(32, 64)))


@pytest.mark.parametrize(
    "kind",
    [
        {"mechanism": Mechanism.LOWEST},
        {"mechanism": Mechanism.LOW},
        {},
        {"form": "general"},
        {"form": "general-ciphering"},
        {"dedicated_key": bytes(range(16, 32))},
        {"dedicated_key": bytes(range(16, 32)), "form": "general"},
        {"suite": 1},
        {"suite": 2, "keys": SUITE_2, "meter_keys": SUITE_2},
    ],
    ids=str,
)
@pytest.mark.parametrize("pdu_max", [128, 1024, 65535])
def test_every_kind_of_association_reads_sets_and_acts(
    pair: Pair, shelf: Shelf, kind: dict[str, Any], pdu_max: int
) -> None:
    client, server = pair(pdu_max=pdu_max, **kind)
    talk(client.associate(), server)
    assert talk(client.read(CLOCK, ENERGY, NOTE), server) == [
        (AccessResult.SUCCESS, bytes(12)),
        (AccessResult.SUCCESS, 4_711),
        (AccessResult.OBJECT_UNDEFINED, None),
    ]
    assert talk(client.read_one(PROFILE), server) == profile(96).plain
    long = octets(bytes(range(256)) * 8)
    assert talk(client.write(NOTE, long), server) is AccessResult.SUCCESS
    assert shelf.values[NOTE] == long
    assert talk(client.invoke(ECHO, structure(uint8(1), long)), server) == (ActionResult.SUCCESS, (1, long.value))
    assert talk(client.invoke(ECHO), server) == (ActionResult.SUCCESS, None)
    talk(client.release(), server)
    assert (client.state, server.state) == ("idle", "idle")
    talk(client.associate(), server)
    assert talk(client.read_one(ENERGY), server) == 4_711


@pytest.mark.parametrize("several", [1, 3])
@pytest.mark.parametrize("pdu_max", [64, 200, 1000])
def test_a_long_answer_comes_in_general_blocks_where_that_is_agreed(pair: Pair, several: int, pdu_max: int) -> None:
    agreed = Conformance.GET | Conformance.GENERAL_BLOCK_TRANSFER | Conformance.MULTIPLE_REFERENCES
    client, server = pair(client_pdu_max=pdu_max, conformance=agreed)
    talk(client.associate(), server)
    assert talk(client.read(*[PROFILE] * several), server) == [(AccessResult.SUCCESS, profile(96).plain)] * several


def test_a_selection_reaches_the_device(pair: Pair, shelf: Shelf) -> None:
    client, server = pair()
    talk(client.associate(), server)
    selection = Selection(2, structure(uint32(1), uint32(4)))
    talk(client.read_one(PROFILE, selection=selection), server)
    assert shelf.asked[-1] == (PROFILE, selection, 1)


def test_nothing_is_answered_before_an_association_and_before_the_proof(pair: Pair) -> None:
    client, server = pair()
    with pytest.raises(DlmsError, match="idle"):
        next(client.read(ENERGY))
    plain, _ = pair(mechanism=Mechanism.LOWEST)
    plain.state = "open"
    with pytest.raises(DlmsError, match="not allowed"):
        talk(plain.read(ENERGY), server)
    associating = client.associate()
    challenge = server.receive(next(associating))[0]  # type: ignore[arg-type]
    associating.send(challenge)
    assert server.state == "proving"
    plain.protection, plain.state = client.protection, "open"
    with pytest.raises(DlmsError, match="not allowed"):
        talk(plain.read(ENERGY), server)


@pytest.mark.parametrize(
    "kind", [{"meter_keys": Keys(bytes(16), KEYS.authentication)}, {"meter_keys": Keys(KEYS.encryption, bytes(16))}]
)
def test_other_keys_open_nothing(pair: Pair, kind: dict[str, Any]) -> None:
    client, server = pair(**kind)
    with pytest.raises(DlmsError, match="authentication failure"):
        talk(client.associate(), server)
    assert (client.state, server.state) == ("failed", "idle")


def test_a_wrong_password_opens_nothing(pair: Pair) -> None:
    client, server = pair(mechanism=Mechanism.LOW)
    client._password = b"guessed"
    with pytest.raises(DlmsError, match="authentication failure"):
        talk(client.associate(), server)


def test_an_answer_that_was_heard_before_is_a_replay(pair: Pair) -> None:
    client, server = pair()
    talk(client.associate(), server)
    heard: list[bytes] = []

    def first(apdu: bytes) -> bytes:
        heard.append(apdu)
        return heard[0]

    talk(client.read(ENERGY), server, altered=first)
    with pytest.raises(DlmsError, match="counter") as replay:
        talk(client.read(ENERGY), server, altered=first)
    assert replay.value.kind is ErrorKind.REPLAY


def test_a_request_that_was_heard_before_is_not_answered_again(pair: Pair, shelf: Shelf) -> None:
    client, server = pair()
    talk(client.associate(), server)
    request = next(client.invoke(ECHO))
    assert request is not None
    server.receive(request)
    (again,) = server.receive(request)
    assert again[0] == 0xD8  # an exception, with the counter that would be taken
    assert again[2] == 6
    assert shelf.asked == []


@pytest.mark.parametrize(
    ("altered", "kind"),
    [
        (lambda apdu: apdu[:-1] + bytes((apdu[-1] ^ 1,)), ErrorKind.BAD_TAG),
        (lambda apdu: apdu[:-3], ErrorKind.TRUNCATED),
        (lambda apdu: b"\x77" + apdu[1:], ErrorKind.BAD_TAG),
        (lambda _: b"\xc4\x01\x41\x00\x06\x00\x00\x00\x01", ErrorKind.BAD_TAG),
        (lambda _: b"", ErrorKind.TRUNCATED),
    ],
)
def test_what_is_altered_on_the_way_is_not_taken(
    pair: Pair, altered: Callable[[bytes], bytes], kind: ErrorKind
) -> None:
    client, server = pair()
    talk(client.associate(), server)
    with pytest.raises(DlmsError) as refused:
        talk(client.read(ENERGY), server, altered=altered)
    assert refused.value.kind is kind


def test_another_meter_is_not_taken_for_the_one_we_speak_with(pair: Pair) -> None:
    client, server = pair(form="general")
    talk(client.associate(), server)
    with pytest.raises(DlmsError) as refused:
        talk(client.read(ENERGY), server, altered=lambda apdu: apdu.replace(METER_TITLE, b"WLG\0\0\0\0\2"))
    assert refused.value.kind is ErrorKind.WRONG_SYSTEM_TITLE


def test_the_clients_number_decides_what_it_may(shelf: Shelf, pair: Pair) -> None:
    client, server = pair(mechanism=Mechanism.LOWEST)
    server.client = 16
    talk(client.associate(), server)
    assert talk(client.write(NOTE, octets(b"x")), server) is AccessResult.READ_WRITE_DENIED
    assert NOTE not in shelf.values


def test_a_reference_is_named_in_full() -> None:
    assert str(Reference(3, bytes((1, 0, 1, 8, 0, 255)), 2)) == "1-0:1.8.0.255 class 3, number 2"
