"""What the commands about meters do that need no database: serve virtual ones, read any one at once."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from wattledger import headend, readings
from wattledger.app._keypads import derivation, keypad_for
from wattledger.cli import MeterFleet, MeterRead, MeterSecrets
from wattledger.dlms import Keys
from wattledger.kernel import Clock, Problem, SystemClock, epoch, zone_named
from wattledger.virtual_meter import (
    DayLoad,
    LineSettings,
    Load,
    MeterLine,
    MeterPlan,
    Prepayment,
    PushLine,
    SeriesLoad,
    VirtualMeter,
)

_SLOTS = 96
_SHAPES = 50
_DAY = 86_400
_WHOLE = 1_000


class PortRefused(Problem):
    """Where meters were to listen, they cannot."""

    slug = "port-refused"
    title = "The meters cannot listen there"
    status = 409


def serve_meters(fleet: MeterFleet) -> None:
    """Serve virtual meters until SIGINT or SIGTERM."""
    clock = SystemClock()
    meters = virtual_meters(fleet, clock=clock)
    line = MeterLine(meters, settings=LineSettings(chance=secrets.token_bytes, pdu_max=fleet.pdu_max))
    asyncio.run(_served(line, meters, fleet))


def virtual_meters(fleet: MeterFleet, *, clock: Clock) -> list[VirtualMeter]:
    """The meters of a fleet, not served yet."""
    plan = MeterPlan(zone=str(zone_named(fleet.zone)))
    installed = epoch(clock.now()) // _DAY * _DAY - fleet.days * _DAY
    loads = _loads(fleet)
    chance = np.random.default_rng(fleet.seed)
    drifts = chance.integers(-abs(fleet.drift_ppm), abs(fleet.drift_ppm) + 1, fleet.count)
    told = fleet.secrets
    meters = [
        VirtualMeter(
            number=number,
            clock=clock,
            load=loads[number % len(loads)],
            plan=plan,
            installed=installed,
            register_wh=1_000 * number,
            keys=Keys(told.key, told.auth_key) if told.key else None,
            master=told.master_key or told.key,
            password=told.password,
            suite=fleet.suite,
            mode=fleet.mode,
            drift_ppm=int(drifts[number - 1]),
        )
        for number in range(1, fleet.count + 1)
    ]
    for meter in meters:
        # Nothing is kept over a restart, and a head-end that heard these meters before wants higher counters.
        meter.counter = epoch(clock.now())
    if fleet.vending_key is not None:
        for meter in meters:
            meter.serial = str(derivation(meter.number).pan)
            meter.prepayment = Prepayment(keypad_for(meter.number, vending_key=fleet.vending_key))
            meter.set_credit(fleet.credit_kwh * 1_000)
    if fleet.push is not None:
        for meter in meters:
            meter.push_to(fleet.push, every=fleet.push_every)
    begun = 0
    for fault, share in fleet.faults.items():
        # One fault after the other, so that a meter has one of them and the shares are kept to.
        ended = begun + -(-fleet.count * share // _WHOLE)
        for meter in meters[begun:ended]:
            meter.show_fault(fault)
        begun = ended % fleet.count
    return meters


def _loads(fleet: MeterFleet) -> list[Load]:
    if fleet.load is not None:
        series = readings.read_file(fleet.load, zone=zone_named(fleet.zone)).channels[0].series
        start, seconds = int(series.starts[0]), series.seconds
        slots = (series.starts - start) // seconds
        values = np.zeros(int(slots[-1]) + 1, dtype=np.int64)
        values[slots] = series.values
        return [SeriesLoad(start=start, seconds=seconds, values=values)]
    hours = np.arange(_SLOTS) // 4
    base = np.where(hours < 6, 40, np.where(hours < 17, 80, np.where(hours < 22, 240, 90)))  # noqa: PLR2004 - a day
    chance = np.random.default_rng(fleet.seed)
    return [DayLoad((base + chance.integers(0, 120, _SLOTS)).astype(np.int64)) for _ in range(_SHAPES)]


async def _served(line: MeterLine, meters: list[VirtualMeter], fleet: MeterFleet) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    many = f"{len(meters)} meters" if len(meters) > 1 else "a meter"
    async with AsyncExitStack() as listening:
        if fleet.push is not None:
            await _beside(listening, PushLine(meters).keep_pushing())
        try:
            if fleet.dial is not None:
                host, port = fleet.dial
                await _beside(listening, line.keep_dialled(host=host, port=port))
                where = f"connecting in to {host}:{port}"
            elif fleet.own_ports:
                ports = [
                    await listening.enter_async_context(
                        line.alone(meter, host=fleet.host, port=fleet.port + place if fleet.port else 0)
                    )
                    for place, meter in enumerate(meters)
                ]
                where = f"at {fleet.host}:{ports[0]}" + (f" to {max(ports)}" if len(ports) > 1 else "")
            else:
                port = await listening.enter_async_context(line.shared(host=fleet.host, port=fleet.port))
                where = f"at {fleet.host}:{port}, addresses 1 to {len(meters)}"
        except (OSError, OverflowError) as error:
            said = getattr(error, "strerror", None) or str(error)
            raise PortRefused(
                f"cannot listen on {fleet.host}:{fleet.port}: {said}", remedy="choose another --port"
            ) from error
        sys.stdout.write(f"{many} {where} (Ctrl-C stops)\n")
        sys.stdout.flush()
        await stop.wait()


async def _beside(running: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Have something done until the stack unwinds."""
    task = asyncio.create_task(work)

    async def ended() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    running.push_async_callback(ended)


