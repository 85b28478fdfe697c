"""A prepaid meter takes tokens at its keypad and through its gateway; credit runs out, and comes back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from wattledger import sts
from wattledger.app._keypads import derivation, keypad_for
from wattledger.dlms import AccessResult, ActionResult, int32, octets
from wattledger.virtual_meter import Fault, Prepayment, State, TokenStatus

VENDING, OTHER = bytes(range(20)), bytes(range(1, 21))
ACCOUNT, CREDIT, CHARGE, GATEWAY = "0-0:19.0.0", "0-0:19.10.0", "0-0:19.20.0", "0-0:19.40.0"
RELAY = "0-0:96.3.10"


def prepaid(made: Callable[..., Any], *, mode: int = 6, kwh: int = 0, watts: int = 6_000) -> Any:  # noqa: ANN401 - a bench
    keypad = keypad_for(1, vending_key=VENDING)
    return made(watts=watts, mode=mode, prepayment=Prepayment(keypad, credit_wh=1_000 * kwh), register_wh=0)


def token(
    bench: Any,  # noqa: ANN401 - a bench
    kind: sts.Kind = sts.Kind.ELECTRICITY,
    *,
    amount: int = 50,
    payload: int | None = None,
    vending: bytes = VENDING,
    meter: int = 1,
) -> bytes:
    key = derivation(meter).decoder_key(vending_key=vending)
    tid = sts.tid_at(issued_at=bench.clock.now(), base_date=sts.BaseDate.Y2014)
    field = sts.amount_to_field(units=amount) if payload is None else payload
    return sts.encode_token(token=sts.Token.of(kind, rnd=5, tid=tid, payload16=field), key=key).encode()


def entered(bench: Any, digits: bytes) -> tuple[ActionResult, TokenStatus, str]:  # noqa: ANN401 - a bench
    result = bench.invoke(115, GATEWAY, 1, octets(digits))
    assert bench.read(115, GATEWAY) == digits
    return result, TokenStatus(bench.read(115, GATEWAY, 6)[0]), bench.read(115, GATEWAY, 4)[0].decode()


def test_credit_runs_out_and_a_token_connects_again(made: Callable[..., Any]) -> None:
    bench = prepaid(made, kwh=3)
    bench.wait(minutes=20)
    assert bench.read(111, ACCOUNT, 5) == bench.read(112, CREDIT) == 1_000
    bench.wait(hours=2)
    assert bench.read(70, RELAY, 3) == State.READY
    assert bench.read(111, ACCOUNT, 5) == 0
    assert (bench.read(111, ACCOUNT, 4), bench.read(112, CREDIT, 8)) == ([8, b"\x02"], 4)
    assert bench.codes(2) == [64]
    assert entered(bench, token(bench)) == (ActionResult.SUCCESS, TokenStatus.EXECUTION_OK, "Taken")
    assert bench.read(70, RELAY) is True
    assert bench.read(111, ACCOUNT, 5) == bench.read(112, CREDIT) == 5_000
    assert bench.codes(2) == [64, 69]
    bench.wait(minutes=50)
    assert bench.read(70, RELAY) is False
    assert bench.register == 8_000
    assert bench.read(113, CHARGE) == 5_000


def test_a_token_is_taken_once(made: Callable[..., Any]) -> None:
    bench = prepaid(made)
    digits = token(bench)
    assert bench.meter.enter_token(digits)
    bench.wait(minutes=5)
    assert entered(bench, digits) == (ActionResult.OTHER_REASON, TokenStatus.VALIDATION_FAILURE, "Used")
    assert bench.read(112, CREDIT) == 4_500


@pytest.mark.parametrize("told", [{"vending": OTHER}, {"meter": 2}])
def test_a_token_under_another_key_is_refused(made: Callable[..., Any], told: dict[str, Any]) -> None:
    bench = prepaid(made, kwh=1)
    assert entered(bench, token(bench, **told)) == (
        ActionResult.OTHER_REASON,
        TokenStatus.AUTHENTICATION_FAILURE,
        "CRC",
    )
    assert entered(bench, b"123")[1:] == (TokenStatus.FORMAT_FAILURE, "Format")
    assert bench.read(112, CREDIT) == 1_000


def test_a_change_of_key_in_four_tokens(made: Callable[..., Any]) -> None:
    bench = prepaid(made)
    old = derivation(1).decoder_key(vending_key=VENDING)
    told = replace(derivation(1), krn=2)
    new = sts.InstalledKey(told.decoder_key(vending_key=OTHER), krn=2, tariff_index=1, sgc="123456")
    parts = [sts.encode_token(token=part, key=old).encode() for part in sts.key_change(new=new, rollover=False)]
    said = [entered(bench, part)[2] for part in parts]
    assert said == ["KeyPart", "KeyPart", "KeyPart", "KeyChanged"]
    assert not bench.meter.enter_token(token(bench))
    after = sts.Token.of(sts.Kind.ELECTRICITY, rnd=5, tid=6_500_000, payload16=100)
    assert bench.meter.enter_token(sts.encode_token(token=after, key=new.key).encode())
    assert bench.meter.credit_left() == 10_000


def test_tokens_limit_the_power_and_clear_what_is_to_be_cleared(made: Callable[..., Any]) -> None:
    bench = prepaid(made, kwh=5)
    assert entered(bench, token(bench, sts.Kind.POWER_LIMIT, amount=3_000))[0] is ActionResult.SUCCESS
    assert bench.read(71, "0-0:17.0.0", 4) == 3_000
    bench.meter.show_fault(Fault.COVER_OPENED)
    bench.wait(minutes=1)
    assert entered(bench, token(bench, sts.Kind.CLEAR_TAMPER, payload=0))[0] is ActionResult.SUCCESS
    assert not bench.read(1, "0-0:97.98.0")
    bench.wait(minutes=1)
    assert entered(bench, token(bench, sts.Kind.CLEAR_CREDIT, payload=0xFFFF))[0] is ActionResult.SUCCESS
    assert bench.read(112, CREDIT) == 0
    assert entered(bench, token(bench, sts.Kind.TARIFF_RATE, payload=1))[2] == "Function"


def test_a_token_does_not_cut_the_wait_after_an_overload_short(made: Callable[..., Any]) -> None:
    bench = prepaid(made, kwh=5)
    bench.meter.set_limiter(normal=3_000, min_over=60, min_under=600)
    bench.wait(minutes=2)
    assert bench.meter.enter_token(token(bench))
    assert bench.read(70, RELAY, 3) == State.READY
    bench.meter.limit(9_000)
    bench.wait(minutes=9)
    assert bench.read(70, RELAY, 3) == State.CONNECTED


def test_where_the_mode_has_no_local_reconnection_somebody_presses_the_button(made: Callable[..., Any]) -> None:
    bench = prepaid(made, mode=4)
    bench.wait(minutes=2)
    assert bench.read(70, RELAY, 3) == State.READY
    bench.meter.press_button()
    assert bench.read(70, RELAY) is False  # not without credit
    assert bench.meter.enter_token(token(bench))
    assert bench.read(70, RELAY) is False
    bench.meter.press_button()
    assert bench.read(70, RELAY) is True


def test_who_was_switched_off_from_afar_stays_off(made: Callable[..., Any]) -> None:
    bench = prepaid(made, kwh=1)
    bench.invoke(70, RELAY, 1)
    assert bench.meter.enter_token(token(bench))
    assert bench.read(70, RELAY, 3) == State.DISCONNECTED
    bench.wait(hours=5)
    assert bench.read(112, CREDIT) == 6_000


def test_credit_is_set_and_changed_from_afar(made: Callable[..., Any]) -> None:
    bench = prepaid(made)
    bench.wait(minutes=2)
    assert bench.invoke(112, CREDIT, 2, int32(700)) is ActionResult.SUCCESS
    assert bench.invoke(112, CREDIT, 1, int32(-200)) is ActionResult.SUCCESS
    assert (bench.read(112, CREDIT), bench.read(70, RELAY)) == (500, True)
    assert bench.write(111, ACCOUNT, 16, int32(600)) is AccessResult.SUCCESS
    assert bench.read(111, ACCOUNT, 4) == [8, b"\xc0"]
    assert bench.invoke(112, CREDIT, 1, octets(b"1")) is ActionResult.TYPE_UNMATCHED


def test_what_does_not_fit_is_not_taken_and_stays_good(made: Callable[..., Any]) -> None:
    bench = prepaid(made, kwh=2_147_400, watts=600)
    digits = token(bench, amount=10_000)
    assert entered(bench, digits) == (ActionResult.OTHER_REASON, TokenStatus.EXECUTION_FAILURE, "Overflow")
    bench.invoke(112, CREDIT, 2, int32(0))
    assert entered(bench, digits)[2] == "Taken"


def test_a_meter_without_credit_has_no_gateway(made: Callable[..., Any]) -> None:
    bench = made()
    assert bench.invoke(115, GATEWAY, 1, octets(b"0" * 20)) is ActionResult.OBJECT_UNDEFINED
    assert bench.invoke(112, CREDIT, 1, int32(1)) is ActionResult.OBJECT_UNDEFINED
    assert not bench.meter.enter_token(b"0" * 20)
