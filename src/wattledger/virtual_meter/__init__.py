"""Meters that are programs: COSEM servers with a load, a clock that drifts, a relay, credit, and faults to order.

A town is made of them; tests and a head-end speak with them as with any other meter. Nothing here knows of readings,
money or homes.
"""

from wattledger.virtual_meter._calendar import TWO_RATES, Calendar, DayTable, PartDate, Season, SpecialDay, Week
from wattledger.virtual_meter._clock import DriftingClock
from wattledger.virtual_meter._disconnector import MODES, TRANSITIONS, Disconnector, State
from wattledger.virtual_meter._faults import Fault
from wattledger.virtual_meter._limiter import Limiter
from wattledger.virtual_meter._load import NOTHING, DayLoad, Load, SeriesLoad
from wattledger.virtual_meter._measures import MANAGEMENT, PUBLIC, READER, device_name, system_title
from wattledger.virtual_meter._meter import MeterPlan, VirtualMeter
from wattledger.virtual_meter._objects import READERS, MeterObjects
from wattledger.virtual_meter._prepayment import Keypad, Prepayment, TokenStatus, Typed
from wattledger.virtual_meter._push_line import PushLine
from wattledger.virtual_meter._push_setup import ALARM, LAST_GASP, SCHEDULED, PushSetup
from wattledger.virtual_meter._serve import OWN_ADDRESS, Conversation, LineSettings, MeterLine

__all__ = [
    "ALARM",
    "LAST_GASP",
    "MANAGEMENT",
    "MODES",
    "NOTHING",
    "OWN_ADDRESS",
    "PUBLIC",
    "READER",
    "READERS",
    "SCHEDULED",
    "TRANSITIONS",
    "TWO_RATES",
    "Calendar",
    "Conversation",
    "DayLoad",
    "DayTable",
    "Disconnector",
    "DriftingClock",
    "Fault",
    "Keypad",
    "Limiter",
    "LineSettings",
    "Load",
    "MeterLine",
    "MeterObjects",
    "MeterPlan",
    "PartDate",
    "Prepayment",
    "PushLine",
    "PushSetup",
    "Season",
    "SeriesLoad",
    "SpecialDay",
    "State",
    "TokenStatus",
    "Typed",
    "VirtualMeter",
    "Week",
    "device_name",
    "system_title",
]
