"""The author's guide and the samples say what is so."""

import re
from pathlib import Path

import pytest

from wattledger.tariffs import Tariff, load_tariff, parse_tariff

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/tariff-language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)
SAMPLES = sorted((ROOT / "examples/tariffs").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_every_example_of_the_guide_is_a_tariff(example: str) -> None:
    tariff = parse_tariff(example, source="docs/tariff-language.md")
    assert Tariff.from_document(tariff.document) == tariff


def test_the_guide_has_examples() -> None:
    assert len(EXAMPLES) == GUIDE.count("```yaml") == 7


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_a_tariff(path: Path) -> None:
    assert load_tariff(path).id == path.stem


def test_there_are_samples() -> None:
    assert [path.stem for path in SAMPLES] == ["china-residential", "flat", "home-tou"]
