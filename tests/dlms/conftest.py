"""A client and a server that have no line between them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from dlms_peers import CLOCK, ENERGY, HEAD_TITLE, KEYS, METER_TITLE, PROFILE, Shelf, profile

from wattledger.dlms import Client, ClientAccess, Mechanism, Security, Server, octets, uint32


@pytest.fixture
def shelf() -> Shelf:
    return Shelf({CLOCK: octets(bytes(12)), ENERGY: uint32(4_711), PROFILE: profile(96)})


@pytest.fixture
def pair(shelf: Shelf) -> Callable[..., tuple[Client, Server]]:
    """A client and a server that would understand each other, HLS-GMAC with both protections unless told."""

    def build(
        *,
        pdu_max: int = 1024,
        client_pdu_max: int = 0xFFFF,
        mechanism: Mechanism = Mechanism.GMAC,
        **more: Any,  # noqa: ANN401 - what a test is about
    ) -> tuple[Client, Server]:
        ours, theirs = count(1), count(1)
        secure = mechanism is Mechanism.GMAC
        server = Server(
            shelf,
            client=1,
            access=ClientAccess(
                mechanism,
                password=b"secret" if mechanism is Mechanism.LOW else None,
                keys=more.get("meter_keys", KEYS),
                suite=more.get("suite", 0),
                authenticated=secure,
                encrypted=secure,
            ),
            title=METER_TITLE,
            challenge=lambda: b"challenge of the meter",
            next_counter=lambda: next(theirs),
            pdu_max=pdu_max,
        )
        client = Client(
            mechanism=mechanism,
            password=b"secret",
            security=Security(
                more.get("keys", KEYS),
                HEAD_TITLE,
                suite=more.get("suite", 0),
                form=more.get("form", "service"),
                dedicated_key=more.get("dedicated_key"),
            )
            if secure
            else None,
            challenge=b"challenge of the head-end",
            next_counter=lambda: next(ours),
            pdu_max=client_pdu_max,
            **({"conformance": more["conformance"]} if "conformance" in more else {}),
        )
        return client, server

    return build
