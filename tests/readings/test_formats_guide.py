"""The examples in docs/formats.md are files that are read as it says; its table of qualities is the readers'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wattledger.kernel import Quality
from wattledger.readings import ImportRules, ReadingsFileRefused, plan_import, read_file
from wattledger.readings.formats import _cim, _csv, _espi, _mscons, _nem12, _nem13

GUIDE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w+ ((?:\w+=\S+ ?)+)\n(.*?)```", GUIDE, flags=re.DOTALL)
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GUIDE.partition("| stored as |")[2].splitlines()[2:7]
]


def test_every_example_is_found() -> None:
    assert len(BLOCKS) == GUIDE.count("\n```") // 2


@pytest.mark.parametrize(("said", "text"), BLOCKS)
def test_an_example_is_read_as_the_guide_says(tmp_path: Path, said: str, text: str) -> None:
    wanted = dict(one.split("=") for one in said.split())
    path = tmp_path / "example"
    path.write_text(text, encoding="utf-8")
    named = wanted.pop("zone", None)
    zone = None if named is None else ZoneInfo(named)
    if "fails" in wanted:
        with pytest.raises(ReadingsFileRefused) as refused:
            read_file(path, zone=zone)
        assert str(refused.value.line) == wanted["fails"]
        return
    file = read_file(path, zone=zone)
    plan = plan_import(file, rules=ImportRules(points={"": "home"}))
    found = {
        "stored": sum(len(one.series) for one in plan.intervals),
        "registers": sum(len(one.at) for one in plan.registers),
        "missing": plan.missing,
        "duplicate": plan.duplicate,
        "refused": sum(one.count for one in plan.refused),
    }
    assert {name: count for name, count in found.items() if count} == {name: int(n) for name, n in wanted.items()}
    assert sum(found.values()) == file.readings


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        (1, _nem12._QUALITIES),
        (1, _nem13._QUALITIES),
        (2, _espi._QUALITIES),
        (3, _mscons._QUALITIES),
        (4, _cim._CATEGORIES),
        (5, _csv._QUALITIES),
    ],
    ids=["NEM12", "NEM13", "ESPI", "MSCONS", "CIM", "CSV"],
)
def test_the_table_of_qualities_is_what_is_read(column: int, meant: Mapping[str, Quality]) -> None:
    told = {code: Quality[row[0].upper()] for row in TABLE for code in row[column].split(", ") if code}
    assert told == {code: quality for code, quality in meant.items() if code}
