"""Counters of a head-end process, and how Prometheus reads them: its text format 0.0.4, plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import final

_MICROSECOND = timedelta(microseconds=1)
_PREFIX = "wattledger_headend"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@final
class Metrics:
    """What a process has done since it started. For one thread; numbers only rise, but for what is under way."""

    def __init__(self) -> None:
        self.reached = 0
        self.failed: Counter[str] = Counter()
        self.rows = 0
        self.events = 0
        self.spent = timedelta()
        self.under_way = 0
        self.batches = 0

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _told("meters_reached_total", "counter", "Visits that went well.", {"": str(self.reached)})
        kinds = {f'{{kind="{_escaped(kind)}"}}': str(count) for kind, count in sorted(self.failed.items())}
        yield from _told("meters_failed_total", "counter", "Visits that failed, by kind.", kinds)
        yield from _told("rows_total", "counter", "Profile rows that were delivered.", {"": str(self.rows)})
        yield from _told("events_total", "counter", "Log entries that were new.", {"": str(self.events)})
        micro = self.spent // _MICROSECOND
        seconds = f"{micro // 1_000_000}.{micro % 1_000_000:06d}"
        yield from _told("visit_seconds_total", "counter", "Time spent in conversations.", {"": seconds})
        yield from _told("visits", "gauge", "Conversations under way.", {"": str(self.under_way)})
        yield from _told("batches_total", "counter", "Units of work that kept visits.", {"": str(self.batches)})


def _told(name: str, kind: str, words: str, values: dict[str, str]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {words}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"
    for labels, value in values.items():
        yield f"{_PREFIX}_{name}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
