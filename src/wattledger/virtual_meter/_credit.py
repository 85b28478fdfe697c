"""Credit as COSEM shows it: account, credit, charge and token gateway (classes 111, 112, 113, 115)."""

from __future__ import annotations

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    Data,
    Outcome,
    Selection,
    Tag,
    array,
    bits,
    enum,
    int8,
    int32,
    obis,
    octets,
    structure,
    text,
    uint8,
)
from wattledger.virtual_meter._cosem import DONE, Invoke, Readers, Write, moment, refused
from wattledger.virtual_meter._meter import VirtualMeter
from wattledger.virtual_meter._prepayment import CREDIT_MAX

_ACCOUNT, _CREDIT, _CHARGE, GATEWAY = obis("0-0:19.0.0"), obis("0-0:19.10.0"), obis("0-0:19.20.0"), obis("0-0:19.40.0")
_IN_CREDIT, _LOW, _OUT = "10000000", "11000000", "00000010"
"""Bits of the credit status: in credit, low, out of it."""
_REMOTE = 0
"""How the last token came."""


def _account(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    left = meter.credit_left()
    warning = 0 if meter.prepayment is None else meter.prepayment.warning_wh
    values = {
        2: structure(enum(2), enum(2 if meter.prepayment else 3)),
        3: uint8(0),
        4: bits(_IN_CREDIT if left > warning else _LOW if left > 0 else _OUT),
        5: int32(left),
        6: int32(max(-left, 0)),
        7: int32(0),
        8: int32(0),
        9: array([octets(_CREDIT)]),
        10: array([octets(_CHARGE)]),
        11: array([]),
        12: array([structure(octets(_CREDIT), uint8(100))]),
        15: structure(text("Wh"), int8(0), enum(2)),
        16: int32(warning),
    }
    if meter.prepayment is None or attribute not in values:
        raise refused()
    return values[attribute]


def _credit(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    left = meter.credit_left()
    values = {
        2: int32(left),
        3: enum(0),
        4: uint8(1),
        5: int32(0 if meter.prepayment is None else meter.prepayment.warning_wh),
        6: int32(0),
        8: enum(2 if left > 0 else 4),
    }
    if meter.prepayment is None or attribute not in values:
        raise refused()
    return values[attribute]


def _charge(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    """What was collected of the credit: all that was used since there was any."""
    credit = meter.prepayment
    values = {2: int32(0 if credit is None else credit.bought_wh - meter.credit_left()), 3: enum(0), 4: uint8(1)}
    if credit is None or attribute not in values:
        raise refused()
    return values[attribute]


def _gateway(meter: VirtualMeter, attribute: int, _: Selection | None) -> Data:
    credit = meter.prepayment
    if credit is None:
        raise refused()
    values = {
        2: octets(credit.token),
        3: moment(meter, credit.token_at),
        4: array([octets(credit.said.encode())] if credit.said else []),
        5: enum(_REMOTE),
        6: structure(enum(credit.token_status), bits("")),
    }
    if attribute not in values:
        raise refused()
    return values[attribute]


def _changed(*, adds: bool) -> Invoke:
    """update_amount and set_amount."""

    def invoke(meter: VirtualMeter, given: Data | None) -> Outcome:
        if meter.prepayment is None:
            return ActionResult.OBJECT_UNDEFINED, None
        if given is None or given.tag is not Tag.INT32:
            return ActionResult.TYPE_UNMATCHED, None
        left = (meter.credit_left() if adds else 0) + given.value
        if abs(left) > CREDIT_MAX:
            return ActionResult.OTHER_REASON, None
        meter.set_credit(left)
        return DONE

    return invoke


def _write_warning(meter: VirtualMeter, value: Data) -> AccessResult:
    if meter.prepayment is None or value.tag is not Tag.INT32:
        return AccessResult.TYPE_UNMATCHED if meter.prepayment else AccessResult.OBJECT_UNDEFINED
    meter.prepayment.warning_wh = value.value
    return AccessResult.SUCCESS


def _enter(meter: VirtualMeter, given: Data | None) -> Outcome:
    if meter.prepayment is None:
        return ActionResult.OBJECT_UNDEFINED, None
    if given is None or not isinstance(given.value, bytes):
        return ActionResult.TYPE_UNMATCHED, None
    good = meter.enter_token(given.value)
    return (ActionResult.SUCCESS if good else ActionResult.OTHER_REASON), _gateway(meter, 6, None)


READERS: Readers = {
    (111, _ACCOUNT): _account,
    (112, _CREDIT): _credit,
    (113, _CHARGE): _charge,
    (115, GATEWAY): _gateway,
}
INVOKERS: dict[tuple[int, bytes, int], Invoke] = {
    (112, _CREDIT, 1): _changed(adds=True),
    (112, _CREDIT, 2): _changed(adds=False),
    (115, GATEWAY, 1): _enter,
}
WRITERS: dict[tuple[int, bytes, int], Write] = {(111, _ACCOUNT, 16): _write_warning, (112, _CREDIT, 5): _write_warning}
