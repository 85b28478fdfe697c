"""``wattledger tariff``: check, import and describe tariffs."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wattledger import tariffs
from wattledger.cli._rating import same_version
from wattledger.cli.rate import Tiers
from wattledger.kernel import Problem, zone_named

_File = Annotated[Path, typer.Argument(help="Our YAML or JSON, or a rate from URDB (JSON)")]
_Tiers = Annotated[
    Tiers | None, typer.Option(help="How URDB's tiers meet its periods; sam when not given. Our tariffs say it")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def add_tariff(cli: typer.Typer) -> None:
    """Put the commands about tariffs on the command line."""
    group = typer.Typer(help="Tariffs: prove, draw, compare and import them.", no_args_is_help=True)
    group.command()(check)
    group.command()(show)
    group.command()(diff)
    group.command()(schema)
    group.command("list")(list_shipped)
    importing = typer.Typer(help="Write other people's tariffs in our language.", no_args_is_help=True)
    importing.command("urdb")(import_urdb)
    group.add_typer(importing, name="import")
    cli.add_typer(group, name="tariff")


def check(
    files: Annotated[list[Path], typer.Argument(help="Our YAML or JSON, or rates from URDB (JSON)")],
    *,
    tiers: _Tiers = None,
    json: _Json = False,
) -> None:
    """Prove that every minute has one price, or name line, clause and cause of each fault; exit 1 if there is one."""
    found: list[dict[str, Any]] = []
    sound: list[tuple[Path, tariffs.Tariff]] = []
    for file in files:
        try:
            tariff = tariffs.load_tariff(file, tiers=None if tiers is None else tiers.value)
        except tariffs.TariffRefused as refused:
            faults = [{"line": f.line, "clause": f.path, "cause": f.cause} for f in refused.faults]
            found.append({"file": str(file), "sound": False, "faults": faults})
        else:
            found.append({"file": str(file), "sound": True, **described(tariff)})
            sound.append((file, tariff))
    for file, told in same_version(sound):
        place = next(n for n, one in enumerate(found) if one["sound"] and one["file"] == str(file))
        found[place] = {
            "file": str(file),
            "sound": False,
            "faults": [{"line": None, "clause": "version", "cause": f"a version never changes: {told}"}],
        }
    if json:
        sys.stdout.write(json_text.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        for one in found:
            _print_checked(one)
    if not all(one["sound"] for one in found):
        raise typer.Exit(1)


def _print_checked(one: dict[str, Any]) -> None:
    if not one["sound"]:
        for fault in one["faults"]:
            line = "" if fault["line"] is None else f":{fault['line']}"
            clause = f"{fault['clause']}: " if fault["clause"] else ""
            sys.stderr.write(f"{one['file']}{line}: {clause}{fault['cause']}\n")
        return
    told = [*(["its time zone"] if one["zone"] is None else []), *(f"the fact {name}" for name in one["facts"])]
    told += [*(f"when {name} is on" for name in one["events"]), *(f"the prices of {name}" for name in one["prices"])]
    sys.stdout.write(
        f"{one['file']}: sound; {one['id']} version {one['version']}, {one['hash'][:12]}, {one['zone'] or 'no zone'}; "
        f"{_counted(len(one['periods']), 'period')}, {_counted(len(one['charges']), 'charge')}: "
        "every minute has one price"
        f"{'; to be told when rating: ' + ', '.join(told) if told else ''}\n"
    )
    for remark in one["remarks"]:
        sys.stdout.write(f"  · {remark}\n")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def described(tariff: tariffs.Tariff) -> dict[str, Any]:
    """What a tariff is and asks for, as JSON."""
    return {
        "id": tariff.id,
        "version": tariff.version,
        "name": tariff.name,
        "hash": tariff.hash,
        "currency": tariff.currency,
        "zone": tariff.zone,
        "valid_from": None if tariff.valid_from is None else tariff.valid_from.isoformat(),
        "valid_to": None if tariff.valid_to is None else tariff.valid_to.isoformat(),
        "periods": list(tariff.period_names),
        "seasons": [name for name in tariff.season_names if name is not None],
        "charges": [charge.name for charge in tariff.charges],
        "channels": list(tariff.channels),
        "facts": list(tariff.facts),
        "events": list(tariff.events),
        "prices": list(tariff.index_series),
        "remarks": list(tariff.remarks),
    }


def show(file: _File, *, tiers: _Tiers = None) -> None:
    """Draw the week in each season, and list the charges."""
    tariff = tariffs.load_tariff(file, tiers=None if tiers is None else tiers.value)
    from wattledger.cli._tariff_text import print_tariff  # noqa: PLC0415 - drawing waits for a picture

    print_tariff(tariff)


def diff(
    old: Annotated[Path, typer.Argument(help="The tariff as it was")],
    new: Annotated[Path, typer.Argument(help="The tariff as it is to be")],
    *,
    tiers: _Tiers = None,
    json: _Json = False,
) -> None:
    """Say in words what changed and for whom, the weightiest first."""
    convention: tariffs.TierConvention | None = None if tiers is None else tiers.value
    before, after = tariffs.load_tariff(old, tiers=convention), tariffs.load_tariff(new, tiers=convention)
    changes = tariffs.diff(old=before, new=after)
    if json:
        rows = [{"where": c.where, "text": c.text, "concerns": c.concerns, "percent": c.percent} for c in changes]
        sys.stdout.write(json_text.dumps(rows, indent=2, ensure_ascii=False, default=str) + "\n")
        return
    sides = f"{before.id} {before.version} ({before.hash[:12]}) and {after.id} {after.version} ({after.hash[:12]})"
    if before.hash == after.hash:
        sys.stdout.write(f"{sides} say the same\n")
        return
    sys.stdout.write(f"{sides}: {_counted(len(changes), 'change')}\n")
    for change in changes:
        sys.stdout.write(f"· {change.text}\n  concerns {change.concerns}\n")
    if not changes and before.version != after.version:
        sys.stdout.write("· only the version's number\n")


def schema() -> None:
    """Print the JSON Schema of the tariff language, for editors."""
    sys.stdout.write(json_text.dumps(tariffs.tariff_schema(), indent=2, ensure_ascii=False) + "\n")


def list_shipped() -> None:
    """List the tariffs that come with the program, and where they are."""
    for name, path in tariffs.shipped_tariffs().items():
        tariff = tariffs.load_tariff(path)
        sys.stdout.write(f"{name:30} {tariff.name} ({tariff.currency}, {tariff.zone})\n{'':30} {path}\n")


def import_urdb(
    file: Annotated[Path, typer.Argument(help="A rate of the OpenEI Utility Rate Database, JSON")],
    *,
    tiers: Annotated[Tiers, typer.Option(help="How its tiers meet its periods")] = Tiers.SAM,
    zone: Annotated[
        str | None, typer.Option(help="Where its clock stands, as America/New_York; URDB does not say")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; standard output when not given")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file if there is one")] = False,
) -> None:
    """Write a URDB rate in our language; what cannot be honoured is refused by name."""
    tariff = tariffs.load_tariff(file, tiers=tiers.value)
    if zone is not None:
        zone_named(zone)
        remarks = tariff.remarks
        tariff = tariffs.parse_tariff({**tariff.document, "zone": zone}, source=str(file), remarks=remarks)
    text = tariffs.export_yaml(tariff)
    if out is None:
        sys.stdout.write(text)
    else:
        try:
            with out.open("w" if force else "x", encoding="utf-8") as file_out:
                file_out.write(text)
        except FileExistsError as error:
            raise FileNotWritten(
                f"{out} is there already", remedy="name another, or write over it with --force"
            ) from error
        except OSError as error:
            raise FileNotWritten(f"{out} cannot be written: {error.strerror}") from error
        sys.stderr.write(f"{out}: {tariff.id} version {tariff.version}, {tariff.hash[:12]}\n")
    for remark in tariff.remarks:
        sys.stderr.write(f"· {remark}\n")


class FileNotWritten(Problem):
    """A file that was asked for cannot be written."""

    slug = "file-not-written"
    title = "The file cannot be written"
    status = 500
