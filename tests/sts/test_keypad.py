from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wattledger.sts import (
    TID_MAX,
    TIDS_KEPT,
    Algorithm,
    DecoderKey,
    InstalledKey,
    Keypad,
    KeyType,
    Kind,
    Outcome,
    StaTables,
    TablesMissing,
    Token,
    encode_token,
    key_change,
)
from wattledger.sts._misty1 import Misty1

KEY = DecoderKey(Algorithm.MISTY1, bytes(range(16)))
OTHER = DecoderKey(Algorithm.MISTY1, bytes(range(1, 17)))
INSTALLED = InstalledKey(KEY, krn=1, tariff_index=1, sgc="123457")
NEW = InstalledKey(OTHER, krn=2, tariff_index=3, sgc="654321")


def made(kind: Kind = Kind.ELECTRICITY, *, tid: int = 6_000_000, payload16: int = 100, key: DecoderKey = KEY) -> str:
    """A token with an identifier, unasked whether it may be made."""
    token = Token.of(kind, rnd=5, tid=tid, payload16=payload16)
    return encode_token(token=token, key=replace(key, key_type=KeyType.DUTK, ken=255))


def change(new: InstalledKey, *, old: DecoderKey = KEY, rollover: bool = False) -> list[str]:
    return [encode_token(token=part, key=old) for part in key_change(new=new, rollover=rollover)]


def entered(keypad: Keypad, *typed: str) -> tuple[Keypad, list[Outcome]]:
    outcomes: list[Outcome] = []
    for digits in typed:
        result = keypad.enter(digits=digits)
        keypad, outcomes = result.keypad, [*outcomes, result.outcome]
    return keypad, outcomes


def test_a_token_is_taken_once() -> None:
    keypad, outcomes = entered(Keypad(INSTALLED), made(), made(), made(tid=6_000_001))
    assert outcomes == [Outcome.TAKEN, Outcome.USED, Outcome.TAKEN]
    assert keypad.tids == (6_000_000, 6_000_001)


def test_one_identifier_serves_one_token_of_whatever_kind() -> None:
    assert entered(Keypad(INSTALLED), made(), made(Kind.CLEAR_TAMPER, payload16=0))[1][1] is Outcome.USED


def test_a_token_may_come_late_until_fifty_younger_ones_were_taken() -> None:
    keypad, outcomes = entered(Keypad(INSTALLED), *(made(tid=1000 + n) for n in range(TIDS_KEPT - 1)))
    assert set(outcomes) == {Outcome.TAKEN}
    keypad, outcomes = entered(keypad, made(tid=999), made(tid=998), made(tid=1048), made(tid=2000), made(tid=999))
    assert outcomes == [Outcome.TAKEN, Outcome.OLD, Outcome.USED, Outcome.TAKEN, Outcome.OLD]
    assert len(keypad.tids) == TIDS_KEPT


@pytest.mark.parametrize(
    ("digits", "outcome"),
    [
        ("1234", Outcome.FORMAT),
        ("1234567890123456789x", Outcome.FORMAT),
        ("99999999999999999999", Outcome.FORMAT),
        ("", Outcome.FORMAT),
        (made(key=OTHER), Outcome.CRC),
        (f"{3 << 27:020d}", Outcome.FUNCTION),
    ],
)
def test_what_is_no_token_for_this_meter_changes_nothing(digits: str, outcome: Outcome) -> None:
    result = Keypad(INSTALLED).enter(digits=digits)
    assert (result.outcome, result.keypad, result.token) == (outcome, Keypad(INSTALLED), None)


def test_credit_under_a_default_key_is_refused_and_a_limit_is_not() -> None:
    keypad = Keypad(replace(INSTALLED, key=replace(KEY, key_type=KeyType.DDTK)))
    keypad, outcomes = entered(keypad, made(), made(Kind.POWER_LIMIT))
    assert outcomes == [Outcome.DDTK, Outcome.TAKEN]


