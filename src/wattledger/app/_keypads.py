"""STS keypads for virtual meters: what the room of tokens understands, told to the meter that acts on it."""

from __future__ import annotations

from collections.abc import Mapping

from wattledger import sts
from wattledger.virtual_meter import TokenStatus, Typed

DOES = frozenset(
    {
        sts.Kind.ELECTRICITY,
        sts.Kind.TEST_OF_2_DIGITS,
        sts.Kind.TEST_OF_4_DIGITS,
        sts.Kind.POWER_LIMIT,
        sts.Kind.CLEAR_CREDIT,
        sts.Kind.CLEAR_TAMPER,
        sts.Kind.KEY_1,
        sts.Kind.KEY_2,
        sts.Kind.KEY_3,
        sts.Kind.KEY_4,
    }
)
"""What a virtual meter knows to do."""

_ISSUER, _MAKER = "600727", "00"
_SUPPLY_GROUP = "123456"
_REFUSED: Mapping[sts.Outcome, TokenStatus] = {
    sts.Outcome.FORMAT: TokenStatus.FORMAT_FAILURE,
    sts.Outcome.CRC: TokenStatus.AUTHENTICATION_FAILURE,
    sts.Outcome.DDTK: TokenStatus.AUTHENTICATION_FAILURE,
    sts.Outcome.KEY_EXPIRED: TokenStatus.AUTHENTICATION_FAILURE,
    sts.Outcome.OVERFLOW: TokenStatus.EXECUTION_FAILURE,
}
"""What stopped a token, as the token gateway counts it; whatever else is a failed validation."""
_ELECTRICITY, _ALL = 0, 0xFFFF


class StsKeypad:
    """One meter's keypad: :class:`wattledger.virtual_meter.Keypad` that keeps what was taken from token to token."""

    __slots__ = ("_tables", "keypad")

    def __init__(self, installed: sts.InstalledKey, *, tables: sts.StaTables | None = None) -> None:
        self.keypad = sts.Keypad(installed, does=DOES)
        self._tables = tables

    def __call__(self, digits: str, /, *, room: int) -> Typed:
        """Take 20 digits, spaces and hyphens aside."""
        entered = self.keypad.enter(
            digits=digits.strip().replace(" ", "").replace("-", ""), tables=self._tables, room=room
        )
        self.keypad = entered.keypad
        said = str(entered.outcome)
        if not entered.outcome.is_good or entered.token is None:
            return Typed(_REFUSED.get(entered.outcome, TokenStatus.VALIDATION_FAILURE), said)
        return _done(entered.token, Typed(TokenStatus.EXECUTION_OK, said))


def _done(token: sts.Token, typed: Typed) -> Typed:
    """What a taken token has the meter do beyond its keys."""
    match token.kind:
        case sts.Kind.ELECTRICITY:
            return typed._replace(units=sts.field_to_amount(field=token["payload16"]))
        case sts.Kind.POWER_LIMIT:
            return typed._replace(limit_watts=sts.field_to_amount(field=token["payload16"]))
        case sts.Kind.CLEAR_CREDIT:
            return typed._replace(clears_credit=token["payload16"] in {_ELECTRICITY, _ALL})
        case sts.Kind.CLEAR_TAMPER:
            return typed._replace(clears_tamper=True)
    return typed


def derivation(number: int) -> sts.Derivation:
    """How the key of virtual meter ``number`` follows from a vending key of 20 bytes: DKGA04, EA11, base 2014.

    Its PAN is of issuer 600727 and maker 00, the number is its serial; supply group 123456, tariff index 1, revision 1.
    """
    serial = f"{_MAKER}{number:08d}"
    pan = sts.MeterPan.of(iin=_ISSUER, iain=f"{serial}{sts.luhn_digit(digits=serial)}")
    return sts.Derivation(
        dkga=sts.Dkga.HMAC,
        ea=sts.Algorithm.MISTY1,
        pan=pan,
        key_type=sts.KeyType.DUTK,
        sgc=_SUPPLY_GROUP,
        tariff_index=1,
        krn=1,
        base_date=sts.BaseDate.Y2014,
    )


def keypad_for(number: int, *, vending_key: bytes) -> StsKeypad:
    """The keypad of virtual meter ``number``. Raises :class:`wattledger.sts.KeyRefused` for a key of another length."""
    told = derivation(number)
    key = told.decoder_key(vending_key=vending_key)
    return StsKeypad(sts.InstalledKey(key, krn=told.krn, tariff_index=told.tariff_index, sgc=told.sgc))
