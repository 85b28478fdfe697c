"""What the event codes of meters mean: a table for each companion specification, never one for all.

The same number is another thing elsewhere: 48 is "global key changed" in the IDIS and DSMR family and "module cover
opened" in SMR 5; 201 is a magnet in India and nothing in Europe. A code that its table does not name is kept and called
unknown.

* ``idis``     IDIS and DSMR: codes of one byte
* ``smr5``     DSMR/ESMR 5 ("SMR 5"): as ``idis``, but for 48, 49 and 51 to 59
* ``is15959``  IS 15959 of India, tables of event identification; codes of two bytes
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from wattledger.kernel import Problem


class CompanionUnknown(Problem):
    """There is no table of event codes for this companion specification."""

    slug = "companion-unknown"
    title = "The companion specification is not known"
    status = 422


class EventKind(StrEnum):
    """What happened at a meter, whatever its maker's number for it."""

    UNKNOWN = "unknown"
    POWER_DOWN = "power_down"
    POWER_UP = "power_up"
    DST_SWITCHED = "dst_switched"
    CLOCK_ADJUSTED = "clock_adjusted"
    CLOCK_INVALID = "clock_invalid"
    BATTERY_REPLACE = "battery_replace"
    BATTERY_LOW = "battery_low"
    TARIFF_ACTIVATED = "tariff_activated"
    TARIFF_PROGRAMMED = "tariff_programmed"
    ERRORS_CLEARED = "errors_cleared"
    ALARMS_CLEARED = "alarms_cleared"
    MEMORY_ERROR = "memory_error"
    WATCHDOG_ERROR = "watchdog_error"
    MEASUREMENT_ERROR = "measurement_error"
    FIRMWARE_READY = "firmware_ready"
    FIRMWARE_ACTIVATED = "firmware_activated"
    FIRMWARE_REJECTED = "firmware_rejected"
    TERMINAL_COVER_OPENED = "terminal_cover_opened"
    TERMINAL_COVER_CLOSED = "terminal_cover_closed"
    METER_COVER_OPENED = "meter_cover_opened"
    METER_COVER_CLOSED = "meter_cover_closed"
    MODULE_COVER_OPENED = "module_cover_opened"
    MODULE_COVER_CLOSED = "module_cover_closed"
    MAGNET_DETECTED = "magnet_detected"
    MAGNET_GONE = "magnet_gone"
    NEUTRAL_DISTURBED = "neutral_disturbed"
    NEUTRAL_RESTORED = "neutral_restored"
    CURRENT_REVERSED = "current_reversed"
    CURRENT_RESTORED = "current_restored"
    CURRENT_OPEN = "current_open"
    CURRENT_BYPASSED = "current_bypassed"
    CURRENT_UNBALANCED = "current_unbalanced"
    CURRENT_BALANCED = "current_balanced"
    OVERCURRENT = "overcurrent"
    OVERCURRENT_ENDED = "overcurrent_ended"
    AUTHENTICATION_FAILED = "authentication_failed"
    DECRYPTION_FAILED = "decryption_failed"
    REPLAY_ATTACK = "replay_attack"
    CONFIGURATION_CHANGED = "configuration_changed"
    KEYS_CHANGED = "keys_changed"
    READY_FOR_RECONNECTION = "ready_for_reconnection"
    MANUAL_DISCONNECT = "manual_disconnect"
    MANUAL_CONNECT = "manual_connect"
    REMOTE_DISCONNECT = "remote_disconnect"
    REMOTE_CONNECT = "remote_connect"
    LOCAL_DISCONNECT = "local_disconnect"
    LOCAL_CONNECT = "local_connect"
    DISCONNECTED = "disconnected"
    CONNECTED = "connected"
    DISCONNECTOR_FAILED = "disconnector_failed"
    LIMITER_EXCEEDED = "limiter_exceeded"
    LIMITER_OK = "limiter_ok"
    LIMITER_CHANGED = "limiter_changed"
    SUPERVISION_EXCEEDED = "supervision_exceeded"
    SUPERVISION_OK = "supervision_ok"
    UNDERVOLTAGE = "undervoltage"
    OVERVOLTAGE = "overvoltage"
    VOLTAGE_NORMAL = "voltage_normal"
    VOLTAGE_MISSING = "voltage_missing"
    VOLTAGE_RETURNED = "voltage_returned"
    VOLTAGE_SAG = "voltage_sag"
    VOLTAGE_SWELL = "voltage_swell"
    VOLTAGE_UNBALANCED = "voltage_unbalanced"
    VOLTAGE_BALANCED = "voltage_balanced"
    HARMONICS = "harmonics"
    LOW_POWER_FACTOR = "low_power_factor"
    POWER_FACTOR_RESTORED = "power_factor_restored"
    MBUS = "mbus"
    LOG_CLEARED = "log_cleared"


