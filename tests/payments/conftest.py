"""A desk at which a home pays."""

from __future__ import annotations

import pytest
from grid import Grid
from payments_desk import Desk, desk_at


@pytest.fixture
def desk(grid: Grid) -> Desk:
    return desk_at(grid)
