"""The author's guide says what is so."""

import re
from pathlib import Path

import pytest

from wattledger.tariffs import Tariff, parse_tariff

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/tariff-language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_every_example_of_the_guide_is_a_tariff(example: str) -> None:
    tariff = parse_tariff(example, source="docs/tariff-language.md")
    assert Tariff.from_document(tariff.document) == tariff


def test_the_guide_has_examples() -> None:
    assert len(EXAMPLES) == GUIDE.count("```yaml") > 20
