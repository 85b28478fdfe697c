"""The relay (class 70), the limiter (71), and what makes the relay act: a schedule (22) and scripts (9)."""

from __future__ import annotations

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    DateTime,
    DlmsError,
    Outcome,
    Selection,
    Tag,
    array,
    boolean,
    enum,
    int8,
    obis,
    octets,
    structure,
    uint16,
    uint32,
)
from wattledger.virtual_meter._cosem import DONE, Invoke, Readers, Write, refused
from wattledger.virtual_meter._disconnector import Cause
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._profiles import shown_by

RELAY, LIMITER, SCHEDULE, SCRIPTS = obis("0-0:96.3.10"), obis("0-0:17.0.0"), obis("0-0:15.0.1"), obis("0-0:10.0.106")
_CAUSES: dict[int, Cause] = {1: "remote disconnect", 2: "remote reconnect"}


def _relay(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    match attribute:
        case 2:
            return boolean(meter.disconnector.closed)
        case 3:
            return enum(meter.disconnector.state)
        case 4:
            return enum(meter.disconnector.mode)
    raise refused()


def _switching(cause: Cause) -> Invoke:
    def invoke(meter: VirtualMeter, _: Data | None) -> Outcome:
        meter.switch(cause)
        return DONE

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
        10: boolean(limiter.in_emergency(at)),
    }
    if attribute not in values:
        raise refused()
    return values[attribute]


def _schedule(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """Class 22: when the relay is to act by itself."""
    match attribute:
        case 2:
            cause = meter.scheduled[1] if meter.scheduled else "remote disconnect"
            return structure(octets(SCRIPTS), uint16(1 if cause == "remote disconnect" else 2))
        case 3:
            return enum(1)
        case 4:
            if meter.scheduled is None:
                return array([])
            encoded = meter.time.moment(meter.scheduled[0]).encoded
            return array([structure(octets(encoded[5:9]), octets(encoded[:5]))])
    raise refused()


def _script_table(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    if attribute != 2:  # noqa: PLR2004 - scripts
        raise refused()
    return array(
        [
            structure(
                uint16(number),
                array([structure(enum(2), uint16(70), octets(RELAY), int8(number), int8(0))]),
            )
            for number in (1, 2)
        ]
    )


def _run_script(meter: VirtualMeter, given: Data | None) -> Outcome:
    cause = _CAUSES.get(given.value) if given is not None and isinstance(given.value, int) else None
    if cause is None:
        return ActionResult.TYPE_UNMATCHED, None
    meter.switch(cause)
    return DONE


def _write_number(name: str) -> Write:
    def write(meter: VirtualMeter, value: Data) -> AccessResult:
        if value.tag is not Tag.UINT32:
            return AccessResult.TYPE_UNMATCHED
        if name == "normal":
            meter.limit(value.value)
        else:
            meter.set_limiter(**{name: value.value})
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
        begun = meter.time.really(shown_by(meter, begins))
        meter.set_limiter(emergency_from=begun, emergency_until=begun + int(lasts.value))
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
        cause = _CAUSES[selector.value]
    except (TypeError, ValueError, AttributeError, KeyError):
        return AccessResult.TYPE_UNMATCHED
    meter.scheduled = (meter.scheduled[0] if meter.scheduled else 1 << 40, cause)
    return AccessResult.SUCCESS


READERS: Readers = {
    (9, SCRIPTS): _script_table,
    (22, SCHEDULE): _schedule,
    (70, RELAY): _relay,
    (71, LIMITER): _limiter,
}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {
    (70, RELAY, 1): _switching("remote disconnect"),
    (70, RELAY, 2): _switching("remote reconnect"),
    (9, SCRIPTS, 1): _run_script,
}
WRITERS: dict[tuple[int, bytes, int], Write] = {
    (70, RELAY, 4): _write_mode,
    (71, LIMITER, 4): _write_number("normal"),
    (71, LIMITER, 5): _write_number("emergency"),
    (71, LIMITER, 6): _write_number("min_over"),
    (71, LIMITER, 7): _write_number("min_under"),
    (71, LIMITER, 8): _write_emergency,
    (22, SCHEDULE, 2): _write_script,
    (22, SCHEDULE, 4): _write_schedule,
}
