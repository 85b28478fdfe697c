"""``wattledger rate``: a file of readings and a tariff into bills, with nothing set up."""

from __future__ import annotations

import sys
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wattledger import tariffs
from wattledger.cli._rate_json import as_json
from wattledger.cli._rating import Told, check_versions, rated
from wattledger.cli._told import read_bill, read_facts, read_pairs, read_signals, refuse_unknown
from wattledger.kernel import zone_named


class Tiers(StrEnum):
    """The conventions for URDB's tiers, as options of the command line."""

    SAM = "sam"
    CHRONOLOGICAL = "chronological"
    PER_PERIOD = "per-period"


def rate(  # noqa: PLR0913 - one parameter an option
    readings: Annotated[Path, typer.Argument(help="CSV (start,kwh), NEM12 or Green Button; seen from its content")],
    *,
    tariff: Annotated[
        list[Path], typer.Option(help="Our YAML or JSON, or a rate from URDB (JSON); versions of one may be several")
    ],
    zone: Annotated[
        str | None,
        typer.Option(help="Where the clock of times without offset stands, and of a tariff without one: Europe/London"),
    ] = None,
    tiers: Annotated[
        Tiers | None, typer.Option(help="How URDB's tiers meet its periods; sam when not given. Our tariffs say it")
    ] = None,
    fact: Annotated[list[str] | None, typer.Option(help="A fact of the contract: contracted_kw=6")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="When an event is on: 'critical peak=2026-07-01' or =2026-07-01T14:00+10:00/2026-07-01T20:00+10:00"
        ),
    ] = None,
    prices: Annotated[
        list[str] | None, typer.Option(help="A published series: wholesale=FILE.csv (start with offset, price per kWh)")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Which channel of the tariff a register of the file is: E2=controlled")
    ] = None,
    bill: Annotated[
        str | None, typer.Option(help="One bill of these days in place of months: 2026-07-24/2026-08-06, both included")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Leave the amounts unrounded")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Take each line apart: clause, intervals, prices; all of them with --json")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every number a decimal string")] = False,
) -> None:
    """Rate a file of readings: print its bills, month by month."""
    clock = None if zone is None else zone_named(zone)
    files = [(one, tariffs.load_tariff(one, tiers=None if tiers is None else tiers.value)) for one in tariff]
    check_versions(files)
    versions = sorted((one for _, one in files), key=lambda one: one.valid_from or date.min)
    facts = read_facts(fact or ())
    signals = read_signals(event or (), prices or (), zone=clock or versions[-1].zone)
    refuse_unknown(versions, facts=facts, signals=signals)
    result = rated(
        path=readings,
        versions=versions,
        zone=clock,
        told=Told(
            facts=facts,
            signals=signals,
            channels=read_pairs(channel or (), "--channel", "E2=controlled"),
            bill=None if bill is None else read_bill(bill),
            exact=exact,
            explain=explain,
        ),
    )
    # Nothing was printed so far: a problem leaves standard output empty.
    if json:
        sys.stdout.write(as_json(result) + "\n")
        return
    from wattledger.cli._rate_text import print_bills  # noqa: PLC0415 - what draws is imported when there is a picture

    print_bills(result)
