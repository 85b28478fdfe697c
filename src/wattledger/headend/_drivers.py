"""Finding drivers: built-in ones and strangers' alike are entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from wattledger.headend.ports import Driver
from wattledger.kernel import Problem

GROUP = "wattledger.drivers"


class DriverNotFound(Problem):
    """No installed driver has this name."""

    slug = "driver-not-found"
    title = "No driver speaks this protocol"
    status = 422


class DriverBroken(Problem):
    """An entry point names something that is no driver."""

    slug = "driver-broken"
    title = "A driver cannot be loaded"
    status = 500


def installed_drivers() -> dict[str, Driver]:
    """Every installed driver by its name: what entry points of the group ``wattledger.drivers`` make when called."""
    found: dict[str, Driver] = {}
    for point in entry_points(group=GROUP):
        try:
            driver: Driver = point.load()()
        except Exception as error:
            raise DriverBroken(
                f"the driver {point.name} ({point.value}) cannot be loaded: {error}",
                remedy="remove the package that brings it, or ask its author",
            ) from error
        if driver.name != point.name:
            raise DriverBroken(
                f"the entry point {point.name} ({point.value}) makes a driver that calls itself {driver.name}",
                remedy="its author gives both one name",
            )
        found[driver.name] = driver
    return found


def driver_named(drivers: Mapping[str, Driver], *, name: str) -> Driver:
    """The driver of this name; raises :class:`DriverNotFound`."""
    if name not in drivers:
        raise DriverNotFound(
            f"no driver is called {name!r}",
            remedy=f"installed are: {', '.join(sorted(drivers)) or 'none'}",
        )
    return drivers[name]
