import pytest

from wattledger.demo import Simulation, Town, TownPlan
from wattledger.demo._clock import TownClock
from wattledger.demo._meters import TownMeters
from wattledger.demo._people import People


@pytest.fixture(scope="session")
def plan() -> TownPlan:
    return TownPlan(seed=11, homes=30, days=3)


@pytest.fixture(scope="session")
def town(plan: TownPlan) -> Town:
    return Town.of(plan)


@pytest.fixture
def simulation(town: Town) -> Simulation:
    """The town with a clock that stands at its beginning."""
    clock = TownClock(start=town.plan.start, speed=600, monotonic_ns=lambda: 0)
    return Simulation(town=town, clock=clock, meters=TownMeters(town=town, clock=clock), people=People(town))