# ---------------------------------------------------------------------------------------------------- reading at once


class _Unstored:
    """Counters of one conversation that nothing is kept of.

    They begin at the seconds since 1970: later conversations have higher ones, as long as our clock is not set back.
    """

    def __init__(self, *, first: int) -> None:
        self._next = first
        self._heard: dict[str, int] = {}

    async def reserve(self, count: int = 1) -> None:
        """There are always enough."""

    def outbound(self) -> int:
        """The next."""
        self._next += 1
        return self._next - 1

    def heard(self, *, stream: str = "unicast") -> int:
        """The highest of this conversation."""
        return self._heard.get(stream, -1)

    def inbound(self, value: int, *, stream: str = "unicast") -> None:
        """Has to rise."""
        if value <= self.heard(stream=stream):
            raise headend.Replay(f"counter {value} came after {self.heard(stream=stream)}")
        self._heard[stream] = value

    async def resync(self, value: int) -> None:
        """The meter is ahead of us."""
        self._next = max(self._next, value)


def keys_of(told: MeterSecrets) -> headend.KeySet:
    """The secrets as the head-end takes them."""

    def secret(octets: bytes | None) -> headend.Secret | None:
        return None if octets is None else headend.Secret(octets)

    return headend.KeySet(
        unicast=secret(told.key),
        authentication=secret(told.auth_key),
        master=secret(told.master_key),
        password=secret(told.password),
    )


def read_meter(asked: MeterRead) -> Mapping[str, Any]:
    """Read a meter once; raises the fault that it shows."""
    link = headend.MeterLink(meter_id=asked.address, driver="dlms", address=asked.address, options=dict(asked.options))
    return asyncio.run(_read(link, asked, SystemClock()))


async def _read(link: headend.MeterLink, asked: MeterRead, clock: Clock) -> Mapping[str, Any]:
    now = clock.now()
    counters = _Unstored(first=epoch(now))
    driver = headend.driver_named(headend.installed_drivers(), name=link.driver)
    told: dict[str, Any] = {}
    try:
        async with (
            asyncio.timeout(asked.seconds),
            driver.open(link, keys=keys_of(asked.secrets), counters=counters, clock=clock) as session,
        ):
            shown = await session.read_clock()
            told["clock"] = {"at": _told(shown.at), "valid": shown.valid, "off_seconds": shown.at - epoch(now)}
            if asked.registers:
                found = await session.read_registers(names=asked.registers)
                names = {one.channel.name for one in found}
                told["registers"] = [_register(one) for one in found]
                told["missing"] = [name for name in asked.registers if name not in names]
            if asked.profile is not None:
                told["profile"] = await _profile(session, asked, now)
            if asked.log is not None:
                since = 0 if asked.first is None else epoch(asked.first)
                events = await session.read_events(log=asked.log, since=since)
                last = None if asked.last is None else epoch(asked.last)
                told["events"] = [
                    {"at": _told(one.at), "code": one.code, "kind": str(headend.event_kind(one.code, companion="idis"))}
                    for one in events
                    if last is None or one.at < last
                ]
    except TimeoutError:
        raise headend.MeterTimeout(
            f"{asked.address} did not tell all within {asked.seconds} s", remedy="give it more with --timeout"
        ) from None
    return told


async def _profile(session: headend.Session, asked: MeterRead, now: datetime) -> dict[str, Any]:
    last = asked.last or now
    first = asked.first or last - timedelta(days=1)
    name = asked.profile or ""
    rows = await session.read_profile(profile=name, start=epoch(first), end=epoch(last))
    present = np.ones(rows.values.shape, dtype=bool) if rows.present is None else rows.present
    return {
        "name": name,
        "channels": [{"name": one.name, "unit": one.unit, "scale": one.scale} for one in rows.channels],
        "rows": [
            {
                "start": _told(start),
                "values": [value if there else None for value, there in zip(values, known, strict=True)],
                "status": status,
            }
            for start, values, known, status in zip(
                rows.starts.tolist(), rows.values.tolist(), present.tolist(), rows.status.tolist(), strict=True
            )
        ],
    }


def _register(register: headend.Register) -> dict[str, Any]:
    channel = register.channel
    unit = channel.unit if not channel.scale else f"10^{channel.scale} {channel.unit}"
    return {"name": channel.name, "value": register.value, "scale": channel.scale, "unit": unit.strip()}


def _told(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
