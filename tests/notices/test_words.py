from string import Formatter

import pytest

from wattledger import notices
from wattledger.notices._kinds import _words, language_for, values_of, worded


@pytest.mark.parametrize("language", sorted(notices.languages()))
def test_every_language_says_every_kind_with_the_same_values(language: str) -> None:
    words = _words()[language]
    assert words.keys() == notices.KINDS.keys()
    for kind, said in words.items():
        assert {name for _, name, _, _ in Formatter().parse(said.text) if name} == values_of(kind)
        assert said.title
        assert "{" not in said.title
        assert "\n" not in said.text


def test_english_and_chinese_are_spoken() -> None:
    assert {"en", "zh"} <= notices.languages()


@pytest.mark.parametrize("kind", sorted(notices.KINDS))
def test_every_kind_can_be_told(kind: str) -> None:
    text = worded(kind, {name: f"<{name}>" for name in values_of(kind)})
    assert all(f"<{name}>" in text["zh"] for name in values_of(kind))


def test_a_kind_overtakes_kinds_that_there_are() -> None:
    for kind in notices.KINDS.values():
        assert kind.overtakes <= notices.KINDS.keys()


def test_what_the_design_lists_is_there() -> None:
    listed = (
        "low_balance cut_off_warning disconnected reconnected recharge_receipt load_notice tariff_change bill_ready"
    )
    assert set(f"{listed} tamper outage savings_event".split()) <= notices.KINDS.keys()


@pytest.mark.parametrize(
    ("code", "language"), [("zh", "zh"), ("zh-CN", "zh"), ("zh_TW", "zh"), ("EN-gb", "en"), ("fr", "en"), ("", "en")]
)
def test_a_person_is_written_to_in_a_language_that_there_is(code: str, language: str) -> None:
    assert language_for(code) == language


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(notices.UnknownKind, match="gossip"):
        worded("gossip", {})
