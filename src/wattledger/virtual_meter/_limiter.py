"""The limiter (class 71): a threshold, an emergency threshold for a while, and for how long it may be passed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]

MINUTE = 60
_HOUR = 3_600


@dataclass(slots=True)
class Limiter:
    """Over the threshold (W) for ``min_over`` seconds the relay opens; 0: no limit.

    Where the control mode lets it, it closes again when ``min_under`` seconds have passed. Whole minutes are looked at.
    """

    normal: int = 0
    emergency: int = 0
    min_over: int = 60
    min_under: int = 60
    emergency_from: int = 0
    emergency_until: int = 0

    @property
    def watches(self) -> bool:
        """Whether there is any threshold."""
        return bool(self.normal or self.emergency)

    @property
    def minutes_over(self) -> int:
        """Whole minutes over the threshold that open the relay."""
        return max(1, -(-self.min_over // MINUTE))

    def in_emergency(self, at: int) -> bool:
        """Whether the emergency profile is active."""
        return self.emergency_from <= at < self.emergency_until

    def active(self, at: int) -> int:
        """The threshold that holds at an instant, W."""
        return self.emergency if self.in_emergency(at) else self.normal

    def passed(self, edges: Instants, counted: Instants) -> int | None:
        """When the load was over the threshold for long enough; ``counted``: the register in Wh at each minute."""
        watts = np.diff(counted) * (_HOUR // MINUTE)
        limits = np.array([self.active(int(edge)) for edge in edges[:-1]], dtype=np.int64)
        run = 0
        for place, is_over in enumerate(((watts > limits) & (limits > 0)).tolist()):
            run = run + 1 if is_over else 0
            if run == self.minutes_over:
                return int(edges[place + 1])
        return None
