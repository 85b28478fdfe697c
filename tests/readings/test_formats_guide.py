"""The examples in docs/formats.md are files that can be read, with what they say comes out."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wattledger.readings import ImportRules, plan_import, read_file

GUIDE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w+ ((?:\w+=\S+ ?)+)\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_every_example_is_found() -> None:
    assert len(BLOCKS) == GUIDE.count("\n```") // 2


@pytest.mark.parametrize(("said", "text"), BLOCKS)
def test_an_example_is_read_as_the_guide_says(tmp_path: Path, said: str, text: str) -> None:
    wanted = dict(one.split("=") for one in said.split())
    path = tmp_path / "example"
    path.write_text(text, encoding="utf-8")
    zone = wanted.pop("zone", None)
    file = read_file(path, zone=None if zone is None else ZoneInfo(zone))
    refused = int(wanted.pop("refused", "0"))
    assert (file.refused_count, file.duplicates) == (refused, 0)
    found = {"stored": sum(len(channel.series) for channel in file.channels), "registers": len(file.registers)}
    assert {name: count for name, count in found.items() if count} == {name: int(n) for name, n in wanted.items()}
    plan = plan_import(file, rules=ImportRules(points={"": "home"}))
    assert plan.taken + plan.missing + refused == file.readings
    assert sum(one.count for one in plan.refused) == refused
