"""The COSEM objects of a virtual meter: which there are, what can be read, written and invoked, and by whom.

Logical names and attributes as in the Blue Book; a reading function per object, found by class and name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    DateTime,
    DlmsError,
    NotReadable,
    Outcome,
    Reference,
    Selection,
    Tag,
    array,
    bits,
    boolean,
    enum,
    int8,
    int16,
    int32,
    null,
    obis,
    octets,
    structure,
    text,
    uint8,
    uint16,
    uint32,
    unwrap_key,
)
from wattledger.virtual_meter._disconnector import Cause
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._meter import (
    COMMUNICATION,
    DISCONNECTOR,
    FRAUD,
    STANDARD,
    VirtualMeter,
    midnights,
    month_starts,
)

PUBLIC, MANAGEMENT, READER = 16, 1, 2
"""The clients a meter knows: anybody; who has its keys; who has its password."""

Read = Callable[[VirtualMeter, int, Selection | None], Data]
Invoke = Callable[[VirtualMeter, Data | None], Outcome]
Write = Callable[[VirtualMeter, Data], AccessResult]
Instants = NDArray[np.int64]

_W, _VAR, _WH, _VARH, _A, _V, _HZ, _NONE = 27, 29, 30, 32, 33, 35, 44, 255
_DONE: Outcome = (ActionResult.SUCCESS, None)
_DENIED: Outcome = (ActionResult.READ_WRITE_DENIED, None)
_VOLTS, _HERTZ = 2_300, 5_000
_DST_BIT, _ADJUSTED_BIT, _POWER_BIT = 0x08, 0x20, 0x80
_RANGE, _ENTRY = 1, 2
_DAYS, _MONTHS = 40, 13

CLOCK = obis("0-0:1.0.0")
STATUS = obis("0-0:96.10.1")
IMPORT, EXPORT = obis("1-0:1.8.0"), obis("1-0:2.8.0")
LOAD_PROFILE, DAILY_PROFILE, BILLING_PROFILE = obis("1-0:99.1.0"), obis("1-0:99.2.0"), obis("0-0:98.1.0")
EVENT_LOGS = {
    obis("0-0:99.98.0"): STANDARD,
    obis("0-0:99.98.1"): FRAUD,
    obis("0-0:99.98.2"): DISCONNECTOR,
    obis("0-0:99.98.5"): COMMUNICATION,
}
_RELAY, _LIMITER, _ASSOCIATION, _SECURITY = (
    obis("0-0:96.3.10"),
    obis("0-0:17.0.0"),
    obis("0-0:40.0.0"),
    obis("0-0:43.0.0"),
)
_ACCOUNT, _CREDIT, _CHARGE, _GATEWAY = obis("0-0:19.0.0"), obis("0-0:19.10.0"), obis("0-0:19.20.0"), obis("0-0:19.40.0")
_FOR_ANYBODY = {CLOCK, obis("0-0:42.0.0"), obis("0-0:43.1.0"), _ASSOCIATION, obis("0-0:41.0.0")}
_TAMPERS = {"0-0:96.20.0": Fault.COVER_OPENED, "0-0:96.20.5": Fault.BYPASS, "0-0:96.20.15": Fault.MAGNET}


def _none(result: AccessResult = AccessResult.OBJECT_UNDEFINED) -> NotReadable:
    return NotReadable(result)


# --- simple values


def _data(value: Callable[[VirtualMeter], Data]) -> Read:
    """Class 1: one value."""

    def read(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
        if attribute != 2:  # noqa: PLR2004 - value
            raise _none()
        return value(meter)

    return read


def _register(value: Callable[[VirtualMeter, int], int], *, scale: int, unit: int, wide: bool = True) -> Read:
    """Class 3: a value with scaler and unit."""

    def read(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
        match attribute:
            case 2:
                return (uint32 if wide else uint16)(value(meter, meter.now()))
            case 3:
                return structure(int8(scale), enum(unit))
        raise _none()

    return read


def _at(at: int) -> Instants:
    return np.array([at], dtype=np.int64)


def _energy(meter: VirtualMeter, at: int) -> int:
    return int(meter.shown_register(meter.imported(_at(at)))[0])


def _fed_in(meter: VirtualMeter, at: int) -> int:
    return int(meter.shown_register(meter.sent_out(_at(at)))[0])


def _rate_energy(rate: int) -> Callable[[VirtualMeter, int], int]:
    return lambda meter, at: meter.by_rate(at).get(rate, 0)


def _amperes(meter: VirtualMeter, at: int) -> int:
    return meter.watts(at) * 1_000 // _VOLTS


def _moment(meter: VirtualMeter, shown: int) -> Data:
    return octets(meter.time.moment(shown).encoded)


def _clock(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    shown = meter.time.shown(meter.now())
    moment = meter.time.moment(shown)
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
        raise _none()
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
            return _moment(meter, meter.time.shown(ended))
    raise _none()


# --- profiles


def _captured(*objects: tuple[int, bytes]) -> Data:
    return array([structure(uint16(kind), octets(name), int8(2), uint16(0)) for kind, name in objects])


_CAPTURED = {
    LOAD_PROFILE: _captured((8, CLOCK), (1, STATUS), (3, IMPORT), (3, EXPORT)),
    DAILY_PROFILE: _captured((8, CLOCK), (1, STATUS), (3, IMPORT), (3, EXPORT)),
    BILLING_PROFILE: _captured((8, CLOCK), (3, IMPORT), (3, EXPORT)),
}


def _profile(name: bytes) -> Read:
    """Class 7 over a meter's past."""

    def read(meter: VirtualMeter, attribute: int, selection: Selection | None) -> Data:
        stamps = _stamps(meter, name) if attribute in {2, 7} else []
        values = {
            3: _CAPTURED[name],
            4: uint32(meter.plan.period if name == LOAD_PROFILE else 86_400 if name == DAILY_PROFILE else 0),
            5: enum(1),
            6: structure(uint16(8), octets(CLOCK), int8(2), uint16(0)),
            7: uint32(len(stamps)),
            8: uint32(_kept(meter, name)),
        }
        if attribute in values:
            return values[attribute]
        if attribute != 2:  # noqa: PLR2004 - buffer
            raise _none()
        return _selected(meter, stamps, selection, lambda chosen: _rows(meter, name, chosen))

    return read


