"""What ``wattledger --help`` offers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import typer

import wattledger
from wattledger.cli._options import DATA_DEFAULT, Data, Database, Files, SystemOptions, host_and_port
from wattledger.cli._readings_queue import (
    SECOND_PERSON_ABOVE,
    ReviewedReadings,
    Rules,
    SecondPersonAbove,
    money_limit,
)
from wattledger.cli._readings_store import StoredReadings
from wattledger.cli.evidence import Evidence, add_evidence
from wattledger.cli.ledger import Books, add_ledger
from wattledger.cli.linked import LinkedMeters, add_linked
from wattledger.cli.meter import Meters, add_meters
from wattledger.cli.whatif import Populations, add_whatif
from wattledger.kernel import Problem


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where the pages and the API are served, and where meters connect in, if they may."""

    host: str
    port: int
    meters: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class TownOptions:
    """The simulated town, as asked for on the command line."""

    seed: int
    homes: int
    speed: int
    days: int
    fresh: bool
    for_seconds: int | None
    serve: ServeOptions | None


class Commands(Populations, Evidence, Books, StoredReadings, ReviewedReadings, Meters, LinkedMeters, Protocol):
    """What ``app.py`` does for the commands that need a system."""

    def serve(self, system: SystemOptions, serve: ServeOptions) -> None:
        """Serve the API and the pages, and do the work, until interrupted."""
        ...

    def demo(self, system: SystemOptions, town: TownOptions) -> None:
        """Raise the town and let it live."""
        ...

    def migrate(self, system: SystemOptions) -> None:
        """Bring the database up to this version."""
        ...

    def bill_run(self, system: SystemOptions, month: str) -> Sequence[str]:
        """Run a month's bills to the end; returns lines to print."""
        ...

    def correct_bills(self, system: SystemOptions) -> Sequence[str]:
        """Correct the bills that something came late for; returns lines to print."""
        ...

    def openapi(self) -> str:
        """The OpenAPI document as JSON."""
        ...


_Host = Annotated[str, typer.Option(help="Address to listen on; there is no log-in yet, so keep it to this machine")]
_Meters = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT at which DLMS meters connect: to push, or to be read over their own connection",
        envvar="WATTLEDGER_METERS",
    ),
]
_Port = Annotated[int, typer.Option(help="Port to listen on", min=1, max=65_535)]

_Corrections = Annotated[
    Literal["next_bill", "rebill"],
    typer.Option(
        help="What becomes of a posted bill that late readings change: the difference stands on the next bill, or the "
        "bill is cancelled and made anew",
        envvar="WATTLEDGER_CORRECTIONS",
    ),
]

_Validate = Annotated[
    bool,
    typer.Option(
        "--validate/--no-validate",
        help="Validate each day by itself when it is over: estimate short gaps, queue what is doubtful",
        envvar="WATTLEDGER_VALIDATE",
    ),
]
_Executor = Annotated[
    str,
    typer.Option(
        help="Who rates and makes the bills: threads, or the cluster of a Dask scheduler, dask://host:port",
        envvar="WATTLEDGER_EXECUTOR",
    ),
]


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback signature
    if wanted:
        typer.echo(wattledger.__version__)
        raise typer.Exit


