"""The command line. ``wattledger rate`` needs nothing set up; the others work on one system, built by ``app.py``."""

from wattledger.cli._commands import Commands, ServeOptions, SystemOptions, TownOptions, make_cli, run_cli
from wattledger.cli.whatif import WhatIf

__all__ = ["Commands", "ServeOptions", "SystemOptions", "TownOptions", "WhatIf", "make_cli", "run_cli"]
