"""PyPI dlms-cosem (MIT) reads a meter of ours: dlms_cosem_client.py PORT wrapper none|low|gmac.

It runs in an environment of its own, with dlms-cosem and without Wattledger. What dlms-cosem 21.3.2 cannot do is not
tried: reading by entry (its descriptor is not written yet), and HDLC over TCP (it knows serial lines only).
"""

from __future__ import annotations

import sys
from typing import Any

import facts
from dlms_cosem import cosem, enumerations, exceptions, time, utils
from dlms_cosem.clients.dlms_client import DlmsClient
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.protocol import xdlms
from facts import check, step

KINDS = enumerations.CosemInterface
CHALLENGE_BYTES = 16  # it makes 32 and more; many meters take 16 and no other
TITLE = b"HES\0\0\0\0\7"
INTEGER_ZERO = b"\x0f\x00"


def attribute(kind: Any, name: str, number: int) -> Any:
    return cosem.CosemAttribute(kind, cosem.Obis.from_string(name), number)


class Counting(DlmsClient):
    """Counts how many blocks were asked for."""

    blocks = 0

    def send(self, *events: Any) -> None:
        self.blocks += sum(isinstance(event, xdlms.GetRequestNext) for event in events)
        super().send(*events)


def client(port: int, level: str, *, wrongly: bool = False) -> Any:
    own: dict[str, Any] = {}
    if level == "low":
        own = {
            "authentication_method": enumerations.AuthenticationMechanism.LLS,
            "password": facts.WRONG_PASSWORD if wrongly else facts.PASSWORD,
        }
    elif level == "gmac":
        own = {
            "authentication_method": enumerations.AuthenticationMechanism.HLS_GMAC,
            "encryption_key": facts.KEY,
            "authentication_key": facts.WRONG_KEY if wrongly else facts.AUTHENTICATION_KEY,
            "client_system_title": TITLE,
            "client_initial_invocation_counter": 1,
        }
    made = Counting.with_tcp_transport(
        "127.0.0.1", port, client_logical_address=facts.CLIENTS[level], server_logical_address=1, **own
    )
    connection = made.dlms_connection
    connection.client_to_meter_challenge = connection.client_to_meter_challenge[:CHALLENGE_BYTES]
    return made


def value(meter: Any, kind: Any, name: str, number: int, selection: Any = None) -> Any:
    return utils.parse_as_dlms_data(meter.get(attribute(kind, name, number), selection))


def instant(raw: Any) -> Any:
    """It takes a deviation of nought for none."""
    moment, _ = time.datetime_from_bytes(bytes(raw))
    return moment if moment.tzinfo else moment.replace(tzinfo=facts.UTC)


def told(rows: list[list[Any]]) -> list[tuple[Any, int]]:
    """Stamp and register of each row: our profile has clock, status, import, export."""
    return [(instant(row[0]), row[2]) for row in rows]


def refused(meter: Any) -> None:
    """With a wrong password or key."""
    meter.connect()
    try:
        meter.associate()
    except exceptions.DlmsClientException as error:
        check(seen="AUTHENTICATION_FAILED" in str(error), expected=True)
    else:
        raise AssertionError("the meter has accepted a wrong secret")
    finally:
        meter.disconnect()


def converse(meter: Any) -> None:
    with step("clock"):
        check(seen=instant(value(meter, KINDS.CLOCK, facts.CLOCK, 2)), expected=facts.NOW)
    with step("register"):
        check(seen=value(meter, KINDS.REGISTER, facts.ENERGY, 2), expected=facts.register(facts.NOW))
        check(seen=value(meter, KINDS.REGISTER, facts.ENERGY, 3), expected=[0, 30])
    with step("list"):
        wanted = [cosem.CosemAttributeWithSelection(attribute(KINDS.REGISTER, facts.ENERGY, at), None) for at in (2, 3)]
        energy, scaler = meter.get_many(wanted).response_data
        check(seen=energy.value, expected=facts.register(facts.NOW))
        check(seen=[part.value for part in scaler.value], expected=[0, 30])
    with step("range"):
        rows = facts.day_rows()
        clock = CaptureObject(attribute(KINDS.CLOCK, facts.CLOCK, 2), 0)
        edges = RangeDescriptor(clock, rows[0][0], rows[-1][0])
        check(seen=told(value(meter, KINDS.PROFILE_GENERIC, facts.LOAD_PROFILE, 2, edges)), expected=rows)
    with step("blocks"):
        meter.blocks = 0
        whole = told(value(meter, KINDS.PROFILE_GENERIC, facts.LOAD_PROFILE, 2))
        check(seen=whole[-1], expected=(facts.NOW, facts.register(facts.NOW)))
        check(seen=len(whole), expected=(facts.NOW - facts.INSTALLED) // facts.QUARTER)
        check(seen=meter.blocks > 1, expected=True)
    for name, method, closed in (("relay off", 1, False), ("relay on", 2, True)):
        with step(name):
            relay = cosem.CosemMethod(KINDS.DISCONNECT_CONTROL, cosem.Obis.from_string(facts.RELAY), method)
            meter.action(relay, INTEGER_ZERO)
            check(seen=bool(value(meter, KINDS.DISCONNECT_CONTROL, facts.RELAY, 2)), expected=closed)
            check(seen=value(meter, KINDS.DISCONNECT_CONTROL, facts.RELAY, 3), expected=int(closed))


def main() -> None:
    port, _, level = sys.argv[1:]
    if level != "none":
        with step("refused"):
            refused(client(int(port), level, wrongly=True))
    meter = client(int(port), level)
    meter.connect()
    with step("associate"):
        meter.associate()
    converse(meter)
    with step("release"):
        meter.release_association()
    meter.disconnect()


if __name__ == "__main__":
    main()
