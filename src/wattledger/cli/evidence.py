"""``wattledger explain``, ``wattledger statement`` and ``wattledger verify``."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from wattledger.cli._options import DATA_DEFAULT, Data, Database, OptionRefused, SystemOptions

if TYPE_CHECKING:
    from wattledger.evidence import Verdict

_NOT_TRUE = 1
_INTERVALS_SHOWN = 12

_Json = Annotated[bool, typer.Option("--json", help="All of it, as JSON")]


class Evidence(Protocol):
    """What explains, states and proves."""

    def explain_transfer(self, system: SystemOptions, transfer_id: str) -> Mapping[str, Any]:
        """What a transfer is, down to its intervals."""
        ...

    def statement(self, system: SystemOptions, contract_id: str, month: str) -> Mapping[str, Any]:
        """A signed statement."""
        ...

    def statement_key(self, system: SystemOptions) -> Mapping[str, str]:
        """The public key of statements and its fingerprint."""
        ...


def add_evidence(cli: typer.Typer, commands: Evidence) -> None:
    """Add the commands."""

    @cli.command()
    def explain(
        transfer: Annotated[str, typer.Argument(help="A transfer of the ledger, by its id")],
        *,
        json: _Json = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Say how a transfer's amount came to be: charge lines, clauses, intervals and their quality, the meter.

        Ends with 1 if the amount does not come out again from what was known when it was posted.
        """
        told = commands.explain_transfer(SystemOptions(data, database), transfer)
        typer.echo(json_text.dumps(told, indent=2, ensure_ascii=False) if json else "\n".join(_explained(told)))
        if not told.get("proof", {"proved": True})["proved"]:
            raise typer.Exit(_NOT_TRUE)

    @cli.command()
    def statement(
        contract: Annotated[str, typer.Argument(help="Whose")] = "",
        month: Annotated[str, typer.Argument(help="Of which local calendar month, such as 2026-03")] = "",
        *,
        public_key: Annotated[
            bool, typer.Option("--public-key", help="Print the key that statements are verified with, and no statement")
        ] = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
    ) -> None:
        """Write a signed statement of a month as JSON: readings, tariff, lines; whoever has it can count it again.

        The key that signs is in the file that WATTLEDGER_STATEMENT_KEY_FILE names, or in statement.key in the data
        folder: made the first time, for its owner alone.
        """
        system = SystemOptions(data, database)
        if public_key:
            key = commands.statement_key(system)
            typer.echo(key["key"])
            typer.echo(f"fingerprint {key['fingerprint']}", err=True)
            return
        if not contract or not month:
            raise OptionRefused("a statement is of a contract and a month", remedy="wattledger statement H1 2026-03")
        typer.echo(json_text.dumps(commands.statement(system, contract, month), ensure_ascii=False))

    @cli.command()
    def verify(
        file: Annotated[Path, typer.Argument(help="The statement; - for standard input")],
        *,
        public_key: Annotated[
            str | None,
            typer.Option(help="The issuer's public key, or a file that holds it: 64 hexadecimal digits"),
        ] = None,
        json: _Json = False,
    ) -> None:
        """Count a statement again from its own readings and tariff: no database, no network.

        Ends with 1 if it is not true.
        """
        from wattledger import evidence  # noqa: PLC0415 - its own imports wait until a command runs

        key = None if public_key is None else evidence.public_key_of(_key(public_key))
        verdict = evidence.verify(_read(file), public_key=key)
        typer.echo("\n".join(_verdict(verdict)) if not json else json_text.dumps(_told(verdict), indent=2))
        if not verdict.is_true:
            raise typer.Exit(_NOT_TRUE)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise OptionRefused(f"{file} cannot be read: {error}") from None


def _key(told: str) -> str:
    path = Path(told)
    return _read(path) if path.is_file() else told


# --- For people


def _verdict(verdict: Verdict) -> Iterator[str]:
    of = f"{verdict.contract}, {verdict.month}: {verdict.total} {verdict.currency}"
    if verdict.is_true:
        yield f"true  {of}, counted again from {verdict.intervals:,} intervals"
    else:
        yield f"NOT TRUE  {of}"
        yield from (f"  - {one}" for one in verdict.differences)
    if verdict.known is None:
        yield f"  signed by {verdict.fingerprint}: compare it with the fingerprint that its issuer publishes"
    elif verdict.known:
        yield f"  signed by the key you gave, {verdict.fingerprint}"


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "true": verdict.is_true,
        "contract": verdict.contract,
        "month": verdict.month,
        "total": verdict.total,
        "currency": verdict.currency,
        "intervals": verdict.intervals,
        "key": verdict.key,
        "fingerprint": verdict.fingerprint,
        "known": verdict.known,
        "differences": list(verdict.differences),
    }


def _explained(told: Mapping[str, Any]) -> Iterator[str]:
    transfer = told["transfer"]
    yield f"{transfer['id']}  {transfer['amount']} {transfer['currency']}  {transfer['posted_at']}"
    yield f"  {told['what']}"
    yield f"  from {transfer['debit_account']} to {transfer['credit_account']}"
    for name, value in told.get("about", {}).items():
        if isinstance(value, list):
            yield f"  {name}:"
            yield from (f"    {'  '.join(str(part) for part in one.values())}" for one in value)
        else:
            yield f"  {name.replace('_', ' ')}: {value}"
    if "proof" in told:
        yield from _proof(told["proof"], transfer["currency"])
    for one in told.get("later", []):
        by = one.get("transfer", f"correction {one.get('number')}")
        yield f"  later: {one['amount']} by {by}, {one['posted_at']}"


def _proof(proof: Mapping[str, Any], currency: str) -> Iterator[str]:
    yield ""
    yield f"  {'proved' if proof['proved'] else 'NOT PROVED'}: {proof['because']}"
    for tariff in _each(proof.get("tariff")):
        yield f"  tariff {tariff['id']}, version {tariff['version']}, {tariff['hash'][:12]}"
    for meter in _each(proof.get("meter")):
        hung = f", meter {meter['meter']} ({meter['serial']})" if "meter" in meter else ""
        yield f"  service point {meter['service_point']}{hung}"
    for line in proof["lines"]:
        parts = [line["charge"], line.get("period"), f"tier {line['tier']}" if line.get("tier") else None]
        name = ", ".join(str(one) for one in parts if one)
        change = " -> ".join(f"{line[one]} {line['unit']}" for one in ("old_quantity", "new_quantity") if one in line)
        price = line.get("new_price", line.get("old_price"))
        yield f"    {name:32} {change} x {price}  = {line['difference']} {currency}   [{line.get('clause', '')}]"
    if "amount" in proof:
        yield f"    {'':32} sum {proof['amount']} {currency}"
    for cause in proof.get("causes", []):
        yield f"  because of {cause['kind']} {cause['about']}, {cause['start']} to {cause['end']}"
    yield from _intervals(proof["intervals"])


def _each(value: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    return value if isinstance(value, list) else []


def _intervals(intervals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not intervals:
        return
    yield f"  {len(intervals):,} intervals:"
    for one in intervals[:_INTERVALS_SHOWN]:
        was = f"  (was {one['was']['kwh']} {one['was']['quality']})" if "was" in one else ""
        yield f"    {one['start']}  {one['kwh']} kWh  {one['quality']}{was}"
    if len(intervals) > _INTERVALS_SHOWN:
        yield f"    ... {len(intervals) - _INTERVALS_SHOWN:,} more; --json has all"
