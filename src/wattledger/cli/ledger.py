"""``wattledger ledger``: audit, accounts, balances, statements, export."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer

from wattledger.cli._options import DATA_DEFAULT, Data, Database, OptionRefused, SystemOptions
from wattledger.cli.meter import told_instant

_NOT_SOUND = 1

_Json = Annotated[bool, typer.Option("--json", help="As JSON")]
_From = Annotated[str | None, typer.Option("--from", help="An instant: 2026-03-01 or 2026-03-01T12:00Z")]
_To = Annotated[str | None, typer.Option("--to", help="Up to before this instant; now when not told")]


class Books(Protocol):
    """Who reads the book."""

    def check_ledger(self, system: SystemOptions) -> Sequence[str]:
        """Audit the book; returns what does not add up."""
        ...

    def ledger_accounts(self, system: SystemOptions, prefix: str) -> Sequence[Mapping[str, Any]]:
        """The accounts that are open, with balances."""
        ...

    def ledger_balance(self, system: SystemOptions, account: str, at: datetime | None) -> Mapping[str, Any]:
        """A balance, now or at an instant."""
        ...

    def ledger_statement(
        self, system: SystemOptions, account: str, *, first: datetime | None, last: datetime | None
    ) -> Mapping[str, Any]:
        """What moved on an account."""
        ...

    def ledger_export(
        self,
        system: SystemOptions,
        *,
        form: Literal["csv", "beancount"],
        account: str | None,
        first: datetime | None,
        last: datetime | None,
    ) -> Iterable[str]:
        """The book, line by line."""
        ...


def add_ledger(cli: typer.Typer, commands: Books) -> None:
    """Add the commands."""
    ledger = typer.Typer(help="The book: double entry, append-only.", no_args_is_help=True)
    cli.add_typer(ledger, name="ledger")

    @ledger.command("check")
    def check(*, data: Data = DATA_DEFAULT, database: Database = None) -> None:
        """Audit the whole book; says what does not add up and exits with 1 if anything does not."""
        faults = commands.check_ledger(SystemOptions(data=data, database=database))
        for fault in faults:
            typer.echo(fault, err=True)
        if faults:
            raise typer.Exit(_NOT_SOUND)
        typer.echo("the book adds up")

    _add_accounts(ledger, commands)
    _add_export(ledger, commands)


def _add_accounts(ledger: typer.Typer, commands: Books) -> None:
    @ledger.command("accounts")
    def accounts(
        prefix: Annotated[str, typer.Argument(help="Those whose id begins so, such as wallet:")] = "",
        *,
        json: _Json = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """The accounts that are open, and how they stand: credits less debits."""
        found = commands.ledger_accounts(SystemOptions(data, database), prefix)
        if json:
            typer.echo(json_text.dumps(found, indent=2, ensure_ascii=False))
            return
        for one in found:
            typer.echo(f"{one['account']:44} {one['kind']:12} {one['balance']:>18} {one['currency']}")

    @ledger.command("balance")
    def balance(
        account: Annotated[str, typer.Argument(help="A ledger account, such as wallet:h0")],
        *,
        at: Annotated[str | None, typer.Option(help="As it stood before this instant; now when not told")] = None,
        json: _Json = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """A balance: credits less debits."""
        told = commands.ledger_balance(SystemOptions(data, database), account, told_instant(at, "--at"))
        reserved = f"  ({told['reserved']} of it reserved)" if told.get("reserved", "0.00") != "0.00" else ""
        typer.echo(json_text.dumps(told) if json else f"{told['balance']} {told['currency']}{reserved}")

    @ledger.command("statement")
    def statement(
        account: Annotated[str, typer.Argument(help="A ledger account, such as wallet:h0")],
        *,
        first: _From = None,
        last: _To = None,
        json: _Json = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """What moved on an account: every transfer by its id, and what stood after it."""
        told = commands.ledger_statement(
            SystemOptions(data, database),
            account,
            first=told_instant(first, "--from"),
            last=told_instant(last, "--to"),
        )
        if json:
            typer.echo(json_text.dumps(told, indent=2, ensure_ascii=False))
            return
        typer.echo(f"{told['account']}  {told['start']} to {told['end']}, {told['currency']}")
        typer.echo(f"{'':20}  {'':>16}  {told['opening']:>16}  before")
        for one in told["lines"]:
            typer.echo(f"{one['posted_at'][:20]:20}  {one['amount']:>16}  {one['balance']:>16}  {one['transfer']}")
        typer.echo(f"{'':20}  {'':>16}  {told['closing']:>16}  after")


def _add_export(ledger: typer.Typer, commands: Books) -> None:
    @ledger.command("export")
    def export(
        out: Annotated[Path | None, typer.Argument(help="The file to write; standard output when not told")] = None,
        *,
        form: Annotated[
            Literal["csv", "beancount"], typer.Option("--format", help="A table, or what beancount reads")
        ] = "csv",
        account: Annotated[str | None, typer.Option(help="Only what touches this account")] = None,
        first: _From = None,
        last: _To = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Write the book out: every transfer, exact, in the order in which it was posted."""
        lines = commands.ledger_export(
            SystemOptions(data, database),
            form=form,
            account=account,
            first=told_instant(first, "--from"),
            last=told_instant(last, "--to"),
        )
        if out is None:
            sys.stdout.writelines(f"{line}\n" for line in lines)
        else:
            _write(out, lines)


def _write(out: Path, lines: Iterable[str]) -> None:
    """The whole file, or none: it takes its name when it is complete."""
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        part.replace(out)
    except OSError as error:
        raise OptionRefused(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
