"""Counters of a head-end process, and how Prometheus reads them: its text format 0.0.4, plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import final

_MICROSECOND = timedelta(microseconds=1)
_PREFIX = "wattledger_headend"


@final
class Metrics:
    """What a process has done since it started. One thread writes, any may read.

    Numbers only rise, but for what is under way.
    """

    def __init__(self) -> None:
        self.reached = 0
        self.failed: Counter[str] = Counter()
        self.rows = 0
        self.events = 0
        self.pushes = 0
        self.pushes_refused: Counter[str] = Counter()
        self.spent = timedelta()
        self.under_way = 0
        self.batches = 0

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from told_figures("meters_reached_total", "counter", "Visits that went well.", {"": self.reached})
        kinds = {f'{{kind="{_escaped(kind)}"}}': count for kind, count in sorted(self.failed.copy().items())}
        yield from told_figures("meters_failed_total", "counter", "Visits that failed, by kind.", kinds)
        yield from told_figures("rows_total", "counter", "Profile rows that were delivered.", {"": self.rows})
        yield from told_figures("events_total", "counter", "Log entries that were new.", {"": self.events})
        yield from told_figures("pushes_total", "counter", "Pushes that were kept.", {"": self.pushes})
        refused = {f'{{kind="{_escaped(kind)}"}}': count for kind, count in sorted(self.pushes_refused.copy().items())}
        yield from told_figures("pushes_refused_total", "counter", "Pushes and callers refused, by kind.", refused)
        micro = self.spent // _MICROSECOND
        seconds = f"{micro // 1_000_000}.{micro % 1_000_000:06d}"
        yield from told_figures("visit_seconds_total", "counter", "Time spent in conversations.", {"": seconds})
        yield from told_figures("visits", "gauge", "Conversations under way.", {"": self.under_way})
        yield from told_figures("batches_total", "counter", "Units of work that kept visits.", {"": self.batches})


def told_figures(name: str, kind: str, words: str, values: Mapping[str, object]) -> Iterator[str]:
    """The lines of one metric: its values by their labels, ``""`` for none."""
    yield f"# HELP {_PREFIX}_{name} {words}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"
    for labels, value in values.items():
        yield f"{_PREFIX}_{name}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
