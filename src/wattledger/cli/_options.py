"""Options that many commands share: where a system keeps what it knows, and how it treats it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from wattledger.kernel import Problem

Data = Annotated[Path, typer.Option(help="Folder of the embedded database", envvar="WATTLEDGER_DATA")]
Database = Annotated[
    str | None,
    typer.Option(
        help="sqlite:///path or postgresql://user@host/name; the embedded one in --data when not given",
        envvar="WATTLEDGER_DATABASE",
    ),
]
Files = Annotated[
    str | None,
    typer.Option(
        help="Where files of history are to lie, the first time: a folder or s3://, gs://, abfs:// URL; beside the "
        "database if that is SQLite and nothing is said",
        envvar="WATTLEDGER_FILES",
    ),
]
DATA_DEFAULT = Path("data")


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """Where a system keeps what it knows, what becomes of posted bills that cost something else now, who does the work.

    ``executor`` does bulk work: ``threads`` of this process, or the Dask cluster ``dask://host:port``.
    ``rules`` of validation in place of the shipped ones; ``second_person_above`` so much money a decision about a
    reading needs two (``None``: never). ``validate``: days that are over are validated by themselves. ``files`` of
    history lie there, the first time it is said; otherwise beside the database.
    """

    data: Path
    database: str | None
    corrections: Literal["next_bill", "rebill"] = "next_bill"
    executor: str = "threads"
    rules: Path | None = None
    second_person_above: Decimal | None = Decimal(50)
    validate: bool = True
    files: str | None = None


class OptionRefused(Problem):
    """An option on the command line cannot be understood."""

    slug = "option-refused"
    title = "An option cannot be understood"
    status = 422


def host_and_port(told: str, option: str) -> tuple[str, int]:
    """The host and the port that an option names; raises :class:`OptionRefused`."""
    host, _, port = told.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= 65_535:  # noqa: PLR2004 - the last port
        raise OptionRefused(f"{option} {told!r} names no host and port", remedy="write it as head-end.example:4060")
    return host.strip("[]"), int(port)