TAMPER = frozenset(
    {
        EventKind.TERMINAL_COVER_OPENED,
        EventKind.METER_COVER_OPENED,
        EventKind.MODULE_COVER_OPENED,
        EventKind.MAGNET_DETECTED,
        EventKind.NEUTRAL_DISTURBED,
        EventKind.CURRENT_REVERSED,
        EventKind.CURRENT_OPEN,
        EventKind.CURRENT_BYPASSED,
        EventKind.AUTHENTICATION_FAILED,
        EventKind.REPLAY_ATTACK,
    }
)
"""What somebody may have done to a meter, and nobody does to it by accident every day."""

_K = EventKind

_IDIS: dict[int, EventKind] = {
    1: _K.POWER_DOWN,
    2: _K.POWER_UP,
    3: _K.DST_SWITCHED,
    4: _K.CLOCK_ADJUSTED,  # with the old time
    5: _K.CLOCK_ADJUSTED,  # with the new time
    6: _K.CLOCK_INVALID,
    7: _K.BATTERY_REPLACE,
    8: _K.BATTERY_LOW,
    9: _K.TARIFF_ACTIVATED,
    10: _K.ERRORS_CLEARED,
    11: _K.ALARMS_CLEARED,
    12: _K.MEMORY_ERROR,  # program memory
    13: _K.MEMORY_ERROR,  # RAM
    14: _K.MEMORY_ERROR,  # non-volatile
    15: _K.WATCHDOG_ERROR,
    16: _K.MEASUREMENT_ERROR,
    17: _K.FIRMWARE_READY,
    18: _K.FIRMWARE_ACTIVATED,
    19: _K.TARIFF_PROGRAMMED,
    40: _K.TERMINAL_COVER_OPENED,
    41: _K.TERMINAL_COVER_CLOSED,
    42: _K.MAGNET_DETECTED,
    43: _K.MAGNET_GONE,
    44: _K.METER_COVER_OPENED,
    45: _K.METER_COVER_CLOSED,
    46: _K.AUTHENTICATION_FAILED,  # n times
    47: _K.CONFIGURATION_CHANGED,
    48: _K.KEYS_CHANGED,
    49: _K.DECRYPTION_FAILED,
    50: _K.REPLAY_ATTACK,
    51: _K.FIRMWARE_REJECTED,
    59: _K.READY_FOR_RECONNECTION,
    60: _K.MANUAL_DISCONNECT,
    61: _K.MANUAL_CONNECT,
    62: _K.REMOTE_DISCONNECT,
    63: _K.REMOTE_CONNECT,
    64: _K.LOCAL_DISCONNECT,
    65: _K.LIMITER_EXCEEDED,
    66: _K.LIMITER_OK,
    67: _K.LIMITER_CHANGED,
    68: _K.DISCONNECTOR_FAILED,
    69: _K.LOCAL_CONNECT,
    **dict.fromkeys((70, 72, 74), _K.SUPERVISION_EXCEEDED),
    **dict.fromkeys((71, 73, 75), _K.SUPERVISION_OK),
    **dict.fromkeys(range(77, 80), _K.UNDERVOLTAGE),
    **dict.fromkeys(range(80, 83), _K.OVERVOLTAGE),
    **dict.fromkeys(range(83, 86), _K.VOLTAGE_NORMAL),
    **dict.fromkeys(range(86, 89), _K.VOLTAGE_MISSING),
    **dict.fromkeys(range(90, 93), _K.VOLTAGE_RETURNED),
    93: _K.VOLTAGE_SAG,
    94: _K.VOLTAGE_SWELL,
    **dict.fromkeys(range(100, 138), _K.MBUS),
    255: _K.LOG_CLEARED,
}

