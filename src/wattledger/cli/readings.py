"""``wattledger readings``: what is in a file of readings, with nothing set up."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import Annotated, Protocol

import typer

from wattledger.cli._readings_queue import ReviewedReadings, add_review
from wattledger.cli._readings_store import StoredReadings, add_stored_readings
from wattledger.kernel import zone_named


class ReadingsCommands(StoredReadings, ReviewedReadings, Protocol):
    """What ``app.py`` does for these commands."""


def add_readings(cli: typer.Typer, commands: ReadingsCommands) -> None:
    """Put the commands about readings on the command line."""
    group = typer.Typer(help="Readings: check files of them, store them, audit what is stored.", no_args_is_help=True)
    group.command()(check)
    add_stored_readings(group, commands)
    add_review(group, commands)

    @group.callback()
    def readings() -> None:
        """Readings: check files of them, store them, audit what is stored."""

    cli.add_typer(group, name="readings")


def check(
    file: Annotated[Path, typer.Argument(help="CSV (start,kwh), NEM12 or Green Button; seen from its content")],
    *,
    rules: Annotated[
        Path | None, typer.Option(help="Rules of your own (YAML) in place of the shipped ones; docs/vee.md")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Where the clock of times without offset stands: Europe/London; UTC if not given")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, every amount a decimal string")] = False,
) -> None:
    """Check a file: what lacks, what is doubtful by which rule, and what would be estimated; exit 1 if anything is."""
    from wattledger.cli._readings_check import checked_file  # noqa: PLC0415 - imported when there is something to check

    result = checked_file(file, rules=rules, zone=None if zone is None else zone_named(zone))
    # Nothing was printed so far: a problem leaves standard output empty.
    if json:
        from wattledger.cli._readings_check import as_json  # noqa: PLC0415 - likewise

        sys.stdout.write(json_text.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
    else:
        from wattledger.cli._readings_report import as_text  # noqa: PLC0415 - likewise

        sys.stdout.write("\n".join(as_text(result)) + "\n")
    if result.faults:
        raise typer.Exit(1)
