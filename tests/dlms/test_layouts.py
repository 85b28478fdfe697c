"""What is read by a layout that was learned is what is read item by item."""

from __future__ import annotations

import pytest
from dlms_peers import TREES
from hypothesis import given
from hypothesis import strategies as st

from wattledger.dlms import Data, DlmsError, Tag, array, decode, decode_typed, encode, octets, structure, text, uint32


def again(data: Data, draw: st.DataObject) -> Data:
    """Data laid out like these, with other numbers."""
    if data.tag in {Tag.ARRAY, Tag.STRUCTURE}:
        return Data(data.tag, tuple(again(item, draw) for item in data.value))
    if data.tag in {Tag.UINT32, Tag.INT32}:
        return Data(data.tag, draw.draw(st.integers(0, 1 << 30)))
    if data.tag is Tag.OCTET_STRING:
        return octets(draw.draw(st.binary(min_size=len(data.value), max_size=len(data.value))))
    return data


@given(data=TREES.filter(lambda one: one.tag in {Tag.ARRAY, Tag.STRUCTURE}), draw=st.data())
def test_the_same_layout_with_other_numbers(data: Data, draw: st.DataObject) -> None:
    decode(encode(data))  # is learned, if it is simple
    other = again(data, draw)
    written = encode(other)
    assert decode(written) == (other.plain, len(written))
    assert decode(b"\x0f" + written, 1) == (other.plain, len(written) + 1)


@given(data=TREES.filter(lambda one: one.tag is Tag.STRUCTURE), at=st.integers(0, 400), octet=st.integers(0, 255))
def test_another_layout_of_the_same_length_is_not_taken_for_it(data: Data, at: int, octet: int) -> None:
    written = encode(data)
    decode(written)
    changed = bytearray(written)
    changed[at % len(changed)] = octet
    try:
        typed, end = decode_typed(bytes(changed))
    except DlmsError as slowly:
        with pytest.raises(DlmsError) as quickly:
            decode(bytes(changed))
        assert quickly.value.kind is slowly.kind  # noqa: PT017 - whichever it is, both are the same
    else:
        assert decode(bytes(changed)) == (typed.plain, end)


def test_text_and_lists_keep_their_kinds() -> None:
    data = structure(text("grün"), array([uint32(1), uint32(2)]), structure())
    for _ in range(2):
        assert decode(encode(data))[0] == ("grün", [1, 2], ())
