"""The activity calendar (class 20) and its special days (11), as COSEM has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    obis,
    octets,
    structure,
    uint8,
    uint16,
)
from wattledger.virtual_meter._calendar import RATES, Calendar, DayTable, PartDate, Season, SpecialDay, Week
from wattledger.virtual_meter._cosem import DONE, OPEN_MOMENT, Invoke, Readers, Write, data, refused
from wattledger.virtual_meter._meter import VirtualMeter

CALENDAR, SPECIAL_DAYS, SCRIPTS = obis("0-0:13.0.0"), obis("0-0:11.0.0"), obis("0-0:10.0.100")
_SEASON_TIME = bytes.fromhex("00000000800000")
_ENTRIES_MAX = 64
_WRONG = (DlmsError, TypeError, ValueError, AttributeError, KeyError, IndexError)


def _calendar(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    meter.now()
    table = meter.timetable
    if attribute == 10:  # noqa: PLR2004 - activate_passive_calendar_time
        at = table.activate_at
        return octets(OPEN_MOMENT if at is None else meter.time.moment(at).encoded)
    shown, part = (table.active, attribute) if attribute < 6 else (table.passive, attribute - 4)  # noqa: PLR2004 - name_passive
    match part:
        case 2:
            return octets(shown.name)
        case 3:
            seasons = ((one.name, one.start.encoded + _SEASON_TIME, one.week) for one in shown.seasons)
            return array([structure(*map(octets, one)) for one in seasons])
        case 4:
            return array([structure(octets(one.name), *map(uint8, one.days)) for one in shown.weeks])
        case 5:
            return array([_day_table(one) for one in shown.days])
    raise refused()


def _day_table(day: DayTable) -> Data:
    actions = [
        structure(octets(bytes((minute // 60, minute % 60, 0, 0))), octets(SCRIPTS), uint16(rate))
        for minute, rate in day.rates
    ]
    return structure(uint8(day.number), array(actions))


def _special_days(meter: VirtualMeter) -> Data:
    days = meter.timetable.special
    return array([structure(uint16(one.number), octets(one.day.encoded), uint8(one.table)) for one in days])


# --- what is written


def _parts(value: Data) -> list[Any]:
    if value.tag is not Tag.ARRAY or len(value.value) > _ENTRIES_MAX:
        raise TypeError("an array is due, of no more than 64 entries")
    return [[part.value for part in one.value] for one in value.value]


def _season(name: bytes, start: bytes, week: bytes) -> Season:
    return Season(bytes(name), PartDate.decode(start[:5]), bytes(week))


def _week(name: bytes, *days: int) -> Week:
    if len(days) != 7:  # noqa: PLR2004 - a week
        raise ValueError("a week has seven days")
    return Week(bytes(name), tuple(map(int, days)))


def _day(number: int, actions: list[Data]) -> DayTable:
    rates = []
    for action in actions:
        time, _script, rate = (part.value for part in action.value)
        minute = time[0] * 60 + time[1]
        if minute >= 24 * 60 or rate not in RATES:
            raise ValueError("no time of a day, or no rate of this meter")
        rates.append((minute, int(rate)))
    return DayTable(int(number), tuple(sorted(rates)))


def _with(passive: Calendar, attribute: int, value: Data) -> Calendar:
    match attribute:
        case 6:
            return replace(passive, name=bytes(value.value))
        case 7:
            return replace(passive, seasons=tuple(_season(*one) for one in _parts(value)))
        case 8:
            return replace(passive, weeks=tuple(_week(*one) for one in _parts(value)))
    return replace(passive, days=tuple(_day(*one) for one in _parts(value)))


def _write_passive(attribute: int) -> Write:
    def write(meter: VirtualMeter, value: Data) -> AccessResult:
        table = meter.timetable
        try:
            meter.plan_rates(_with(table.passive, attribute, value), activate_at=table.activate_at)
        except _WRONG:
            return AccessResult.TYPE_UNMATCHED
        return AccessResult.SUCCESS

    return write


def _write_activation(meter: VirtualMeter, value: Data) -> AccessResult:
    """When the passive calendar becomes active; an open date: not by itself."""
    try:
        moment = value.value if isinstance(value.value, DateTime) else DateTime.decode(value.value)
        shown = None
        if moment.year is not None:
            shown = meter.time.instant(moment, shown=meter.time.shown(meter.now()))
    except _WRONG:
        return AccessResult.TYPE_UNMATCHED
    meter.plan_rates(meter.timetable.passive, activate_at=shown)
    return AccessResult.SUCCESS


def _write_special_days(meter: VirtualMeter, value: Data) -> AccessResult:
    try:
        days = tuple(SpecialDay(int(index), PartDate.decode(day), int(table)) for index, day, table in _parts(value))
    except _WRONG:
        return AccessResult.TYPE_UNMATCHED
    meter.set_special_days(days)
    return AccessResult.SUCCESS


def _activate(meter: VirtualMeter, _: Data | None) -> Outcome:
    return DONE if meter.activate_rates() else (ActionResult.OTHER_REASON, None)


def _insert(meter: VirtualMeter, given: Data | None) -> Outcome:
    """A special day; one of the same index goes."""
    if given is None:
        return ActionResult.TYPE_UNMATCHED, None
    try:
        index, day, table = (part.value for part in given.value)
        special = SpecialDay(int(index), PartDate.decode(day), int(table))
    except _WRONG:
        return ActionResult.TYPE_UNMATCHED, None
    meter.set_special_days((*(one for one in meter.timetable.special if one.number != special.number), special))
    return DONE


def _delete(meter: VirtualMeter, given: Data | None) -> Outcome:
    kept = tuple(one for one in meter.timetable.special if given is None or one.number != given.value)
    if len(kept) == len(meter.timetable.special):
        return ActionResult.OTHER_REASON, None
    meter.set_special_days(kept)
    return DONE


READERS: Readers = {
    (1, obis("0-0:96.14.0")): data(lambda meter: uint8(meter.rate(meter.now()))),
    (11, SPECIAL_DAYS): data(_special_days),
    (20, CALENDAR): _calendar,
}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {
    (11, SPECIAL_DAYS, 1): _insert,
    (11, SPECIAL_DAYS, 2): _delete,
    (20, CALENDAR, 1): _activate,
}
WRITERS: dict[tuple[int, bytes, int], Write] = {
    (11, SPECIAL_DAYS, 2): _write_special_days,
    **{(20, CALENDAR, attribute): _write_passive(attribute) for attribute in (6, 7, 8, 9)},
    (20, CALENDAR, 10): _write_activation,
}
