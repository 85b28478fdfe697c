"""A meter on the server class of PyPI gurux-dlms (GPLv2), for our head-end to read.

Licence: this script imports gurux-dlms, which is under the GNU GPL version 2. It is run as a process of its own, in an
environment of its own, by ``make interop``; nothing of Wattledger imports it, and it imports nothing of Wattledger.

    python gurux_server.py wrapper|hdlc none|low|gmac PDU_BYTES lists|singles

It prints ``ready PORT`` when it listens. The server class of 1.0.203 does not answer one request as it comes: it calls
methods of itself that nobody wrote. What is mended or stood in for is told in ``_mend`` and where something is
overridden; framing, ciphering, challenges, the association and the encoding of objects stay Gurux's own.
"""

from __future__ import annotations

import itertools
import socketserver
import sys
import traceback
from datetime import datetime
from typing import Any

import facts
from facts import dotted
from gurux_dlms import GXByteBuffer, GXDateTime, GXServerReply
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.ConnectionState import ConnectionState
from gurux_dlms.enums import (
    AccessMode,
    Authentication,
    Command,
    Conformance,
    InterfaceType,
    MethodAccessMode,
    Security,
    SourceDiagnostic,
    Unit,
)
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.objects import (
    GXDLMSAssociationLogicalName,
    GXDLMSCaptureObject,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)
from gurux_dlms.objects.enums import AssociationStatus, ControlState
from gurux_dlms.secure import GXDLMSSecureServer
from gurux_dlms.ValueEventArgs import ValueEventArgs

TITLE = b"GRX\0\0\0\0\1"
SCALER = 10  # Gurux's way to say that values are in tens of Wh
FRAME = 128  # bytes of information in an HDLC frame
LEVELS = {"none": Authentication.NONE, "low": Authentication.LOW, "gmac": Authentication.HIGH_GMAC}


def _mend() -> None:
    """Three slips inside Gurux's modules that no subclass reaches."""
    set_uint8 = GXByteBuffer.setUInt8

    # The AARE is to say how long the server's title is, and calls this with nothing.
    def with_a_default(self: Any, item: int = len(TITLE), index: int | None = None) -> None:
        set_uint8(self, item, index)

    # A ciphered request is deciphered with the parameters in the wrong places.
    def deciphered(settings: Any, data: Any) -> None:
        cipher = settings.cipher
        data.data.position -= 1
        p = AesGcmParameter(0, settings.sourceSystemTitle, cipher.blockCipherKey, cipher.authenticationKey)
        plain = GXCiphering.decrypt(settings, p, data.data)
        data.data.clear()
        data.data.set(plain)
        data.command = Command(data.data.getUInt8())

    GXByteBuffer.setUInt8 = with_a_default
    GXDLMS.handleGloDedRequest = staticmethod(deciphered)
    # Handlers pass ``list(event)`` on where a list of one event is meant.
    ValueEventArgs.__iter__ = lambda self: iter((self,))


class Reply(GXServerReply):
    """With the methods that the server calls on it."""

    def setReply(self, value: bytes) -> None:
        self.reply = value

    def getConnectionInfo(self) -> Any:
        return self.connectionInfo


class Association(GXDLMSAssociationLogicalName):
    """Proves itself: Gurux's takes the client's proof for a number."""

    def getAssociationStatus(self) -> AssociationStatus:
        return self.associationStatus

    def invoke(self, settings: Any, e: Any) -> bytes | None:
        if e.index != 1:
            return super().invoke(settings, e)
        told = bytes(e.parameters)
        counter = int.from_bytes(told[1:5], "big")
        cipher = settings.cipher
        expected = GXSecure.secure(settings, cipher, counter, settings.stoCChallenge, settings.sourceSystemTitle)
        if bytes(expected) != told:
            self.associationStatus = AssociationStatus.NON_ASSOCIATED
            return None
        self.associationStatus = AssociationStatus.ASSOCIATED
        own = GXSecure.secure(settings, cipher, cipher.invocationCounter, settings.ctoSChallenge, cipher.systemTitle)
        cipher.invocationCounter += 1
        return own


