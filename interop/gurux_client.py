"""The client of PyPI gurux-dlms reads a meter of ours: gurux_client.py PORT wrapper|hdlc none|low|gmac.

Licence: this script imports gurux-dlms, which is under the GNU GPL version 2. It is run as a process of its own, in an
environment of its own, by ``make interop``; nothing of Wattledger imports it, and it imports nothing of Wattledger.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import facts
from facts import check, dotted, step
from gurux_dlms import GXByteBuffer, GXDLMSException, GXReplyData
from gurux_dlms.enums import Authentication, Conformance, InterfaceType, RequestTypes, Security, SourceDiagnostic
from gurux_dlms.objects import GXDLMSClock, GXDLMSDisconnectControl, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.secure import GXDLMSSecureClient

TITLE = b"GRX\0\0\0\0\7"
LEVELS = {"none": Authentication.NONE, "low": Authentication.LOW, "gmac": Authentication.HIGH_GMAC}
FIRST_ENTRY, ENTRIES = 5, 4
PATIENCE = 10


class Line:
    """A connection that Gurux's messages go through, to their end."""

    def __init__(self, client: Any, port: int) -> None:
        self.client = client
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.blocks = 0
        """How many blocks were asked for."""

    def _packet(self, data: Any, reply: Any) -> None:
        self.socket.sendall(bytes(data))
        received, pushed = GXByteBuffer(), GXReplyData()
        while not self.client.getData(received, reply, pushed):
            some = self.socket.recv(2048)
            if not some:
                raise ConnectionError("the meter has closed the connection")
            received.set(some)
        if reply.error:
            raise RuntimeError(f"the meter answers with error {reply.error}")

    def ask(self, messages: Any) -> Any:
        """Send one message or several, gather the answer with all its frames and blocks."""
        reply = GXReplyData()
        for message in messages if isinstance(messages, list) else [messages]:
            reply.clear()
            if message:
                self._packet(message, reply)
            while reply.isMoreData():
                self.blocks += int(reply.moreData) & RequestTypes.DATABLOCK != 0
                self._packet(self.client.receiverReady(reply), reply)
        return reply

    def read(self, item: Any, attribute: int) -> Any:
        """An attribute, also kept in the item."""
        return self.client.updateValue(item, attribute, self.ask(self.client.read(item, attribute)).value)


def made(framing: str, level: str, *, wrongly: bool = False) -> Any:
    password = None
    if level == "low":
        password = facts.WRONG_PASSWORD if wrongly else facts.PASSWORD
    kind = InterfaceType.HDLC if framing == "hdlc" else InterfaceType.WRAPPER
    client = GXDLMSSecureClient(True, facts.CLIENTS[level], 1, LEVELS[level], password, kind)
    if level == "gmac":
        client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        client.ciphering.systemTitle = TITLE
        client.ciphering.blockCipherKey = facts.KEY
        client.ciphering.authenticationKey = facts.WRONG_KEY if wrongly else facts.AUTHENTICATION_KEY
        client.ciphering.invocationCounter = 1
        if framing == "hdlc":  # ciphered per service there; generally over the wrapper
            client.proposedConformance &= ~Conformance.GENERAL_PROTECTION
    return client


def associate(line: Line) -> None:
    client = line.client
    parameters = client.snrmRequest()
    if parameters:
        client.parseUAResponse(line.ask(parameters).data)
    client.parseAareResponse(line.ask(client.aarqRequest()).data)
    if client.authentication > Authentication.LOW:
        client.parseApplicationAssociationResponse(line.ask(client.getApplicationAssociationRequest()).data)


def refused(line: Line) -> None:
    """With a wrong password or key."""
    try:
        associate(line)
    except GXDLMSException as error:
        check(seen=error.diagnostic, expected=SourceDiagnostic.AUTHENTICATION_FAILURE)
    else:
        raise AssertionError("the meter has accepted a wrong secret")
    finally:
        line.socket.close()


def told(rows: list[Any]) -> list[tuple[Any, int]]:
    """Stamp and register of each row: our profile has clock, status, import, export."""
    return [(row[0].value.astimezone(facts.UTC), row[2]) for row in rows]


def converse(line: Line) -> None:
    client = line.client
    with step("clock"):
        clock = GXDLMSClock()
        check(seen=line.read(clock, 2).value.astimezone(facts.UTC), expected=facts.NOW)
    with step("register"):
        energy = GXDLMSRegister(dotted(facts.ENERGY))
        line.read(energy, 3)
        line.read(energy, 2)
        check(seen=(energy.value, energy.scaler), expected=(facts.register(facts.NOW), 1))
    with step("list"):
        energy = GXDLMSRegister(dotted(facts.ENERGY))
        pairs = [(energy, 3), (energy, 2)]
        client.updateValues(pairs, line.ask([message for part in client.readList(pairs) for message in part]).value)
        check(seen=(energy.value, energy.scaler), expected=(facts.register(facts.NOW), 1))
    _read_profile(line)
    relay = GXDLMSDisconnectControl(dotted(facts.RELAY))
    for name, switching, closed in (
        ("relay off", relay.remoteDisconnect, False),
        ("relay on", relay.remoteReconnect, True),
    ):
        with step(name):
            line.ask(switching(client))
            check(seen=line.read(relay, 2), expected=closed)
            check(seen=int(line.read(relay, 3)), expected=int(closed))


def _read_profile(line: Line) -> None:
    client = line.client
    profile = GXDLMSProfileGeneric(dotted(facts.LOAD_PROFILE))
    line.read(profile, 3)
    rows = facts.day_rows()
    with step("range"):
        answer = line.ask(client.readRowsByRange(profile, rows[0][0], rows[-1][0]))
        check(seen=told(client.updateValue(profile, 2, answer.value)), expected=rows)
    with step("entry"):
        answer = line.ask(client.readRowsByEntry(profile, FIRST_ENTRY, ENTRIES))
        stamps = [facts.INSTALLED + facts.QUARTER * (FIRST_ENTRY + at) for at in range(ENTRIES)]
        expected = [(stamp, facts.register(stamp)) for stamp in stamps]
        check(seen=told(client.updateValue(profile, 2, answer.value)), expected=expected)
    with step("blocks"):
        line.blocks, profile.buffer = 0, []
        whole = told(line.read(profile, 2))
        check(seen=whole[-1], expected=(facts.NOW, facts.register(facts.NOW)))
        check(seen=len(whole), expected=(facts.NOW - facts.INSTALLED) // facts.QUARTER)
        check(seen=line.blocks > 1, expected=True)


def main() -> None:
    port, framing, level = sys.argv[1:]
    if level != "none":
        with step("refused"):
            refused(Line(made(framing, level, wrongly=True), int(port)))
    line = Line(made(framing, level), int(port))
    with step("associate"):
        associate(line)
    converse(line)
    with step("release"):
        line.ask(line.client.releaseRequest())
        line.ask(line.client.disconnectRequest())


if __name__ == "__main__":
    main()
