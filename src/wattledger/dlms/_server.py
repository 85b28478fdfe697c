"""The server's side of an association, without a line: what a meter understands and answers.

A ``Server`` is one client's association with one logical device. It opens and closes, proves who is who, cuts long
answers into blocks and puts long requests together; what the objects hold and do is the device's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from wattledger.dlms._acse import (
    AARQ,
    RLRQ,
    AssociationRequest,
    AssociationResponse,
    Context,
    Diagnostic,
    Mechanism,
    Release,
    read_acse,
)
from wattledger.dlms._apdu import (
    AccessResult,
    ActionAnswerBlock,
    ActionBlock,
    ActionBlockTaken,
    ActionNext,
    ActionRequest,
    ActionResponse,
    ActionResult,
    Apdu,
    Block,
    Conformance,
    ExceptionResponse,
    GeneralBlock,
    GetBlock,
    GetNext,
    GetRequest,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    Invoked,
    Outcome,
    Reference,
    Selection,
    ServiceError,
    SetBlock,
    SetBlockTaken,
    SetRequest,
    SetResponse,
    Wanted,
    obis,
    read_apdu,
)
from wattledger.dlms._axdr import Data, decode_typed, octets, read_length
from wattledger.dlms._blocks import BLOCK_HEADER_BYTES, BlockReceiver, BlockSender
from wattledger.dlms._errors import DlmsError, ErrorKind
from wattledger.dlms._protection import Protection, opened
from wattledger.dlms._security import Keys, SecurityControl, check_gmac, gmac

ServerState = Literal["idle", "proving", "open"]
Event = Literal["accept", "challenge", "prove", "release", "request"]

SERVER_STATES: dict[tuple[ServerState, Event], ServerState] = {
    ("idle", "accept"): "open",
    ("idle", "challenge"): "proving",
    ("proving", "accept"): "open",
    ("proving", "challenge"): "proving",
    ("open", "accept"): "open",
    ("open", "challenge"): "proving",
    ("proving", "prove"): "open",
    ("open", "request"): "open",
    ("open", "release"): "idle",
    ("proving", "release"): "idle",
    ("idle", "release"): "idle",
}
"""What follows what: an AARQ begins anew from anywhere; what is not here is answered with an exception."""

_HLS_NAMES = (obis("0-0:40.0.0.255"), *(obis(f"0-0:40.0.{number}.255") for number in range(1, 8)))
_PROTECTION_BYTES = 30
_BLOCK_ANSWER_BYTES = 16
_LEAST_PDU = 64
_PDU_LIMIT = 0xFFFF
_GATHERED_MAX = 1 << 18

GRANTS = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.BLOCK_GET
    | Conformance.BLOCK_SET
    | Conformance.BLOCK_ACTION
    | Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.GENERAL_PROTECTION
    | Conformance.DATA_NOTIFICATION
    | Conformance.EVENT_NOTIFICATION
)


class NotReadable(Exception):
    """Raised by a device for an attribute that it does not give."""

    def __init__(self, result: AccessResult) -> None:
        super().__init__(result.name)
        self.result = result


class LogicalDevice(Protocol):
    """The objects behind a server. ``client`` is the address of who asks: not everybody may do everything."""

    def read(self, attribute: Reference, selection: Selection | None, *, client: int) -> Data:
        """An attribute, or the selected part; raises ``NotReadable``."""
        ...

    def write(self, attribute: Reference, selection: Selection | None, value: Data, *, client: int) -> AccessResult:
        """Set an attribute."""
        ...

    def invoke(self, method: Reference, parameter: Data | None, *, client: int) -> Outcome:
        """Invoke a method; what it gives back is ``Data`` or ``None``."""
        ...


@dataclass(slots=True)
class ClientAccess:
    """What a meter knows of one client: how it has to prove itself, and the counters between the two."""

    mechanism: Mechanism = Mechanism.LOWEST
    password: bytes | None = field(default=None, repr=False)
    keys: Keys | None = None
    suite: int = 0
    authenticated: bool = False
    encrypted: bool = False
    """What is asked of every APDU; more is always welcome."""
    heard: int | None = None
    """The highest invocation counter of the client: kept over associations."""
    grants: Conformance = GRANTS


class Server:
    """One client's association with a device.

    ``challenge`` gives random bytes for HLS, ``next_counter`` the invocation counter of the meter's next frame.
    """

    def __init__(
        self,
        device: LogicalDevice,
        *,
        client: int,
        access: ClientAccess,
        title: bytes,
        challenge: Callable[[], bytes],
        next_counter: Callable[[], int],
        pdu_max: int = 1024,
    ) -> None:
        self.state: ServerState = "idle"
        self.client = client
        self.protection: Protection | None = None
        self._device, self._access, self._title = device, access, title
        self._challenge, self._next_counter = challenge, next_counter
        self._pdu_max = max(pdu_max, _LEAST_PDU)
        self._forget()

    def _forget(self) -> None:
        self.granted = Conformance(0)
        self._client_pdu_max = _PDU_LIMIT
        self._ours = self._theirs = b""
        self._leave_long()

    def _leave_long(self) -> None:
        """Whatever was long and under way is over."""
        self._answer = b""  # what is given block by block
        self._given = 0
        self._gathering: SetRequest | ActionRequest | None = None
        self._gathered = bytearray()
        self._due = 0
        self._sender: BlockSender | None = None
        self._receiver: BlockReceiver | None = None

    def receive(self, apdu: bytes) -> list[bytes]:
        """The APDUs that answer this one; none of it raises but for a fault of the device's own."""
        if apdu[:1] and apdu[0] in {AARQ, RLRQ}:
            return [self._acse(apdu)]
        try:
            if apdu[:1] == b"\xe0":
                return self._general_block(apdu)
            return self._in_blocks(self._answered(apdu))
        except DlmsError as error:
            self._leave_long()
            return [_exception_of(error, heard=self.protection.heard if self.protection else None).encoded]

    # ------------------------------------------------------------------------------------------- the association

    def _acse(self, apdu: bytes) -> bytes:
        try:
            request, _ = read_acse(apdu)
        except DlmsError:
            self.state = "idle"
            return self._refused(Diagnostic.NO_REASON, Context.LOGICAL_NAMES)
        if isinstance(request, Release):
            return self._released()
        self.state = "idle"
        self._forget()
        if not isinstance(request, AssociationRequest):
            return self._refused(Diagnostic.NO_REASON, Context.LOGICAL_NAMES)
        return self._associated(request)

    def _released(self) -> bytes:
        information = b""
        if self.state == "open" and self.protection is not None:
            information = self._initiated()
        self.state = "idle"
        return Release(answers=True, information=information).encoded

    def _associated(self, request: AssociationRequest) -> bytes:  # noqa: PLR0911 - a reason each
        access = self._access
        if request.context not in {Context.LOGICAL_NAMES, Context.LOGICAL_NAMES_CIPHERED}:
            return self._refused(Diagnostic.CONTEXT_NOT_SUPPORTED, Context.LOGICAL_NAMES)
        ciphered = request.context is Context.LOGICAL_NAMES_CIPHERED
        if request.mechanism is not access.mechanism:
            lacking = request.mechanism is Mechanism.LOWEST
            why = Diagnostic.AUTHENTICATION_REQUIRED if lacking else Diagnostic.MECHANISM_NOT_RECOGNISED
            return self._refused(why, request.context)
        if access.mechanism is Mechanism.LOW and (not access.password or request.secret != access.password):
            return self._refused(Diagnostic.AUTHENTICATION_FAILURE, request.context)
        if (access.authenticated or access.encrypted) and not ciphered:
            return self._refused(Diagnostic.CONTEXT_NOT_SUPPORTED, request.context)
        self.protection = None
        if ciphered:
            if access.keys is None or request.title is None or len(request.title) != len(self._title):
                return self._refused(Diagnostic.AUTHENTICATION_FAILURE, request.context)
            self.protection = Protection(
                SecurityControl(access.suite, access.authenticated, access.encrypted),
                access.keys,
                self._title,
                self._next_counter,
                peer_title=request.title,
                heard=access.heard,
                mirrors=True,
            )
        try:
            initiate, _ = read_apdu(opened(request.information, self.protection))
        except DlmsError as error:
            failed = error.kind in {ErrorKind.BAD_KEY, ErrorKind.BAD_TAG, ErrorKind.REPLAY, ErrorKind.NO_KEY}
            why = Diagnostic.AUTHENTICATION_FAILURE if failed else Diagnostic.NO_REASON
            return self._refused(why, request.context)
        self._keep_heard()
        return self._granted(request, initiate)

    def _granted(self, request: AssociationRequest, initiate: Apdu) -> bytes:
        if not isinstance(initiate, InitiateRequest):
            return self._refused(Diagnostic.NO_REASON, request.context)
        if initiate.version != 6:  # noqa: PLR2004 - the version of DLMS
            return self._refused(Diagnostic.NO_REASON, request.context, information=ServiceError(1, 6, 1).encoded)
        if 0 < initiate.pdu_max < 12:  # noqa: PLR2004 - Green Book: no answer fits
            return self._refused(Diagnostic.NO_REASON, request.context, information=ServiceError(1, 6, 3).encoded)
        self.granted = initiate.conformance & self._access.grants
        self._client_pdu_max = initiate.pdu_max or _PDU_LIMIT
        proved_later = self._access.mechanism is Mechanism.GMAC
        if proved_later:
            self._theirs, self._ours = request.secret or b"", self._challenge()
            if not self._theirs:
                return self._refused(Diagnostic.AUTHENTICATION_FAILURE, request.context)
        self._step("challenge" if proved_later else "accept")
        information = self._initiated()
        if self.protection is not None and initiate.dedicated_key:
            self.protection.dedicated_key = initiate.dedicated_key
        return AssociationResponse(
            context=request.context,
            accepted=True,
            diagnostic=Diagnostic.AUTHENTICATION_REQUIRED if proved_later else Diagnostic.NONE,
            information=information,
            mechanism=self._access.mechanism if proved_later else Mechanism.LOWEST,
            title=self._title if self.protection is not None or proved_later else None,
            secret=self._ours if proved_later else None,
        ).encoded

    def _initiated(self) -> bytes:
        plain = InitiateResponse(self.granted, self._pdu_max).encoded
        if self.protection is None:
            return plain
        return self.protection.close(plain, form="service")

    def _refused(self, why: Diagnostic, context: Context, *, information: bytes = b"") -> bytes:
        self.protection = None
        self.state = "idle"
        plain = information or ServiceError(1, 6, 0).encoded
        return AssociationResponse(context=context, accepted=False, diagnostic=why, information=plain).encoded

    def _proof(self, request: ActionRequest) -> ActionResponse:
        """reply_to_HLS_authentication: the client's answer to our challenge, and ours to its."""
        ((_, parameter),) = request.invoked
        protection, keys = self.protection, self._access.keys
        answer = parameter.value if parameter is not None else None
        denied = ActionResponse(request.invoke, ((ActionResult.READ_WRITE_DENIED, None),))
        if protection is None or keys is None or protection.peer_title is None or not isinstance(answer, bytes):
            self.state = "idle"
            return denied
        try:
            check_gmac(answer, challenge=self._ours, title=protection.peer_title, keys=keys)
        except DlmsError:
            self.state = "idle"
            return denied
        self._step("prove")
        counter = self._next_counter()
        own = gmac(self._theirs, suite=self._access.suite, title=self._title, counter=counter, keys=keys)
        return ActionResponse(request.invoke, ((ActionResult.SUCCESS, octets(own)),))

    # ----------------------------------------------------------------------------------------------- the services

    def _answered(self, apdu: bytes) -> bytes:
        plain = opened(apdu, self.protection)
        if self.protection is not None and plain is apdu:
            raise DlmsError(ErrorKind.BAD_TAG, "a request in the clear where ciphering was agreed")
        self._keep_heard()
        request, _ = read_apdu(plain, typed=True)
        answer = self._serve(request).encoded
        return self.protection.close(answer) if self.protection is not None else answer

    def _serve(self, request: Apdu) -> Apdu:
        if self.state == "proving":
            if isinstance(request, ActionRequest) and len(request.invoked) == 1:
                method = request.invoked[0][0]
                if method.class_id == 15 and method.number == 1 and method.name in _HLS_NAMES:  # noqa: PLR2004
                    return self._proof(request)
            return ExceptionResponse(1, 1)
        if (self.state, "request") not in SERVER_STATES:
            return ExceptionResponse(1, 1)
        serve = self._SERVICES.get(type(request))
        return serve(self, request) if serve else ExceptionResponse(2, 2)

    def _get(self, request: GetRequest) -> Apdu:
        self._leave_long()
        listed = len(request.wanted) > 1
        answers = tuple(self._read(one) for one in request.wanted)
        response = GetResponse(request.invoke, answers, listed=listed)
        encoded = response.encoded
        if len(encoded) <= self._room or not self._blocks(Conformance.BLOCK_GET):
            return response
        if not listed and answers[0][0] is AccessResult.SUCCESS:
            self._answer = encoded[4:]  # without the head and the choice: the value alone
        else:
            self._answer = encoded[3:]  # the count and the results
        return self._next_get_block(request.invoke)

    def _read(self, wanted: Wanted) -> tuple[AccessResult, Data | None]:
        reference, selection = wanted
        if selection is not None and Conformance.SELECTIVE_ACCESS not in self.granted:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED, None
        try:
            return AccessResult.SUCCESS, self._device.read(reference, selection, client=self.client)
        except NotReadable as refusal:
            return refusal.result, None

    def _get_next(self, request: GetNext) -> Apdu:
        if not self._answer:
            why = AccessResult.NO_LONG_GET_IN_PROGRESS
        elif request.number != self._due:
            why = AccessResult.DATA_BLOCK_NUMBER_INVALID
        else:
            return self._next_get_block(request.invoke)
        self._leave_long()
        return GetBlock(request.invoke, Block(last=True, number=request.number, octets=b""), why)

    def _next_get_block(self, invoke: int) -> GetBlock:
        return GetBlock(invoke, self._next_block())

    def _next_block(self) -> Block:
        size = self._room - _BLOCK_ANSWER_BYTES
        part = self._answer[self._given : self._given + size]
        self._given += len(part)
        self._due += 1
        block = Block(self._given >= len(self._answer), self._due, part)
        if block.last:
            self._answer = b""
        return block

    def _set(self, request: SetRequest) -> Apdu:
        self._leave_long()
        if request.block is not None:
            self._gathering = request
            return self._gather(request.block, request.invoke)
        if len(request.values) != len(request.wanted):
            return SetResponse(request.invoke, (AccessResult.OTHER_REASON,) * len(request.wanted), listed=True)
        results = tuple(self._write(one, value) for one, value in zip(request.wanted, request.values, strict=True))
        return SetResponse(request.invoke, results, listed=len(results) > 1)

    def _write(self, wanted: Wanted, value: Data) -> AccessResult:
        reference, selection = wanted
        return self._device.write(reference, selection, value, client=self.client)

    def _set_block(self, request: SetBlock) -> Apdu:
        if not isinstance(self._gathering, SetRequest):
            return SetResponse(request.invoke, (AccessResult.NO_LONG_SET_IN_PROGRESS,), request.block.number)
        return self._gather(request.block, request.invoke)

    def _act(self, request: ActionRequest) -> Apdu:
        self._leave_long()
        if request.block is not None:
            self._gathering = request
            return self._gather(request.block, request.invoke)
        return self._performed(request.invoke, request.invoked)

    def _act_block(self, request: ActionBlock) -> Apdu:
        if not isinstance(self._gathering, ActionRequest):
            return ActionResponse(request.invoke, ((ActionResult.NO_LONG_ACTION_IN_PROGRESS, None),))
        return self._gather(request.block, request.invoke)

    def _performed(self, invoke: int, invoked: tuple[Invoked, ...]) -> Apdu:
        outcomes = tuple(self._device.invoke(method, given, client=self.client) for method, given in invoked)
        response = ActionResponse(invoke, outcomes, listed=len(outcomes) > 1)
        encoded = response.encoded
        if len(encoded) <= self._room or not self._blocks(Conformance.BLOCK_ACTION):
            return response
        self._answer = encoded[3:]
        return ActionAnswerBlock(invoke, self._next_block())

    def _act_next(self, request: ActionNext) -> Apdu:
        if not self._answer or request.number != self._due:
            self._leave_long()
            return ActionResponse(request.invoke, ((ActionResult.NO_LONG_ACTION_IN_PROGRESS, None),))
        return ActionAnswerBlock(request.invoke, self._next_block())

    def _gather(self, block: Block, invoke: int) -> Apdu:
        """Take a block of what is written or given to a method; with the last one it is done."""
        request = self._gathering
        sets = isinstance(request, SetRequest)
        fits = len(self._gathered) + len(block.octets) <= _GATHERED_MAX
        if block.number != self._due + 1 or not fits:
            self._leave_long()
            if sets:
                return SetResponse(invoke, (AccessResult.DATA_BLOCK_NUMBER_INVALID,), block.number)
            return ActionResponse(invoke, ((ActionResult.LONG_ACTION_ABORTED, None),))
        self._gathered += block.octets
        self._due = block.number
        if not block.last:
            return SetBlockTaken(invoke, block.number) if sets else ActionBlockTaken(invoke, block.number)
        content = bytes(self._gathered)
        self._leave_long()
        if isinstance(request, SetRequest):
            values = _values_in(content, len(request.wanted))
            results = tuple(self._write(one, value) for one, value in zip(request.wanted, values, strict=True))
            return SetResponse(invoke, results, block.number, listed=len(results) > 1)
        if request is None:
            return ExceptionResponse(1, 1)
        parameters = _values_in(content, len(request.invoked))
        invoked = tuple((method, given) for (method, _), given in zip(request.invoked, parameters, strict=True))
        return self._performed(invoke, invoked)

    _SERVICES: ClassVar[dict[type, Callable[[Server, Any], Apdu]]] = {
        GetRequest: _get,
        GetNext: _get_next,
        SetRequest: _set,
        SetBlock: _set_block,
        ActionRequest: _act,
        ActionBlock: _act_block,
        ActionNext: _act_next,
    }

    # ------------------------------------------------------------------------------------- general block transfer

    def _in_blocks(self, answer: bytes) -> list[bytes]:
        """An answer as it is, or its first general blocks where the client takes only so much."""
        if len(answer) <= self._client_pdu_max or Conformance.GENERAL_BLOCK_TRANSFER not in self.granted:
            return [answer]
        self._sender = BlockSender(answer, block_max=self._client_pdu_max - BLOCK_HEADER_BYTES)
        return [block.encoded for block in self._sender.blocks()]

    def _general_block(self, apdu: bytes) -> list[bytes]:
        block, _ = read_apdu(apdu)
        if not isinstance(block, GeneralBlock) or Conformance.GENERAL_BLOCK_TRANSFER not in self.granted:
            raise DlmsError(ErrorKind.OUT_OF_TURN, "general block transfer was not agreed")
        if self._sender is not None and not self._sender.done:
            self._sender.acknowledged(block)
            return [one.encoded for one in self._sender.blocks(acknowledging=block.number)]
        self._receiver = self._receiver or BlockReceiver(apdu_max=_GATHERED_MAX)
        acknowledgement = self._receiver.taken(block)
        whole = self._receiver.whole
        if whole is None:
            return [acknowledgement.encoded] if acknowledgement else []
        self._receiver = None
        return self._in_blocks(self._answered(whole))

    # ------------------------------------------------------------------------------------------------------ bounds

    @property
    def _room(self) -> int:
        """How long an answer may be before it is ciphered."""
        bound = min(self._client_pdu_max, self._pdu_max)
        return max(bound - (_PROTECTION_BYTES if self.protection else 0), _BLOCK_ANSWER_BYTES + 8)

    def _blocks(self, of: Conformance) -> bool:
        return of in self.granted

    def _keep_heard(self) -> None:
        if self.protection is not None:
            self._access.heard = self.protection.heard

    def _step(self, event: Event) -> None:
        self.state = SERVER_STATES[self.state, event]


