"""What the store's victim delivers, so that the test knows what must be there."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

FIRST = datetime(2026, 2, 22, tzinfo=UTC)
DAYS = 12  # seven of February, five of March
POINTS = [f"p{number}" for number in range(40)]
_WH = np.random.default_rng(11).integers(1, 900, (len(POINTS), DAYS * 96)).astype(np.int64)
_dice = np.random.default_rng(12)
CORRECTIONS: list[list[tuple[int, NDArray[np.int64]]]] = [
    [
        (row, np.unique(_dice.integers(0, 96 * 3 * (number + 1), 9)))
        for row in sorted(_dice.permutation(40)[:12].tolist())
    ]
    for number in range(DAYS // 3)
]


def day_of(day: int) -> NDArray[np.int64]:
    """What the meters said first."""
    return _WH[:, 96 * day : 96 * (day + 1)]


def corrected(row: int, slots: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """What they said later; never what they had said before."""
    known: NDArray[np.int64] = _WH[row, slots]
    return known + 1000 * (number + 1)


def as_it_ends() -> NDArray[np.int64]:
    """Every value in the end."""
    found = _WH.copy()
    for number, rows in enumerate(CORRECTIONS):
        for row, slots in rows:
            found[row, slots] = corrected(row, slots, number)
    return found
