"""Prepayment tokens of 20 digits, as IEC 62055-41 (STS) has them: keys, tokens, and a meter's keypad. Pure.

Matches the published vectors; what no vector and no second source proves is refused by name (docs/sts.md). Keys come in
as arguments and go out as :class:`DecoderKey`; where they are kept is not this room's.
"""

from wattledger.sts._amounts import AMOUNT_MAX, AmountRefused, amount_to_field, field_to_amount
from wattledger.sts._instants import (
    KEN_NEVER,
    TID_MAX,
    BaseDate,
    KeyExpired,
    TokenIdOutOfRange,
    check_expiry,
    instant_of,
    tid_at,
)
from wattledger.sts._key_change import InstalledKey, changed_key, key_change
from wattledger.sts._keypad import TIDS_KEPT, Entered, Keypad, Outcome
from wattledger.sts._keys import Algorithm, DecoderKey, Derivation, Dkga, KeyRefused, KeyType, NotCertain
from wattledger.sts._meters import MeterNumberRefused, MeterPan, luhn_digit
from wattledger.sts._sta import StaTables, TablesMissing, TablesRefused
from wattledger.sts._tokens import (
    Fault,
    Kind,
    Token,
    TokenRefused,
    TokenUnreadable,
    check_sum,
    decode_token,
    encode_token,
    parse_block,
)

__all__ = [
    "AMOUNT_MAX",
    "KEN_NEVER",
    "TIDS_KEPT",
    "TID_MAX",
    "Algorithm",
    "AmountRefused",
    "BaseDate",
    "DecoderKey",
    "Derivation",
    "Dkga",
    "Entered",
    "Fault",
    "InstalledKey",
    "KeyExpired",
    "KeyRefused",
    "KeyType",
    "Keypad",
    "Kind",
    "MeterNumberRefused",
    "MeterPan",
    "NotCertain",
    "Outcome",
    "StaTables",
    "TablesMissing",
    "TablesRefused",
    "Token",
    "TokenIdOutOfRange",
    "TokenRefused",
    "TokenUnreadable",
    "amount_to_field",
    "changed_key",
    "check_expiry",
    "check_sum",
    "decode_token",
    "encode_token",
    "field_to_amount",
    "instant_of",
    "key_change",
    "luhn_digit",
    "parse_block",
    "tid_at",
]
