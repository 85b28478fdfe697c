"""The head-end in a system: where what meters say goes, and how supplies are switched through it."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import stat
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from wattledger import control, headend, readings, registry
from wattledger.kernel import Clock, IntervalSeries, Period, Problem, Quality, epoch, from_epoch, new_id, stable_id
from wattledger.readings import IntervalBatch, PointIntervals, PointRegister
from wattledger.store import Store, Transaction

_T = TypeVar("_T")

Instants = NDArray[np.int64]
Deliver = Callable[[Transaction, IntervalBatch, datetime], object]

_REGISTERS = {"1-0:1.8.0": "import", "1-0:2.8.0": "export"}
"""Cumulative registers, and the channel of the readings that their differences are."""
_COUNTED = {"1-0:1.29.0": "import", "1-0:2.29.0": "export"}
"""Energies of the interval itself."""
_DOUBTFUL = headend.RowStatus.CRITICAL | headend.RowStatus.CLOCK_INVALID | headend.RowStatus.NOT_VALID
_ACTUAL, _SUSPECT = int(Quality.ACTUAL), int(Quality.SUSPECT)
_DIGITS = (10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 2**32)
"""Where registers begin anew, in Wh."""
_NEAR_THE_END = 20  # the last twentieth of a register: only from there does a fall mean that it began anew


class MeterNotInstalled(Problem):
    """Rows came from a meter that hangs nowhere."""

    slug = "meter-not-installed"
    title = "The meter is installed nowhere"
    status = 409


# ------------------------------------------------------------------------------------------------------ what is read


@final
class ReadingsSink:
    """Rows of registers become intervals, in the unit of work that closes their gaps: :class:`headend.ReadingSink`.

    Registers at the edges of what was read are kept: with them the interval between two reads is known as well,
    whichever of the two came first. A register that falls without having been near its end is another one: the interval
    is not known then, and nothing is made up for it.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def take(self, tx: Transaction, /, *, deliveries: Sequence[headend.Delivery], now: datetime) -> None:
        """Keep the rows of these deliveries."""
        placed = registry.installed_at(tx, meter_ids={one.meter_id for one in deliveries})
        # A meter may have been read several times for one batch, and its intervals may be of two lengths.
        by_seconds: dict[int, list[headend.Delivery]] = defaultdict(list)
        for one in deliveries:
            if one.meter_id not in placed and len(one.rows):
                raise MeterNotInstalled(
                    f"meter {one.meter_id} sent rows and is installed nowhere",
                    remedy="say at which service point it hangs, or stop reading its profile",
                )
            by_seconds[one.seconds].append(one)
        for seconds, of_a_length in sorted(by_seconds.items()):
            for batch in _Intervals(tx, seconds, placed).batches(of_a_length):
                self._deliver(tx, batch, now)

    def take_registers(
        self, tx: Transaction, /, *, registers: Sequence[tuple[str, Sequence[headend.Register]]], now: datetime
    ) -> None:
        """Keep what registers stood at."""
        placed = registry.installed_at(tx, meter_ids={meter_id for meter_id, _ in registers})
        found: dict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)
        for meter_id, reads in registers:
            for read in reads:
                channel, point = _REGISTERS.get(read.channel.name), _point_at(placed.get(meter_id, ()), read.at)
                if channel is not None and point is not None and read.channel.unit == "Wh":
                    found[point, channel, meter_id][read.at] = read.wh
        for kept in _one_a_point([_register(*of, at=sorted(reads), wh=reads) for of, reads in sorted(found.items())]):
            content = [(one.service_point_id, one.channel, one.at.tolist(), one.wh.tolist()) for one in kept]
            self._deliver(tx, IntervalBatch(id=stable_id("reg", content), source="head-end", registers=kept), now)


