from __future__ import annotations

from collections.abc import Iterator

import pytest
from kannel import Kannel, lacking, running_kannel


@pytest.fixture(scope="session")
def kannel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kannel]:
    """A real gateway; started once for each worker of a test run."""
    reason = lacking()
    if reason is not None:
        pytest.skip(reason)
    with running_kannel(tmp_path_factory.mktemp("kannel")) as running:
        yield running
