"""The client's side of an association, without a line: what a head-end says and understands.

An operation is a generator. It yields the APDU that has to go out (or ``None``: wait for one more) and is sent the APDU
that came back; what it returns is the result::

    exchange = client.read(clock)
    out = next(exchange)
    while True:
        answer = ...  # write out, read the answer
        try:
            out = exchange.send(answer)
        except StopIteration as done:
            return done.value

Every operation raises ``DlmsError``; after *replay*, *bad key* or *bad tag* the association is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from wattledger.dlms._acse import (
    AARE,
    RLRE,
    AssociationRequest,
    AssociationResponse,
    Context,
    Diagnostic,
    Mechanism,
    Release,
    read_acse,
)
from wattledger.dlms._apdu import (
    GLOBAL_TAGS,
    AccessResult,
    ActionAnswerBlock,
    ActionBlock,
    ActionBlockTaken,
    ActionNext,
    ActionRequest,
    ActionResponse,
    ActionResult,
    Answer,
    Apdu,
    Block,
    Ciphered,
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
    invoke_byte,
    obis,
    read_apdu,
    values_bytes,
)
from wattledger.dlms._axdr import Data, decode, encode, octets, read_length
from wattledger.dlms._blocks import BlockReceiver
from wattledger.dlms._errors import DlmsError, ErrorKind, Truncated
from wattledger.dlms._protection import Form, Protection, opened
from wattledger.dlms._security import Keys, SecurityControl, check_gmac, gmac

T = TypeVar("T")
Exchange = Generator[bytes | None, bytes, T]

ClientState = Literal["idle", "associating", "proving", "open", "releasing", "failed"]
Step = Literal["associate", "accepted", "to be proved", "proved", "release", "released", "broken"]

CLIENT_STATES: dict[tuple[ClientState, Step], ClientState] = {
    ("idle", "associate"): "associating",
    ("associating", "accepted"): "open",
    ("associating", "to be proved"): "proving",
    ("proving", "proved"): "open",
    ("open", "release"): "releasing",
    ("releasing", "released"): "idle",
    ("failed", "associate"): "associating",
}
"""What follows what; ``broken`` leads to ``failed`` from anywhere."""

ASSOCIATION = obis("0-0:40.0.0.255")
_REPLY_TO_HLS = Reference(15, ASSOCIATION, 1)
_NOT_PROVED = {
    Diagnostic.MECHANISM_NOT_RECOGNISED,
    Diagnostic.MECHANISM_REQUIRED,
    Diagnostic.AUTHENTICATION_FAILURE,
    Diagnostic.AUTHENTICATION_REQUIRED,
}
_RECEIVED_MAX = 1 << 22
_BLOCK_OVERHEAD = 60  # header, reference and protection of an APDU that carries a block
_LEAST_BLOCK = 16

WISHES = (
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


@dataclass(frozen=True, slots=True)
class Security:
    """How a client protects what it says: the keys, its own title, and what every APDU gets."""

    keys: Keys
    title: bytes
    suite: int = 0
    authenticated: bool = True
    encrypted: bool = True
    form: Form = "service"
    dedicated_key: bytes | None = field(default=None, repr=False)

    @property
    def control(self) -> SecurityControl:
        return SecurityControl(self.suite, self.authenticated, self.encrypted)


class Client:
    """One association. Randomness and counters are handed in.

    ``challenge`` is what the meter has to answer (8 to 64 random bytes; only for HLS), ``next_counter`` gives the
    invocation counter of the next frame, ``heard`` the highest one of the meter's so far.
    """

    def __init__(  # noqa: PLR0913 - all of them are told by name
        self,
        *,
        mechanism: Mechanism = Mechanism.LOWEST,
        password: bytes | None = None,
        security: Security | None = None,
        challenge: bytes = b"",
        next_counter: Callable[[], int] | None = None,
        heard: int | None = None,
        meter_title: bytes | None = None,
        conformance: Conformance = WISHES,
        pdu_max: int = 0xFFFF,
    ) -> None:
        if mechanism not in {Mechanism.LOWEST, Mechanism.LOW, Mechanism.GMAC}:
            raise DlmsError(ErrorKind.UNSUPPORTED, f"authentication by mechanism {mechanism.value} ({mechanism.name})")
        if mechanism is Mechanism.GMAC and (security is None or not challenge):
            raise DlmsError(ErrorKind.NO_KEY, "authentication by GMAC needs keys and a challenge")
        self.state: ClientState = "idle"
        self.granted = Conformance(0)
        self.meter_pdu_max = 0
        self.protection: Protection | None = None
        if security is not None:
            if next_counter is None:
                raise DlmsError(ErrorKind.NO_KEY, "ciphering needs invocation counters")
            self.protection = Protection(
                security.control,
                security.keys,
                security.title,
                next_counter,
                peer_title=meter_title,
                heard=heard,
                form=security.form,
            )
        self._security = security
        self._mechanism, self._password, self._challenge = mechanism, password, challenge
        self._wishes, self._pdu_max = conformance, pdu_max
        self._invoke = 0

    # ------------------------------------------------------------------------------------------- the association

    def associate(self) -> Exchange[None]:
        """Open the association, and prove to each other who is who where HLS is used."""
        self._step("associate")
        try:
            answer = yield from self._proposed()
            if answer.mechanism is Mechanism.GMAC and self._mechanism is Mechanism.GMAC:
                self._step("to be proved")
                yield from self._proved(answer.secret or b"")
                self._step("proved")
            else:
                self._step("accepted")
        except DlmsError:
            self.state = "failed"
            raise

    def _proposed(self) -> Exchange[AssociationResponse]:
        security = self._security
        dedicated = security.dedicated_key if security else None
        initiate = self._initiate(dedicated)
        secret = self._challenge if self._mechanism is Mechanism.GMAC else self._password
        request = AssociationRequest(
            Context.LOGICAL_NAMES if security is None else Context.LOGICAL_NAMES_CIPHERED,
            initiate,
            self._mechanism,
            security.title if security else None,
            secret if self._mechanism else None,
        )
        raw = yield request.encoded
        while raw[:1] and raw[0] != AARE:
            self._raise_refusal(opened(raw, self.protection))
            raw = yield None
        answer, _ = read_acse(raw)
        if not isinstance(answer, AssociationResponse):
            raise DlmsError(ErrorKind.OUT_OF_TURN, "no association was to be opened or closed now")
        awaited = self._mechanism is Mechanism.GMAC and answer.diagnostic == Diagnostic.AUTHENTICATION_REQUIRED
        if not answer.accepted and not awaited:
            kind = ErrorKind.BAD_KEY if answer.diagnostic in _NOT_PROVED else ErrorKind.REFUSED
            raise DlmsError(kind, f"the meter refuses the association: {answer.said}")
        if self.protection is not None and answer.title:
            if self.protection.peer_title not in {None, answer.title}:
                detail = f"{answer.title.hex()} answers where {self.protection.peer_title!r} is expected"
                raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, detail)
            self.protection.peer_title = answer.title
        self._settle(answer.information)
        if self.protection is not None and dedicated:
            self.protection.dedicated_key = dedicated
        return answer

    def _initiate(self, dedicated: bytes | None) -> bytes:
        """In its own service-specific form, whatever form the rest has: that is what meters read in an AARQ."""
        plain = InitiateRequest(self._wishes, self._pdu_max, dedicated).encoded
        return plain if self.protection is None else self.protection.close(plain, form="service")

    def _settle(self, information: bytes) -> None:
        if not information:
            raise DlmsError(ErrorKind.MALFORMED, "the meter accepts the association and says nothing of its terms")
        apdu, _ = read_apdu(opened(information, self.protection))
        if not isinstance(apdu, InitiateResponse):
            self._raise_refusal_of(apdu)
            raise DlmsError(ErrorKind.MALFORMED, "the meter accepts the association with no initiate-response")
        self.granted = apdu.conformance & self._wishes
        self.meter_pdu_max = apdu.pdu_max or 0xFFFF

    def _proved(self, challenge: bytes) -> Exchange[None]:
        security, protection = self._security, self.protection
        if security is None or protection is None or challenge == self._challenge or not challenge:
            raise DlmsError(ErrorKind.REPLAY, "the meter gives our own challenge back, or none")
        own = gmac(
            challenge,
            suite=security.suite,
            title=security.title,
            counter=protection.next_counter(),
            keys=security.keys,
        )
        ((result, answer),) = yield from self._invoked([(_REPLY_TO_HLS, octets(own))])
        if result is not ActionResult.SUCCESS or not isinstance(answer, bytes):
            raise DlmsError(ErrorKind.BAD_KEY, f"the meter does not take our proof ({result.name.lower()})")
        if protection.peer_title is None:
            raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, "the meter has not said its system title")
        check_gmac(answer, challenge=self._challenge, title=protection.peer_title, keys=security.keys)

    def release(self) -> Exchange[None]:
        """Close the association; a meter that does not answer that as it should has closed it as well."""
        self._step("release")
        information = b"" if self.protection is None else self._initiate(None)
        raw = yield Release(information=information).encoded
        while raw[:1] and raw[0] != RLRE and raw[0] not in {0xD8, 0x0E}:
            raw = yield None
        self._step("released")

    # ------------------------------------------------------------------------------------------------- operations

    def read(self, *wanted: Reference | Wanted) -> Exchange[list[Answer]]:
        """Read attributes, with or without selective access; an answer for each: the result, and the plain value."""
        pairs = [one if isinstance(one[0], Reference) else (one, None) for one in wanted]
        answers: list[Answer] = []
        for batch in self._batches(pairs):
            answers += yield from self._read(batch)
        return answers

    def read_one(self, reference: Reference, *, selection: Selection | None = None) -> Exchange[Any]:
        """The value of one attribute, or a part of it; raises ``DlmsError`` (refused) for none."""
        ((result, value),) = yield from self.read((reference, selection))
        if result is not AccessResult.SUCCESS:
            raise DlmsError(ErrorKind.REFUSED, f"{reference}: {result.name.lower().replace('_', ' ')}")
        return value

    def write(self, reference: Reference, value: Data) -> Exchange[AccessResult]:
        """Set an attribute, in blocks where it is long."""
        self._need_open()
        invoke = self._next_invoke()
        request = SetRequest(invoke, ((reference, None),), (value,))
        if len(request.encoded) <= self._room:
            answer = yield from self._exchanged(request)
        else:
            blocks = self._cut(values_bytes([value], listed=False))
            answer = yield from self._exchanged(SetRequest(invoke, ((reference, None),), block=blocks[0]))
            for block in blocks[1:]:
                if not isinstance(answer, SetBlockTaken):
                    break
                answer = yield from self._exchanged(SetBlock(invoke, block))
        if not isinstance(answer, SetResponse):
            raise self._unexpected(answer)
        return answer.results[0]

    def invoke(self, method: Reference, parameter: Data | None = None) -> Exchange[Outcome]:
        """Invoke a method: how it ended, and what it gives back as a plain value."""
        self._need_open()
        (outcome,) = yield from self._invoked([(method, parameter)])
        return outcome

    def notified(self, apdu: bytes) -> Apdu | None:
        """What a meter says unasked, opened; ``None`` where it is an answer."""
        plain = apdu
        if apdu[:1] and apdu[0] in {0xDB, 0xDC, 0xDD, GLOBAL_TAGS[0xC2]}:
            closed, _ = read_apdu(apdu)
            # Answers come in the same envelope: which it is can be told only from within.
            if self.protection is None or not isinstance(closed, Ciphered):
                return None
            heard = self.protection.heard
            plain = self.protection.open(closed)
            if plain[:1] not in {b"\x0f", b"\xc2"}:
                self.protection.heard = heard
                return None
        return read_apdu(plain)[0] if plain[:1] in {b"\x0f", b"\xc2"} else None

    # ------------------------------------------------------------------------------------------------ how it is done

    def _read(self, wanted: Sequence[Wanted]) -> Exchange[list[Answer]]:
        self._need_open()
        invoke = self._next_invoke()
        answer = yield from self._exchanged(GetRequest(invoke, tuple(wanted)))
        if isinstance(answer, GetResponse):
            answers = list(answer.answers)
        elif isinstance(answer, GetBlock):
            long = yield from self._long(answer, invoke)
            if isinstance(long, AccessResult):
                return [(long, None)] * len(wanted)
            answers = _answers_in(long, listed=len(wanted) > 1)
        else:
            raise self._unexpected(answer)
        if len(answers) != len(wanted):
            raise DlmsError(ErrorKind.MALFORMED, f"{len(wanted)} attributes were wanted, {len(answers)} are answered")
        return answers

    def _long(self, answer: GetBlock, invoke: int) -> Exchange[bytes | AccessResult]:
        """What comes in blocks, or the reason that it does not."""
        parts = bytearray()
        due = 1
        while True:
            if answer.result is not AccessResult.SUCCESS:
                return answer.result
            if answer.block.number != due:
                raise DlmsError(ErrorKind.OUT_OF_TURN, f"block {answer.block.number} comes where {due} is due")
            parts += answer.block.octets
            if len(parts) > _RECEIVED_MAX:
                raise DlmsError(ErrorKind.OVERSIZE, f"an answer of over {_RECEIVED_MAX} bytes")
            if answer.block.last:
                return bytes(parts)
            further = yield from self._exchanged(GetNext(invoke, due))
            if not isinstance(further, GetBlock):
                raise self._unexpected(further)
            answer, due = further, due + 1

    def _invoked(self, invoked: Sequence[Invoked]) -> Exchange[tuple[Outcome, ...]]:
        invoke = self._next_invoke()
        request = ActionRequest(invoke, tuple(invoked))
        if len(request.encoded) <= self._room:
            answer = yield from self._exchanged(request)
        else:
            parameters = [data for _, data in invoked if data is not None]
            blocks = self._cut(values_bytes(parameters, listed=len(invoked) > 1))
            answer = yield from self._exchanged(ActionRequest(invoke, tuple(invoked), blocks[0]))
            for block in blocks[1:]:
                if not isinstance(answer, ActionBlockTaken):
                    break
                answer = yield from self._exchanged(ActionBlock(invoke, block))
        if isinstance(answer, ActionAnswerBlock):
            return (yield from self._long_outcome(answer, invoke))
        if not isinstance(answer, ActionResponse):
            raise self._unexpected(answer)
        return answer.outcomes

    def _long_outcome(self, answer: ActionAnswerBlock, invoke: int) -> Exchange[tuple[Outcome, ...]]:
        parts = bytearray(answer.block.octets)
        due = 1
        while not answer.block.last:
            further = yield from self._exchanged(ActionNext(invoke, due))
            due += 1
            if not isinstance(further, ActionAnswerBlock) or further.block.number != due:
                raise self._unexpected(further)
            answer = further
            parts += answer.block.octets
            if len(parts) > _RECEIVED_MAX:
                raise DlmsError(ErrorKind.OVERSIZE, f"an answer of over {_RECEIVED_MAX} bytes")
        whole, _ = read_apdu(bytes((0xC7, 1, invoke)) + bytes(parts))
        if not isinstance(whole, ActionResponse):
            raise self._unexpected(whole)
        return whole.outcomes

    def _exchanged(self, request: Any) -> Exchange[Apdu]:  # noqa: ANN401 - any of the services
        """Send a request and give the answer, opened and put together; raises ``DlmsError`` for a refusal."""
        out = request.encoded
        raw = yield (self.protection.close(out) if self.protection is not None else out)
        while True:
            if raw[:1] == b"\xe0":
                raw = yield from self._gathered(raw)
            if not raw:
                raise Truncated("the meter answers with nothing")
            plain = opened(raw, self.protection)
            if self.protection is not None and plain is raw and plain[:1] not in {b"\xd8", b"\x0e"}:
                raise DlmsError(ErrorKind.BAD_TAG, "the meter answers in the clear where ciphering was agreed")
            if plain[:1] in {b"\x0f", b"\xc2"}:
                raw = yield None  # a push in between is not the answer
                continue
            apdu, _ = read_apdu(plain)
            self._raise_refusal_of(apdu)
            answered = getattr(apdu, "invoke", request.invoke)
            if answered & 0x0F != request.invoke & 0x0F:
                raw = yield None  # a late answer to what was asked before
                continue
            return apdu

    def _gathered(self, raw: bytes) -> Exchange[bytes]:
        receiver = BlockReceiver(apdu_max=_RECEIVED_MAX)
        while receiver.whole is None:
            block, _ = read_apdu(raw)
            if not isinstance(block, GeneralBlock):
                raise self._unexpected(block)
            answer = receiver.taken(block)
            if receiver.whole is None:
                raw = yield (answer.encoded if answer else None)
        return receiver.whole

    def _batches(self, wanted: list[Wanted]) -> list[list[Wanted]]:
        """As many attributes in a request as the meter takes."""
        if Conformance.MULTIPLE_REFERENCES not in self.granted:
            return [[one] for one in wanted]
        batches: list[list[Wanted]] = []
        size = self._room
        for one in wanted:
            cost = 10 + (len(encode(one[1].parameters)) + 1 if one[1] else 0)
            if size + cost > self._room:
                batches.append([])
                size = 4
            batches[-1].append(one)
            size += cost
        return batches

    def _cut(self, content: bytes) -> list[Block]:
        size = max(self._room - _BLOCK_OVERHEAD, _LEAST_BLOCK)
        starts = range(0, len(content), size)
        return [Block(at + size >= len(content), n + 1, content[at : at + size]) for n, at in enumerate(starts)]

    @property
    def _room(self) -> int:
        """How long an APDU may be before it is ciphered."""
        return (self.meter_pdu_max or 0xFFFF) - (0 if self.protection is None else 30)

    def _next_invoke(self) -> int:
        self._invoke = (self._invoke + 1) % 16
        return invoke_byte(self._invoke)

    def _need_open(self) -> None:
        if self.state != "open":
            raise DlmsError(ErrorKind.OUT_OF_TURN, f"the association is {self.state}")

    def _step(self, step: Step) -> None:
        following = CLIENT_STATES.get((self.state, step))
        if following is None:
            raise DlmsError(ErrorKind.OUT_OF_TURN, f"{step} has no place while the association is {self.state}")
        self.state = following

    def _raise_refusal(self, plain: bytes) -> None:
        self._raise_refusal_of(read_apdu(plain)[0])

    @staticmethod
    def _raise_refusal_of(apdu: Apdu) -> None:
        if isinstance(apdu, ExceptionResponse):
            kind = {5: ErrorKind.BAD_KEY, 6: ErrorKind.REPLAY}.get(apdu.service_error, ErrorKind.REFUSED)
            raise DlmsError(kind, f"the meter says {apdu}")
        if isinstance(apdu, ServiceError):
            detail = f"the meter reports service error {apdu.service}, {apdu.respect}, {apdu.value}"
            raise DlmsError(ErrorKind.REFUSED, detail)

    @staticmethod
    def _unexpected(apdu: Apdu) -> DlmsError:
        return DlmsError(ErrorKind.OUT_OF_TURN, f"{type(apdu).__name__} is no answer to what was asked")


def _answers_in(content: bytes, *, listed: bool) -> list[Answer]:
    """The answers that came in blocks: of one attribute the value itself, of several a list of results."""
    if not listed:
        return [(AccessResult.SUCCESS, decode(content)[0])]
    try:
        count, at = read_length(content, 0)
        answers: list[Answer] = []
        for _ in range(count):
            if content[at]:
                answers.append((AccessResult(content[at + 1]), None))
                at += 2
            else:
                value, at = decode(content, at + 1)
                answers.append((AccessResult.SUCCESS, value))
    except IndexError:
        raise DlmsError(ErrorKind.TRUNCATED, "the blocks end in the midst of an answer") from None
    return answers
