"""What both sides of every pairing know: keys, addresses, and what the meter has counted. Nothing but Python in here.

The meter was installed on 27 February 2026 and counts 250 Wh every quarter of an hour; its clock stands at noon of
2 March, UTC. Rows are stamped with the end of their quarter.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

INSTALLED = datetime(2026, 2, 27, tzinfo=UTC)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
QUARTER_WH = 250
ROWS_OF_A_DAY = 96

KEY, AUTHENTICATION_KEY, PASSWORD = bytes(range(16)), bytes(range(0xD0, 0xE0)), b"12345678"
WRONG_PASSWORD, WRONG_KEY = b"87654321", bytes(16)
CLIENTS = {"none": 1, "low": 2, "gmac": 1}
"""The client's address, by how it proves itself."""
CLOCK, ENERGY, LOAD_PROFILE, RELAY = "0-0:1.0.0.255", "1-0:1.8.0.255", "1-0:99.1.0.255", "0-0:96.3.10.255"


def dotted(name: str) -> str:
    """A logical name as Gurux writes it."""
    return name.replace("-", ".").replace(":", ".")


def register(at: datetime) -> int:
    """The energy register in Wh."""
    return (at - INSTALLED) // QUARTER * QUARTER_WH


def day_rows() -> list[tuple[datetime, int]]:
    """The rows of 1 March: stamp and register."""
    stamps = (DAY + QUARTER * (row + 1) for row in range(ROWS_OF_A_DAY))
    return [(stamp, register(stamp)) for stamp in stamps]


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say how a step went, on standard output, for run.py to gather; the first that fails ends the script."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever went wrong, it went wrong in this step
        traceback.print_exc()
        sys.stdout.write(f"failed {name}\n")
        sys.exit(1)
    sys.stdout.write(f"ok {name}\n")
    sys.stdout.flush()


def check(*, seen: object, expected: object) -> None:
    """The two are the same."""
    if seen != expected:
        raise AssertionError(f"{seen!r} where {expected!r} was expected")
