"""What holds for every meter number, amount, instant, key and token."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattledger.kernel import Problem
from wattledger.sts import (
    AMOUNT_MAX,
    TID_MAX,
    Algorithm,
    BaseDate,
    DecoderKey,
    InstalledKey,
    KeyType,
    Kind,
    MeterNumberRefused,
    MeterPan,
    StaTables,
    Token,
    amount_to_field,
    changed_key,
    decode_token,
    encode_token,
    field_to_amount,
    instant_of,
    key_change,
    luhn_digit,
    tid_at,
)

TABLES = StaTables(
    s1=(3, 0, 6, 13, 10, 15, 1, 12, 7, 4, 9, 2, 14, 8, 5, 11),
    s2=(9, 14, 0, 7, 11, 2, 12, 5, 1, 15, 4, 10, 6, 3, 13, 8),
    p=tuple((17 * n + 5) % 64 for n in range(64)),
)
KEYS = st.one_of(
    st.builds(DecoderKey, st.just(Algorithm.STA), st.binary(min_size=8, max_size=8)),
    st.builds(DecoderKey, st.just(Algorithm.MISTY1), st.binary(min_size=16, max_size=16)),
)


@st.composite
def tokens(draw: st.DrawFn, key: DecoderKey) -> Token:
    """Any token that may be made under ``key``."""
    not_for_sta = {Kind.KEY_3, Kind.KEY_4} if key.ea is Algorithm.STA else set()
    kind = draw(st.sampled_from([kind for kind in Kind if kind not in not_for_sta]))
    narrower = {"krn": (1, 9), "ti": (0, 99), "three_kct": (0, 0)}
    match kind:
        case Kind.TEST_OF_2_DIGITS:
            narrower["manufacturer_code"] = (0, 99)
        case Kind.TEST_OF_4_DIGITS:
            narrower["manufacturer_code"] = (0, 9999)
        case Kind.CLEAR_TAMPER:
            narrower["payload16"] = (0, 0)
    bounds = {name: narrower.get(name, (0, (1 << bits) - 1)) for name, bits in kind.layout}
    return Token.of(kind, **{name: draw(st.integers(*limits)) for name, limits in bounds.items()})


@given(data=st.data(), key=KEYS)
def test_what_is_made_is_read_again(data: st.DataObject, key: DecoderKey) -> None:
    token = data.draw(tokens(key))
    digits = encode_token(token=token, key=key, tables=TABLES)
    assert len(digits) == 20
    assert decode_token(digits=digits, key=key, tables=TABLES) == token
    spaced = "-".join(digits[n : n + 4] for n in range(0, 20, 4))
    assert decode_token(digits=f" {spaced} ", key=key, tables=TABLES) == token


@given(data=st.data(), key=KEYS, bit=st.integers(0, 65))
def test_a_flipped_bit_is_never_taken_for_the_same_token(data: st.DataObject, key: DecoderKey, bit: int) -> None:
    token = data.draw(tokens(key))
    flipped = int(encode_token(token=token, key=key, tables=TABLES)) ^ 1 << bit
    try:
        read = decode_token(digits=f"{flipped:020d}", key=key, tables=TABLES)
    except Problem:
        return
    assert read != token


@given(control=st.integers(0, (1 << 36) - 1), bit=st.sampled_from([*range(27), *range(29, 66)]))
def test_a_flipped_bit_of_a_plain_token_is_always_seen(control: int, bit: int) -> None:
    token = Token.of(Kind.TEST_OF_2_DIGITS, control=control, manufacturer_code=7)
    flipped = int(encode_token(token=token, key=None)) ^ 1 << bit
    with pytest.raises(Problem):
        decode_token(digits=f"{flipped:020d}", key=None)


@given(units=st.integers(0, AMOUNT_MAX))
@example(16_383)
@example(16_384)
@example(180_223)
@example(180_224)
@example(1_818_623)
@example(1_818_624)
@example(AMOUNT_MAX)
def test_an_amount_is_rounded_up_by_less_than_a_unit_of_its_exponent(units: int) -> None:
    field = amount_to_field(units=units)
    assert 0 <= field_to_amount(field=field) - units < 10 ** (field >> 14)
    assert field == 0 or field_to_amount(field=field - 1) < units


@given(field=st.integers(0, 0xFFFF))
def test_what_a_field_stands_for_is_written_as_that_field(field: int) -> None:
    assert amount_to_field(units=field_to_amount(field=field)) == field


@pytest.mark.parametrize("units", [-1, AMOUNT_MAX + 1])
def test_an_amount_that_no_field_holds_is_refused(units: int) -> None:
    with pytest.raises(Problem, match="outside a token's 0 to 18201624"):
        amount_to_field(units=units)


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2070, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is beside


@given(issued_at=INSTANTS, base=st.sampled_from(BaseDate), after=st.none() | st.integers(0, TID_MAX))
def test_an_identifier_is_new_and_tells_its_minute_or_is_refused(
    issued_at: datetime, base: BaseDate, after: int | None
) -> None:
    try:
        tid = tid_at(issued_at=issued_at, base_date=base, after=after)
    except Problem:
        early, late = issued_at < base.instant, issued_at > instant_of(tid=TID_MAX, base_date=base)
        assert early or late or (after is not None and after >= TID_MAX - 1)
        return
    assert 0 <= tid <= TID_MAX
    assert tid % 1440 != 1
    assert after is None or tid > after
    told = instant_of(tid=tid, base_date=base)
    assert told > issued_at - timedelta(minutes=1)
    assert after is not None or told <= issued_at + timedelta(minutes=1)


@given(digits=st.text("0123456789", min_size=1, max_size=18), data=st.data())
def test_a_check_digit_sees_a_changed_digit(digits: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != digits[place]]))
    changed = digits[:place] + other + digits[place + 1 :]
    assert luhn_digit(digits=changed) != luhn_digit(digits=digits)


def numbered(body: str) -> str:
    return body + str(luhn_digit(digits=body))


@given(
    long_issuer=st.booleans(),
    body=st.text("0123456789", min_size=12, max_size=12),
    place=st.integers(0, 17),
    step=st.integers(1, 9),
)
def test_a_meter_number_is_taken_apart_and_a_mistyped_one_refused(
    *, long_issuer: bool, body: str, place: int, step: int
) -> None:
    iin, iain = ("600727", numbered(body[:10])) if long_issuer else ("0000", numbered(body))
    pan = MeterPan.of(iin=iin, iain=iain)
    assert (pan.iin, pan.iain) == (iin, iain)
    assert MeterPan.read(pan=str(pan)) == pan
    text = str(pan)
    mistyped = text[:place] + str((int(text[place]) + step) % 10) + text[place + 1 :]
    with pytest.raises(MeterNumberRefused):
        MeterPan.read(pan=mistyped)
    assert str(MeterPan.read(pan=mistyped, check_digits=False)) == mistyped


@given(
    key=KEYS,
    ken=st.integers(0, 255),
    kind=st.sampled_from(KeyType),
    krn=st.integers(1, 9),
    tariff=st.integers(0, 99),
    sgc=st.integers(0, 999_999),
    rollover=st.booleans(),
    shuffled=st.permutations(range(4)),
)
def test_a_key_arrives_whole_in_any_order_of_its_parts(
    *,
    key: DecoderKey,
    ken: int,
    kind: KeyType,
    krn: int,
    tariff: int,
    sgc: int,
    rollover: bool,
    shuffled: list[int],
) -> None:
    new = InstalledKey(DecoderKey(key.ea, key.octets, kind, ken), krn, tariff, f"{sgc:06d}")
    old = InstalledKey(DecoderKey(key.ea, bytes(key.ea.key_bytes)), 1, 0, f"{sgc:06d}")
    parts = key_change(new=new, rollover=rollover)
    assert len(parts) == (2 if key.ea is Algorithm.STA else 4)
    mixed = [parts[n] for n in shuffled if n < len(parts)]
    assert changed_key(old=old, parts=mixed) == (new, rollover)
    assert changed_key(old=old, parts=mixed[1:]) is None


def test_no_secret_is_told_in_what_is_printed() -> None:
    key = DecoderKey(Algorithm.MISTY1, bytes(range(16)))
    new = InstalledKey(key, 1, 1, "123456")
    told = repr((key, new, key_change(new=new, rollover=False)))
    for part in ("00010203", "0c0d0e0f", str(0x00010203), str(0x0C0D0E0F), r"\x0c\r\x0e"):
        assert part not in told
