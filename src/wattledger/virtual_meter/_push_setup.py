"""What a meter sends unasked: its push setups, and what waits to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wattledger.dlms import Reference, obis

SCHEDULED, ALARM, LAST_GASP = obis("0-0:25.9.0"), obis("0-4:25.9.0"), obis("0-5:25.9.0")
"""Rows of the load profile; entries of the fraud log; that the power is gone."""

_NAME = Reference(1, obis("0-0:42.0.0"), 2)


@dataclass(frozen=True, slots=True)
class PushSetup:
    """Class 40: ``objects`` to ``destination`` (``host:port``, empty: nothing is sent).

    ``spread``: over how many seconds the meters spread what all of them send at once. What cannot be delivered is tried
    ``retries`` times more, ``delay`` seconds later each, and then lost.
    """

    objects: tuple[Reference, ...]
    destination: str = ""
    spread: int = 0
    retries: int = 3
    delay: int = 60


def _telling(name: bytes, *objects: tuple[int, str, int]) -> PushSetup:
    told = (Reference(kind, obis(one), attribute) for kind, one, attribute in objects)
    return PushSetup((Reference(40, name, 1), _NAME, *told))


ON_WORKS: Mapping[bytes, PushSetup] = MappingProxyType(
    {
        SCHEDULED: _telling(SCHEDULED, (7, "1-0:99.1.0", 1), (7, "1-0:99.1.0", 3), (7, "1-0:99.1.0", 2)),
        ALARM: _telling(ALARM, (1, "0-0:97.98.0", 2), (7, "0-0:99.98.1", 1), (7, "0-0:99.98.1", 2)),
        LAST_GASP: _telling(LAST_GASP, (7, "0-0:99.98.0", 1), (7, "0-0:99.98.0", 2)),
    }
)
"""What a meter leaves the works with: nowhere to send to."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be sent now: entries of a log, or rows of the profile stamped in ``(first, last]``."""

    setup: bytes
    entries: tuple[tuple[int, int], ...] = ()
    first: int = 0
    last: int = 0
