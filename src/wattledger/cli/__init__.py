"""The command line. ``wattledger rate`` needs nothing set up; the others work on one system, built by ``app.py``."""

from wattledger.cli._commands import Commands, ServeOptions, TownOptions, make_cli, run_cli
from wattledger.cli._options import SystemOptions
from wattledger.cli._readings_queue import Verdict
from wattledger.cli._readings_store import Exported, Imported, ImportRequest, StoreExport
from wattledger.cli.linked import MeterToLink, Order, Question
from wattledger.cli.meter import MeterFleet, MeterRead, MeterSecrets
from wattledger.cli.whatif import WhatIf

__all__ = [
    "Commands",
    "Exported",
    "ImportRequest",
    "Imported",
    "MeterFleet",
    "MeterRead",
    "MeterSecrets",
    "MeterToLink",
    "Order",
    "Question",
    "ServeOptions",
    "StoreExport",
    "SystemOptions",
    "TownOptions",
    "Verdict",
    "WhatIf",
    "make_cli",
    "run_cli",
]
