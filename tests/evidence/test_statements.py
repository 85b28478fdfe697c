"""A statement says true to whoever counts it again, and nobody can change a thing in it unseen."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from grid import APRIL, MARCH, Grid, intervals
from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger import evidence, pricing, registry
from wattledger.evidence._signing import canonical
from wattledger.kernel import Period, Quality
from wattledger.store import Store

SIGNER = evidence.Signer(bytes(range(32)))
OTHER = evidence.Signer(bytes(32))


class Document(dict[str, Any]):
    """Has a short name in reports."""

    def __repr__(self) -> str:
        return "a statement"


def stated(grid: Grid, contract: str = "h0", month: str = "2026-03") -> dict[str, Any]:
    with grid.store.read() as tx:
        return evidence.statement(tx, contract_id=contract, month=month, signer=SIGNER, now=grid.clock.now())


def verified(document: dict[str, Any], **more: str) -> evidence.Verdict:
    return evidence.verify(json.dumps(document), **more)


TARIFF: dict[str, Any] = {
    "id": "all",
    "version": "1",
    "name": "All there is",
    "currency": "CNY",
    "zone": "Asia/Shanghai",
    "events": ["critical"],
    "periods": {"critical": {"events": "critical"}, "peak": {"times": "08:00-22:00"}, "valley": "otherwise"},
    "charges": [
        {
            "name": "energy",
            "kind": "energy",
            "tiers": {
                "counter": "all_periods",
                "basis": "year",
                "allocation": "chronological",
                "limits": [20],
                "adders": ["0", "0.05"],
                "proration": "none",
            },
            "price": {"critical": "2.5", "peak": "0.61", "valley": "0.33"},
        },
        {"name": "market", "kind": "energy", "index": {"series": "market", "scale": "0.1", "missing": "refuse"}},
        {"name": "standing", "kind": "fixed", "price": "0.3", "per": "day"},
        {"name": "tax", "kind": "tax", "rate": 5, "of": ["energy", "standing"]},
    ],
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a month whose tariff changed in the middle, with an event and published prices, not all of it read."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('stated') / 'town.db'}")
    store.migrate()
    grid = Grid(store)
    grid.publish(TARIFF)
    grid.publish({**TARIFF, "version": "2"}, valid_from=MARCH + timedelta(days=10))
    grid.homes(1, mode="postpay", tariff="all")
    with store.write() as tx:
        pricing.announce_event(tx, name="critical", period=Period(MARCH, MARCH + timedelta(hours=5)), now=MARCH)
        prices = [(MARCH + timedelta(hours=hour), Decimal("0.11") + hour % 7) for hour in range(31 * 24)]
        pricing.publish_prices(tx, series="market", prices=prices, seconds=3_600, now=MARCH)
    grid.deliver("read", {"h0": intervals([200 + slot % 9 for slot in range(96 * 2)])})
    grid.deliver("guessed", {"h0": intervals([77] * 96, start=MARCH + timedelta(days=12), quality=Quality.ESTIMATED)})
    grid.clock.move_to(APRIL)
    told = stated(grid)
    store.close()
    return Document(told)


def test_it_is_true(document: dict[str, Any]) -> None:
    verdict = verified(document, public_key=SIGNER.public_key)
    assert verdict.differences == []
    assert verdict.is_true
    assert verdict.known
    assert (verdict.contract, verdict.month, verdict.intervals) == ("h0", "2026-03", 288)
    first, second = document["parts"]
    assert set(second["readings"][0]["qualities"]) == {int(Quality.ESTIMATED)}
    assert first["events"]
    assert first["prices"]
    assert second["opening"]["history"]["months"]
    assert first["missing"] > 0


def test_white_space_and_order_are_no_change(document: dict[str, Any]) -> None:
    turned = dict(reversed(document.items()))
    assert evidence.verify(json.dumps(turned, indent=3)).is_true


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, (*path, number))
    else:
        yield path


def changed(document: dict[str, Any], path: tuple[Any, ...], *, lose: bool) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    if lose:
        del place[path[-1]]
    elif old is None or isinstance(old, bool):
        place[path[-1]] = not old
    elif isinstance(old, int):
        place[path[-1]] = old + 1
    else:
        place[path[-1]] = ("0" if old[:1] != "0" else "1") + old[1:]
    return copy


def is_caught(document: dict[str, Any]) -> bool:
    try:
        return not verified(document, public_key=SIGNER.public_key).is_true
    except evidence.DocumentUnreadable:
        return True


@settings(max_examples=100)
@given(place=st.integers(0, 2**40), lose=st.booleans(), single=st.booleans())
def test_no_change_goes_unseen(document: dict[str, Any], place: int, lose: bool, single: bool) -> None:  # noqa: FBT001 - drawn
    paths = [path for path in leaves(document) if not (single and isinstance(path[-1], int))]
    path = paths[place % len(paths)]
    assert is_caught(changed(document, path, lose=lose)), path


def resealed(document: dict[str, Any], signer: evidence.Signer = SIGNER) -> dict[str, Any]:
    return signer.signed({name: value for name, value in document.items() if name != "signed"})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("parts", 0, "readings", 0, "values", 3), "quantity is"),
        (("parts", 0, "lines", 0, "amount"), "it says"),
        (("parts", 0, "lines", 0, "clause"), "clause is"),
        (("parts", 1, "total"), "counted again it comes to"),
        (("total",), "the parts add up to"),
        (("parts", 0, "tariff", "hash"), "its tariff has the hash"),
        (("parts", 0, "tariff", "document", "charges", 2, "price"), "its tariff has the hash"),
        (("parts", 0, "opening", "sums", 0), "something counted already"),
        (("parts", 0, "missing"), "intervals have no reading"),
        (("parts", 0, "until"), "reckoned to"),
        (("parts", 0, "start"), "cannot be counted again|not of the month|something counted already"),
    ],
)
def test_an_issuer_who_signs_what_does_not_add_up_is_caught(
    document: dict[str, Any], path: tuple[Any, ...], said: str
) -> None:
    verdict = verified(resealed(changed(document, path, lose=False)))
    assert not any("signature" in one for one in verdict.differences)
    assert any(re.search(said, one) for one in verdict.differences), verdict.differences


def test_another_key_is_told(document: dict[str, Any]) -> None:
    forged = resealed(document, OTHER)
    assert verified(forged).is_true  # true to itself: who signed it has to be compared
    assert verified(forged).known is None
    verdict = verified(forged, public_key=SIGNER.public_key)
    assert not verdict.is_true
    assert verdict.known is False
    assert evidence.fingerprint(OTHER.public_key) in verdict.differences[0]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "another"}', '{"a": 1, "a": 2}', '{"a": 1.5}', "[" * 9_000]
)
def test_what_is_no_statement_is_one_error(text: str) -> None:
    with pytest.raises(evidence.DocumentUnreadable):
        evidence.verify(text)


def test_what_was_changed_beyond_reading_is_told_as_changed(document: dict[str, Any]) -> None:
    for path in (("zone",), ("parts", 0, "tariff", "document", "charges", 0, "kind"), ("parts", 0, "readings", 0)):
        verdict = verified(changed(document, path, lose=path[-1] == 0))
        assert "does not fit" in verdict.differences[0]
        assert len(verdict.differences) > 1


def test_prepaid_months_that_are_not_over_are_stated_up_to_now(grid: Grid) -> None:
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.deliver("some", {"h0": intervals([100] * 96)})
    grid.clock.move_to(MARCH + timedelta(days=1))
    told = stated(grid)
    assert verified(told).is_true
    assert told["total"] == (-grid.wallet("h0").available).text
    with pytest.raises(evidence.StatementRefused, match="no term in 2026-01"):
        stated(grid, month="2026-01")
    with pytest.raises(evidence.StatementRefused, match="no term in 2026-05"):
        stated(grid, month="2026-05")
    with pytest.raises(evidence.StatementRefused, match="is no month"):
        stated(grid, month="March")
    with pytest.raises(registry.ContractNotFound):
        stated(grid, contract="nobody")


def test_nothing_that_is_not_exact_is_signed() -> None:
    with pytest.raises(TypeError):
        canonical({"a": Decimal("1.5")})
    with pytest.raises(evidence.DocumentUnreadable):
        canonical({"a": 1.5})
    assert canonical({"b": "电", "a": [1]}) == '{"a":[1],"b":"电"}'.encode()


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "statement.key"
    made = evidence.signer_from_file(path, make=bytes(range(32)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert evidence.signer_from_file(path, make=bytes(32)).public_key == made.public_key == SIGNER.public_key
    path.chmod(0o644)
    with pytest.raises(evidence.SigningKeyUnusable, match="read by others"):
        evidence.signer_from_file(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(evidence.SigningKeyUnusable, match="64 hexadecimal"):
        evidence.signer_from_file(path)
    with pytest.raises(evidence.SigningKeyUnusable):
        evidence.signer_from_file(tmp_path / "none")
    with pytest.raises(evidence.PublicKeyRefused):
        evidence.public_key_of("abc")
