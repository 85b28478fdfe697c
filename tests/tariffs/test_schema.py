"""The JSON Schema knows what the language is, and a good part of what it is not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from wattledger.tariffs import load_tariff, tariff_schema
from wattledger.tariffs._currencies import MINOR_PLACES
from wattledger.tariffs._document import read_yaml
from wattledger.tariffs._language import _CALENDAR, _HEADER, _KINDS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/tariff-language.md").read_text(encoding="utf-8")
EXAMPLES = {text.split("\n")[0]: text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)}
FILES = sorted((ROOT / "src/wattledger/tariffs").glob("**/*.yaml"))

SCHEMA = tariff_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def complaints(document: Any) -> list[str]:  # noqa: ANN401 - JSON
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_and_the_reader_know_the_same_words() -> None:
    assert set(SCHEMA["properties"]) == {*_HEADER, *_CALENDAR, "valid", "eligibility", "netting", "charges", "rounding"}
    assert SCHEMA["properties"]["currency"]["enum"] == sorted(MINOR_PLACES)
    assert SCHEMA["$defs"]["charge"]["properties"]["kind"]["enum"] == list(_KINDS)
    for name, kind in _KINDS.items():
        clause = SCHEMA["$defs"][name]
        assert set(clause["properties"]) == {"name", "kind", "when", *kind.known}
        assert set(clause["required"]) == {"name", "kind", *kind.required}


def test_every_clause_has_a_title_that_an_editor_shows() -> None:
    properties = list(_properties(SCHEMA))
    assert len(properties) > 100
    assert [where for where, clause in properties if not _titled(clause)] == []


def _properties(schema: Any, where: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            for name, clause in schema.get("properties", {}).items():
                yield f"{where}.{name}", clause
        for key, value in schema.items():
            yield from _properties(value, f"{where}.{key}")
    elif isinstance(schema, list):
        for item in schema:
            yield from _properties(item, where)


def _titled(clause: dict[str, Any]) -> bool:
    if "$ref" in clause and "title" not in clause:
        clause = SCHEMA["$defs"][clause["$ref"].rpartition("/")[2]]
    return "title" in clause or "const" in clause


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_of_the_guide_fits(name: str) -> None:
    document, _ = read_yaml(EXAMPLES[name], source="guide")
    assert complaints(document) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_tariff_in_the_package_fits_as_written_and_as_kept(path: Path) -> None:
    document, _ = read_yaml(path.read_text(encoding="utf-8"), source=str(path))
    assert complaints(document) == []
    assert complaints(json.loads(json.dumps(load_tariff(path).document))) == []


def test_numbers_and_truth_may_be_written_as_such() -> None:
    document = {
        "id": 7,
        "version": 1.5,
        "currency": "EUR",
        "charges": [
            {"name": "e", "kind": "energy", "price": -0.1, "when": {"facts": {"poor": True, "phases": [1, 3]}}},
            {"name": "d", "kind": "demand", "window": {"minutes": 15, "sliding": True}, "price": 4, "minimum": 5},
        ],
    }
    assert complaints(document) == []
    document["charges"][1]["window"]["minutes"] = 7  # type: ignore[index]
    assert len(complaints(document)) == 1
