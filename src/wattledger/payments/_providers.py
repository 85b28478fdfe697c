"""Finding providers: built-in ones and strangers' alike are entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from wattledger.kernel import Clock, Problem
from wattledger.payments.ports import Provider, ProviderFactory

GROUP = "wattledger.payments"


class ProviderNotFound(Problem):
    """No installed provider has this name."""

    slug = "payment-provider-not-found"
    title = "No such payment provider"
    status = 404


class ProviderBroken(Problem):
    """An entry point names something that makes no provider."""

    slug = "payment-provider-broken"
    title = "A payment provider cannot be loaded"
    status = 500


def open_providers(*, settings: Mapping[str, Mapping[str, str]], clock: Clock) -> dict[str, Provider]:
    """The providers that there are settings for, by name: what entry points of ``wattledger.payments`` make of them.

    Raises :class:`ProviderNotFound`, :class:`ProviderBroken` and :class:`~wattledger.payments.SettingsWrong`.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    made: dict[str, Provider] = {}
    for name, own in settings.items():
        if name not in points:
            raise ProviderNotFound(
                f"no payment provider is called {name!r}",
                remedy=f"installed are: {', '.join(sorted(points)) or 'none'}",
            )
        try:
            factory: ProviderFactory = points[name].load()
        except Exception as error:
            raise ProviderBroken(
                f"the payment provider {name} ({points[name].value}) cannot be loaded: {error}",
                remedy="remove the package that brings it, or ask its author",
            ) from error
        made[name] = factory(own, clock=clock)
        if made[name].name != name:
            raise ProviderBroken(
                f"the entry point {name} makes a provider that calls itself {made[name].name}",
                remedy="its author gives both one name",
            )
    return made
