"""What may be switched, when and by whom: warn, cut off, restore; every switch with its reason and its proof.

A supply is *off* only when the meter's disconnector, read back, says so; the same for *on*. A wait (the time between
the warning and the cut-off) is a row with a due time, not a sleeping program: it survives restarts and follows the
clock it is given.
"""

from wattledger.control._supply import (
    CommandNotFound,
    CutOffPolicy,
    DisconnectCalledOff,
    DisconnectPlanned,
    Order,
    ReconnectRequested,
    SupplyCommand,
    SupplyCounts,
    SupplyDisconnected,
    SupplyReconnected,
    SupplyState,
    SwitchFailed,
    begin_command,
    commands_caused_by,
    due_commands,
    finish_command,
    plan_cut_off,
    restore,
    supplies,
    supply_counts,
    supply_of,
)
from wattledger.control.ports import MeterUnreachable, RelayState, SwitchPort

__all__ = [
    "CommandNotFound",
    "CutOffPolicy",
    "DisconnectCalledOff",
    "DisconnectPlanned",
    "MeterUnreachable",
    "Order",
    "ReconnectRequested",
    "RelayState",
    "SupplyCommand",
    "SupplyCounts",
    "SupplyDisconnected",
    "SupplyReconnected",
    "SupplyState",
    "SwitchFailed",
    "SwitchPort",
    "begin_command",
    "commands_caused_by",
    "due_commands",
    "finish_command",
    "plan_cut_off",
    "restore",
    "supplies",
    "supply_counts",
    "supply_of",
]