def _values_in(content: bytes, count: int) -> list[Data]:
    """The values that came in blocks; raises ``DlmsError`` where they are not as many as were announced."""
    at = 0
    if count > 1:
        try:
            listed, at = read_length(content, 0)
        except IndexError:
            listed = 0
        if listed != count:
            raise DlmsError(ErrorKind.MALFORMED, f"{count} values are due, the blocks hold {listed}")
    values = []
    for _ in range(count):
        value, at = decode_typed(content, at)
        values.append(value)
    return values


def _exception_of(error: DlmsError, *, heard: int | None) -> ExceptionResponse:
    match error.kind:
        case ErrorKind.BAD_KEY | ErrorKind.BAD_TAG | ErrorKind.NO_KEY | ErrorKind.WRONG_SYSTEM_TITLE:
            return ExceptionResponse(1, 5)
        case ErrorKind.REPLAY:
            return ExceptionResponse(1, 6, (heard or 0) + 1)
        case ErrorKind.OUT_OF_TURN:
            return ExceptionResponse(1, 1)
        case ErrorKind.WRONG_TAG | ErrorKind.UNSUPPORTED:
            return ExceptionResponse(2, 2)
    return ExceptionResponse(1, 3)


Associations = Mapping[int, ClientAccess]
"""What a meter knows of its clients, by their addresses."""
