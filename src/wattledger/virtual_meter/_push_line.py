"""The line that meters push on: what is due goes to its destination over TCP, in the wrapper, and then they hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from wattledger.dlms import Data, Packet, Reference
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._measures import MANAGEMENT
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._objects import READERS
from wattledger.virtual_meter._push_setup import LAST_GASP, Due
from wattledger.virtual_meter._pushing import notification

_AT_ONCE = 200
_SECONDS = 10
_OWN_ADDRESS = 1


class PushLine:
    """Sends what meters have to say. Every ``push_due`` sends what is due by the meters' clock."""

    def __init__(self, meters: Iterable[VirtualMeter]) -> None:
        self.meters = list(meters)
        self._failed: dict[int, tuple[int, int]] = {}
        """By a meter's number: how often it could not be reached in a row, and until when it waits."""
        self._held: dict[int, list[bytes]] = {}
        """What late meters have not sent yet."""
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def push_due(self) -> int:
        """Send all that is due, to all destinations; how many notifications were delivered."""
        waiting = [meter for meter in self.meters if meter.has_due]
        return sum(await asyncio.gather(*map(self._push, waiting))) if waiting else 0

    async def keep_pushing(self, *, pause: float = 1) -> None:
        """Send what is due, every ``pause`` seconds, until cancelled."""
        while True:
            await self.push_due()
            await asyncio.sleep(pause)

    async def _push(self, meter: VirtualMeter) -> int:
        at = meter.now()
        tries, until = self._failed.get(meter.number, (0, 0))
        if at < until or Fault.OFFLINE in meter.faults:
            return 0
        delivered = 0
        for due in meter.take_due():
            if Fault.POWER_DOWN in meter.faults and due.setup != LAST_GASP:
                meter.outbox.put_back(due)
                continue
            setup = meter.outbox.setups[due.setup]
            try:
                delivered += await self._send(setup.destination, self._frames(meter, due))
                self._failed.pop(meter.number, None)
            except (OSError, TimeoutError, UnicodeError):  # a host name can be none
                if tries < setup.retries:
                    self._failed[meter.number] = tries + 1, at + setup.delay
                    meter.outbox.put_back(due)
                else:
                    self._failed.pop(meter.number, None)
        return delivered

    def _frames(self, meter: VirtualMeter, due: Due) -> list[bytes]:
        """What goes over the line for it, with what is wrong with the meter."""
        apdu = notification(meter, due, read=_read)
        frame = Packet(_OWN_ADDRESS, MANAGEMENT, apdu).encoded
        if Fault.DROPPED_PUSH in meter.faults:
            return []
        if Fault.LATE_PUSH in meter.faults and meter.number not in self._held:
            self._held[meter.number] = [frame]
            return []
        frames = [frame, *self._held.pop(meter.number, [])]
        return [one for one in frames for _ in range(1 + (Fault.DUPLICATE_PUSH in meter.faults))]

    async def _send(self, destination: str, frames: list[bytes]) -> int:
        if not frames:
            return 0
        host, _, port = destination.rpartition(":")
        async with self._room, asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.writelines(frames)
                await writer.drain()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        return len(frames)


def _read(meter: VirtualMeter, one: Reference) -> Data:
    return READERS[one.class_id, one.name](meter, one.number, None)
