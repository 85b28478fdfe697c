"""What a meter shows of itself and of the energy: names, clock, registers, tampers."""

from __future__ import annotations

from collections.abc import Callable

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    DateTime,
    DlmsError,
    Outcome,
    Selection,
    Tag,
    boolean,
    enum,
    int8,
    int16,
    obis,
    octets,
    structure,
    uint8,
    uint32,
)
from wattledger.virtual_meter._calendar import RATES
from wattledger.virtual_meter._cosem import (
    CLOCK,
    DONE,
    OPEN_MOMENT,
    Invoke,
    Readers,
    Write,
    at_once,
    data,
    moment,
    refused,
    register,
)
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._meter import VirtualMeter

PUBLIC, MANAGEMENT, READER = 16, 1, 2
"""The clients a meter knows: anybody; who has its keys; who has its password."""
STATUS = obis("0-0:96.10.1")
IMPORT, EXPORT = obis("1-0:1.8.0"), obis("1-0:2.8.0")

_W, _VAR, _WH, _VARH, _A, _V, _HZ, _NONE = 27, 29, 30, 32, 33, 35, 44, 255
_SHIFT_MAX = 900
_VOLTS, _HERTZ = 2_300, 5_000
_TAMPERS = {"0-0:96.20.0": Fault.COVER_OPENED, "0-0:96.20.5": Fault.BYPASS, "0-0:96.20.15": Fault.MAGNET}


def device_name(meter: VirtualMeter) -> bytes:
    """The COSEM logical device name: 16 octets, the maker's letters first."""
    return f"WLG{meter.number:013d}".encode()


def system_title(meter: VirtualMeter) -> bytes:
    """Eight octets that no other meter has."""
    return b"WLG" + meter.number.to_bytes(5, "big")


def _energy(meter: VirtualMeter, at: int) -> int:
    return int(meter.shown_register(meter.imported(at_once(at)))[0])


def _fed_in(meter: VirtualMeter, at: int) -> int:
    return int(meter.shown_register(meter.sent_out(at_once(at)))[0])


def _rate_energy(rate: int) -> Callable[[VirtualMeter, int], int]:
    return lambda meter, at: meter.by_rate(at).get(rate, 0)


def _amperes(meter: VirtualMeter, at: int) -> int:
    return meter.watts(at) * 1_000 // _VOLTS


def _clock(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    shown = meter.time.shown(meter.now())
    moment = meter.time.moment(shown, trusted=Fault.CLOCK_INVALID not in meter.faults)
    summer = bool((moment.status or 0) & 0x80)
    deviation = moment.deviation_minutes or 0
    values = {
        2: octets(moment.encoded),
        3: int16(deviation + 60 * summer),
        4: uint8(moment.status or 0),
        7: int8(60),
        8: boolean(value=True),
        9: enum(1),
    }
    if attribute not in values:
        raise refused()
    return values[attribute]


def _demand(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 4: the highest demand of the month."""
    watts, ended = meter.highest_demand(meter.now())
    match attribute:
        case 2:
            return uint32(watts)
        case 3:
            return structure(int8(0), enum(_W))
        case 4:
            return uint8(0)
        case 5:
            return moment(meter, meter.time.shown(ended))
    raise refused()


def _tampered(fault: Fault) -> tuple[Callable[[VirtualMeter], Data], Callable[[VirtualMeter], Data]]:
    def times(meter: VirtualMeter) -> Data:
        return uint32(len(meter.tamper.get(fault, ())))

    def last(meter: VirtualMeter) -> Data:
        found = meter.tamper.get(fault)
        return octets(meter.time.moment(found[-1]).encoded if found else OPEN_MOMENT)

    return times, last


def write_clock(meter: VirtualMeter, value: Data) -> AccessResult:
    try:
        moment = value.value if isinstance(value.value, DateTime) else DateTime.decode(value.value)
        shown = meter.time.instant(moment, shown=meter.time.shown(meter.now()))
    except (DlmsError, TypeError, ValueError, OverflowError):
        return AccessResult.TYPE_UNMATCHED
    meter.set_clock(shown)
    return AccessResult.SUCCESS


def _readers() -> Readers:
    found: Readers = {
        (1, obis("0-0:42.0.0")): data(lambda meter: octets(device_name(meter))),
        (1, obis("0-0:96.1.0")): data(lambda meter: octets(meter.serial.encode())),
        (1, obis("0-0:43.1.0")): data(lambda meter: uint32(max(meter.heard.get(MANAGEMENT, -1), 0))),
        (1, obis("1-0:0.2.0")): data(lambda meter: octets(meter.firmware.encode())),
        (1, obis("0-0:97.97.0")): data(lambda _: uint32(0)),
        (1, obis("0-0:97.98.0")): data(lambda meter: uint32(meter.alarms())),
        (1, obis("0-0:97.98.10")): data(lambda _: uint32(0xFFFF_FFFF)),
        (3, IMPORT): register(_energy, scale=0, unit=_WH),
        (3, EXPORT): register(_fed_in, scale=0, unit=_WH),
        (3, obis("1-0:1.7.0")): register(lambda meter, at: meter.watts(at), scale=0, unit=_W),
        (3, obis("1-0:2.7.0")): register(lambda _meter, _at: 0, scale=0, unit=_W),
        (3, obis("1-0:32.7.0")): register(lambda _meter, _at: _VOLTS, scale=-1, unit=_V, wide=False),
        (3, obis("1-0:31.7.0")): register(_amperes, scale=-2, unit=_A),
        (3, obis("1-0:13.7.0")): register(lambda _meter, _at: 1_000, scale=-3, unit=_NONE, wide=False),
        (3, obis("1-0:14.7.0")): register(lambda _meter, _at: _HERTZ, scale=-2, unit=_HZ, wide=False),
        (3, obis("1-0:3.8.0")): register(lambda _meter, _at: 0, scale=0, unit=_VARH),
        (3, obis("1-0:3.7.0")): register(lambda _meter, _at: 0, scale=0, unit=_VAR),
        (4, obis("1-0:1.6.0")): _demand,
        (8, CLOCK): _clock,
    }
    for rate in RATES:
        found[3, obis(f"1-0:1.8.{rate}")] = register(_rate_energy(rate), scale=0, unit=_WH)
    for name, fault in _TAMPERS.items():
        times, last = _tampered(fault)
        head, _, number = name.rpartition(".")
        found[1, obis(name)] = data(times)
        found[1, obis(f"{head}.{int(number) + 1}")] = data(last)
    return found


def _shift(meter: VirtualMeter, given: Data | None) -> Outcome:
    """shift_time: by up to a quarter of an hour."""
    if given is None or given.tag is not Tag.INT16 or abs(given.value) > _SHIFT_MAX:
        return ActionResult.TYPE_UNMATCHED, None
    meter.set_clock(meter.time.shown(meter.now()) + given.value)
    return DONE


def _to_the_minute(meter: VirtualMeter, _: Data | None) -> Outcome:
    """adjust_to_minute: to the nearest."""
    meter.set_clock((meter.time.shown(meter.now()) + 30) // 60 * 60)
    return DONE


READERS = _readers()
WRITERS: dict[tuple[int, bytes, int], Write] = {(8, CLOCK, 2): write_clock}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {(8, CLOCK, 3): _to_the_minute, (8, CLOCK, 6): _shift}
