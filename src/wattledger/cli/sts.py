"""``wattledger sts derive|encode|decode``: JSON on standard input and output; no secret is an argument."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from wattledger.cli._sts_entry import Entry, EntryRefused, answers
from wattledger.cli._sts_json import encoded, read_back
from wattledger.cli._sts_keys import Setting, derived
from wattledger.sts import StaTables, TablesRefused

_Tables = Annotated[
    Path | None,
    typer.Option(help="JSON with the lists s1, s2 and p of encryption algorithm 07, from the STS Association"),
]
_Unchecked = Annotated[
    bool, typer.Option("--unchecked-digits", help="For tests: take the check digits of meter numbers as they are")
]


def add_sts(cli: typer.Typer) -> None:
    """Put the commands about tokens on the command line."""
    group = typer.Typer(
        help="STS tokens and keys: one JSON object, a list, or one a line in; the same out.", no_args_is_help=True
    )
    group.command()(derive)
    group.command()(encode)
    group.command()(decode)
    cli.add_typer(group, name="sts")


def derive(*, unchecked_digits: _Unchecked = False) -> None:
    """Derive decoder keys from vending keys, by DKGA02 and DKGA04."""
    _answer(derived, tables=None, unchecked_digits=unchecked_digits)


def encode(*, tables: _Tables = None, unchecked_digits: _Unchecked = False) -> None:
    """Make tokens."""
    _answer(encoded, tables=tables, unchecked_digits=unchecked_digits)


def decode(*, tables: _Tables = None, unchecked_digits: _Unchecked = False) -> None:
    """Read tokens."""
    _answer(read_back, tables=tables, unchecked_digits=unchecked_digits)


def _answer(
    how: Callable[[Entry, Setting], Mapping[str, object]], *, tables: Path | None, unchecked_digits: bool
) -> None:
    setting = Setting(
        tables=None if tables is None else _read_tables(tables),
        check_digits=not unchecked_digits,
        chance=secrets.randbelow,
    )
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        raise EntryRefused("standard input is not UTF-8") from None
    sys.stdout.write(answers(text, lambda entry: how(entry, setting)))


def _read_tables(file: Path) -> StaTables:
    try:
        return StaTables.read(document=json.loads(file.read_text(encoding="utf-8-sig")))
    except OSError as failed:
        raise TablesRefused(f"--tables {file} cannot be read: {failed.strerror}") from None
    except (ValueError, RecursionError):
        raise TablesRefused(f"--tables {file} is no JSON") from None
