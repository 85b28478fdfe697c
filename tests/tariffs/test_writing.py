"""A tariff as YAML: what is written reads back as the same version, and a person can read it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from wattledger import tariffs
from wattledger.tariffs import Tariff, export_yaml, import_urdb, load_tariff, parse_tariff

GUIDE = Path(__file__).parents[2] / "docs/tariff-language.md"
SHIPPED = Path(tariffs.__file__).parent / "shipped"
NAMES = st.text(st.characters(blacklist_categories=("C", "Zl", "Zp")), min_size=1, max_size=40).filter(
    lambda text: text == text.strip() and text.isprintable()
)


def read_back(tariff: Tariff) -> Tariff:
    return parse_tariff(export_yaml(tariff), source="written")


def test_every_example_of_the_guide_reads_back() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) > 20
    for block in blocks:
        tariff = parse_tariff(block, source="guide")
        assert read_back(tariff).document == tariff.document
        assert read_back(tariff).hash == tariff.hash


def test_every_shipped_tariff_reads_back() -> None:
    files = sorted(SHIPPED.glob("*.yaml"))
    assert files
    for path in files:
        tariff = load_tariff(path)
        assert read_back(tariff).document == tariff.document


def test_what_it_looks_like() -> None:
    flat, work = [[0] * 24] * 12, [[0] * 16 + [1] * 5 + [0] * 3] * 12
    tariff = import_urdb(
        {
            "name": "Plan: B",
            "utility": "City",
            "label": "abc",
            "energyratestructure": [
                [{"rate": 0.15, "max": 300}, {"rate": 0.22}],
                [{"rate": 0.25, "max": 300}, {"rate": 0.3512345678901234, "max": 1e38}],
            ],
            "energyweekdayschedule": work,
            "energyweekendschedule": flat,
            "flatdemandstructure": [[{"rate": 4}], [{"rate": 6, "max": 50}, {"rate": 7}]],
            "flatdemandmonths": [0] * 6 + [1] * 6,
            "fixedmonthlycharge": 10.5,
        }
    )
    assert (
        export_yaml(tariff)
        == """\
# The last tier's max is so high that it is read as no limit.
# A month's tier limits stand whole in a bill of less than a month: URDB does not say.
# Tiers under the convention 'sam': every period gets the same shares of the month's tiers, as SAM
#   has it.

id: urdb-abc
version: "1"
name: "City: Plan: B"
currency: USD
seasons: {jan-jun: 01-01 to 06-30, jul-dec: 07-01 to 12-31}
day_types: {weekday: [mon, tue, wed, thu, fri], weekend: [sat, sun]}
periods:
  period-0:
    - {days: weekday, times: [00:00-16:00, 21:00-24:00]}
    - {days: weekend, times: 00:00-24:00}
  period-1: {days: weekday, times: 16:00-21:00}
charges:
  - name: energy
    kind: energy
    tiers:
      counter: all_periods
      basis: month
      allocation: pro_rata
      limits: [300]
      proration: none
    price: {period-0: [0.15, 0.22], period-1: [0.25, 0.3512345678901234]}
  - name: flat demand
    kind: demand
    window: 15
    price: {jan-jun: [4], jul-dec: [6, 7]}
    limits: {jan-jun: [], jul-dec: [50]}
  - {name: fixed charge, kind: fixed, price: 10.5, per: month}
"""
    )
    assert read_back(tariff) == tariff


def test_the_order_of_keys_is_always_the_same(tariff_of: Callable[..., Tariff]) -> None:
    one = tariff_of(charges=[{"name": "e", "kind": "energy", "price": "0.10"}], zone="Europe/Paris")
    other = tariff_of(zone="Europe/Paris", charges=[{"price": "0.1", "kind": "energy", "name": "e"}])
    assert export_yaml(one) == export_yaml(other)


@given(NAMES, NAMES, NAMES)
@example("null", "~", "Null")
@example("- a", "a: b", "a #b")
@example("'quoted'", '"', "{}")
@example("\\", "&a", "*a")
@example("?", "!x", "%y")
@example("a,b", "[c]", "d:")
def test_any_names_read_back(name: str, peak: str, rest: str) -> None:
    if len({peak, rest}) < 2 or name == "all":
        return
    document: dict[str, Any] = {
        "id": name,
        "version": rest,
        "currency": "EUR",
        "periods": {peak: {"times": "16:30-21:00"}, rest: "otherwise"},
        "charges": [
            {"name": name, "kind": "energy", "price": {peak: "-0.10", rest: "0.0000001"}},
            {"name": f"{name}!", "kind": "percentage", "rate": "5", "of": [name]},
        ],
    }
    tariff = parse_tariff(document, source="test")
    assert read_back(tariff) == tariff


@given(NAMES)
@example("1.10")
@example("2026-01-01")
@example("0x1F")
@example("1e3")
@example("12:30:45")
@example("yes")
@example("=")
@example("<<")
@example(".inf")
@example(".nan")
@example("1_000")
@example("+1")
def test_other_readers_of_yaml_find_texts_where_texts_are(version: str) -> None:
    document = {"id": "a", "version": version, "currency": "EUR"}
    charges = [{"name": "e", "kind": "energy", "price": "1"}]
    read = yaml.safe_load(export_yaml(parse_tariff({**document, "charges": charges}, source="test")))
    assert read["version"] == version
    assert read["charges"][0]["price"] == 1