def test_a_key_expires() -> None:
    keypad = Keypad(replace(INSTALLED, key=replace(KEY, ken=85)))
    assert entered(keypad, made(tid=85 << 16 | 0xFFFF), made(tid=86 << 16))[1] == [Outcome.TAKEN, Outcome.KEY_EXPIRED]


def test_a_register_without_room_takes_nothing_and_the_token_stays_good() -> None:
    full = Keypad(INSTALLED).enter(digits=made(payload16=100), room=99)
    assert full.outcome is Outcome.OVERFLOW
    assert full.keypad.enter(digits=made(payload16=100), room=100).outcome is Outcome.TAKEN


@pytest.mark.parametrize(
    ("kind", "payload", "outcome"),
    [
        (Kind.CLEAR_CREDIT, 7, Outcome.TAKEN),
        (Kind.CLEAR_CREDIT, 0xFFFF, Outcome.TAKEN),
        (Kind.CLEAR_CREDIT, 8, Outcome.RANGE),
        (Kind.WATER, 1, Outcome.FUNCTION),
    ],
)
def test_fields_out_of_range_and_foreign_functions_are_told_apart(kind: Kind, payload: int, outcome: Outcome) -> None:
    keypad = Keypad(INSTALLED, does=frozenset(Kind) - {Kind.WATER})
    assert keypad.enter(digits=made(kind, payload16=payload)).outcome is outcome


@pytest.mark.parametrize(("code", "outcome"), [(0, Outcome.TAKEN), (42, Outcome.TAKEN), (43, Outcome.FUNCTION)])
def test_a_test_is_for_every_maker_or_for_one(code: int, outcome: Outcome) -> None:
    digits = encode_token(token=Token.of(Kind.TEST_OF_2_DIGITS, control=1, manufacturer_code=code), key=None)
    keypad, outcomes = entered(Keypad(INSTALLED, manufacturer=42), digits, digits)
    assert outcomes == [outcome, outcome]  # a test may be asked for again
    assert keypad == Keypad(INSTALLED, manufacturer=42)


@given(order=st.permutations(range(4)), rollover=st.booleans())
def test_a_key_changes_when_the_last_of_its_parts_is_in(order: Sequence[int], *, rollover: bool) -> None:
    parts = change(NEW, rollover=rollover)
    keypad, _ = entered(Keypad(INSTALLED), made())
    keypad, outcomes = entered(keypad, *(parts[n] for n in order))
    assert outcomes == [Outcome.KEY_PART] * 3 + [Outcome.KEY_CHANGED]
    assert keypad == Keypad(NEW, tids=() if rollover else (6_000_000,))
    assert entered(keypad, made(tid=7), made(tid=7, key=OTHER))[1] == [Outcome.CRC, Outcome.TAKEN]


def test_a_part_counts_once_and_the_meter_goes_on_with_the_old_key_meanwhile() -> None:
    parts = change(NEW)
    keypad, outcomes = entered(Keypad(INSTALLED), parts[0], parts[0], made(), *parts[1:3])
    assert outcomes == [Outcome.KEY_PART, Outcome.USED, Outcome.TAKEN, Outcome.KEY_PART, Outcome.KEY_PART]
    assert keypad.installed == INSTALLED


def test_a_set_that_was_begun_can_be_given_up_for_another() -> None:
    third = InstalledKey(DecoderKey(Algorithm.MISTY1, bytes(16)), krn=3, tariff_index=4, sgc="111111")
    keypad, _ = entered(Keypad(INSTALLED), *change(NEW)[:3], *change(third))
    assert keypad.installed == third