class Profile(GXDLMSProfileGeneric):
    """Selects rows: Gurux's asks the event for a method that it lacks, and compares what cannot be compared."""

    def getValue(self, settings: Any, e: Any) -> Any:
        if e.index != 2 or e.selector == 0:
            return super().getValue(settings, e)
        if e.selector == 1:
            first, last = (_instant(edge) for edge in e.parameters[1:3])
            chosen = [row for row in self.buffer if first <= row[0].value <= last]
        else:
            first, last = e.parameters[:2]
            chosen = self.buffer[first - 1 : last or None]
        return self.getData(settings, e, chosen, None)


def _instant(told: Any) -> datetime:
    """A date-time as it came in a selection: parsed by Gurux, or its twelve bytes with a deviation of nought."""
    if isinstance(told, GXDateTime):
        return told.value
    year, month, day = int.from_bytes(told[:2], "big"), told[2], told[3]
    return datetime(year, month, day, told[5], told[6], told[7], tzinfo=facts.UTC)


class Meter(GXDLMSSecureServer):
    """A clock, a register, a day of quarter-hours, a relay."""

    def __init__(self, framing: str, level: str, *, pdu_bytes: int, lists: bool, counter: int) -> None:
        super().__init__(True, InterfaceType.HDLC if framing == "hdlc" else InterfaceType.WRAPPER)
        self.level = LEVELS[level]
        self.settings.maxServerPDUSize = self.settings.maxPduSize = pdu_bytes
        self.settings.proposedConformance = (
            Conformance.GET
            | Conformance.SET
            | Conformance.ACTION
            | Conformance.SELECTIVE_ACCESS
            | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
        )
        # Its answer to a list is broken when the meter lacks one of the objects; it can be told not to offer lists.
        if lists:
            self.settings.proposedConformance |= Conformance.MULTIPLE_REFERENCES
        if framing == "hdlc":
            self.settings.proposedConformance |= Conformance.GENERAL_PROTECTION
        if self.level == Authentication.HIGH_GMAC:
            cipher = self.settings.cipher = self.getCiphering()
            cipher.security = Security.AUTHENTICATION_ENCRYPTION
            cipher.systemTitle, cipher.blockCipherKey, cipher.authenticationKey = (
                TITLE,
                facts.KEY,
                facts.AUTHENTICATION_KEY,
            )
            cipher.invocationCounter = counter
        # Names that its handlers call and nobody wrote.
        self.settings.gbtWndowSize = 1
        self.settings.setConnected = lambda value: setattr(self.settings, "connected", value)
        self.settings.getMaxPduSize = lambda: self.settings.maxPduSize
        # An answer for what the meter lacks goes out under this number, which nobody keeps up to date.
        update = self.settings.updateInvokeId
        self.settings.updateInvokeId = lambda value: (update(value), setattr(self.settings, "invokeId", value & 0xF))
        self._furnish()

    def _furnish(self) -> None:
        clock = GXDLMSClock()
        clock.time = GXDateTime(facts.NOW)
        energy = GXDLMSRegister(dotted(facts.ENERGY))
        energy.unit, energy.scaler = Unit.ACTIVE_ENERGY, SCALER
        energy.value = facts.register(facts.NOW) // SCALER
        self.relay = GXDLMSDisconnectControl(dotted(facts.RELAY))
        self.relay.outputState, self.relay.controlState, self.relay.controlMode = True, ControlState.CONNECTED, 4
        profile = Profile(dotted(facts.LOAD_PROFILE))
        profile.capturePeriod, profile.sortObject = int(facts.QUARTER.total_seconds()), clock
        profile.profileEntries = facts.ROWS_OF_A_DAY
        profile.captureObjects += [(clock, GXDLMSCaptureObject(2, 0)), (energy, GXDLMSCaptureObject(2, 0))]
        for stamp, energy_then in facts.day_rows():
            profile.buffer.append([GXDateTime(stamp), energy_then // SCALER])
        name = GXDLMSData("0.0.42.0.0.255")
        name.value = b"GRX0000000000001"
        association = Association()
        association.authenticationMechanismName.mechanismId = self.level
        association.secret = facts.PASSWORD
        for one in (association, clock, energy, self.relay, profile, name):
            self.items.append(one)
        association.objectList.extend(self.items)  # initialize() would append the list to itself
        self.initialize()

    # --- what the class calls and does not have

    def getTransaction(self) -> Any:
        return self.transaction

    def setTransaction(self, value: Any) -> None:
        self.transaction = value

    def notifyRead(self) -> None:
        pass

    def notifyConnected(self, connectionInfo: Any) -> None:
        pass

    # --- what it does wrongly

    def handleSnrmRequest(self, data: Any) -> None:
        """Agree on frames: Gurux's reads the limits from an object that it never makes."""
        self.reset(True)
        self.settings.hdlc.maxInfoRX = self.settings.hdlc.maxInfoTX = FRAME
        GXDLMS.parseSnrmUaResponse(data, self.settings.hdlc)
        sent = self.settings.hdlc.maxInfoTX = min(self.settings.hdlc.maxInfoTX, FRAME)
        taken = self.settings.hdlc.maxInfoRX = min(self.settings.hdlc.maxInfoRX, FRAME)
        self.settings.hdlc.windowSizeRX = self.settings.hdlc.windowSizeTX = 1
        for byte in (0x81, 0x80, 18, 5, 1, sent, 6, 1, taken, 7, 4, 0, 0, 0, 1, 8, 4, 0, 0, 0, 1):
            self.replyData.setUInt8(byte)
        self.settings.connected = ConnectionState.HDLC

    def generateDisconnectRequest(self) -> None:
        """A UA with nothing in it will do."""

    def handleReleaseRequest(self, data: Any) -> None:
        """Take leave: Gurux's overwrites what it has written."""
        if self.settings.interfaceType == InterfaceType.HDLC:
            self.replyData.set(b"\xe6\xe7\x00")
        self.replyData.set(b"\x63\x03\x80\x01\x00")

    def handleAarqRequest(self, data: Any, connectionInfo: Any) -> None:
        """Two lengths in its AARE leave out the header of what is inside, and its counter is then used again."""
        super().handleAarqRequest(data, connectionInfo)
        if self.settings.cipher:
            written = self.replyData.array()
            written = written.replace(b"\xa4\x08\x04\x08", b"\xa4\x0a\x04\x08")
            written = written.replace(b"\xaa\x10\x80\x10", b"\xaa\x12\x80\x10")
            self.replyData.clear()
            self.replyData.set(written)
            self.settings.cipher.invocationCounter += 1

    def reset(self, connect: bool = False) -> None:
        """Begin anew; Gurux's counter of frames would begin anew too, under the same key."""
        cipher = self.settings.cipher
        counter = cipher.invocationCounter if cipher else 0
        super().reset(connect)
        if cipher:
            cipher.invocationCounter = counter

    def reportError(self, command: Any, error: Any) -> bytes:
        """What failed inside goes into the log and not only out as a hardware fault."""
        traceback.print_exc()
        return super().reportError(command, error)

    # --- what every user of the class has to say

    def isTarget(self, serverAddress: int, clientAddress: int) -> bool:
        return True

    def onFindObject(self, objectType: Any, sn: int, ln: str) -> None:
        return None

    def onValidateAuthentication(self, authentication: Any, password: Any) -> SourceDiagnostic:
        if authentication != self.level:
            return SourceDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
        if authentication == Authentication.LOW and bytes(password) != facts.PASSWORD:
            return SourceDiagnostic.AUTHENTICATION_FAILURE
        return SourceDiagnostic.NONE

    def onGetAttributeAccess(self, arg: Any) -> AccessMode:
        return AccessMode.READ_WRITE

    def onGetMethodAccess(self, arg: Any) -> MethodAccessMode:
        return MethodAccessMode.ACCESS

    def onPreAction(self, args: list[Any]) -> None:
        for one in args:
            if one.target is self.relay:
                self.relay.outputState = one.index == 2
                self.relay.controlState = (
                    ControlState.CONNECTED if self.relay.outputState else ControlState.DISCONNECTED
                )
                one.handled, one.value = True, 0

    def _nothing(self, *_: Any) -> None:
        pass

    onPreRead = onPostRead = onPreWrite = onPostWrite = onPostAction = onPreGet = onPostGet = _nothing
    onConnected = onDisconnected = onInvalidConnection = _nothing


def main() -> None:
    framing, level, pdu_bytes, lists = sys.argv[1:]
    _mend()

    counters = itertools.count(1, 1 << 16)  # of frames: every connection has a range of its own

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            meter = Meter(framing, level, pdu_bytes=int(pdu_bytes), lists=lists == "lists", counter=next(counters))
            while data := self.request.recv(2048):
                reply = Reply(data)
                meter.handleRequest(reply)
                if reply.reply:
                    self.request.sendall(bytes(reply.reply))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        sys.stdout.write(f"ready {server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
