"""The command line from its entry point, in the process of the test: one of its own takes seconds to load."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from wattledger.app import main
from wattledger.kernel import new_id


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    code: object
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)


def run_command(*arguments: str | Path) -> Result:
    """What ``wattledger`` does with these arguments."""
    out, err, code = io.StringIO(), io.StringIO(), None
    with (
        mock.patch.object(sys, "argv", ["wattledger", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "100"}),
        mock.patch("wattledger.app._system.JOBS_NAME", new_id("jobs")),  # a process knows each name once
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return Result(code or 0, out.getvalue(), err.getvalue())
