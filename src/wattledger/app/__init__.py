"""The one place that builds everything: settings, store, rooms, edges.

The command line is built here without them: ``wattledger rate`` starts in a blink because a database, a server and a
workflow engine are imported only by the commands that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wattledger.cli import ServeOptions, SystemOptions, TownOptions, WhatIf, make_cli, run_cli

if TYPE_CHECKING:
    from wattledger.pricing import Comparison

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

    def what_if(self, data: Path, database: str | None, asked: WhatIf) -> Comparison:
        """Compare tariffs over the customers of a database."""
        from wattledger.app._system import compare_tariffs  # noqa: PLC0415 - as the module says

        return compare_tariffs(SystemOptions(data=data, database=database), asked)

    def openapi(self) -> str:
        """The OpenAPI document as JSON."""
        from wattledger.app._system import openapi_document  # noqa: PLC0415 - as the module says

        return openapi_document()


def main() -> None:
    """Entry point of the ``wattledger`` command."""
    run_cli(make_cli(_Commands()))
