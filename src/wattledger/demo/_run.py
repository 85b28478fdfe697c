"""The demo from its options to its last line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from wattledger.demo._clock import TownClock
from wattledger.demo._history import Milestone, Simulation, raise_town
from wattledger.demo._links import Random, link_by_line, on_line
from wattledger.demo._live import LiveTown, Pulse
from wattledger.demo._meters import TownMeters
from wattledger.demo._people import HttpPayer, Payer, People
from wattledger.demo._screen import Chronicle, Signpost, hour_line, picture, story_line, take_snapshot
from wattledger.demo._town import (
    DAYS_DEFAULT,
    HOMES_DEFAULT,
    LIVE_DAY_DEFAULT,
    SEED_DEFAULT,
    ZONE,
    Town,
    TownPlan,
)
from wattledger.demo.ports import TownHost
from wattledger.kernel import Problem, zone_named

SPEED_DEFAULT = 600
PORT_DEFAULT = 8321

_TOWN_FILE = "town.json"
_FRAMES_A_SECOND = 4
_HOUR = timedelta(hours=1)
_PAST_THE_HOUR = timedelta(minutes=10)  # when the readings of the hour are in
_PLAIN_EVERY = timedelta(days=10)


class FolderNotOurs(Problem):
    """A data folder is not empty and not a town's, or holds another town."""

    slug = "data-folder-not-ours"
    title = "This folder cannot be used for the town"
    status = 409


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What ``wattledger demo`` can be told.

    ``data``         the folder of everything that is kept; ``fresh`` empties it first
    ``speed``        seconds of town time per second of life
    ``port``         where the API and the screens are served on loopback; not at all with ``serve`` false
    ``for_seconds``  end by itself after so many seconds of living (history is not counted)
    """

    seed: int = SEED_DEFAULT
    homes: int = HOMES_DEFAULT
    days: int = DAYS_DEFAULT
    live_day: date = LIVE_DAY_DEFAULT
    speed: int = SPEED_DEFAULT
    data: Path = field(default=Path("data/demo"))
    fresh: bool = False
    port: int = PORT_DEFAULT
    serve: bool = True
    for_seconds: float | None = None

    @property
    def plan(self) -> TownPlan:
        """The town these options ask for; raises :class:`~wattledger.demo.PlanRefused`."""
        return TownPlan(seed=self.seed, homes=self.homes, days=self.days, live_day=self.live_day)

    @property
    def base_url(self) -> str | None:
        """Where the town is served, or ``None``."""
        return f"http://127.0.0.1:{self.port}" if self.serve else None


def prepare_data(options: DemoOptions) -> None:
    """Make the data folder ready for this town, before the store in it is opened.

    The folder remembers which town it is for. Raises :class:`FolderNotOurs` when it is for another one, or holds files
    that no town put there; ``fresh`` throws a town away, never anything else.
    """
    folder, note = options.data, options.data / _TOWN_FILE
    plan = options.plan
    wanted = {"seed": plan.seed, "homes": plan.homes, "days": plan.days, "live_day": plan.live_day.isoformat()}
    unfinished = note.with_suffix(".new")
    if folder.is_dir() and not note.is_file() and any(file != unfinished for file in folder.iterdir()):
        raise FolderNotOurs(
            f"{folder} holds files that are not a simulated town's", remedy="choose an empty folder with --data"
        )
    if options.fresh and note.is_file():
        shutil.rmtree(folder)
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        if found != wanted:
            other = ", ".join(f"{key} {found.get(key)}" for key in wanted if found.get(key) != wanted[key])
            raise FolderNotOurs(
                f"{folder} holds a town with {other}",
                remedy="add --fresh to throw it away, choose another --data, or give the options it was raised with",
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(wanted, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(note)


def simulate(options: DemoOptions, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> Simulation:
    """The simulated side of the demo: town, clock, meters and people, for the host to be built on."""
    town = Town.of(options.plan)
    clock = TownClock(start=town.plan.start, speed=options.speed, monotonic_ns=monotonic_ns)
    return Simulation(town=town, clock=clock, meters=TownMeters(town=town, clock=clock), people=People(town))


def run_demo(
    *,
    host: TownHost,
    simulation: Simulation,
    options: DemoOptions,
    random: Random,
    console: Console | None = None,
    stop: threading.Event | None = None,
) -> Chronicle:
    """Raise the town (or go on with it) and let it live until ``stop``, Ctrl-C, SIGTERM or the end of its time.

    ``host`` runs on ``simulation``'s clock and with its driver; ``random`` gives unguessable bytes, for the meters'
    keys. On a terminal the town is a picture, elsewhere plain lines. Returns what was seen of it.
    """
    console = console or Console()
    stop = stop or threading.Event()
    with _stopped_by_signals(stop):
        _raise_visibly(host, simulation, console, stop)
        chronicle = Chronicle(simulation.town)
        if stop.is_set():
            return chronicle
        with on_line(simulation.meters, random=random) as address, _payer(host, options, stop) as payer:
            with host.store.write() as tx:
                link_by_line(
                    tx,
                    meters=simulation.meters,
                    address=address,
                    vault=host.vault,
                    random=random,
                    speed=options.speed,
                    now=simulation.clock.now(),
                )
            host.go_live()
            pulse = Pulse(facts=chronicle.add_facts, rows=chronicle.add_intervals)
            town = LiveTown(host=host, simulation=simulation, payer=payer, pulse=pulse, stop=stop)
            watcher = _Watcher(host, simulation, options, chronicle, console)
            town.start()
            try:
                watcher.watch(stop)
            finally:
                stop.set()
                town.join()
                simulation.clock.stand_still()
    ended = simulation.clock.now().astimezone(zone_named(ZONE))
    console.print(f"The town stopped at {ended:%a %d %b %Y %H:%M}. Seen live: {chronicle.summary()}.", soft_wrap=True)
    return chronicle


class _Stopped(Exception):
    """The town was asked to stop while its history was being made."""


def _raise_visibly(host: TownHost, simulation: Simulation, console: Console, stop: threading.Event) -> None:
    plan = simulation.town.plan
    total = int((plan.live_from - plan.start).total_seconds())
    rows, began = 0, time.monotonic()
    said: datetime | None = None
    progress = Progress(
        TextColumn("Living {task.fields[day]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} intervals, {task.fields[rate]:,}/s, about"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task("history", total=total, day=f"{plan.start:%d %b}", rows=0, rate=0)

    def shown(milestone: Milestone) -> None:
        nonlocal rows, said
        if said is None:
            said = milestone.at
            console.print(_opening(simulation.town, milestone.at), soft_wrap=True)
        rows += milestone.rows
        passed = time.monotonic() - began
        rate = int(rows / max(passed, 0.001))
        done = int((milestone.at - plan.start).total_seconds())
        progress.update(task, completed=done, day=f"{milestone.at:%d %b}", rows=rows, rate=rate)
        if not console.is_terminal and milestone.at - said >= _PLAIN_EVERY:
            said = milestone.at
            console.print(
                f"history  {milestone.at:%Y-%m-%d}  {done * 100 // total:3d} %  {rows:,} intervals, {rate:,}/s"
            )
        if stop.is_set():
            raise _Stopped

    with progress:
        try:
            raise_town(host=host, simulation=simulation, progress=shown)
        except _Stopped:
            return
    if rows:
        console.print(f"{rows:,} intervals ingested, priced and settled in {time.monotonic() - began:.1f} s")


def _opening(town: Town, at: datetime) -> str:
    plan = town.plan
    who = f"{plan.homes} homes, {len(town.supplies) - plan.homes} others, seed {plan.seed}"
    if at > plan.start:
        return f"Going on with the town ({who}) at {at.astimezone(zone_named(ZONE)):%a %d %b %Y %H:%M}"
    return f"Raising a town: {who}, {plan.days} days of history"


@contextmanager
def _payer(host: TownHost, options: DemoOptions, stop: threading.Event) -> Iterator[Payer]:
    if options.base_url is None:
        yield host.recharge
        return
    http = HttpPayer(base_url=options.base_url, pause=stop.wait)
    try:
        yield http
    finally:
        http.close()


class _Watcher:
    """Shows the town until it stops."""

    def __init__(
        self, host: TownHost, simulation: Simulation, options: DemoOptions, chronicle: Chronicle, console: Console
    ) -> None:
        self._host, self._simulation, self._chronicle, self._console = host, simulation, chronicle, console
        base = options.base_url
        links = () if base is None else (f"{base}/app", f"{base}/console")
        self._signpost = Signpost(speed=options.speed, links=links)
        self._began = time.monotonic()
        self._ends = None if options.for_seconds is None else self._began + options.for_seconds

    def watch(self, stop: threading.Event) -> None:
        """Draw, or write, until it is over."""
        if self._console.is_terminal:
            self._draw(stop)
        else:
            self._write(stop)

    def _over(self, stop: threading.Event) -> bool:
        return stop.wait(1 / _FRAMES_A_SECOND) or (self._ends is not None and time.monotonic() >= self._ends)

    def _draw(self, stop: threading.Event) -> None:
        with Live(self._picture(), console=self._console, screen=True, auto_refresh=False) as live:
            while not self._over(stop):
                live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        town, clock = self._simulation.town, self._simulation.clock
        passed = max(time.monotonic() - self._began, 1)
        return picture(
            snapshot=take_snapshot(self._host, town=town, now=clock.now()),
            stories=self._chronicle.newest(self._console.height),
            town=town,
            signpost=self._signpost,
            rate=int(self._chronicle.intervals / passed),
            size=(self._console.width, self._console.height),
        )

    def _write(self, stop: threading.Event) -> None:
        for link in self._signpost.links:
            self._console.print(link, highlight=False)
        next_hour: datetime = self._simulation.clock.now()
        over = False
        while not over:
            over = self._over(stop)
            for story in self._chronicle.take_untold():
                self._console.print(story_line(story), highlight=False, markup=False, soft_wrap=True)
            now = self._simulation.clock.now()
            if now >= next_hour:
                next_hour = now.replace(minute=0, second=0, microsecond=0) + _HOUR + _PAST_THE_HOUR
                snapshot = take_snapshot(self._host, town=self._simulation.town, now=now)
                self._console.print(hour_line(snapshot), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set ``stop``; only the main thread can catch them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
