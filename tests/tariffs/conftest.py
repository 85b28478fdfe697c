"""Series and tariffs that these tests are made of."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.tariffs import Tariff, parse_tariff

YEAR_OF_SAM = datetime(2018, 1, 1, tzinfo=zone_named("UTC"))  # 1 January a Monday, no clock change, no leap day


@pytest.fixture(scope="session")
def hourly_kw(shared: Path) -> Callable[[str], IntervalSeries]:
    """A file of 8,760 hourly kW without header as exact energy, in SAM's year."""

    def load(name: str) -> IntervalSeries:
        lines = (shared / name).read_text().split()
        values = [_nano(line) for line in lines]
        starts = epoch(YEAR_OF_SAM) + 3600 * np.arange(len(values))
        qualities = np.full(len(values), Quality.ACTUAL, dtype=np.uint8)
        return IntervalSeries(starts, np.array(values, dtype=np.int64), qualities, 3600, decimals=9)

    return load


def _nano(text: str) -> int:
    whole, _, places = text.partition(".")
    return int(whole) * 10**9 + int(places.ljust(9, "0")[:9])


@pytest.fixture(scope="session")
def even() -> Callable[..., IntervalSeries]:
    """Every interval of a period with the same energy, or with the given energies in turn."""

    def series(period: Period, *, wh: int | Sequence[int] = 1000, seconds: int = 3600) -> IntervalSeries:
        starts = np.arange(epoch(period.start), epoch(period.end), seconds, dtype=np.int64)
        values = np.resize(np.array(wh, dtype=np.int64), len(starts))
        return IntervalSeries(starts, values, np.full(len(starts), Quality.ACTUAL, dtype=np.uint8), seconds)

    return series


@pytest.fixture(scope="session")
def tariff_of() -> Callable[..., Tariff]:
    """A tariff of these clauses, the header made up."""

    def build(**clauses: Any) -> Tariff:  # noqa: ANN401 - whatever a document may hold
        header = {"id": "made-up", "version": "1", "currency": "EUR", "zone": "UTC"}
        charges = [{"name": "energy", "kind": "energy", "price": "0.1"}]
        document = {**header, "charges": charges, **clauses}
        return parse_tariff({k: v for k, v in document.items() if v is not None}, source="test")

    return build
