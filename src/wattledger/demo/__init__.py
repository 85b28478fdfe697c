"""The simulated town: homes, shops, a dormitory, a building site and a café, with meters, people and a faster clock.

Everything in it is a pure function of a seed. It enters the house by the doors that real meters and customers use:
batches of intervals, answers to commands, recharges over HTTP. How the edge is put together::

    prepare_data(options)               # before the store in options.data is opened
    simulation = simulate(options)      # town, clock, meters, people
    host = ...                          # a TownHost on simulation.clock with simulation.meters as its SwitchPort
    run_demo(host=host, simulation=simulation, options=options)
"""

from wattledger.demo._clock import SpeedRefused, TownClock
from wattledger.demo._history import Milestone, OtherTown, Simulation, raise_town
from wattledger.demo._live import LiveTown, Pulse
from wattledger.demo._loads import LoadModel
from wattledger.demo._meters import MeterMemory, VirtualMeters
from wattledger.demo._people import HttpPayer, Payer, People, RechargeRejected, RechargeUnanswered
from wattledger.demo._run import (
    PORT_DEFAULT,
    SPEED_DEFAULT,
    DemoOptions,
    FolderNotOurs,
    prepare_data,
    run_demo,
    simulate,
)
from wattledger.demo._screen import Chronicle, take_snapshot
from wattledger.demo._town import (
    CURRENCY,
    ZONE,
    PlanRefused,
    Supply,
    Town,
    TownPlan,
    town_tariffs,
)
from wattledger.demo.ports import BillRunLine, TownHost, TownSnapshot, WalletLine

__all__ = [
    "CURRENCY",
    "PORT_DEFAULT",
    "SPEED_DEFAULT",
    "ZONE",
    "BillRunLine",
    "Chronicle",
    "DemoOptions",
    "FolderNotOurs",
    "HttpPayer",
    "LiveTown",
    "LoadModel",
    "MeterMemory",
    "Milestone",
    "OtherTown",
    "Payer",
    "People",
    "PlanRefused",
    "Pulse",
    "RechargeRejected",
    "RechargeUnanswered",
    "Simulation",
    "SpeedRefused",
    "Supply",
    "Town",
    "TownClock",
    "TownHost",
    "TownPlan",
    "TownSnapshot",
    "VirtualMeters",
    "WalletLine",
    "prepare_data",
    "raise_town",
    "run_demo",
    "simulate",
    "take_snapshot",
    "town_tariffs",
]