class _Intervals:
    """The intervals of one length that deliveries bring."""

    def __init__(self, tx: Transaction, seconds: int, placed: Mapping[str, Sequence[registry.Placed]]) -> None:
        self._tx, self._seconds, self._placed = tx, seconds, placed
        self._edges: dict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)
        """What registers stood at, by point, channel and meter."""
        self._doubted: set[tuple[str, int]] = set()
        """Points and edges that the meter itself does not trust."""
        self._counted: dict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)

    def batches(self, deliveries: Sequence[headend.Delivery]) -> Iterator[IntervalBatch]:
        for one in deliveries:
            self._take(one)
        new = {of: sorted(edges) for of, edges in sorted(self._edges.items())}
        self._bridge()
        kept = [_register(*of, at=self._outer(at, of), wh=self._edges[of]) for of, at in new.items()]
        kept = [one for one in kept if len(one.at)]
        points = [*self._differences(), *self._as_counted()]
        ids = sorted(one.id for one in deliveries)
        for number, registers in enumerate(_one_a_point(kept) or ([[]] if points else [])):
            name = stable_id("hes", ids, number) if number else stable_id("hes", ids)
            yield IntervalBatch(id=name, source="head-end", points=[] if number else points, registers=registers)

    def _take(self, delivery: headend.Delivery) -> None:
        rows, seconds = delivery.rows, self._seconds
        doubtful = (rows.status & _DOUBTFUL) != 0
        for column, channel in enumerate(rows.channels):
            cumulative, counted = _REGISTERS.get(channel.name), _COUNTED.get(channel.name)
            if channel.unit != "Wh" or (cumulative is None and counted is None):
                continue
            wh = _watt_hours(rows.values[:, column], channel.scale)
            for placed in self._placed.get(delivery.meter_id, ()):
                # What was before it was installed there, or after it was taken down, is not this point's.
                here = (rows.starts >= epoch(placed.since)) & (
                    True if placed.until is None else rows.starts < epoch(placed.until)
                )
                if rows.present is not None:
                    here &= rows.present[:, column]
                starts, point = rows.starts[here], placed.service_point_id
                if not len(starts):
                    continue
                if counted is not None:
                    quality = np.where(doubtful[here], Quality.SUSPECT, Quality.ACTUAL)
                    told = zip(wh[here].tolist(), quality.tolist(), strict=True)
                    self._counted[point, counted].update(zip(starts.tolist(), told, strict=True))
                elif cumulative is not None:
                    edges = (starts + seconds).tolist()
                    self._edges[point, cumulative, delivery.meter_id].update(zip(edges, wh[here].tolist(), strict=True))
                    self._doubted.update((point, at) for at in (starts[doubtful[here]] + seconds).tolist())

    def _outer(self, new: Sequence[int], of: tuple[str, str, str]) -> list[int]:
        """Those of the new edges that lie at an end of an unbroken run: only there can a later read join on."""
        known, seconds = self._edges[of], self._seconds
        return [at for at in new if at - seconds not in known or at + seconds not in known]

    def _bridge(self) -> None:
        """Add the registers that are known from earlier reads just before and after what came now."""
        for channel in set(_REGISTERS.values()):
            mine = [of for of in self._edges if of[1] == channel]
            if not mine:
                continue
            first = min(min(self._edges[of]) for of in mine) - self._seconds
            last = max(max(self._edges[of]) for of in mine) + self._seconds
            known = readings.registers_of_points(
                self._tx,
                service_point_ids={of[0] for of in mine},
                channel=channel,
                period=Period(from_epoch(first), from_epoch(last)),
            )
            for of in mine:
                reads = known.get(of[0])
                if reads is None:
                    continue
                for at, wh, meter in zip(reads.at.tolist(), reads.wh.tolist(), reads.meters, strict=True):
                    if meter == of[2]:
                        self._edges[of].setdefault(at, wh)

    def _differences(self) -> list[PointIntervals]:
        found: dict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)
        for (point, channel, _), edges in self._edges.items():
            if (point, channel) in self._counted:
                continue  # the meter tells both: what it counted by interval is the finer of the two
            at, wh = np.array(sorted(edges.items()), dtype=np.int64).reshape(-1, 2).T
            used = np.diff(wh)
            next_to = np.diff(at) == self._seconds
            whole = next_to & (used >= 0)
            ends = at[1:][whole].tolist()
            quality = [_SUSPECT if (point, end) in self._doubted else _ACTUAL for end in ends]
            told = zip(used[whole].tolist(), quality, strict=True)
            found[point, channel].update(zip(at[:-1][whole].tolist(), told, strict=True))
            for place in np.flatnonzero(next_to & (used < 0)).tolist():
                begun_anew = _difference(int(wh[place]), int(wh[place + 1]))
                if begun_anew is not None:
                    quality_of_it = _SUSPECT if (point, int(at[place + 1])) in self._doubted else _ACTUAL
                    found[point, channel][int(at[place])] = begun_anew, quality_of_it
        return [self._series(*of, values) for of, values in sorted(found.items()) if values]

    def _as_counted(self) -> list[PointIntervals]:
        return [self._series(*of, values) for of, values in sorted(self._counted.items()) if values]

    def _series(self, point: str, channel: str, values: Mapping[int, tuple[int, int]]) -> PointIntervals:
        starts = np.array(sorted(values), dtype=np.int64)
        columns = np.array([values[start] for start in starts.tolist()], dtype=np.int64)
        series = IntervalSeries(starts, columns[:, 0], columns[:, 1].astype(np.uint8), self._seconds)
        return PointIntervals(point, channel, series)


