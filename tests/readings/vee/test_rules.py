"""Rules from YAML: everything said, nothing misread, every fault with its line."""

from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from wattledger.readings.vee import Rule, RulesRefused, Severity, load_rules, read_rules, shipped_rules

TEXT = resources.files("wattledger.readings.vee").joinpath("rules.yaml").read_text(encoding="utf-8")
DOCS = Path(__file__).parents[3] / "docs" / "vee.md"


def test_the_shipped_rules_say_every_rule_and_classes_differ_only_where_they_say_so() -> None:
    rules = shipped_rules()
    for name in ("import", "export", "net", "reactive", "generation", "submeter"):
        assert name in rules.classes
    assert all(isinstance(rules.of("import").severity(rule), Severity) for rule in Rule)
    assert rules.of("net").negative.severity is Severity.OFF
    assert rules.of("export").zero_run.hours == Decimal(168)
    assert rules.of("export").spike == rules.default.spike
    assert rules.of("unheard of") is rules.default


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("limit: 1.55", "limit: much", "'much' is no number at defaults.spike.limit"),
        ("limit: 1.55", "limit: 0", "0 is not between 0.01 and 1000 at defaults.spike.limit"),
        ("reach_days: 35", "reach_days: 401", "401 is not between 1 and 400 at defaults.estimate.reach_days"),
        ("limit: 1.55", "limit: nan", "'nan' is no number"),
        ("limit: 1.55", "limit: 1_0", "'1_0' is no number"),
        ("limit: 1.55", "limit: [1]", "a single value is needed at defaults.spike.limit"),
        ("limit: 1.55", "limits: 1.55", "there is no such clause; there are severity, limit, share"),
        ("    limit: 1.55\n", "", "limit must be said at defaults.spike"),
        ("    limit: 1.55\n", "    limit: 2\n    limit: 3\n", "stands twice at defaults.spike.limit"),
        ("tolerance_units: 2", "tolerance_units: 2.5", "'2.5' is no whole number at defaults.register_sum"),
        ("negative: {severity: fail}", "negative: {severity: fatal}", "'fatal' is no severity; there are off, info"),
        ("negative: no,", "negative: nope,", "'nope' is neither yes nor no at defaults.estimate.negative"),
        ("  missing: {severity: fail}\n", "", "every rule must be said; missing: missing at defaults"),
        ("  missing: {severity: fail}", "  missing: fail", "a mapping is needed at defaults.missing"),
        ("  import: {}", "  import: {spikes: {}}", "there is no such clause; there are missing"),
        ("  import: {}", "  import: {spike: {limit: no}}", "'no' is no number at classes.import.spike.limit"),
        ("  import: {}", "  import:", "a mapping is needed at classes.import"),
        ("classes:", "kinds:", "there is no such clause; there are defaults, classes at kinds"),
        ("classes:", "classes: [", "not valid YAML"),
    ],
)
def test_a_fault_is_refused_by_line_and_cause(old: str, new: str, cause: str) -> None:
    text = changed(old, new)
    with pytest.raises(RulesRefused) as refused:
        read_rules(text, source="mine.yaml")
    assert cause in str(refused.value)
    assert refused.value.detail.startswith("mine.yaml: line ")
    if new and "must be said" not in cause and "not valid" not in cause:
        line = text.count("\n", 0, text.index(new) + len(new.rstrip("\n"))) + 1
        assert line in {fault.line for fault in refused.value.faults}


def test_all_faults_are_told_at_once() -> None:
    text = changed("limit: 1.55", "limit: x").replace("tolerance_units: 2", "tolerance_units: y")
    with pytest.raises(RulesRefused) as refused:
        read_rules(text, source="mine.yaml")
    assert [fault.path for fault in refused.value.faults] == [
        "defaults.register_sum.tolerance_units",
        "defaults.spike.limit",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "5", "defaults: {}", "a: &x {b: *x}", "\0"])
def test_what_is_no_file_of_rules_is_refused(text: str) -> None:
    with pytest.raises(RulesRefused):
        read_rules(text, source="mine.yaml")


def test_a_file_is_read_and_its_trouble_is_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(changed("limit: 1.55", "limit: 2"), encoding="utf-8")
    assert load_rules(mine).default.spike.limit == 2
    with pytest.raises(RulesRefused, match="cannot be read"):
        load_rules(tmp_path / "none.yaml")
    mine.write_bytes(b"defaults:\n  \xff: 1\n")
    with pytest.raises(RulesRefused, match="line 2: the text is not UTF-8"):
        load_rules(mine)
    mine.write_bytes(b"#" * 1_000_001)
    with pytest.raises(RulesRefused, match="no file of rules"):
        load_rules(mine)


def test_the_documentation_names_every_rule() -> None:
    if not DOCS.exists():
        pytest.skip("the documentation is not there")
    text = DOCS.read_text(encoding="utf-8")
    assert [rule.value for rule in Rule if f"`{rule.value}`" not in text] == []
