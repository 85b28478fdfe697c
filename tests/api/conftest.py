"""A system with two prepaid homes and one that is billed, on a real server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from grid import Grid

from wattledger.api import create_api, serve
from wattledger.app._system import System
from wattledger.kernel import new_id


@pytest.fixture
def system(grid: Grid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> System:
    grid.publish()
    grid.homes(2, mode="prepay")
    grid.homes(1, mode="postpay", first=2)
    name = new_id("jobs")
    monkeypatch.setattr("wattledger.app._system.JOBS_NAME", name)
    return System(store=grid.store, clock=grid.clock, data=tmp_path, switch=grid.meters, zone="Asia/Shanghai")


@pytest.fixture
def http(system: System) -> Iterator[httpx.Client]:
    """A client of the real server, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = threading.Event()
    server = threading.Thread(
        target=serve, args=(create_api(system.services()),), kwargs={"host": "127.0.0.1", "port": port, "stop": stop}
    )
    server.start()
    transport = httpx.HTTPTransport(retries=10)  # until it listens
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=30) as client:
        yield client
    stop.set()
    server.join()
