"""``wattledger rate``: a file of readings and a tariff into bills, with nothing set up."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wattledger import tariffs
from wattledger.cli._rate_json import as_json
from wattledger.cli._rating import rated
from wattledger.kernel import zone_named


class Tiers(StrEnum):
    """The conventions for URDB's tiers, as options of the command line."""

    SAM = "sam"
    CHRONOLOGICAL = "chronological"
    PER_PERIOD = "per-period"


def rate(
    readings: Annotated[Path, typer.Argument(help="CSV (start,kwh), NEM12 or Green Button; seen from its content")],
    *,
    tariff: Annotated[Path, typer.Option(help="Our YAML or JSON, or a rate from URDB (JSON)")],
    zone: Annotated[
        str | None,
        typer.Option(help="Where the clock of times without offset stands, and of a tariff without one: Europe/London"),
    ] = None,
    tiers: Annotated[
        Tiers | None, typer.Option(help="How URDB's tiers meet its periods; sam when not given. Our tariffs say it")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Leave the amounts unrounded")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every number a decimal string")] = False,
) -> None:
    """Rate a file of readings: print its bills, month by month."""
    result = rated(
        path=readings,
        tariff=tariffs.load_tariff(tariff, tiers=None if tiers is None else tiers.value),
        zone=None if zone is None else zone_named(zone),
        exact=exact,
    )
    # Nothing was printed so far: a problem leaves standard output empty.
    if json:
        sys.stdout.write(as_json(result) + "\n")
        return
    from wattledger.cli._rate_text import print_bills  # noqa: PLC0415 - what draws is imported when there is a picture

    print_bills(result)
