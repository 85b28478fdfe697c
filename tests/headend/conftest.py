from collections.abc import Iterator

import pytest
from paper_headend import CutStore, HeadEnd


@pytest.fixture
def head(database_url: str) -> Iterator[HeadEnd]:
    store = CutStore(database_url)
    yield HeadEnd(store)
    store.close()