def _kept(meter: VirtualMeter, name: bytes) -> int:
    return {LOAD_PROFILE: meter.plan.entries, DAILY_PROFILE: _DAYS}.get(name, _MONTHS)


def _stamps(meter: VirtualMeter, name: bytes) -> Sequence[int]:
    """What the meter's clock showed when each row that it still has was written."""
    shown, begun = meter.time.shown(meter.now()), meter.time.shown(meter.installed)
    if name == LOAD_PROFILE:
        period = meter.plan.period
        last = shown // period * period
        first = max(-(-(begun + 1) // period) * period, last - (meter.plan.entries - 1) * period)
        return range(first, last + 1, period)
    edges = midnights if name == DAILY_PROFILE else month_starts
    return [stamp for stamp in edges(meter.plan, last=shown, count=_kept(meter, name)) if begun < stamp <= shown]


def _rows(meter: VirtualMeter, name: bytes, stamps: Sequence[int]) -> list[Data]:
    really = [meter.time.really(stamp) for stamp in stamps]
    at = np.array(really, dtype=np.int64)
    imported = meter.shown_register(meter.imported(at)).tolist()
    exported = meter.shown_register(meter.sent_out(at)).tolist()
    rows = []
    before = -meter.plan.period
    for stamp, instant, used, sent in zip(stamps, really, imported, exported, strict=True):
        if not meter.was_up_at(instant):
            continue
        moment = meter.time.moment(stamp)
        clock = Data(Tag.OCTET_STRING, moment.encoded)
        energies = (Data(Tag.UINT32, used), Data(Tag.UINT32, sent))
        if name == BILLING_PROFILE:
            rows.append(structure(clock, *energies))
            continue
        status = _DST_BIT if (moment.status or 0) & 0x80 else 0
        status |= _ADJUSTED_BIT if meter.clock_was_set(stamp + before, stamp) else 0
        status |= _POWER_BIT if meter.was_down(instant + before, instant) else 0
        rows.append(structure(clock, Data(Tag.UINT8, status), *energies))
    return rows


def _log(number: int) -> Read:
    """Class 7 over an event log."""

    def read(meter: VirtualMeter, attribute: int, selection: Selection | None) -> Data:
        meter.now()
        entries = meter.logs.get(number, [])
        values = {
            3: _captured((8, CLOCK), (1, obis(f"0-0:96.11.{number}"))),
            4: uint32(0),
            5: enum(1),
            7: uint32(len(entries)),
            8: uint32(200),
        }
        if attribute in values:
            return values[attribute]
        if attribute != 2:  # noqa: PLR2004 - buffer
            raise _none()
        places = _selected_places(meter, [shown for shown, _ in entries], selection)
        return array([structure(_moment(meter, entries[at][0]), uint8(entries[at][1])) for at in places])

    return read


def _selected(
    meter: VirtualMeter, stamps: Sequence[int], selection: Selection | None, rows: Callable[[Sequence[int]], list[Data]]
) -> Data:
    places = _selected_places(meter, stamps, selection)
    found = rows([stamps[at] for at in places])
    if selection is None:
        return array(found)
    columns = _columns(selection)
    return array([Data(Tag.STRUCTURE, row.value[columns]) for row in found] if columns != slice(None) else found)


def _columns(selection: Selection) -> slice:
    """Which columns entry selection takes; all for a range."""
    if selection.selector != _ENTRY:
        return slice(None)
    first, last = (int(part.value) for part in selection.parameters.value[2:4])
    return slice(None) if first <= 1 and not last else slice(max(first - 1, 0), last or None)


def _selected_places(meter: VirtualMeter, stamps: Sequence[int], selection: Selection | None) -> range:
    """Which rows are wanted: by a range of time (both ends included), or by number from 1 on."""
    if selection is None:
        return range(len(stamps))
    try:
        if selection.selector == _RANGE:
            _, first, last, *_ = selection.parameters.value
            begun, ended = (_shown_by(meter, edge) for edge in (first, last))
            low = int(np.searchsorted(stamps, begun, side="left"))
            return range(low, max(low, int(np.searchsorted(stamps, ended, side="right"))))
        if selection.selector == _ENTRY:
            first_entry, last_entry = (int(part.value) for part in selection.parameters.value[:2])
            return range(max(first_entry - 1, 0), min(last_entry or len(stamps), len(stamps)))
    except (TypeError, ValueError, AttributeError, DlmsError):
        raise _none(AccessResult.TYPE_UNMATCHED) from None
    raise _none(AccessResult.SCOPE_OF_ACCESS_VIOLATED)


def _shown_by(meter: VirtualMeter, edge: Data) -> int:
    moment = edge.value if isinstance(edge.value, DateTime) else DateTime.decode(edge.value)
    return meter.time.instant(moment, shown=meter.time.shown(meter.now()))


# --- the relay, limits, schedules


def _relay(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    match attribute:
        case 2:
            return boolean(meter.disconnector.closed)
        case 3:
            return enum(meter.disconnector.state)
        case 4:
            return enum(meter.disconnector.mode)
    raise _none()


def _switching(cause: Cause) -> Invoke:
    def invoke(meter: VirtualMeter, _: Data | None) -> Outcome:
        meter.switch(cause)
        return _DONE

    return invoke


def _limiter(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    limiter, at = meter.limiter, meter.now()
    emergency_begun = meter.time.moment(meter.time.shown(limiter.emergency_from))
    values = {
        2: structure(uint16(3), octets(obis("1-0:1.7.0")), int8(2)),
        3: uint32(limiter.active(at)),
        4: uint32(limiter.normal),
        5: uint32(limiter.emergency),
        6: uint32(limiter.min_over),
        7: uint32(limiter.min_under),
        8: structure(
            uint16(0),
            octets(emergency_begun.encoded),
            uint32(max(limiter.emergency_until - limiter.emergency_from, 0)),
        ),
        10: boolean(limiter.emergency_from <= at < limiter.emergency_until),
    }
    if attribute not in values:
        raise _none()
    return values[attribute]


def _schedule(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 22: when the relay is to act by itself."""
    match attribute:
        case 2:
            cause = meter.scheduled[1] if meter.scheduled else "remote disconnect"
            return structure(octets(obis("0-0:10.0.106")), uint16(1 if cause == "remote disconnect" else 2))
        case 3:
            return enum(1)
        case 4:
            if meter.scheduled is None:
                return array([])
            encoded = meter.time.moment(meter.scheduled[0]).encoded
            return array([structure(octets(encoded[5:9]), octets(encoded[:5]))])
    raise _none()


def _script_table(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    if attribute != 2:  # noqa: PLR2004 - scripts
        raise _none()
    return array(
        [
            structure(
                uint16(number),
                array([structure(enum(2), uint16(70), octets(_RELAY), int8(number), int8(0))]),
            )
            for number in (1, 2)
        ]
    )


def _run_script(meter: VirtualMeter, given: Data | None) -> Outcome:
    causes: dict[int, Cause] = {1: "remote disconnect", 2: "remote reconnect"}
    cause = causes.get(given.value) if given is not None and isinstance(given.value, int) else None
    if cause is None:
        return ActionResult.TYPE_UNMATCHED, None
    meter.switch(cause)
    return _DONE


# --- calendar


def _calendar(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 20: one season, one week, one day with two rates."""
    always = octets(bytes.fromhex("ffffffffffffffffff800000"))
    day = structure(
        uint8(1),
        array(
            [
                structure(octets(bytes((hour, 0, 0, 0))), octets(obis("0-0:10.0.100")), uint16(rate))
                for hour, rate in ((0, 2), (7, 1), (22, 2))
            ]
        ),
    )
    meter.now()
    values = {
        2: octets(b"WLG1"),
        3: array([structure(octets(b"1"), always, octets(b"1"))]),
        4: array([structure(octets(b"1"), *(uint8(1) for _ in range(7)))]),
        5: array([day]),
        6: octets(b"WLG1"),
        7: array([]),
        8: array([]),
        9: array([]),
        10: always,
    }
    if attribute not in values:
        raise _none()
    return values[attribute]


# --- credit


def _account(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    left = meter.credit_left()
    values = {
        2: structure(enum(2), enum(2 if meter.prepayment else 3)),
        3: uint8(0),
        4: bits("1" + "0" * 7 if left > 0 else "0" * 5 + "100"),
        5: int32(left),
        6: int32(max(-left, 0)),
        7: int32(0),
        8: int32(0),
        9: array([octets(_CREDIT)]),
        10: array([octets(_CHARGE)]),
        11: array([]),
        12: array([structure(octets(_CREDIT), uint8(100))]),
        15: structure(text("Wh"), int8(0), enum(2)),
        16: int32(0 if meter.prepayment is None else meter.prepayment.warning_wh),
    }
    if meter.prepayment is None or attribute not in values:
        raise _none()
    return values[attribute]


def _credit(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    left = meter.credit_left()
    values = {
        2: int32(left),
        3: enum(0),
        4: uint8(1),
        5: int32(0 if meter.prepayment is None else meter.prepayment.warning_wh),
        6: int32(0),
        8: enum(2 if left > 0 else 4),
    }
    if meter.prepayment is None or attribute not in values:
        raise _none()
    return values[attribute]


def _charge(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    used = meter.now() and int(meter.imported(_at(meter.now()))[0])
    values = {2: int32(used), 3: enum(0), 4: uint8(1)}
    if meter.prepayment is None or attribute not in values:
        raise _none()
    return values[attribute]


def _gateway(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    credit = meter.prepayment
    if credit is None:
        raise _none()
    values = {
        2: octets(credit.token),
        3: _moment(meter, credit.token_at),
        4: array([octets(credit.said.encode())] if credit.said else []),
        5: enum(0),
        6: structure(enum(credit.token_status), bits("")),
    }
    if attribute not in values:
        raise _none()
    return values[attribute]


def _enter(meter: VirtualMeter, given: Data | None) -> Outcome:
    if meter.prepayment is None:
        return ActionResult.OBJECT_UNDEFINED, None
    if given is None or not isinstance(given.value, bytes):
        return ActionResult.TYPE_UNMATCHED, None
    good = meter.enter_token(given.value)
    return (ActionResult.SUCCESS if good else ActionResult.OTHER_REASON), _gateway(meter, 6, None)


# --- keys and association


def _security(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    values = {
        2: enum(3 if meter.keys else 0),
        3: enum(meter.suite),
        4: octets(b""),
        5: octets(system_title(meter)),
    }
    if attribute not in values:
        raise _none()
    return values[attribute]


def _transfer_keys(meter: VirtualMeter, given: Data | None) -> Outcome:
    """key_transfer: each key is wrapped under the master key."""
    if meter.master is None or given is None or given.tag is not Tag.ARRAY:
        return _DENIED
    keys: dict[int, bytes] = {}
    try:
        for part in given.value:
            number, wrapped = part.value
            keys[int(number.value)] = unwrap_key(wrapped.value, master=meter.master)
    except (DlmsError, TypeError, ValueError, AttributeError):
        return ActionResult.OTHER_REASON, None
    if not set(keys) <= {0, 1, 2, 3}:
        return ActionResult.TYPE_UNMATCHED, None
    meter.install_keys(keys)
    return _DONE


def _association(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    match attribute:
        case 2:
            return array([_listed(kind, name) for kind, name in READERS])
        case 8:
            return enum(2)
    raise _none()


def _listed(kind: int, name: bytes) -> Data:
    attributes = array([structure(int8(number), enum(1), null()) for number in (1, 2, 3)])
    return structure(uint16(kind), uint8(0), octets(name), structure(attributes, array([])))


def _points(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 17: the logical devices behind this address."""
    if attribute != 2:  # noqa: PLR2004 - the list
        raise _none()
    return array([structure(uint16(meter.number), octets(device_name(meter)))])


def _image(_meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 18: no image can be transferred to a meter that has none."""
    values = {2: uint32(0), 3: bits(""), 4: uint32(0), 5: boolean(value=False), 6: enum(0), 7: array([])}
    if attribute not in values:
        raise _none()
    return values[attribute]


def _push(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    values = {
        2: array([structure(uint16(7), octets(LOAD_PROFILE), int8(2), uint16(0))]),
        3: structure(enum(0), octets(b""), enum(0)),
        4: array([]),
        5: uint16(0),
        6: uint8(3),
        7: uint16(60),
    }
    meter.now()
    if attribute not in values:
        raise _none()
    return values[attribute]


def device_name(meter: VirtualMeter) -> bytes:
    """The COSEM logical device name: 16 octets, the maker's letters first."""
    return f"WLG{meter.number:013d}".encode()


def system_title(meter: VirtualMeter) -> bytes:
    """Eight octets that no other meter has."""
    return b"WLG" + meter.number.to_bytes(5, "big")


def _tampered(fault: Fault) -> tuple[Callable[[VirtualMeter], Data], Callable[[VirtualMeter], Data]]:
    def times(meter: VirtualMeter) -> Data:
        return uint32(len(meter.tamper.get(fault, ())))

    def last(meter: VirtualMeter) -> Data:
        found = meter.tamper.get(fault)
        return octets(meter.time.moment(found[-1]).encoded if found else bytes.fromhex("ffffffffffffffffff8000ff"))

    return times, last


def _last_code(log: int) -> Callable[[VirtualMeter], Data]:
    return lambda meter: uint8(meter.logs[log][-1][1] if meter.logs.get(log) else 0)


def _all_readers() -> dict[tuple[int, bytes], Read]:
    found: dict[tuple[int, bytes], Read] = {
        (1, obis("0-0:42.0.0")): _data(lambda meter: octets(device_name(meter))),
        (1, obis("0-0:96.1.0")): _data(lambda meter: octets(meter.serial.encode())),
        (1, obis("0-0:43.1.0")): _data(lambda meter: uint32(max(meter.heard.get(MANAGEMENT, -1), 0))),
        (1, obis("1-0:0.2.0")): _data(lambda meter: octets(meter.firmware.encode())),
        (1, obis("0-0:96.14.0")): _data(lambda meter: uint8(meter.rate(meter.now()))),
        (1, STATUS): _data(lambda _: uint8(0)),
        (1, obis("0-0:97.97.0")): _data(lambda _: uint32(0)),
        (1, obis("0-0:97.98.0")): _data(lambda meter: uint32(meter.alarms())),
        (1, obis("0-0:97.98.10")): _data(lambda _: uint32(0xFFFF_FFFF)),
        (3, IMPORT): _register(_energy, scale=0, unit=_WH),
        (3, EXPORT): _register(_fed_in, scale=0, unit=_WH),
        (3, obis("1-0:1.7.0")): _register(lambda meter, at: meter.watts(at), scale=0, unit=_W),
        (3, obis("1-0:2.7.0")): _register(lambda _meter, _at: 0, scale=0, unit=_W),
        (3, obis("1-0:32.7.0")): _register(lambda _meter, _at: _VOLTS, scale=-1, unit=_V, wide=False),
        (3, obis("1-0:31.7.0")): _register(_amperes, scale=-2, unit=_A),
        (3, obis("1-0:13.7.0")): _register(lambda _meter, _at: 1_000, scale=-3, unit=_NONE, wide=False),
        (3, obis("1-0:14.7.0")): _register(lambda _meter, _at: _HERTZ, scale=-2, unit=_HZ, wide=False),
        (3, obis("1-0:3.8.0")): _register(lambda _meter, _at: 0, scale=0, unit=_VARH),
        (3, obis("1-0:3.7.0")): _register(lambda _meter, _at: 0, scale=0, unit=_VAR),
        (4, obis("1-0:1.6.0")): _demand,
        (8, CLOCK): _clock,
        (9, obis("0-0:10.0.106")): _script_table,
        (11, obis("0-0:11.0.0")): _data(lambda _: array([])),
        (15, _ASSOCIATION): _association,
        (17, obis("0-0:41.0.0")): _points,
        (18, obis("0-0:44.0.0")): _image,
        (20, obis("0-0:13.0.0")): _calendar,
        (22, obis("0-0:15.0.1")): _schedule,
        (40, obis("0-0:25.9.0")): _push,
        (64, _SECURITY): _security,
        (70, _RELAY): _relay,
        (71, _LIMITER): _limiter,
        (111, _ACCOUNT): _account,
        (112, _CREDIT): _credit,
        (113, _CHARGE): _charge,
        (115, _GATEWAY): _gateway,
    }
    for rate in (1, 2):
        found[3, obis(f"1-0:1.8.{rate}")] = _register(_rate_energy(rate), scale=0, unit=_WH)
    for profile in (LOAD_PROFILE, DAILY_PROFILE, BILLING_PROFILE):
        found[7, profile] = _profile(profile)
    for name, log in EVENT_LOGS.items():
        found[7, name] = _log(log)
        found[1, obis(f"0-0:96.11.{log}")] = _data(_last_code(log))
    for name_text, fault in _TAMPERS.items():
        times, last = _tampered(fault)
        head, _, number = name_text.rpartition(".")
        found[1, obis(name_text)] = _data(times)
        found[1, obis(f"{head}.{int(number) + 1}")] = _data(last)
    return found


READERS: Mapping[tuple[int, bytes], Read] = _all_readers()
"""Every object of a meter, and what reads it."""

_INVOKERS: Mapping[tuple[int, bytes, int], Invoke] = {
    (70, _RELAY, 1): _switching("remote disconnect"),
    (70, _RELAY, 2): _switching("remote reconnect"),
    (9, obis("0-0:10.0.106"), 1): _run_script,
    (64, _SECURITY, 2): _transfer_keys,
    (115, _GATEWAY, 1): _enter,
}


# --- what is written


def _write_clock(meter: VirtualMeter, value: Data) -> AccessResult:
    try:
        moment = value.value if isinstance(value.value, DateTime) else DateTime.decode(value.value)
        shown = meter.time.instant(moment, shown=meter.time.shown(meter.now()))
    except (DlmsError, TypeError, ValueError, OverflowError):
        return AccessResult.TYPE_UNMATCHED
    meter.set_clock(shown)
    return AccessResult.SUCCESS


def _write_number(name: str) -> Write:
    def write(meter: VirtualMeter, value: Data) -> AccessResult:
        if value.tag is not Tag.UINT32:
            return AccessResult.TYPE_UNMATCHED
        if name == "normal":
            meter.limit(value.value)
        else:
            setattr(meter.limiter, name, value.value)
        return AccessResult.SUCCESS

    return write


def _write_mode(meter: VirtualMeter, value: Data) -> AccessResult:
    if value.tag is not Tag.ENUM or not 0 <= value.value <= 6:  # noqa: PLR2004 - the modes
        return AccessResult.TYPE_UNMATCHED
    meter.now()
    meter.disconnector.mode = value.value
    return AccessResult.SUCCESS


def _write_emergency(meter: VirtualMeter, value: Data) -> AccessResult:
    try:
        _, begins, lasts = value.value
        meter.limiter.emergency_from = meter.time.really(_shown_by(meter, begins))
        meter.limiter.emergency_until = meter.limiter.emergency_from + int(lasts.value)
    except (TypeError, ValueError, AttributeError, DlmsError):
        return AccessResult.TYPE_UNMATCHED
    return AccessResult.SUCCESS


def _write_schedule(meter: VirtualMeter, value: Data) -> AccessResult:
    """When the relay is to act; empty: not at all."""
    if value.tag is not Tag.ARRAY:
        return AccessResult.TYPE_UNMATCHED
    if not value.value:
        meter.scheduled = None
        return AccessResult.SUCCESS
    try:
        time, date = (part.value for part in value.value[0].value)
        moment = DateTime.decode(date + time + bytes.fromhex("800000"))
        shown = meter.time.instant(moment, shown=meter.time.shown(meter.now()))
    except (TypeError, ValueError, AttributeError, DlmsError):
        return AccessResult.TYPE_UNMATCHED
    cause = meter.scheduled[1] if meter.scheduled else "remote disconnect"
    meter.scheduled = (meter.time.really(shown), cause)
    return AccessResult.SUCCESS


def _write_script(meter: VirtualMeter, value: Data) -> AccessResult:
    """Which way the schedule switches."""
    try:
        _, selector = value.value
        causes: dict[int, Cause] = {1: "remote disconnect", 2: "remote reconnect"}
        cause = causes[selector.value]
    except (TypeError, ValueError, AttributeError, KeyError):
        return AccessResult.TYPE_UNMATCHED
    meter.scheduled = (meter.scheduled[0] if meter.scheduled else 1 << 40, cause)
    return AccessResult.SUCCESS


_WRITERS: Mapping[tuple[int, bytes, int], Write] = {
    (8, CLOCK, 2): _write_clock,
    (70, _RELAY, 4): _write_mode,
    (71, _LIMITER, 4): _write_number("normal"),
    (71, _LIMITER, 5): _write_number("emergency"),
    (71, _LIMITER, 6): _write_number("min_over"),
    (71, _LIMITER, 7): _write_number("min_under"),
    (71, _LIMITER, 8): _write_emergency,
    (22, obis("0-0:15.0.1"), 2): _write_script,
    (22, obis("0-0:15.0.1"), 4): _write_schedule,
}


@final
class MeterObjects:
    """A meter as a server sees it: :class:`wattledger.dlms.LogicalDevice`."""

    __slots__ = ("meter",)

    def __init__(self, meter: VirtualMeter) -> None:
        self.meter = meter

    def read(self, attribute: Reference, selection: Selection | None, *, client: int) -> Data:
        """See the port; anybody may read who the meter is, its clock, its counter, and all where it has no secret."""
        hidden = client == PUBLIC and attribute.name not in _FOR_ANYBODY and not _is_open(self.meter)
        if Fault.REFUSING in self.meter.faults or hidden:
            raise _none(AccessResult.READ_WRITE_DENIED)
        reader = READERS.get((attribute.class_id, attribute.name))
        if reader is None:
            known = any(name == attribute.name for _, name in READERS)
            raise _none(AccessResult.OBJECT_CLASS_INCONSISTENT if known else AccessResult.OBJECT_UNDEFINED)
        if attribute.number == 1:
            return octets(attribute.name)
        return reader(self.meter, attribute.number, selection)

    def write(self, attribute: Reference, _selection: Selection | None, value: Data, *, client: int) -> AccessResult:
        """See the port; only the management client writes."""
        writer = _WRITERS.get((attribute.class_id, attribute.name, attribute.number))
        if writer is None:
            known = (attribute.class_id, attribute.name) in READERS
            return AccessResult.READ_WRITE_DENIED if known else AccessResult.OBJECT_UNDEFINED
        return writer(self.meter, value) if self._may_act(client) else AccessResult.READ_WRITE_DENIED

    def invoke(self, method: Reference, parameter: Data | None, *, client: int) -> Outcome:
        """See the port; only the management client acts."""
        invoke = _INVOKERS.get((method.class_id, method.name, method.number))
        if invoke is None:
            return ActionResult.OBJECT_UNDEFINED, None
        return invoke(self.meter, parameter) if self._may_act(client) else _DENIED

    def _may_act(self, client: int) -> bool:
        """A meter without keys obeys whoever has its password; one without a secret obeys anybody, as on a bench."""
        if self.meter.keys is not None:
            return client == MANAGEMENT
        return client == READER or _is_open(self.meter)


def _is_open(meter: VirtualMeter) -> bool:
    """Whether a meter has no secret at all."""
    return meter.keys is None and meter.password is None
