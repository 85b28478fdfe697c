"""The author's guide says what is so: each of its examples is read, written down again, and rated."""

import json
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattledger.kernel import IntervalSeries, Period, Quality, epoch, zone_named
from wattledger.tariffs import Fact, IndexPrices, Rating, Signals, Tariff, load_tariff, parse_tariff, rate

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/tariff-language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
EXAMPLES = {text.split("\n")[0].removeprefix("id: "): text for text in BLOCKS}
SAMPLES = sorted(
    [*(ROOT / "src/wattledger").glob("tariffs/shipped/*.yaml"), *(ROOT / "src/wattledger").glob("demo/tariffs/*.yaml")]
)

FACTS: dict[str, Fact] = {"contracted_kw": Decimal(6), "phases": 3, "pensioner": True}
"""What the examples ask of a contract."""

TAKEN = (50, 50, 100, 100, 150, 250, 200, 100)
"""Wh of each quarter hour of the day's eight parts of three hours: 12 kWh a day."""

# April 2026 has 22 weekdays. 360 kWh are taken, and 15 more on Friday the 10th from 17:00 to 18:00, when the load is
# 16 kW: 375 kWh. 144 are given back from 10:00 to 14:00, 144 are controlled. The event is on the 10th and the 11th; the
# price index of the hour h is (h - 3) / 100. What this comes to was reckoned by hand from what the guide says.
TOTALS = {
    "flat": "108.38",
    "time-of-use": "120.39",  # peak 22 x 4.4 + 15 = 111.8, night 30 x 1.8 = 54, standard 209.2, and the levy
    "seasonal": "82.50",
    "holidays": "273.75",  # peak 22 x 5 + 15 = 125; none of April's days is a holiday
    "german-holidays": "109.75",  # 20 working days of 8, and 15; 200 else: Good Friday and Easter Monday are holidays
    "steps": "2180.32",  # 22.4, 42.6 and 19 at the peak; 77.6, 157.4 and 56 else
    "annual-steps": "185.33",  # 153, 138 and 84 in the first step
    "cliff": "2587.50",  # 375 x 6.90
    "set-by-total": "955.00",  # 200 x 2 + 175 x 3 + 30
    "fixed": "111.47",  # 91.88 + 14.49 + 3.10 + 2.00
    "proration": "31.76",  # 194 (200 x 30/31, up) x 0.0370, 181 x 0.0550, 9.62, 2.00, 3.00
    "conditions": "902.50",  # 787.50 + 6 x 12.50 + 40
    "two-schedules": "67.43",  # 111.8 x 0.25, 263.2 x 0.15; nothing is busy in April
    "demand": "223.80",  # 24.84 + 11.76; 16 kW x 9.50, the least of 5 kW x 2.00; (16 + 1 + 1) / 3 kW x 4.20
    "contracted-power": "183.78",  # 67.50; 6.3 kW, 1.2 twice and 8.5 thrice x 3.40
    "critical-peak": "279.27",  # 25.4 critical, 152.8 peak, 197.0 else (the 5th has 25 hours); 16 kW x 8
    "load-management": "274.95",  # 129 x 0.95, 246 x 0.60; from 17:15, the window that makes it 30 minutes, 12 x 0.40
    "dynamic": "93.57",  # evening 99 x 0.3333, 30 days of 1.87044, 5 %
    "bases": "1803.18",  # 1575 + 6 + 126 + 170.10 + 1.08 - 50 - 25
    "solar": "157.59",  # 108.75 + 24.48 - 8.64 + 33
    "net-metering": "47.64",  # 171 x 0.24; (204 - 144) x 0.11
    "rounding": "11175.00",
    "rounding-of-all": "906.00",  # 375 x 2.10, 118.13, and 0.37 to the whole rand
}


def parsed(name: str) -> Tariff:
    return parse_tariff(EXAMPLES[name], source="docs/tariff-language.md")


def readings(period: Period, zone: tzinfo, channel: str) -> IntervalSeries:
    """A month of quarter hours by the clock of a zone."""
    starts = np.arange(epoch(period.start), epoch(period.end), 900, dtype=np.int64)
    clocks = [datetime.fromtimestamp(int(start), tz=UTC).astimezone(zone) for start in starts]
    values = [_taken(at) if channel == "import" else _given(at) if channel == "export" else 50 for at in clocks]
    qualities = np.full(len(starts), Quality.ACTUAL, dtype=np.uint8)
    return IntervalSeries(starts, np.array(values, dtype=np.int64), qualities, 900)


def _taken(at: datetime) -> int:
    return 4000 if (at.day, at.hour) == (10, 17) else TAKEN[at.hour // 3]


def _given(at: datetime) -> int:
    return 300 if 10 <= at.hour < 14 else 0


def april(tariff: Tariff) -> Rating:
    zone = zone_named(tariff.zone or "UTC")
    period = Period(datetime(2026, 4, 1, tzinfo=zone), datetime(2026, 5, 1, tzinfo=zone))
    hours = [(period.start + timedelta(hours=n)).astimezone(zone) for n in range(30 * 24)]
    spot = IndexPrices.of([(hour, Decimal(hour.hour - 3) / 100) for hour in hours], seconds=3600)
    hot = Period(datetime(2026, 4, 10, tzinfo=zone), datetime(2026, 4, 12, tzinfo=zone))
    return rate(
        tariff=tariff,
        series={channel: readings(period, zone, channel) for channel in tariff.channels},
        period=period,
        zone=zone,
        facts=FACTS,
        signals=Signals(events=dict.fromkeys(tariff.events, (hot,)), prices=dict.fromkeys(tariff.index_series, spot)),
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_written_down_as_it_was_read(name: str) -> None:
    tariff = parsed(name)
    assert tariff.id == name
    backwards = Tariff.from_document(_reversed(json.loads(json.dumps(tariff.document))))
    assert (backwards.document, backwards.hash) == (tariff.document, tariff.hash)
    assert (backwards.cells, backwards.charges) == (tariff.cells, tariff.charges)
    assert backwards.calendar.patterns == tariff.calendar.patterns
    assert backwards.calendar.events == tariff.calendar.events


def _reversed(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_rated_as_the_guide_says(name: str) -> None:
    tariff = parsed(name)
    rated = april(tariff)
    assert rated.missing == 0
    assert {line.charge for line in rated.lines} <= {"rounding", *(charge.name for charge in tariff.charges)}
    assert str(rated.total) == f"{TOTALS[name]} {tariff.currency}"


def test_an_overload_is_told_when_it_has_lasted() -> None:
    told = april(parsed("load-management")).notices
    zone = zone_named("Asia/Shanghai")
    assert {(one.charge, one.action, f"{one.start.astimezone(zone):%d %H:%M}", one.peak_kw) for one in told} == {
        ("overload", "adder", "10 17:00", Decimal(16)),
        ("please reduce", "notice", "10 17:00", Decimal(16)),
        ("overload cut", "curtail", "10 17:00", Decimal(16)),
    }


def test_every_block_of_the_guide_is_an_example() -> None:
    assert len(EXAMPLES) == len(BLOCKS) == GUIDE.count("```yaml") == len(TOTALS) == 23


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_tariff_in_the_package_is_one(path: Path) -> None:
    tariff = load_tariff(path)
    assert Tariff.from_document(tariff.document) == tariff


def test_there_are_tariffs_in_the_package() -> None:
    assert len(SAMPLES) > 7
