"""The one place that builds everything: settings, store, rooms, edges.

The command line is built here without them: ``wattledger rate`` starts in a blink because a database, a server and a
workflow engine are imported only by the commands that need them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wattledger.cli import (
    Exported,
    Imported,
    ImportRequest,
    MeterFleet,
    MeterRead,
    MeterToLink,
    Order,
    Question,
    ServeOptions,
    StoreExport,
    SystemOptions,
    TownOptions,
    Verdict,
    WhatIf,
    make_cli,
    run_cli,
)

if TYPE_CHECKING:
    from wattledger.pricing import Comparison
    from wattledger.readings import Compacted, Decided, PublishedTable, ReadingException, State, StoreStats, Validated

__all__ = ["main"]


class _Commands:
    """``cli.Commands``, each importing what it needs."""

    def serve(self, system: SystemOptions, serve: ServeOptions) -> None:
        """Serve the API and the pages, and do the work, until interrupted."""
        from wattledger.app._system import serve_system  # noqa: PLC0415 - as the module says

        serve_system(system, serve)

    def demo(self, system: SystemOptions, town: TownOptions) -> None:
        """Raise the town and let it live."""
        from wattledger.app._town import run_town  # noqa: PLC0415 - as the module says

        run_town(system, town)

    def migrate(self, system: SystemOptions) -> None:
        """Bring the database up to this version."""
        from wattledger.app._system import open_store  # noqa: PLC0415 - as the module says

        open_store(system).close()

    def bill_run(self, system: SystemOptions, month: str) -> Sequence[str]:
        """Run a month's bills to the end; returns lines to print."""
        from wattledger.app._system import run_bills  # noqa: PLC0415 - as the module says

        return run_bills(system, month)

    def correct_bills(self, system: SystemOptions) -> Sequence[str]:
        """Correct the bills that something came late for; returns lines to print."""
        from wattledger.app._system import correct_bills  # noqa: PLC0415 - as the module says

        return correct_bills(system)

    def check_ledger(self, system: SystemOptions) -> Sequence[str]:
        """Audit the book; returns what does not add up."""
        from wattledger.app._system import check_ledger  # noqa: PLC0415 - as the module says

        return check_ledger(system)

    def import_readings(
        self, system: SystemOptions, asked: ImportRequest, progress: Callable[[Path, int, int], None]
    ) -> Iterable[Imported]:
        """Import files, one result each."""
        from wattledger.app._readings import import_files  # noqa: PLC0415 - as the module says

        return import_files(system, asked, progress)

    def export_readings(self, system: SystemOptions, asked: StoreExport) -> Exported:
        """Write what is stored to a file."""
        from wattledger.app._readings import export_file  # noqa: PLC0415 - as the module says

        return export_file(system, asked)

    def compact_readings(
        self, system: SystemOptions, *, files: str | None, late: bool, progress: Callable[[int, int], None]
    ) -> Compacted:
        """Fold what is due."""
        from wattledger.app._readings import compact  # noqa: PLC0415 - as the module says

        return compact(system, files=files, late=late, progress=progress)

    def publish_readings(self, system: SystemOptions) -> Sequence[PublishedTable]:
        """Bring the Delta tables up to date."""
        from wattledger.app._readings import publish  # noqa: PLC0415 - as the module says

        return publish(system)

    def verify_readings(self, system: SystemOptions, *, progress: Callable[[int, int], None]) -> Sequence[str]:
        """Audit what is stored."""
        from wattledger.app._readings import verify  # noqa: PLC0415 - as the module says

        return verify(system, progress=progress)

    def readings_stats(self, system: SystemOptions) -> StoreStats:
        """How much is stored."""
        from wattledger.app._readings import stats  # noqa: PLC0415 - as the module says

        return stats(system)

    def validate_readings(
        self, system: SystemOptions, *, first: date | None, last: date | None, points: Sequence[str] | None
    ) -> Validated:
        """Validate days of what is stored."""
        from wattledger.app._review import validate_days  # noqa: PLC0415 - as the module says

        return validate_days(system, first=first, last=last, points=points)

    def exception_queue(
        self, system: SystemOptions, *, states: Sequence[State] | None, rule: str | None, point: str | None, limit: int
    ) -> tuple[Sequence[ReadingException], int]:
        """The head of the queue, and how long it is."""
        from wattledger.app._review import exception_queue  # noqa: PLC0415 - as the module says

        return exception_queue(system, states=states, rule=rule, point=point, limit=limit)

    def decide_exception(self, system: SystemOptions, verdict: Verdict) -> Decided:
        """Decide about an exception."""
        from wattledger.app._review import decide_exception  # noqa: PLC0415 - as the module says

        return decide_exception(system, verdict)

    def what_if(self, data: Path, database: str | None, asked: WhatIf) -> Comparison:
        """Compare tariffs over the customers of a database."""
        from wattledger.app._system import compare_tariffs  # noqa: PLC0415 - as the module says

        return compare_tariffs(SystemOptions(data=data, database=database), asked)

    def serve_meters(self, fleet: MeterFleet) -> None:
        """Serve virtual meters until interrupted."""
        from wattledger.app._meters import serve_meters  # noqa: PLC0415 - as the module says

        serve_meters(fleet)

    def read_meter(self, asked: MeterRead) -> Mapping[str, Any]:
        """Read a meter; returns what it said, as JSON."""
        from wattledger.app._meters import read_meter  # noqa: PLC0415 - as the module says

        return read_meter(asked)

    def link_meter(self, system: SystemOptions, wanted: MeterToLink) -> Mapping[str, Any]:
        """Link a meter."""
        from wattledger.app._linked import link_meter  # noqa: PLC0415 - as the module says

        return link_meter(system, wanted)

    def headend_status(self, system: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
        """How the head-end stands."""
        from wattledger.app._linked import headend_status  # noqa: PLC0415 - as the module says

        return headend_status(system, meter_ids)

    def collect_meters(self, system: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
        """A round of collection."""
        from wattledger.app._linked import collect_meters  # noqa: PLC0415 - as the module says

        return collect_meters(system, meter_ids)

    def ask_meter(self, system: SystemOptions, question: Question) -> Mapping[str, Any]:
        """Ask a meter and wait for its answers."""
        from wattledger.app._linked import ask_meter  # noqa: PLC0415 - as the module says

        return ask_meter(system, question)

    def command_meter(self, system: SystemOptions, order: Order) -> Mapping[str, Any]:
        """Command a meter and wait for the proof."""
        from wattledger.app._linked import command_meter  # noqa: PLC0415 - as the module says

        return command_meter(system, order)

    def rotate_keys(self, system: SystemOptions, meter_id: str) -> Mapping[str, Any]:
        """Give a meter new keys."""
        from wattledger.app._linked import rotate_keys  # noqa: PLC0415 - as the module says

        return rotate_keys(system, meter_id)

    def meter_keys(self, system: SystemOptions, meter_id: str) -> Mapping[str, Any]:
        """The generations of a meter's keys."""
        from wattledger.app._linked import meter_keys  # noqa: PLC0415 - as the module says

        return meter_keys(system, meter_id)

    def ledger_accounts(self, system: SystemOptions, prefix: str) -> Sequence[Mapping[str, Any]]:
        """The accounts that are open."""
        from wattledger.app._books import ledger_accounts  # noqa: PLC0415 - as the module says

        return ledger_accounts(system, prefix)

    def ledger_balance(self, system: SystemOptions, account: str, at: datetime | None) -> Mapping[str, Any]:
        """A balance."""
        from wattledger.app._books import ledger_balance  # noqa: PLC0415 - as the module says

        return ledger_balance(system, account, at)

    def ledger_statement(
        self, system: SystemOptions, account: str, *, first: datetime | None, last: datetime | None
    ) -> Mapping[str, Any]:
        """What moved on an account."""
        from wattledger.app._books import ledger_statement  # noqa: PLC0415 - as the module says

        return ledger_statement(system, account, first=first, last=last)

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
        from wattledger.app._books import ledger_export  # noqa: PLC0415 - as the module says

        return ledger_export(system, form=form, account=account, first=first, last=last)

    def explain_transfer(self, system: SystemOptions, transfer_id: str) -> Mapping[str, Any]:
        """What a transfer is."""
        from wattledger.app._evidence import explain_transfer  # noqa: PLC0415 - as the module says

        return explain_transfer(system, transfer_id)

    def statement(self, system: SystemOptions, contract_id: str, month: str) -> Mapping[str, Any]:
        """A signed statement."""
        from wattledger.app._evidence import statement  # noqa: PLC0415 - as the module says

        return statement(system, contract_id, month)

    def statement_key(self, system: SystemOptions) -> Mapping[str, str]:
        """The public key of statements."""
        from wattledger.app._evidence import statement_key  # noqa: PLC0415 - as the module says

        return statement_key(system)

    def openapi(self) -> str:
        """The OpenAPI document as JSON."""
        from wattledger.app._system import openapi_document  # noqa: PLC0415 - as the module says

        return openapi_document()


def main() -> None:
    """Entry point of the ``wattledger`` command."""
    run_cli(make_cli(_Commands()))