def _register(point: str, channel: str, meter: str, *, at: Sequence[int], wh: Mapping[int, int]) -> PointRegister:
    return PointRegister(
        service_point_id=point,
        channel=channel,
        at=np.array(at, dtype=np.int64),
        wh=np.array([wh[one] for one in at], dtype=np.int64),
        meter=meter,
    )


def _one_a_point(registers: Sequence[PointRegister]) -> list[list[PointRegister]]:
    """Register reads in as many batches as a point had meters: a batch takes each point's register once."""
    batches: list[list[PointRegister]] = []
    seen: Counter[tuple[str, str]] = Counter()
    for one in registers:
        of = one.service_point_id, one.channel
        if seen[of] == len(batches):
            batches.append([])
        batches[seen[of]].append(one)
        seen[of] += 1
    return batches


def _watt_hours(values: Instants, scale: int) -> Instants:
    # Of a cumulative register: what is left off here is in the next difference.
    wh: Instants = values * 10**scale if scale >= 0 else values // 10**-scale
    return wh


def _difference(before: int, after: int) -> int | None:
    """What was used between two states of a register; ``None`` where it is another register."""
    if after >= before:
        return after - before
    for end in _DIGITS:
        if before < end and end - before <= end // _NEAR_THE_END and after <= end // _NEAR_THE_END:
            return end - before + after
    return None


def _point_at(placed: Sequence[registry.Placed], at: int) -> str | None:
    instant = from_epoch(at)
    for one in placed:
        if one.since <= instant and (one.until is None or instant < one.until):
            return one.service_point_id
    return None


# --------------------------------------------------------------------------------------------------- talking to meters


