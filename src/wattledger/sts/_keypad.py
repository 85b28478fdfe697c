"""What a meter does with the 20 digits typed into it: takes them or says why not (IEC 62055-41).

A keypad is a value: entering digits gives the outcome and the keypad as it is afterwards. What a taken token does
beyond the key (crediting, limiting, clearing) is the meter's.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum

from wattledger.sts._amounts import field_to_amount
from wattledger.sts._instants import is_expired
from wattledger.sts._key_change import InstalledKey, changed_key
from wattledger.sts._keys import KeyRefused, KeyType, NotCertain
from wattledger.sts._sta import StaTables
from wattledger.sts._tokens import Fault, Kind, Token, TokenUnreadable, decode_token

TIDS_KEPT = 50
_REGISTERS = {*range(8), 0xFFFF}


class Outcome(StrEnum):
    """What became of a token. The first three are good: done, a part of a new key kept, a new key in force."""

    TAKEN = "Taken"
    KEY_PART = "KeyPart"
    KEY_CHANGED = "KeyChanged"
    FORMAT = "Format"
    """No 20 digits that could be a token."""
    CRC = "CRC"
    """Mistyped, or for another meter."""
    FUNCTION = "Function"
    """Nothing this meter does."""
    DDTK = "DDTK"
    """Credit, while the meter still has its group's default key."""
    KEY_EXPIRED = "KeyExpired"
    """Younger than the key may become."""
    OLD = "Old"
    """Older than all that is remembered."""
    USED = "Used"
    """Taken before."""
    RANGE = "Range"
    """A field out of its range."""
    OVERFLOW = "Overflow"
    """More than the meter's register has room for."""

    @property
    def is_good(self) -> bool:
        """Whether the token was accepted."""
        return self in {Outcome.TAKEN, Outcome.KEY_PART, Outcome.KEY_CHANGED}


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of digits: ``keypad`` is how it stands now, ``token`` what was typed where it could be read."""

    outcome: Outcome
    keypad: Keypad
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Keypad:
    """A meter's memory of tokens: its key, the latest identifiers taken, and the parts of a key change under way.

    ``does``: the kinds this meter knows; ``manufacturer``: its maker's code, for tests that are meant for one maker.
    """

    installed: InstalledKey
    does: AbstractSet[Kind] = frozenset(Kind)
    manufacturer: int | None = None
    tids: tuple[int, ...] = ()
    """The latest 50, ascending."""
    parts: tuple[Token, ...] = ()

    def enter(self, *, digits: str, tables: StaTables | None = None, room: int | None = None) -> Entered:
        """Take the digits or say why not.

        ``room`` is how many units (0.1 kWh, 0.1 m³, 0.1 min) the credit register can still take; ``None``: any. A
        refused token leaves the keypad as it was. Raises :class:`TablesMissing` for an EA07 meter without ``tables``.
        """
        try:
            token = decode_token(digits=digits, key=self.installed.key, tables=tables)
        except TokenUnreadable as unreadable:
            told = {Fault.FORMAT: Outcome.FORMAT, Fault.CRC: Outcome.CRC, Fault.FUNCTION: Outcome.FUNCTION}
            return Entered(told[unreadable.fault], self)
        except NotCertain:
            return Entered(Outcome.FUNCTION, self)
        refusal = self._refusal(token, room)
        if refusal is not None:
            return Entered(refusal, self, token)
        if token.kind.is_key_part:
            return self._with_part(token)
        return Entered(Outcome.TAKEN, self._remembering(token.tid), token)

    def _refusal(self, token: Token, room: int | None) -> Outcome | None:
        """Why a token that could be read is not taken; the first reason that the standard would look for."""
        key = self.installed.key
        if not self._is_for_this_meter(token):
            return Outcome.FUNCTION
        if token.kind.is_credit and key.key_type is KeyType.DDTK:
            return Outcome.DDTK
        seen = self._refusal_of_identifier(token.tid) if token.tid is not None else None
        if seen is not None:
            return seen
        if token.fault is not None or (token.kind is Kind.CLEAR_CREDIT and token["payload16"] not in _REGISTERS):
            return Outcome.RANGE
        if token.kind.is_credit and room is not None and field_to_amount(field=token["payload16"]) > room:
            return Outcome.OVERFLOW
        return Outcome.USED if token in self.parts else None

    def _is_for_this_meter(self, token: Token) -> bool:
        if token.kind not in self.does or (token.kind is Kind.KEY_1 and token["three_kct"]):
            return False
        return token.fields.get("manufacturer_code", 0) in {0, self.manufacturer}

    def _refusal_of_identifier(self, tid: int) -> Outcome | None:
        if is_expired(tid=tid, ken=self.installed.key.ken):
            return Outcome.KEY_EXPIRED
        if tid in self.tids:
            return Outcome.USED
        # As long as nothing was forgotten, an identifier that is not remembered was never taken.
        if len(self.tids) == TIDS_KEPT and tid < self.tids[0]:
            return Outcome.OLD
        return None

    def _remembering(self, tid: int | None) -> Keypad:
        if tid is None:
            return self
        tids = list(self.tids)
        insort(tids, tid)
        return replace(self, tids=tuple(tids[-TIDS_KEPT:]))

    def _with_part(self, token: Token) -> Entered:
        """The part kept in place of an earlier one of its kind; the new key in force when it was the last wanting."""
        parts = (*(part for part in self.parts if part.kind is not token.kind), token)
        try:
            change = changed_key(old=self.installed, parts=parts)
        except KeyRefused:  # a supply group of more than 6 digits
            return Entered(Outcome.RANGE, self, token)
        if change is None:
            return Entered(Outcome.KEY_PART, replace(self, parts=parts), token)
        installed, rollover = change
        # Under the very same key the old tokens would still decrypt, so what was taken stays remembered.
        forgets = rollover and installed.key.octets != self.installed.key.octets
        after = replace(self, installed=installed, parts=(), tids=() if forgets else self.tids)
        return Entered(Outcome.KEY_CHANGED, after, token)
