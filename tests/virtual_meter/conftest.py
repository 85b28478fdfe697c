from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    DateTime,
    Reference,
    Selection,
    array,
    obis,
    octets,
    structure,
)
from wattledger.kernel import ManualClock, epoch
from wattledger.virtual_meter import MANAGEMENT, DayLoad, MeterObjects, MeterPlan, VirtualMeter

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


class Bench:
    """A meter without secrets, its clock, and its objects by class, name and attribute."""

    def __init__(self, meter: VirtualMeter, clock: ManualClock) -> None:
        self.meter, self.clock, self.objects = meter, clock, MeterObjects(meter)

    @property
    def at(self) -> int:
        return epoch(self.clock.now())

    def wait(self, **how_long: int) -> None:
        self.clock.advance(timedelta(**how_long))

    def read(self, kind: int, name: str, attribute: int = 2, selection: Selection | None = None) -> Any:  # noqa: ANN401 - any value
        value = self.objects.read(Reference(kind, obis(name), attribute), selection, client=MANAGEMENT)
        return plain(value)

    def between(self, name: str, start: datetime, end: datetime) -> list[list[Any]]:
        """Rows of a profile, both ends included."""
        edges = (octets(DateTime.at(edge).encoded) for edge in (start, end))
        captured = structure()
        parameters = structure(captured, *edges, array([]))
        rows: list[list[Any]] = self.read(7, name, selection=Selection(1, parameters))
        return rows

    def write(self, kind: int, name: str, attribute: int, value: Data) -> AccessResult:
        return self.objects.write(Reference(kind, obis(name), attribute), None, value, client=MANAGEMENT)

    def invoke(self, kind: int, name: str, method: int, given: Data | None = None) -> ActionResult:
        return self.objects.invoke(Reference(kind, obis(name), method), given, client=MANAGEMENT)[0]

    def codes(self, log: int) -> list[int]:
        self.meter.now()
        return [code for _, code in self.meter.logs.get(log, ())]

    @property
    def register(self) -> int:
        self.meter.now()
        return int(self.meter.imported(np.array([self.at], dtype=np.int64))[0])


def plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """What is in data, tags aside."""
    if isinstance(value, Data):
        return plain(value.value)
    return (
        [plain(one) for one in value] if isinstance(value, list | tuple) and not isinstance(value, DateTime) else value
    )


def bench(*, watts: int = 600, zone: str = "UTC", now: datetime = NOW, **told: Any) -> Bench:  # noqa: ANN401 - whatever a meter takes
    clock = ManualClock(now)
    load = told.pop("load", DayLoad(np.full(24, watts, dtype=np.int64)))
    plan = MeterPlan(zone=zone)
    meter = VirtualMeter(number=told.pop("number", 1), clock=clock, load=load, plan=plan, installed=epoch(now), **told)
    return Bench(meter, clock)


@pytest.fixture
def made() -> Callable[..., Bench]:
    """Makes meters with an even load."""
    return bench


@pytest.fixture(scope="session")
def make_meter() -> Callable[..., Bench]:
    """The same for laws, which need a new one for each example."""
    return bench
