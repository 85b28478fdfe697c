"""Messages through the framings, in any cut, with noise and losses."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.dlms import (
    Address,
    Control,
    DlmsError,
    ErrorKind,
    Frame,
    FrameReader,
    HdlcLink,
    LinkParameters,
    Packet,
    WrapperReader,
    check_sequence,
    long_frames,
    read_frame,
    read_long_frames,
    unwrap,
)

PACKETS = st.builds(Packet, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=300))
ADDRESSES = st.one_of(
    st.builds(Address, st.integers(0, 0x7F), st.none(), st.just(1)),
    st.builds(Address, st.integers(0, 0x7F), st.integers(0, 0x7F), st.just(2)),
    st.builds(Address, st.integers(0, 0x3FFF), st.integers(0, 0x3FFF), st.just(4)),
)


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, *(cut % (len(whole) + 1) for cut in cuts), len(whole)})
    return [whole[a:b] for a, b in pairwise(edges)]


@given(packets=st.lists(PACKETS, max_size=5), cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_packets_come_out_of_a_stream_in_any_cut(packets: list[Packet], cuts: list[int]) -> None:
    reader = WrapperReader()
    stream = b"".join(packet.encoded for packet in packets)
    assert [packet for piece in pieces(stream, cuts) for packet in reader.feed(piece)] == packets


def test_a_stream_that_is_no_wrapper_is_refused() -> None:
    with pytest.raises(DlmsError) as refused:
        list(WrapperReader().feed(b"GET / HTTP/1.1\r\n"))
    assert refused.value.kind is ErrorKind.MALFORMED
    with pytest.raises(DlmsError) as refused:
        list(WrapperReader(apdu_max=100).feed(Packet(1, 1, bytes(101)).encoded[:8]))
    assert refused.value.kind is ErrorKind.OVERSIZE
    with pytest.raises(DlmsError) as refused:
        unwrap(Packet(1, 1, bytes(5)).encoded[:-1])
    assert refused.value.kind is ErrorKind.TRUNCATED


@given(apdu=st.binary(max_size=2000), filling=st.binary(max_size=4))
def test_long_frames_carry_an_apdu_in_parts(apdu: bytes, filling: bytes) -> None:
    line = long_frames(apdu, source=1, destination=103)
    assert read_long_frames(line + filling) == (apdu, len(line))


@pytest.mark.parametrize("at", range(0, 20, 3))
def test_a_long_frame_with_another_byte_is_refused(at: int) -> None:
    line = bytearray(long_frames(bytes(range(20)), source=1, destination=103))
    line[at] ^= 0x40
    with pytest.raises(DlmsError):
        read_long_frames(bytes(line))


def test_the_check_sequence_is_that_of_x25() -> None:
    assert check_sequence(b"123456789") == bytes.fromhex("6e90")


@given(
    frames=st.lists(
        st.builds(
            Frame,
            ADDRESSES.map(lambda address: address.encoded),
            ADDRESSES.map(lambda address: address.encoded),
            st.sampled_from([0x10, 0x93, 0x73, 0x03, 0x32]),
            st.binary(max_size=200),
            st.booleans(),
        ),
        max_size=4,
    ),
    shared=st.booleans(),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
    noise=st.binary(max_size=10).filter(lambda octets: 0x7E not in octets),
)
def test_frames_come_out_of_a_line_with_noise(
    frames: list[Frame],
    shared: bool,  # noqa: FBT001 - drawn
    cuts: list[int],
    noise: bytes,
) -> None:
    line = b""
    for frame in frames:
        line = line[:-1] + frame.encoded if shared and line else line + frame.encoded
    reader = FrameReader()
    assert [frame for piece in pieces(noise + line, cuts) for frame in reader.feed(piece)] == frames


@given(address=ADDRESSES)
def test_an_address_comes_back(address: Address) -> None:
    again = Address.decode(address.encoded)
    assert (again.upper, again.lower) == (address.upper, address.lower)


def test_a_frame_with_another_byte_is_refused() -> None:
    line = Frame(b"\x03", b"\x21", 0x10, b"what is told").encoded
    assert read_frame(line)[0].kind is Control.INFORMATION
    for at in range(1, len(line) - 1):
        with pytest.raises(DlmsError):
            read_frame(line[:at] + bytes((line[at] ^ 0x10,)) + line[at + 1 :])


def a_line(parameters: LinkParameters, others: LinkParameters) -> tuple[HdlcLink, HdlcLink]:
    client = HdlcLink(role="client", own=Address(16), other=Address(1, 17), parameters=parameters)
    server = HdlcLink(role="server", own=Address(1, 17), other=Address(16), parameters=others)
    assert client.feed(server.feed(client.connect())) == b""
    assert (client.state, server.state) == ("connected", "connected")
    return client, server


def carry(one: HdlcLink, other: HdlcLink, out: bytes, *, lose: list[bool]) -> None:
    """Carry what is said to and fro until both are silent; what is lost is sent again when nobody says more."""
    ends = [other, one]
    for _ in range(10_000):
        if not out:
            waiting = one if one._flying or one._waiting else other if other._flying or other._waiting else None
            if waiting is None:
                return
            out, ends = waiting.repeat(), [other, one] if waiting is one else [one, other]
        heard = b"" if lose and lose.pop() else out
        out = ends[0].feed(heard)
        ends.reverse()
    raise AssertionError("the two never end")


PARAMETERS = st.builds(LinkParameters, st.integers(16, 600), st.integers(16, 600), st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=150)
@given(
    parameters=PARAMETERS,
    others=PARAMETERS,
    said=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=1500)), max_size=4),
    lose=st.lists(st.booleans(), max_size=12),
)
def test_a_link_delivers_each_apdu_once_whatever_is_lost(
    parameters: LinkParameters, others: LinkParameters, said: list[tuple[bool, bytes]], lose: list[bool]
) -> None:
    client, server = a_line(parameters, others)
    for by_client, apdu in said:
        speaker, listener = (client, server) if by_client else (server, client)
        carry(speaker, listener, speaker.send(apdu), lose=lose)
        assert listener.received == [apdu]
        listener.received.clear()


def test_a_link_agrees_on_the_smaller_of_both() -> None:
    client, server = a_line(LinkParameters(600, 500, 3, 2), LinkParameters(256, 400, 5, 7))
    assert client.agreed == LinkParameters(400, 256, 3, 2)
    assert server.agreed == LinkParameters(256, 400, 2, 3)


def test_nothing_is_sent_over_a_link_that_is_not_connected() -> None:
    client = HdlcLink(role="client", own=Address(16), other=Address(1, 17))
    server = HdlcLink(role="server", own=Address(1, 17), other=Address(16))
    with pytest.raises(DlmsError, match="disconnected"):
        client.send(b"\xc0")
    answer = server.feed(Frame(Address(1, 17).encoded, Address(16).encoded, 0x10, b"\xe6\xe6\0\xc0").encoded)
    assert read_frame(answer)[0].kind is Control.DM
    assert server.received == []


def test_a_link_is_taken_down_by_either_side() -> None:
    client, server = a_line(LinkParameters(), LinkParameters())
    assert client.feed(server.feed(client.disconnect())) == b""
    assert (client.state, server.state) == ("disconnected", "disconnected")
    client, server = a_line(LinkParameters(), LinkParameters())
    with pytest.raises(DlmsError, match="DM"):
        client.feed(Frame(Address(16).encoded, Address(1, 17).encoded, 0x1F).encoded)


def test_what_is_meant_for_another_is_passed_over() -> None:
    client, server = a_line(LinkParameters(), LinkParameters())
    assert server.feed(Frame(Address(1, 18).encoded, Address(16).encoded, 0x10, b"\xe6\xe6\0\xc0").encoded) == b""
    assert server.received == []
    assert client.state == "connected"
