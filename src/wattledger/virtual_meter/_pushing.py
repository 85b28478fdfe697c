"""Push: its setup as COSEM objects (class 40), and what goes out as DataNotification, ciphered where there are keys.

The body is a structure of what the setup's objects hold, in their order; of a buffer only what is new. The hello of a
meter that connects in is a plain one: its system title and its logical device name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wattledger.dlms import (
    AccessResult,
    Data,
    DataNotification,
    Outcome,
    Protection,
    Reference,
    SecurityControl,
    Selection,
    array,
    enum,
    int8,
    octets,
    structure,
    uint8,
    uint16,
)
from wattledger.virtual_meter._access import next_counter, spoken_keys, spoken_title
from wattledger.virtual_meter._cosem import DONE, Invoke, Readers, Write, refused
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._measures import device_name
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._profiles import log_rows, profile_rows
from wattledger.virtual_meter._push_setup import ALARM, LAST_GASP, SCHEDULED, Due, PushSetup

_PROFILE, _BUFFER = 7, 2
_TCP, _AXDR = 0, 0
_UINT16_MAX = 0xFFFF

ReadOne = Callable[[VirtualMeter, Reference], Data]


def hello(meter: VirtualMeter) -> bytes:
    """What a meter that connects in says first: who it is, unciphered."""
    who = structure(octets(spoken_title(meter)), octets(device_name(meter)))
    return DataNotification(0, None, who).encoded


def notification(meter: VirtualMeter, due: Due, *, read: ReadOne) -> bytes:
    """The APDU that tells what is due; general-glo-ciphering where the meter has keys."""
    told = [_told(meter, one, due, read) for one in meter.outbox.setups[due.setup].objects]
    time = meter.time.moment(meter.time.shown(meter.now()), trusted=Fault.CLOCK_INVALID not in meter.faults)
    meter.outbox.sent += 1
    apdu = DataNotification(meter.outbox.sent & 0xFF_FFFF, time, structure(*told)).encoded
    keys = spoken_keys(meter)
    if keys is None:
        return apdu
    control = SecurityControl(meter.suite, authenticated=True, encrypted=True)
    protection = Protection(control, keys, spoken_title(meter), lambda: next_counter(meter))
    closed = protection.close(apdu, form="general")
    return closed[:-1] + bytes((closed[-1] ^ 1,)) if Fault.CORRUPT in meter.faults else closed


def _told(meter: VirtualMeter, one: Reference, due: Due, read: ReadOne) -> Data:
    if one.number == 1:
        return octets(one.name)
    if one.class_id != _PROFILE or one.number != _BUFFER:
        return read(meter, one)
    return array(profile_rows(meter, one.name, due.first, due.last) if due.last else log_rows(meter, due.entries))


# --- the objects


def _push(name: bytes) -> Callable[[VirtualMeter, int, Selection | None], Data]:
    def read(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
        setup = meter.outbox.setups[name]
        values = {
            2: array(
                [
                    structure(uint16(one.class_id), octets(one.name), int8(one.number), uint16(0))
                    for one in setup.objects
                ]
            ),
            3: structure(enum(_TCP), octets(setup.destination.encode()), enum(_AXDR)),
            4: array([]),
            5: uint16(setup.spread),
            6: uint8(setup.retries),
            7: uint16(setup.delay),
        }
        if attribute not in values:
            raise refused()
        return values[attribute]

    return read


def _write_destination(name: bytes) -> Write:
    def write(meter: VirtualMeter, value: Data) -> AccessResult:
        try:
            service, destination, message = (part.value for part in value.value)
            host, colon, port = destination.decode("ascii").rpartition(":")
        except (TypeError, ValueError, AttributeError):
            return AccessResult.TYPE_UNMATCHED
        good = not destination or (host and colon and port.isdigit() and 0 < int(port) <= _UINT16_MAX)
        if (service, message) != (_TCP, _AXDR) or not good:
            return AccessResult.OTHER_REASON
        setup = replace(meter.outbox.setups[name], destination=destination.decode("ascii"))
        meter.outbox.set(name, setup, shown=meter.time.shown(meter.now()))
        return AccessResult.SUCCESS

    return write


def _write_number(name: bytes, number: int) -> Write:
    def write(meter: VirtualMeter, value: Data) -> AccessResult:
        if not isinstance(value.value, int) or not 0 <= value.value <= _UINT16_MAX:
            return AccessResult.TYPE_UNMATCHED
        setup = _NUMBERS[number](meter.outbox.setups[name], value.value)
        meter.outbox.set(name, setup, shown=meter.time.shown(meter.now()))
        return AccessResult.SUCCESS

    return write


def _push_now(name: bytes) -> Invoke:
    def invoke(meter: VirtualMeter, _: Data | None) -> Outcome:
        meter.outbox.ask(name)
        return DONE

    return invoke


_SETUPS = (SCHEDULED, ALARM, LAST_GASP)
_NUMBERS: dict[int, Callable[[PushSetup, int], PushSetup]] = {
    5: lambda setup, value: replace(setup, spread=value),
    6: lambda setup, value: replace(setup, retries=min(value, 0xFF)),
    7: lambda setup, value: replace(setup, delay=value),
}
READERS: Readers = {(40, name): _push(name) for name in _SETUPS}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {(40, name, 1): _push_now(name) for name in _SETUPS}
WRITERS: dict[tuple[int, bytes, int], Write] = {
    **{(40, name, 3): _write_destination(name) for name in _SETUPS},
    **{(40, name, number): _write_number(name, number) for name in _SETUPS for number in _NUMBERS},
}