def test_the_same_key_again_does_not_let_old_tokens_in_again() -> None:
    _, outcomes = entered(Keypad(INSTALLED), made(), *change(INSTALLED, rollover=True), made())
    assert outcomes[-2:] == [Outcome.KEY_CHANGED, Outcome.USED]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.KEY_1, {"kenho": 0, "krn": 0, "ro": 0, "three_kct": 0, "kt": 2, "nkho": 0}),
        (Kind.KEY_2, {"kenlo": 0, "ti": 100, "nklo": 0}),
    ],
)
def test_a_part_out_of_range_is_not_kept(kind: Kind, fields: dict[str, int]) -> None:
    cipher = Misty1(KEY.octets).encrypt(Token.of(kind, **fields).block)  # encode_token would not make it
    digits = f"{(cipher >> 27 & 3) << 64 | cipher & ~(3 << 27) | 2 << 27:020d}"
    result = Keypad(INSTALLED).enter(digits=digits)
    assert (result.outcome, result.keypad) == (Outcome.RANGE, Keypad(INSTALLED))


def test_parts_that_make_no_supply_group_are_not_kept() -> None:
    fourth = encode_token(token=Token.of(Kind.KEY_4, sgcho=0xFFF, nkmo1=0), key=KEY)
    keypad, outcomes = entered(Keypad(INSTALLED), *change(NEW)[:3], fourth)
    assert outcomes[-1] is Outcome.RANGE
    assert entered(keypad, change(NEW)[3])[0].installed == NEW


def test_ea07_changes_its_key_with_two_tokens(sample_tables: StaTables) -> None:
    old = InstalledKey(DecoderKey(Algorithm.STA, bytes(range(8))), krn=1, tariff_index=1, sgc="123457")
    new = InstalledKey(DecoderKey(Algorithm.STA, bytes(range(8, 16)), ken=90), krn=2, tariff_index=2, sgc="123457")
    keypad = Keypad(old)
    for part in key_change(new=new, rollover=False):
        digits = encode_token(token=part, key=old.key, tables=sample_tables)
        with pytest.raises(TablesMissing, match="STS Association"):
            keypad.enter(digits=digits)
        keypad = keypad.enter(digits=digits, tables=sample_tables).keypad
    assert keypad.installed == new


class Typing(RuleBasedStateMachine):
    """Tokens of the meter's keys, new ones and old ones, and changes of the key, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.keypad = Keypad(INSTALLED)
        self.issued: list[str] = []
        self.taken: set[str] = set()
        self.keys = 0

    @rule(tid=st.integers(0, 200) | st.integers(0, TID_MAX), kind=st.sampled_from([Kind.ELECTRICITY, Kind.POWER_LIMIT]))
    def issue(self, tid: int, kind: Kind) -> None:
        self._type(made(kind, tid=tid, key=self.keypad.installed.key))

    @rule(first=st.integers(0, TID_MAX - 100), count=st.integers(1, 60))
    def issue_many(self, first: int, count: int) -> None:
        for n in range(count):
            self.issue(first + n, Kind.ELECTRICITY)

    @precondition(lambda self: self.issued)
    @rule(data=st.data())
    def type_again(self, data: st.DataObject) -> None:
        self._type(data.draw(st.sampled_from(self.issued)))

    @rule(data=st.data(), rollover=st.booleans())
    def change_key(self, data: st.DataObject, *, rollover: bool) -> None:
        self.keys += 1
        key = DecoderKey(Algorithm.MISTY1, self.keys.to_bytes(16))
        new = InstalledKey(key, krn=1, tariff_index=2, sgc="123457")
        for digits in data.draw(st.permutations(change(new, old=self.keypad.installed.key, rollover=rollover))):
            assert self.keypad.enter(digits=digits).outcome.is_good
            self.keypad = self.keypad.enter(digits=digits).keypad
        assert self.keypad.installed == new

    @invariant()
    def remembers_the_latest_in_order(self) -> None:
        assert list(self.keypad.tids) == sorted(set(self.keypad.tids))
        assert len(self.keypad.tids) <= TIDS_KEPT

    def _type(self, digits: str) -> None:
        result = self.keypad.enter(digits=digits)
        if result.outcome is Outcome.TAKEN:
            assert digits not in self.taken
            self.taken.add(digits)
        else:
            assert result.keypad == self.keypad
        self.keypad = result.keypad
        self.issued.append(digits)


Typing.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_no_token_is_ever_taken_twice = Typing.TestCase
