"""Whatever comes in, every decoder ends, and ends with a value or with a ``DlmsError``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from dlms_fuzz import DECODERS, SEEDS
from dlms_peers import CLOCK, ENERGY, METER_TITLE, PROFILE, Shelf, profile, talk
from hypothesis import given
from hypothesis import strategies as st

from wattledger.dlms import (
    Client,
    DlmsError,
    ErrorKind,
    Mechanism,
    Server,
    decode,
    octets,
    uint32,
)

Pair = Callable[..., tuple[Client, Server]]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good message of which some bytes are others, doubled, or not there."""
    message = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(message) - 1)) if message else 0
        match draw(st.sampled_from(["change", "cut", "drop", "double", "insert"])):
            case "change" if message:
                message[at] = draw(st.integers(0, 255))
            case "cut":
                del message[at:]
            case "drop":
                del message[at : at + draw(st.integers(1, 4))]
            case "double":
                message[at:at] = message[at : at + draw(st.integers(1, 40))]
            case "insert":
                message[at:at] = draw(st.binary(max_size=6))
    return bytes(message)


@pytest.mark.parametrize("decoder", DECODERS)
@given(buffer=st.one_of(st.binary(max_size=200), damaged()))
def test_a_decoder_ends_with_a_value_or_an_error_of_its_own(decoder: str, buffer: bytes) -> None:
    with suppress(DlmsError):
        DECODERS[decoder](buffer)


@given(buffer=damaged())
def test_a_server_answers_whatever_it_is_sent(buffer: bytes) -> None:
    server = a_server()
    for answer in server.receive(buffer):
        assert isinstance(answer, bytes)


@given(buffers=st.lists(damaged(), max_size=4), begun=st.booleans())
def test_a_client_ends_whatever_it_is_answered(buffers: list[bytes], begun: bool) -> None:  # noqa: FBT001 - drawn
    client = Client()
    exchange: Any = client.associate()
    if begun:
        client.state = "open"
        exchange = client.read(PROFILE)
    with suppress(DlmsError, StopIteration):
        next(exchange)
        for buffer in buffers:
            exchange.send(buffer)


def a_server() -> Server:
    from wattledger.dlms import ClientAccess  # noqa: PLC0415 - beside its only use

    server = Server(
        Shelf({CLOCK: octets(bytes(12)), ENERGY: uint32(1), PROFILE: profile(9)}),
        client=1,
        access=ClientAccess(),
        title=METER_TITLE,
        challenge=lambda: bytes(16),
        next_counter=lambda: 1,
        pdu_max=128,
    )
    server.state = "open"
    return server


@pytest.mark.parametrize(
    ("buffer", "kind"),
    [
        (b"\x02\x02\x06\0\0", ErrorKind.TRUNCATED),
        (b"\x01\x84\xff\xff\xff\xff", ErrorKind.TRUNCATED),
        (b"\x09\x85\1\1\1\1\1", ErrorKind.OVERSIZE),
        (b"\x02\x01" * 40 + b"\0", ErrorKind.NESTED),
        (b"\x02\x01\x42", ErrorKind.WRONG_TAG),
        (b"\x13\x01\xff\xff\x01\xff\xff\x00\x00", ErrorKind.OVERSIZE),
        (b"\x13\x00\x03abc", ErrorKind.MALFORMED),
    ],
)
def test_each_way_to_be_wrong_has_its_own_kind(buffer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(DlmsError) as refused:
        decode(buffer)
    assert refused.value.kind is kind


def test_a_conversation_goes_on_after_nonsense(pair: Pair) -> None:
    client, server = pair(mechanism=Mechanism.LOWEST)
    talk(client.associate(), server)
    for nonsense in (b"", b"\x77", b"\xc0\1", b"\xe0\x80", b"\xc0\x09\xc1"):
        (answer,) = server.receive(nonsense)
        assert answer[0] == 0xD8
    assert talk(client.read_one(ENERGY), server) == 4_711
