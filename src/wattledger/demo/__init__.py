"""The simulated town: homes, shops, a dormitory, a building site and a café, with meters, people and a faster clock.

Everything in it is a pure function of a seed. It enters the house by the doors that real meters and customers use:
the head-end's drivers, recharges over HTTP. How the edge is put together::

    prepare_data(options)               # before the store in options.data is opened
    simulation = simulate(options)      # town, clock, meters, people
    host = ...                          # a TownHost on simulation.clock; NearDriver(simulation.meters) in its head-end
    run_demo(host=host, simulation=simulation, options=options, random=...)
"""

from wattledger.demo._clock import SpeedRefused, TownClock
from wattledger.demo._history import Milestone, OtherTown, Simulation, raise_town
from wattledger.demo._live import LiveTown, Pulse
from wattledger.demo._loads import LoadModel
from wattledger.demo._meters import MeterMemory, TownMeters
from wattledger.demo._near import NearDriver
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
    "NearDriver",
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
    "TownMeters",
    "TownPlan",
    "TownSnapshot",
    "WalletLine",
    "prepare_data",
    "raise_town",
    "run_demo",
    "simulate",
    "take_snapshot",
    "town_tariffs",
]