def vault_in(folder: Path) -> headend.Vault:
    """The keys of meters open with the master key that the environment names, or with one kept in ``folder``.

    ``WATTLEDGER_MASTER_KEY`` has the key itself, ``WATTLEDGER_MASTER_KEY_FILE`` the file it is in. Where neither is
    set, ``master.key`` in the data folder is used, made at first, readable by its owner alone.
    """
    told, named = os.environ.get("WATTLEDGER_MASTER_KEY"), os.environ.get("WATTLEDGER_MASTER_KEY_FILE")
    if told:
        master = headend.master_key_from_text(told, random=secrets.token_bytes)
    else:
        path = Path(named) if named else folder / "master.key"
        if not named and not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
            with os.fdopen(made, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        master = headend.master_key_from_file(path, random=secrets.token_bytes)
    return headend.Vault(master, random=secrets.token_bytes)


@final
class MeterDesk:
    """Asks and commands linked meters now, and waits for what becomes of it."""

    def __init__(
        self,
        *,
        tools: headend.Tools,
        policy: headend.CollectionPolicy | None = None,
        patience: timedelta = timedelta(seconds=90),
    ) -> None:
        self.tools = tools
        self.policy = policy or headend.CollectionPolicy()
        self.patience = patience * tools.clock_speed
        self._pause = threading.Event()

    def collect(self, *, only: Sequence[str] | None = None) -> headend.Collected:
        """A round of collection over all meters, or some."""
        return asyncio.run(headend.collect(tools=self.tools, policy=self.policy, only=only))

    def carry_out(
        self, request: headend.CommandRequest, *, asking: Sequence[headend.AskRequest] = ()
    ) -> headend.Command:
        """Submit a command and give it as it stands when its outcome is known, or when patience is at its end.

        What is asked besides is asked in the same conversation, after it.
        """
        with self.tools.store.write() as tx:
            headend.submit(tx, request=request, now=self.tools.clock.now())
            for one in asking:
                headend.ask(tx, request=one, now=self.tools.clock.now())
        return self._until(request.meter_id, lambda tx: headend.command(tx, command_id=request.id), _is_settled)

    def withdraw(self, request: headend.CommandRequest) -> None:
        """Take a command back that was not sent; one that was meanwhile goes its way."""
        with suppress(headend.CommandUnderWay), self.tools.store.write() as tx:
            now = self.tools.clock.now()
            headend.withdraw(tx, command_id=request.id, actor=request.actor, reason="gave up waiting", now=now)

    def ask(self, request: headend.AskRequest) -> headend.Ask:
        """Ask a meter and give the answer, or the question as it stands when patience is at its end."""
        return self.ask_all([request])[0]

    def ask_all(self, requests: Sequence[headend.AskRequest]) -> list[headend.Ask]:
        """Ask one meter several things in one conversation; as :meth:`ask`, in their order."""
        with self.tools.store.write() as tx:
            asks = [headend.ask(tx, request=request, now=self.tools.clock.now()) for request in requests]
        if _are_answered(asks):
            return asks
        return self._until(
            requests[0].meter_id,
            lambda tx: [headend.asked(tx, ask_id=request.id) for request in requests],
            _are_answered,
        )

    def rotate_keys(self, meter_id: str) -> list[headend.KeyStatus]:
        """Give a meter new keys; its generations when they are proved, or when patience is at its end."""
        vault = self.tools.vault
        if vault is None:
            raise headend.KeysMissing(f"there are no keys of {meter_id} here", remedy="give this process a master key")
        with self.tools.store.write() as tx:
            headend.begin_rotation(tx, meter_id=meter_id, vault=vault, now=self.tools.clock.now())
        return self._until(
            meter_id,
            lambda tx: headend.key_statuses(tx, meter_id=meter_id),
            lambda keys: all(one.state != "new" for one in keys),
        )

    def _until(self, meter_id: str, look: Callable[[Transaction], _T], settled: Callable[[_T], bool]) -> _T:
        deadline = self.tools.clock.now() + self.patience
        while True:
            self.collect(only=[meter_id])
            with self.tools.store.read() as tx:
                found = look(tx)
                status = headend.meter_statuses(tx, meter_ids=[meter_id], now=self.tools.clock.now())[0]
            # A meter that connects in is talked to where it connected: what failed there is tried there again.
            own = status.link.address != headend.CONNECTS_IN
            failed = own and status.failures > 0 and not status.visited
            if settled(found) or failed or self.tools.clock.now() >= deadline:
                return found
            self._pause.wait(0.2)  # somebody else talks to the meter just now


def _are_answered(asks: Sequence[headend.Ask]) -> bool:
    return all(ask.state != "waiting" for ask in asks)


def _is_settled(command: headend.Command) -> bool:
    return not command.is_open or command.state == "ready_for_reconnection"


@final
class LinkedSwitches:
    """Disconnectors of linked meters: :class:`wattledger.control.SwitchPort` over the head-end's commands."""

    def __init__(self, desk: MeterDesk, *, actor: str = "supply control") -> None:
        self._desk, self._actor = desk, actor
        self._read_back: dict[str, headend.AskRequest] = {}
        """Relays that were asked for in the conversation that switched them."""

    def disconnect(self, *, meter_id: str) -> None:
        """Ask the meter to open its disconnector; raises :class:`control.MeterUnreachable`."""
        self._switch(meter_id, "switch_off")

    def reconnect(self, *, meter_id: str) -> None:
        """Ask the meter to close it; raises :class:`control.MeterUnreachable`."""
        self._switch(meter_id, "switch_on")

    def read_relay(self, *, meter_id: str) -> control.RelayState:
        """Attributes 2 and 3 of the disconnector; raises :class:`control.MeterUnreachable`."""
        try:
            # The same question again is the same read: what was answered already is not asked for twice.
            question = self._read_back.pop(meter_id, self._question(meter_id))
            asked = self._desk.ask(question)
        except headend.MeterNotLinked as problem:
            raise control.MeterUnreachable(str(problem)) from problem
        if asked.answer is None:
            raise control.MeterUnreachable(asked.detail or f"meter {meter_id} did not answer")
        return control.RelayState(output_on=bool(asked.answer["output"]), control_state=asked.answer["control_state"])

    def _switch(self, meter_id: str, action: headend.Action) -> None:
        request = headend.CommandRequest(
            id=new_id("cmd"),
            meter_id=meter_id,
            action=action,
            actor=self._actor,
            reason="supply control",
            valid_for=2 * self._desk.patience,
        )
        question = self._question(meter_id)
        self._read_back.pop(meter_id, None)
        try:
            done = self._desk.carry_out(request, asking=[question])
            if done.state == "queued":
                # Whoever asks again may want something else by then.
                self._desk.withdraw(request)
        except headend.MeterNotLinked as problem:
            raise control.MeterUnreachable(str(problem)) from problem
        if done.state in {"queued", "sent", "unknown", "expired"}:
            raise control.MeterUnreachable(done.detail or f"meter {meter_id} did not answer")
        self._read_back[meter_id] = question

    def _question(self, meter_id: str) -> headend.AskRequest:
        return headend.AskRequest(id=new_id("ask"), meter_id=meter_id, what="relay", valid_for=2 * self._desk.patience)


def tools_for(
    store: Store,
    *,
    clock: Clock,
    deliver: Deliver,
    vault: headend.Vault | None,
    drivers: Sequence[headend.Driver] = (),
    clock_speed: int = 1,
) -> headend.Tools:
    """What collection is handed in a system; ``drivers`` are spoken beside those that are installed."""
    chance = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def jitter(seconds: int) -> int:
        return chance.randrange(seconds + 1) if seconds > 0 else 0

    return headend.Tools(
        store=store,
        drivers={**headend.installed_drivers(), **{driver.name: driver for driver in drivers}},
        sink=ReadingsSink(deliver),
        vault=vault,
        clock=clock,
        jitter=jitter,
        clock_speed=clock_speed,
    )
