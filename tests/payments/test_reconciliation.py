"""A provider's day beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from payments_desk import Desk, yuan

from wattledger import payments
from wattledger.payments import StatementLine
from wattledger.payments.simulated import Simulated


@dataclass
class Listed(Simulated):
    """Lists what it is told to."""

    lines: Sequence[StatementLine] = field(default_factory=list)

    def statement(self, day: date) -> Sequence[StatementLine]:  # noqa: ARG002 - one day is all there is
        return self.lines


def day(desk: Desk) -> date:
    return desk.grid.clock.now().date()


def as_listed(desk: Desk, lines: Sequence[StatementLine]) -> payments.ReconciliationReport:
    provider = Listed(key=desk.provider.key, clock=desk.grid.clock, lines=lines)
    return payments.reconcile(desk.store, provider=provider, day=day(desk))


def found(report: payments.ReconciliationReport) -> list[tuple[str, str]]:
    return [(one.difference, one.id) for one in report.differences]


def test_a_day_that_agrees(desk: Desk) -> None:
    desk.paid("50")
    payment = desk.paid("30")
    desk.paid("20", came="21")
    payments.refund_payment(
        desk.store, provider=desk.provider, payment_id=payment.id, reason="-", by="Li", now=desk.grid.clock.now()
    )
    report = payments.reconcile(desk.store, provider=desk.provider, day=day(desk))
    assert report.differences == ()
    assert (report.payments, report.refunds) == (3, 1)
    assert report.here == report.there == (yuan("71"),)


def test_whatever_differs_is_told(desk: Desk) -> None:
    fine, gone, other, twice = (desk.paid(amount) for amount in ("50", "30", "20", "10"))
    lost = desk.provider.pay(desk.ready("5").id)  # its call-back never came
    lines = [line for line in desk.provider.statement(day(desk)) if line.id != gone.id]
    lines = [replace(line, amount=yuan("2")) if line.id == other.id else line for line in lines]
    lines += [line for line in lines if line.id == twice.id]
    report = as_listed(desk, lines)
    assert found(report) == [
        ("amount_differs", other.id),
        ("listed_twice", twice.id),
        ("missing_here", lost.id),
        ("missing_there", gone.id),
    ]
    assert fine.id not in {one.id for one in report.differences}
    assert (report.differences[0].here, report.differences[0].there) == (yuan("20"), yuan("2"))
    assert report.here == (yuan("110"),)
    assert report.there == (yuan("77"),)

    now = desk.grid.clock.now()
    payments.check_order(desk.store, provider=desk.provider, order_id=lost.order_id, now=now)
    assert ("missing_here", lost.id) not in found(as_listed(desk, lines))


def test_midnight_does_no_harm(desk: Desk) -> None:
    """What the provider puts on the day before is found by its id."""
    payment = desk.paid("50")
    today = desk.provider.statement(day(desk))
    desk.grid.clock.advance(timedelta(days=1))
    assert found(as_listed(desk, today)) == []
    assert found(as_listed(desk, [])) == []
    desk.grid.clock.advance(timedelta(days=1))
    assert found(payments.reconcile(desk.store, provider=desk.provider, day=payment.paid_at.date())) == []


def test_a_refund_that_only_one_side_knows_is_told(desk: Desk) -> None:
    payment = desk.paid("50")
    now = desk.grid.clock.now()
    desk.provider.refund(payments.Refund("by hand", payment.order_id, payment.id, yuan("50"), yuan("50"), "-"))
    assert found(payments.reconcile(desk.store, provider=desk.provider, day=day(desk))) == [("missing_here", "by hand")]
    done = payments.refund_payment(
        desk.store, provider=desk.provider, payment_id=payment.id, reason="-", by="Li", now=now
    )
    lines = [line for line in desk.provider.statement(day(desk)) if line.kind == "payment"]
    assert found(as_listed(desk, lines)) == [("missing_there", done.refund.id)]
