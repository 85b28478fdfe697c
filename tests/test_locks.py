"""What is locked is what is tested, and says nothing about where it was fetched."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[\[<>=~! ]", dependency, maxsplit=1)[0] for dependency in project["dependencies"]}


def test_the_program_is_tested_with_the_versions_that_it_runs_with() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_every_dependency_is_locked_and_has_its_reason_and_licence_written_down() -> None:
    told = (ROOT / "docs" / "dependencies.md").read_text()
    assert declared() <= pins("requirements.lock").keys()
    assert {name for name in declared() if not re.search(rf"^\| {name}[ ,]", told, re.MULTILINE)} == set()


@pytest.mark.parametrize("lock", [*LOCKS, "web/package-lock.json"])
def test_a_lock_has_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "sha256:" in text or '"integrity": "sha512-' in text
    assert not re.search(r"--(extra-)?index-url|\"resolved\": *\"http|@ https?:", text)
