import json
from pathlib import Path
from typing import Any

import pytest

from wattledger.sts import StaTables


@pytest.fixture(scope="session")
def vectors(shared: Path) -> dict[str, Any]:
    """The published vectors."""
    found: dict[str, Any] = json.loads((shared / "vectors" / "sts.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def sample_tables(vectors: dict[str, Any]) -> StaTables:
    """The sample tables of the standard: never those of a meter in use."""
    return StaTables.read(document=vectors["iec_sample_sta"]["sample_tables"])
