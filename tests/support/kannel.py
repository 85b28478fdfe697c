"""A Kannel of the test's own on loopback: its gateway, its HTTP box, and the centre that messages end at."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import unquote_to_bytes

FAKESMSC = "/usr/lib/kannel/test/fakesmsc"  # where the package kannel-extras puts it
USER, PASSWORD, SENDER = "watt", "ledger-of-tests", "10086"
_LONGEST = 20  # seconds that anything here may take


def lacking() -> str | None:
    """Why there is no Kannel here; ``None`` when there is."""
    absent = [name for name in ("bearerbox", "smsbox", FAKESMSC) if shutil.which(name) is None]
    return (
        f"Kannel is not installed (Debian: kannel kannel-extras): there is no {', '.join(absent)}" if absent else None
    )


class _Program:
    """A program whose every line is read as it comes, so that waiting for one needs no sleep."""

    def __init__(self, *command: str | Path) -> None:
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace"))
        self.lines.put("")

    def next_with(self, mark: str) -> str:
        """The next line that has ``mark`` in it."""
        while mark not in (line := self.lines.get(timeout=_LONGEST)):
            assert line, f"{self.process.args!r} ended before it said {mark!r}"
        return line

    def said(self) -> str:
        """What it said since it was asked last."""
        return "".join(self.lines.get() for _ in range(self.lines.qsize()))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=_LONGEST)
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Kannel:
    """The programs, each of which can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.admin, self.boxes, self.centre, self.http = _free_ports(4)
        self.url = f"http://127.0.0.1:{self.http}/cgi-bin/sendsms"
        self._file = folder / "kannel.conf"
        self._file.write_text(self._settings())
        self._running: list[_Program] = []

    def start(self) -> None:
        self._gateway = self._begin("bearerbox", self._file)
        self._gateway.next_with("entering mainloop")
        self.start_http()
        self.start_centre()

    def start_http(self) -> None:
        self._http = self._begin("smsbox", self._file)
        self._http.next_with("Connected to bearerbox")
        self._answers()

    def _answers(self) -> None:
        """Wait until the box answers over HTTP: for a moment after it listens it closes what it accepts."""
        for _ in range(_LONGEST * 10):
            with closing(HTTPConnection("127.0.0.1", self.http, timeout=_LONGEST)) as asked:
                try:
                    asked.request("GET", "/cgi-bin/sendsms")
                    asked.getresponse()
                except (ConnectionError, HTTPException):
                    with suppress(subprocess.TimeoutExpired):
                        code = self._http.process.wait(timeout=0.1)
                        raise AssertionError(f"smsbox ended with {code}: {self._http.said()}") from None
                else:
                    return
        raise AssertionError(f"smsbox does not answer: {self._http.said()}")

    def kill_http(self) -> None:
        self._http.kill()

    def start_centre(self) -> None:
        # It wants a message to send, and is told to send it no time.
        self._centre = self._begin(FAKESMSC, "-H", "127.0.0.1", "-r", str(self.centre), "-m", "0", "1 2 text none")
        self._centre.next_with("Connecting to")

    def kill_centre(self) -> None:
        self._centre.kill()

    def end(self) -> None:
        for program in reversed(self._running):
            program.kill()

    def _begin(self, *command: str | Path) -> _Program:
        self._running.append(_Program(*command))
        return self._running[-1]

    def arrived(self, count: int) -> Sequence[tuple[str, str]]:
        """The next so many messages that the centre gets: number and text, parts put together."""
        return [self._next() for _ in range(count)]

    def forget(self) -> None:
        """Forget what arrived and nobody asked for."""
        while not self._centre.lines.empty():
            self._centre.lines.get()

    def _next(self) -> tuple[str, str]:
        parts: list[str] = []
        number, expected = "", 1
        while len(parts) < expected:
            line = self._centre.next_with("Got message").rstrip("\n")
            match = re.search(rf"<{SENDER} (\S+) (?:udh (\S+) )?(text|data|ucs-2) (.*)>$", line)
            assert match, line
            number, header, kind, said = match.groups()
            if header:
                expected = unquote_to_bytes(header)[-2]  # 05 00 03, a reference, how many, which one
            raw = said if kind == "text" and not header else unquote_to_bytes(said.replace("+", " "))
            parts.append(raw if isinstance(raw, str) else raw.decode("utf-16-be" if kind != "text" else "latin-1"))
        return number, "".join(parts)

    def _settings(self) -> str:
        local = "127.0.0.1"
        groups = {
            "core": {
                "admin-port": self.admin,
                "admin-interface": local,
                "admin-password": "of-tests",
                "smsbox-port": self.boxes,
                "smsbox-interface": local,
                "box-allow-ip": local,
                "box-deny-ip": "*.*.*.*",
                "dlr-storage": "internal",
            },
            "smsc": {"smsc": "fake", "smsc-id": "fake", "port": self.centre, "connect-allow-ip": local},
            "smsbox": {
                "bearerbox-host": local,
                "bearerbox-port": self.boxes,
                "sendsms-port": self.http,
                "sendsms-interface": local,
                "global-sender": SENDER,
            },
            "sendsms-user": {
                "username": USER,
                "password": PASSWORD,
                "concatenation": "true",
                "max-messages": 10,
                "black-list-regex": "^999",
            },
            "sms-service": {"keyword": "default", "max-messages": 0, "text": "none"},
        }
        return "\n\n".join(
            "\n".join([f"group = {group}", *(f"{name} = {value}" for name, value in settings.items())])
            for group, settings in groups.items()
        )


def _free_ports(count: int) -> Iterator[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return iter(ports)


@contextmanager
def running_kannel(folder: Path) -> Iterator[Kannel]:
    kannel = Kannel(folder)
    try:
        kannel.start()
        yield kannel
    finally:
        kannel.end()
