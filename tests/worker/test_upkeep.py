"""Days that are over are validated and folded by themselves."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from grid import MARCH, Grid, intervals

from wattledger import readings
from wattledger.app._validation import Desk
from wattledger.kernel import Period, Quality
from wattledger.worker import CompactionSettings, Upkeep, UpkeepSettings

DAY = timedelta(days=1)
SETTINGS = UpkeepSettings()


class Days:
    """A home of which a day's quarter-hours come each day, and what keeps its history up."""

    def __init__(self, grid: Grid, settings: UpkeepSettings) -> None:
        self.grid = grid
        self.validated: list[Period] = []
        self.desk = Desk(store=grid.store, clock=grid.clock, wake=lambda: None)
        self.upkeep = Upkeep(store=grid.store, clock=grid.clock, validate=self._validate, settings=settings)

    def _validate(self, period: Period) -> None:
        self.validated.append(period)
        self.desk.validate(period=period)

    def come(self, day: int, *, without: slice = slice(0, 0)) -> None:
        values = intervals([100] * 96, start=MARCH + day * DAY)
        there = np.ones(96, dtype=np.bool_)
        there[without] = False
        self.grid.deliver(f"day {day}", {"h0": values.picked(there)})

    def at(self, instant: datetime) -> None:
        self.grid.clock.move_to(instant)
        self.upkeep.once()

    def stats(self) -> readings.ChannelStats:
        with self.grid.store.read() as tx:
            return readings.stats(tx).channels[0]

    def faults(self) -> list[str]:
        with self.grid.store.read() as tx:
            return readings.verify(tx)


@pytest.fixture
def days(grid: Grid, tmp_path: Path) -> Days:
    grid.publish()
    grid.homes(1, mode="postpay")
    return Days(grid, replace(SETTINGS, compaction=CompactionSettings(files=str(tmp_path / "files"))))


def test_a_day_that_is_over_is_validated_and_folded_once(days: Days) -> None:
    midnight = datetime.fromisoformat("2026-03-02T00:00Z")  # in the middle of a local day
    for day in range(3):
        days.come(day, without=slice(40, 42) if day == 0 else slice(0, 0))
    days.at(midnight + timedelta(hours=5))
    assert days.validated == [Period(midnight - 2 * DAY, midnight - DAY)]
    days.at(midnight + timedelta(hours=6))
    assert days.validated[1:] == [Period(midnight - 4 * DAY, midnight)]
    found = days.stats()
    assert found.files == 2  # the last of February and the first of March
    days.at(midnight + timedelta(hours=29))
    assert len(days.validated) == 2
    assert days.stats() == found
    assert days.faults() == []
    with days.grid.store.read() as tx:
        of_home = readings.series(tx, service_point_id="h0", period=Period(MARCH, MARCH + DAY))
    assert of_home.qualities.tolist().count(Quality.ESTIMATED) == 2
    assert len(of_home) == 96


def test_after_a_long_silence_every_day_is_validated(days: Days) -> None:
    days.come(0)
    days.at(MARCH + timedelta(days=1, hours=16))
    days.validated.clear()
    for day in range(1, 21):
        days.come(day)
    days.at(MARCH + timedelta(days=21, hours=16))
    assert [one.start for one in days.validated[1:]] == [one.end for one in days.validated[:-1]]
    assert days.validated[-1].end == datetime.fromisoformat("2026-03-22T00:00Z")
    assert all(one.end - one.start <= 7 * DAY for one in days.validated)
    assert days.faults() == []


def test_nothing_stored_nothing_due(days: Days) -> None:
    days.at(MARCH + 9 * DAY)
    assert days.validated == []


def test_who_asks_for_no_validation_gets_files_only(grid: Grid, tmp_path: Path) -> None:
    grid.publish()
    grid.homes(1, mode="postpay")
    files = CompactionSettings(files=str(tmp_path / "files"))
    days = Days(grid, UpkeepSettings(validation=False, compaction=files))
    days.come(0)
    days.at(MARCH + 3 * DAY)
    assert days.validated == []
    assert days.stats().files > 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_cannot_be_done_is_told_once_and_tried_again(
    grid: Grid, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid.publish()
    grid.homes(1, mode="postpay")
    days = Days(grid, SETTINGS)
    days.come(0)
    grid.clock.move_to(MARCH + 3 * DAY)
    with caplog.at_level(logging.WARNING):
        days.upkeep._round()
        days.upkeep._round()
    assert len(caplog.records) == 1
    assert "--files" in caplog.text  # beside a PostgreSQL there is no place for files: who serves has to say one
    assert days.stats().files == 0
    days.upkeep._settings = replace(SETTINGS, compaction=CompactionSettings(files=str(tmp_path / "files")))
    days.upkeep._round()
    assert days.stats().files > 0


def test_the_thread_ends_when_it_is_told_to(days: Days) -> None:
    days.come(0)
    days.grid.clock.move_to(MARCH + 3 * DAY)
    days.upkeep.start()
    days.upkeep.stop()
    assert days.faults() == []