_SMR5: dict[int, EventKind] = {
    **_IDIS,
    48: _K.MODULE_COVER_OPENED,
    49: _K.MODULE_COVER_CLOSED,
    **dict.fromkeys(range(51, 60), _K.HARMONICS),
}

_IS15959: dict[int, EventKind] = {
    **dict.fromkeys((1, 3, 5), _K.VOLTAGE_MISSING),
    **dict.fromkeys((2, 4, 6), _K.VOLTAGE_RETURNED),
    7: _K.OVERVOLTAGE,
    8: _K.VOLTAGE_NORMAL,
    9: _K.UNDERVOLTAGE,
    10: _K.VOLTAGE_NORMAL,
    11: _K.VOLTAGE_UNBALANCED,
    12: _K.VOLTAGE_BALANCED,
    **dict.fromkeys((51, 53, 55), _K.CURRENT_REVERSED),
    **dict.fromkeys((52, 54, 56), _K.CURRENT_RESTORED),
    **dict.fromkeys((57, 59, 61), _K.CURRENT_OPEN),
    **dict.fromkeys((58, 60, 62), _K.CURRENT_RESTORED),
    63: _K.CURRENT_UNBALANCED,
    64: _K.CURRENT_BALANCED,
    65: _K.CURRENT_BYPASSED,
    66: _K.CURRENT_RESTORED,
    67: _K.OVERCURRENT,
    68: _K.OVERCURRENT_ENDED,
    101: _K.POWER_DOWN,
    102: _K.POWER_UP,
    151: _K.CLOCK_ADJUSTED,
    152: _K.CONFIGURATION_CHANGED,  # demand integration period
    153: _K.CONFIGURATION_CHANGED,  # profile capture period
    154: _K.CONFIGURATION_CHANGED,  # billing dates
    155: _K.TARIFF_PROGRAMMED,
    201: _K.MAGNET_DETECTED,
    202: _K.MAGNET_GONE,
    203: _K.NEUTRAL_DISTURBED,
    204: _K.NEUTRAL_RESTORED,
    205: _K.LOW_POWER_FACTOR,
    206: _K.POWER_FACTOR_RESTORED,
    251: _K.METER_COVER_OPENED,
    301: _K.DISCONNECTED,
    302: _K.CONNECTED,
}

EVENT_CODES: Mapping[str, Mapping[int, EventKind]] = MappingProxyType(
    {
        "idis": MappingProxyType(_IDIS),
        "smr5": MappingProxyType(_SMR5),
        "is15959": MappingProxyType(_IS15959),
    }
)
"""The tables, by companion specification."""

_BYTE = 0xFF
_TWO_BYTES = 0xFFFF


def plain_code(code: int, *, companion: str) -> int:
    """The code as its table has it: the same one comes unsigned, signed or in two bytes, by firmware.

    Raises :class:`CompanionUnknown`.
    """
    if companion not in EVENT_CODES:
        raise CompanionUnknown(
            f"there are no event codes for {companion!r}", remedy=f"use one of {', '.join(sorted(EVENT_CODES))}"
        )
    # In India codes above 255 exist; one that is negative was a byte.
    return code & (_TWO_BYTES if companion == "is15959" and code >= 0 else _BYTE)


def event_kind(code: int, *, companion: str) -> EventKind:
    """What a code means under a companion specification; :attr:`EventKind.UNKNOWN` where its table has it not."""
    plain = plain_code(code, companion=companion)
    return EVENT_CODES[companion].get(plain, EventKind.UNKNOWN)
