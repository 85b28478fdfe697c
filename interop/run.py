"""Run every pairing with peers that are not ours, print a table, end with 1 if one of them failed: make interop.

Each peer lives in an environment of its own below .interop/ and runs as a process of its own: gurux-dlms is under the
GNU GPL, version 2, and nothing of it comes near the program. Needs the package index on the first run.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
HOME = HERE.parent / ".interop"
PEERS = {"dlms-cosem": "21.3.2", "gurux-dlms": "1.0.203"}
LEVELS = ("none", "low", "gmac")
FRAMINGS = ("wrapper", "hdlc")
METER_PDU, PEER_PDU = 256, 512
"""Bytes of an APDU: small, so that a profile takes many blocks."""
PATIENCE = 60
TAIL = 12

READ = ("associate", "clock", "register", "list", "range", "blocks", "relay off", "relay on", "release")
COLUMNS = (
    "refused",
    "associate",
    "clock",
    "register",
    "list",
    "lacking",
    "range",
    "entry",
    "blocks",
    "relay off",
    "relay on",
    "release",
)
"""refused: with a wrong password or key; lacking: a register that the meter lacks; list: several values at once."""


@dataclass(frozen=True)
class Pairing:
    """Who reads whom, how, and what has to go well."""

    title: str
    framing: str
    level: str
    server: Sequence[str]
    client: Sequence[str]
    more: frozenset[str] = frozenset()
    """Steps beside those that all take."""

    @property
    def steps(self) -> frozenset[str]:
        """All that has to go well."""
        steps = {*READ, *self.more}
        if self.level != "none":
            steps.add("refused")
        return frozenset(steps - {"list"} if "lacking" in self.more else steps)


def prepared(peer: str) -> str:
    """The Python of an environment with that peer in it."""
    home = HOME / peer
    python = home / "bin" / "python"
    made = home / f"has-{PEERS[peer]}"
    if not made.exists():
        sys.stderr.write(f"· making {home.relative_to(HERE.parent)} with {peer} {PEERS[peer]}\n")
        venv.create(home, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, f"{peer}=={PEERS[peer]}"], check=True)
        made.touch()
    return str(python)


def pairings() -> list[Pairing]:
    """All of them."""
    ours, cosem, gurux = sys.executable, prepared("dlms-cosem"), prepared("gurux-dlms")
    found = []
    for level in LEVELS:
        meter = [ours, "our_meter.py", level, str(METER_PDU)]
        client = [cosem, "dlms_cosem_client.py", "wrapper", level]
        found.append(Pairing("dlms-cosem reads our meter", "wrapper", level, meter, client))
    for framing in FRAMINGS:
        for level in LEVELS:
            meter = [ours, "our_meter.py", level, str(METER_PDU)]
            client = [gurux, "gurux_client.py", framing, level]
            found.append(Pairing("gurux-dlms reads our meter", framing, level, meter, client, frozenset({"entry"})))
    for framing in FRAMINGS:
        for level in LEVELS:
            # Its answer to a list is broken where it lacks an object: lacking is asked of one that takes no lists.
            lists = "singles" if level == "none" else "lists"
            meter = [gurux, "gurux_server.py", framing, level, str(PEER_PDU), lists]
            client = [ours, "our_head_end.py", framing, level, lists]
            more = frozenset({"lacking"} if lists == "singles" else ())
            found.append(Pairing("our head-end reads gurux-dlms", framing, level, meter, client, more))
    return found


def run(pairing: Pairing, log: IO[str]) -> set[str]:
    """The steps that went well."""
    with ExitStack() as undo:
        server = subprocess.Popen(pairing.server, cwd=HERE, stdout=subprocess.PIPE, stderr=log, text=True)
        undo.callback(server.wait)
        undo.callback(server.kill)
        said = server.stdout.readline().split() if server.stdout is not None else []
        if said[:1] != ["ready"]:
            return set()
        python, script, *arguments = pairing.client
        try:
            told = subprocess.run(
                [python, script, said[1], *arguments],
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                timeout=PATIENCE,
                check=False,
            ).stdout
        except subprocess.TimeoutExpired as late:
            told = (late.stdout or b"").decode()
        return {line.removeprefix("ok ") for line in told.splitlines() if line.startswith("ok ")}


def main() -> None:
    """Prints a row for each pairing as it ends."""
    todo = pairings()
    sys.stdout.write("".join(f"{title:<{width}}" for title, width in (("", 32), ("framing", 9), ("level", 7))))
    sys.stdout.write("  ".join(COLUMNS) + "\n")
    failed = 0
    for number, pairing in enumerate(todo):
        path = HOME / f"pairing-{number:02}.log"
        with path.open("w", encoding="utf-8") as log:
            well = run(pairing, log)
        marks = ["-" if one not in pairing.steps else "ok" if one in well else "FAILED" for one in COLUMNS]
        sys.stdout.write(f"{pairing.title:<32}{pairing.framing:<9}{pairing.level:<7}")
        sys.stdout.write("  ".join(f"{mark:<{len(one)}}" for mark, one in zip(marks, COLUMNS, strict=True)).rstrip())
        sys.stdout.write("\n")
        sys.stdout.flush()
        if not pairing.steps <= well:
            failed += 1
            sys.stderr.write("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[-TAIL:]))
    versions = ", ".join(f"{peer} {version}" for peer, version in PEERS.items())
    sys.stdout.write(f"{len(todo) - failed} of {len(todo)} pairings went well, with {versions}\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