def make_cli(commands: Commands) -> typer.Typer:
    """The program's commands over ``commands``."""
    from wattledger.cli.dlms import add_dlms  # noqa: PLC0415 - likewise
    from wattledger.cli.rate import rate  # noqa: PLC0415 - its own imports wait until a command runs
    from wattledger.cli.readings import add_readings  # noqa: PLC0415 - likewise
    from wattledger.cli.sts import add_sts  # noqa: PLC0415 - likewise
    from wattledger.cli.tariff import add_tariff  # noqa: PLC0415 - likewise

    cli = typer.Typer(
        name="wattledger",
        help="Meter-to-cash: smart-meter readings to bills, wallets and commands, exactly and explainably.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @cli.callback()
    def options(
        *,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    cli.command()(rate)
    add_readings(cli, commands)
    add_tariff(cli)
    add_sts(cli)
    add_dlms(cli)
    add_linked(*add_meters(cli, commands), commands)
    _add_town(cli, commands)
    _add_system(cli, commands)
    add_whatif(cli, commands)
    add_evidence(cli, commands)
    return cli


def _add_town(cli: typer.Typer, commands: Commands) -> None:
    @cli.command()
    def demo(  # noqa: PLR0913 - one parameter an option
        *,
        seed: Annotated[int, typer.Option(help="The same seed gives the same town")] = 1,
        homes: Annotated[int, typer.Option(help="How many homes, beside shops, a dormitory, a site and a café")] = 200,
        speed: Annotated[int, typer.Option(help="Seconds of town time a second", min=1, max=3600)] = 600,
        days: Annotated[int, typer.Option(help="Days of history before the live part", min=1, max=400)] = 60,
        fresh: Annotated[bool, typer.Option("--fresh", help="Forget the town in --data and begin anew")] = False,
        for_seconds: Annotated[
            int | None, typer.Option("--for", help="End by itself after so many seconds of live town", min=1)
        ] = None,
        no_serve: Annotated[bool, typer.Option("--no-serve", help="No API and no pages")] = False,
        host: _Host = "127.0.0.1",
        port: _Port = 8321,
        data: Data = DATA_DEFAULT / "town",
        database: Database = None,
    ) -> None:
        """Raise a simulated town and watch readings become money, live in the terminal and on two pages."""
        commands.demo(
            SystemOptions(data=data, database=database),
            TownOptions(
                seed=seed,
                homes=homes,
                speed=speed,
                days=days,
                fresh=fresh,
                for_seconds=for_seconds,
                serve=None if no_serve else ServeOptions(host=host, port=port),
            ),
        )


def _add_system(cli: typer.Typer, commands: Commands) -> None:
    @cli.command()
    def serve(  # noqa: PLR0913 - one parameter an option
        *,
        host: _Host = "127.0.0.1",
        port: _Port = 8321,
        meters: _Meters = None,
        corrections: _Corrections = "next_bill",
        executor: _Executor = "threads",
        rules: Rules = None,
        second_person_above: SecondPersonAbove = SECOND_PERSON_ABOVE,
        validate: _Validate = True,
        files: Files = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Serve the API and the pages and do the durable work, until interrupted."""
        limit = money_limit(second_person_above)
        commands.serve(
            SystemOptions(data, database, corrections, executor, rules, limit, validate=validate, files=files),
            ServeOptions(host=host, port=port, meters=None if meters is None else host_and_port(meters, "--meters")),
        )

    @cli.command()
    def migrate(*, data: Data = DATA_DEFAULT, database: Database = None) -> None:
        """Bring the database up to this version of the program."""
        commands.migrate(SystemOptions(data=data, database=database))
        typer.echo("the database is up to date")

    @cli.command()
    def openapi() -> None:
        """Print the API's OpenAPI document."""
        typer.echo(commands.openapi())

    _add_bill(cli, commands)
    add_ledger(cli, commands)


def _add_bill(cli: typer.Typer, commands: Commands) -> None:
    bill = typer.Typer(help="Bills.", no_args_is_help=True)
    cli.add_typer(bill, name="bill")

    @bill.command("run")
    def bill_run(
        month: Annotated[str, typer.Argument(help="The month, as YYYY-MM")],
        *,
        executor: _Executor = "threads",
        corrections: _Corrections = "next_bill",
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Make every bill of a month; again takes up what was held back. Safe to interrupt and to repeat."""
        for line in commands.bill_run(SystemOptions(data, database, corrections, executor), month):
            typer.echo(line)

    @bill.command("correct")
    def bill_correct(
        *, corrections: _Corrections = "next_bill", data: Data = DATA_DEFAULT, database: Database = None
    ) -> None:
        """Correct the posted bills that something came late for. Safe to interrupt and to repeat."""
        for line in commands.correct_bills(SystemOptions(data, database, corrections)):
            typer.echo(line)


def run_cli(cli: typer.Typer) -> None:
    """Run the command line: an anticipated problem is one readable line on standard error and exit code 2."""
    try:
        cli()
    except Problem as problem:
        sys.stderr.write(f"wattledger: {problem}\n")
        raise SystemExit(2) from problem
    except BrokenPipeError:
        raise SystemExit(141) from None  # the reader of our output went away, as `| head` does
