"""Class 7: load, daily and billing profiles, made from the load when they are asked for, and the event logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wattledger.dlms import (
    AccessResult,
    Data,
    DateTime,
    DlmsError,
    Selection,
    Tag,
    array,
    enum,
    int8,
    obis,
    octets,
    structure,
    uint8,
    uint16,
    uint32,
)
from wattledger.virtual_meter._clock import midnights, month_starts
from wattledger.virtual_meter._cosem import CLOCK, Read, Readers, captured, data, moment, refused
from wattledger.virtual_meter._measures import EXPORT, IMPORT, STATUS
from wattledger.virtual_meter._meter import (
    COMMUNICATION,
    DISCONNECTOR,
    FRAUD,
    LOG_MAX,
    STANDARD,
    VirtualMeter,
)

_INVALID_BIT, _DST_BIT, _ADJUSTED_BIT, _POWER_BIT = 0x02, 0x08, 0x20, 0x80
_RANGE, _ENTRY = 1, 2
_DAYS, _MONTHS = 40, 13

LOAD_PROFILE, DAILY_PROFILE, BILLING_PROFILE = obis("1-0:99.1.0"), obis("1-0:99.2.0"), obis("0-0:98.1.0")
_FAILURE_LOG, _FAILURE_LASTED, _FAILURES = obis("1-0:99.97.0"), obis("0-0:96.7.19"), 50
EVENT_LOGS = {
    obis("0-0:99.98.0"): STANDARD,
    obis("0-0:99.98.1"): FRAUD,
    obis("0-0:99.98.2"): DISCONNECTOR,
    obis("0-0:99.98.5"): COMMUNICATION,
}

_CAPTURED = {
    LOAD_PROFILE: captured((8, CLOCK), (1, STATUS), (3, IMPORT), (3, EXPORT)),
    DAILY_PROFILE: captured((8, CLOCK), (1, STATUS), (3, IMPORT), (3, EXPORT)),
    BILLING_PROFILE: captured((8, CLOCK), (3, IMPORT), (3, EXPORT)),
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
            raise refused()
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
    return [stamp for stamp in edges(meter.plan.zone, last=shown, count=_kept(meter, name)) if begun < stamp <= shown]


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
        trusted = meter.was_trusted(instant)
        moment = meter.time.moment(stamp, trusted=trusted)
        clock = Data(Tag.OCTET_STRING, moment.encoded)
        energies = (Data(Tag.UINT32, used), Data(Tag.UINT32, sent))
        if name == BILLING_PROFILE:
            rows.append(structure(clock, *energies))
            continue
        status = _DST_BIT if (moment.status or 0) & 0x80 else 0
        status |= 0 if trusted else _INVALID_BIT
        status |= _ADJUSTED_BIT if meter.clock_was_set(stamp + before, stamp) else 0
        status |= _POWER_BIT if meter.was_down(instant + before, instant) else 0
        rows.append(structure(clock, Data(Tag.UINT8, status), *energies))
    return rows


def profile_rows(meter: VirtualMeter, name: bytes, first: int, last: int) -> list[Data]:
    """The rows stamped in ``(first, last]``, epoch seconds by the meter's clock."""
    return _rows(meter, name, [stamp for stamp in _stamps(meter, name) if first < stamp <= last])


def log_rows(meter: VirtualMeter, entries: Sequence[tuple[int, int]]) -> list[Data]:
    """Entries of a log: when by the meter's clock, and the code."""
    return [structure(moment(meter, shown), uint8(code)) for shown, code in entries]


def _log(number: int) -> Read:
    """Class 7 over an event log."""

    def read(meter: VirtualMeter, attribute: int, selection: Selection | None) -> Data:
        meter.now()
        entries = meter.logs.get(number, [])
        values = {
            3: captured((8, CLOCK), (1, obis(f"0-0:96.11.{number}"))),
            4: uint32(0),
            5: enum(1),
            7: uint32(len(entries)),
            8: uint32(LOG_MAX),
        }
        if attribute in values:
            return values[attribute]
        if attribute != 2:  # noqa: PLR2004 - buffer
            raise refused()
        places = selected_places(meter, [shown for shown, _ in entries], selection)
        return array(log_rows(meter, [entries[at] for at in places]))

    return read


def _failures(meter: VirtualMeter, attribute: int, selection: Selection | None) -> Data:
    """Class 7: when each power failure ended, and for how many seconds there was none."""
    meter.now()
    found = meter.failures
    stamps = [meter.time.shown(ended) for _, ended in found]
    values = {
        3: captured((8, CLOCK), (3, _FAILURE_LASTED)),
        4: uint32(0),
        5: enum(1),
        7: uint32(len(found)),
        8: uint32(_FAILURES),
    }
    if attribute in values:
        return values[attribute]
    if attribute != 2:  # noqa: PLR2004 - buffer
        raise refused()
    places = selected_places(meter, stamps, selection)
    return array([structure(moment(meter, stamps[at]), uint32(found[at][1] - found[at][0])) for at in places])


def _selected(
    meter: VirtualMeter, stamps: Sequence[int], selection: Selection | None, rows: Callable[[Sequence[int]], list[Data]]
) -> Data:
    places = selected_places(meter, stamps, selection)
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


def selected_places(meter: VirtualMeter, stamps: Sequence[int], selection: Selection | None) -> range:
    """Which rows are wanted: by a range of time (both ends included), or by number from 1 on."""
    if selection is None:
        return range(len(stamps))
    try:
        if selection.selector == _RANGE:
            _, first, last, *_ = selection.parameters.value
            begun, ended = (shown_by(meter, edge) for edge in (first, last))
            low = int(np.searchsorted(stamps, begun, side="left"))
            return range(low, max(low, int(np.searchsorted(stamps, ended, side="right"))))
        if selection.selector == _ENTRY:
            first_entry, last_entry = (int(part.value) for part in selection.parameters.value[:2])
            return range(max(first_entry - 1, 0), min(last_entry or len(stamps), len(stamps)))
    except (TypeError, ValueError, AttributeError, DlmsError):
        raise refused(AccessResult.TYPE_UNMATCHED) from None
    raise refused(AccessResult.SCOPE_OF_ACCESS_VIOLATED)


def shown_by(meter: VirtualMeter, edge: Data) -> int:
    moment = edge.value if isinstance(edge.value, DateTime) else DateTime.decode(edge.value)
    return meter.time.instant(moment, shown=meter.time.shown(meter.now()))


def _last_code(log: int) -> Callable[[VirtualMeter], Data]:
    return lambda meter: uint8(meter.logs[log][-1][1] if meter.logs.get(log) else 0)


READERS: Readers = {
    (1, STATUS): data(lambda _: uint8(0)),
    **{(7, name): _profile(name) for name in (LOAD_PROFILE, DAILY_PROFILE, BILLING_PROFILE)},
    (7, _FAILURE_LOG): _failures,
    **{(7, name): _log(log) for name, log in EVENT_LOGS.items()},
    **{(1, obis(f"0-0:96.11.{log}")): data(_last_code(log)) for log in EVENT_LOGS.values()},
}
