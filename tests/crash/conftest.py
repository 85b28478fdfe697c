"""Kill a real process of ours, again and again, wherever it happens to be."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def kill_until_done() -> Callable[..., int]:
    """Run a victim script until it says ``done``; in each of the first ``kills`` runs kill it after a random line.

    A victim prints a line at every begin and commit of its database, so the kills fall around and between them.
    """

    def run(script: str, *arguments: str, kills: int, seed: int, lines_max: int) -> int:
        dice = random.Random(seed)  # noqa: S311 - a test's dice
        killed = 0
        for attempt in range(kills + 3):
            limit = dice.randrange(1, lines_max) if attempt < kills else None
            with subprocess.Popen(
                [sys.executable, str(SUPPORT / script), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as victim:
                assert victim.stdout is not None
                said: list[str] = []
                for number, line in enumerate(victim.stdout):
                    said.append(line)
                    if number == limit:
                        victim.kill()
                        killed += 1
                        break
            if victim.returncode == 0 and said[-1].strip() == "done":
                return killed
            if number != limit:
                pytest.fail("the victim died by itself:\n" + "".join(said[-30:]))
        pytest.fail("the victim never came to its end")

    return run
