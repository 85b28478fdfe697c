"""The security of one association: what goes out is closed, what comes in is opened, counters only rise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from wattledger.dlms._apdu import (
    DEDICATED_TAGS,
    GENERAL_CIPHERING,
    GENERAL_DED,
    GENERAL_GLO,
    GLOBAL_TAGS,
    Ciphered,
    read_apdu,
)
from wattledger.dlms._axdr import length
from wattledger.dlms._errors import DlmsError, ErrorKind
from wattledger.dlms._security import Keys, Protected, SecurityControl, protect, unprotect

Form = Literal["service", "general", "general-ciphering"]
"""How ciphered APDUs are written: each service with its own tag, or all in one envelope with the sender's title."""

_DEDICATED = {GENERAL_DED, *DEDICATED_TAGS.values()}
_FORMS: dict[int, Form] = {GENERAL_GLO: "general", GENERAL_DED: "general", GENERAL_CIPHERING: "general-ciphering"}


@dataclass(slots=True)
class Protection:
    """The security context of an association, from one side.

    ``next_counter`` gives the invocation counter of the next frame; whoever gives it has stored it before. ``heard`` is
    the highest counter that the peer has used so far (``None``: any is taken as the first).
    """

    control: SecurityControl
    keys: Keys
    title: bytes
    next_counter: Callable[[], int]
    peer_title: bytes | None = None
    heard: int | None = None
    form: Form = "service"
    mirrors: bool = False
    """Answer in the form that the peer used last: what a server does."""
    dedicated_key: bytes | None = None

    def close(self, apdu: bytes, *, form: Form | None = None) -> bytes:
        """An APDU of ours, ciphered; in ``form`` where that is not the one of the association."""
        form = form or self.form
        dedicated = self.dedicated_key is not None and apdu[0] in DEDICATED_TAGS
        keys = self.keys.with_dedicated(self.dedicated_key) if dedicated and self.dedicated_key else self.keys
        context = b"" if form != "general-ciphering" else self._context()
        protected = protect(
            apdu, control=self.control, title=self.title, counter=self.next_counter(), keys=keys, context=context
        )
        if form == "general-ciphering" and apdu[0] in DEDICATED_TAGS:
            return Ciphered(GENERAL_CIPHERING, protected, self.title, context).encoded
        if form != "service" and apdu[0] in DEDICATED_TAGS:
            return Ciphered(GENERAL_DED if dedicated else GENERAL_GLO, protected, self.title).encoded
        tag = (DEDICATED_TAGS if dedicated else GLOBAL_TAGS).get(apdu[0])
        if tag is None:
            return Ciphered(GENERAL_GLO, protected, self.title).encoded
        return Ciphered(tag, protected).encoded

    def open(self, closed: Ciphered) -> bytes:
        """The APDU in a ciphered one of the peer's; raises ``DlmsError``."""
        if closed.title is not None and self.peer_title is not None and closed.title != self.peer_title:
            detail = f"{closed.title.hex()} speaks where {self.peer_title.hex()} is expected"
            raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, detail)
        title = closed.title or self.peer_title
        if title is None:
            raise DlmsError(ErrorKind.WRONG_SYSTEM_TITLE, "a ciphered APDU before its sender's title is known")
        keys = self.keys
        if closed.tag in _DEDICATED:
            if self.dedicated_key is None:
                raise DlmsError(ErrorKind.NO_KEY, "ciphered with a dedicated key, and none was agreed")
            keys = keys.with_dedicated(self.dedicated_key)
        opened = unprotect(closed.protected, title=title, keys=keys, context=closed.context)
        self._require(opened)
        self._hear(opened.counter)
        if self.mirrors:
            self.form = _FORMS.get(closed.tag, "service")
        return opened.text

    def _require(self, opened: Protected) -> None:
        wanted = self.control
        if wanted.authenticated > opened.control.authenticated or wanted.encrypted > opened.control.encrypted:
            raise DlmsError(ErrorKind.BAD_TAG, "the peer protects its APDUs less than was agreed")

    def _hear(self, counter: int) -> None:
        if self.heard is not None and counter <= self.heard:
            raise DlmsError(
                ErrorKind.REPLAY, f"the invocation counter {counter} was used: {self.heard} was the last one"
            )
        self.heard = counter

    def _context(self) -> bytes:
        peer = self.peer_title or b""
        return b"".join(length(len(part)) + part for part in (b"", self.title, peer, b"", b""))


def opened(apdu: bytes, protection: Protection | None) -> bytes:
    """The APDU itself, ciphered or not."""
    if apdu and (apdu[0] in GLOBAL_TAGS.values() or apdu[0] in _DEDICATED or apdu[0] in _FORMS):
        closed, _ = read_apdu(apdu)
        if protection is None or not isinstance(closed, Ciphered):
            raise DlmsError(ErrorKind.NO_KEY, "the peer ciphers, and there are no keys")
        return protection.open(closed)
    return apdu
