"""Which fact moves whom: the one table of what follows from what."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from wattledger import billing, control, headend, notices, payments, prepay, pricing, registry
from wattledger.kernel import Money, Period, stable_id, zone_named
from wattledger.store import Handlers, Transaction

_log = logging.getLogger(__name__)
_CONTRACTED_KW = "contracted_kw"
_UNLIMITED_WATTS = 1_000_000  # more than any home draws: the limiter never acts
_LIMIT_VALID = timedelta(days=7)


class OrderCollector:
    """Collects for wallets that recharge themselves by an order at the provider that the customer chose.

    A provider that was given a mandate takes the money by itself; with any other the order waits for its payer.
    """

    def collect(self, tx: Transaction, *, wanted: prepay.RechargeWanted) -> None:
        """Place the order, once for each crossing."""
        order = payments.NewOrder(
            contract_id=_contract(wanted.contract_id),
            provider=wanted.method,
            amount=Money(wanted.amount_micro, wanted.currency),
            key=wanted.key,
        )
        payments.place_order(tx, wanted=order, now=wanted.at)


def reactions(policy: control.CutOffPolicy, *, collector: prepay.Collector | None = None) -> Handlers:
    """The handlers of every fact that something follows from."""
    collects = collector or OrderCollector()

    def wanted(tx: Transaction, fact: prepay.RechargeWanted) -> None:
        collects.collect(tx, wanted=fact)

    def exhausted(tx: Transaction, fact: prepay.BalanceExhausted) -> None:
        control.plan_cut_off(
            tx,
            contract_id=_contract(fact.contract_id),
            policy=policy,
            cause=f"exhausted:{fact.contract_id}:{fact.at.isoformat()}",
            now=fact.at,
        )

    return {
        prepay.BalanceLow: (_tell_low_balance,),
        prepay.BalanceExhausted: (exhausted,),
        prepay.BalanceRestored: (_restore_after_correction,),
        prepay.RechargeCredited: (_tell_receipt, _restore_after_recharge),
        control.DisconnectPlanned: (_tell_cut_off,),
        control.SupplyDisconnected: (_post_at_cut_off, _tell_disconnected),
        control.SupplyReconnected: (_tell_reconnected,),
        billing.BillPosted: (_tell_bill, _move_arrears_of_bill),
        pricing.EventAnnounced: (_reprice_event,),
        pricing.PricesPublished: (_reprice_series,),
        pricing.LoadExceeded: (_tell_load,),
        registry.FactTold: (_reprice_contract,),
        prepay.RechargeWanted: (wanted,),
        control.LoadLimitWanted: (_limit_load,),
        control.LoadLimitLifted: (_lift_limit,),
        registry.TermsChanged: (_begin_prepay,),
    }


def _contract(contract_id: str | None) -> str:
    if contract_id is None:
        msg = "this fact is about a contract"
        raise ValueError(msg)
    return contract_id


def _money(micro: int, currency: str) -> str:
    # People read cents; the exact figure is on the statement.
    return f"{Money(micro, currency).amount:.2f}"


def _tell_low_balance(tx: Transaction, fact: prepay.BalanceLow) -> None:
    days = fact.days_left
    kinds = {None: "low_balance", 0: "low_balance_today", 1: "low_balance_tomorrow"}
    notices.notify(
        tx,
        contract_id=_contract(fact.contract_id),
        kind=kinds.get(days, "low_balance_days"),
        values={
            "available": _money(fact.available_micro, fact.currency),
            "currency": fact.currency,
            "days": str(days),
        },
        about=fact.at.isoformat(),
        now=fact.at,
    )


def _tell_cut_off(tx: Transaction, fact: control.DisconnectPlanned) -> None:
    contract = registry.contract(tx, contract_id=_contract(fact.contract_id), at=fact.at)
    cut_off = datetime.fromisoformat(fact.cut_off_at).astimezone(zone_named(contract.zone))
    notices.notify(
        tx,
        contract_id=contract.id,
        kind="cut_off_warning",
        values={
            "available": _money(fact.available_micro, fact.currency),
            "currency": fact.currency,
            "cut_off_at": f"{cut_off:%H:%M}",
        },
        about=fact.at.isoformat(),
        now=fact.at,
    )


def _restore_after_correction(tx: Transaction, fact: prepay.BalanceRestored) -> None:
    cause = f"restored:{fact.contract_id}:{fact.at.isoformat()}"
    control.restore(tx, contract_id=_contract(fact.contract_id), cause=cause, now=fact.at)


def _reprice_event(tx: Transaction, fact: pricing.EventAnnounced) -> None:
    start, end = datetime.fromisoformat(fact.start), datetime.fromisoformat(fact.end)
    billing.note_event(tx, event=fact.name, start=start, end=end, now=fact.at)
    prepay.reprice_event(tx, event=fact.name, start=start, end=end, now=fact.at)


def _reprice_series(tx: Transaction, fact: pricing.PricesPublished) -> None:
    end = None if fact.end is None else datetime.fromisoformat(fact.end)
    start = datetime.fromisoformat(fact.start)
    billing.note_prices(tx, series=fact.series, start=start, end=end, now=fact.at)
    prepay.reprice_series(tx, series=fact.series, start=start, end=end, now=fact.at)


def _reprice_contract(tx: Transaction, fact: registry.FactTold) -> None:
    since = datetime.fromisoformat(fact.valid_from)
    if since < fact.at:
        billing.note_fact(tx, contract_id=_contract(fact.contract_id), name=fact.name, since=since, now=fact.at)
        prepay.reprice(tx, contract_ids=[_contract(fact.contract_id)], period=Period(since, fact.at), now=fact.at)


def _begin_prepay(tx: Transaction, fact: registry.TermsChanged) -> None:
    """Who pays before from now on gets a wallet; what is unpaid of the bills goes with them, if a rule says so."""
    if fact.mode == "prepay" != fact.mode_before:
        contract_id = _contract(fact.contract_id)
        since = datetime.fromisoformat(fact.valid_from)
        prepay.begin_prepay(tx, contract_id=contract_id, since=since, now=fact.at)
        _move_arrears(tx, contract_id, cause=f"switched:{fact.valid_from}", now=fact.at)


def _move_arrears_of_bill(tx: Transaction, fact: billing.BillPosted) -> None:
    """The last bill from before may come when its contract pays before already."""
    if fact.kind == "bill":
        contract_id = _contract(fact.contract_id)
        try:
            contract = registry.contract(tx, contract_id=contract_id, at=fact.at)
        except registry.ContractNotFound:
            return  # who moved out has no wallet to pay it from
        if contract.mode == "prepay":
            _move_arrears(tx, contract_id, cause=fact.bill_id, now=fact.at)


def _move_arrears(tx: Transaction, contract_id: str, *, cause: str, now: datetime) -> None:
    owed_on = billing.receivable_account(contract_id)
    prepay.take_over_arrears(tx, contract_id=contract_id, owed_on=owed_on, cause=cause, now=now)


def _limit_load(tx: Transaction, fact: control.LoadLimitWanted) -> None:
    """The head-end sets the meter's limiter and reads it back, however long that takes."""
    _set_limit(tx, fact.service_point_id, fact.watts, "no credit, and protected from being cut off", fact.at)


def _lift_limit(tx: Transaction, fact: control.LoadLimitLifted) -> None:
    if control.limited_to(tx, service_point_id=fact.service_point_id) is not None:
        return  # it is limited anew since then
    facts = registry.facts_of(tx, contract_id=_contract(fact.contract_id), at=fact.at)
    watts = int(Decimal(facts[_CONTRACTED_KW]) * 1000) if _CONTRACTED_KW in facts else _UNLIMITED_WATTS
    _set_limit(tx, fact.service_point_id, watts, "not to be limited any more", fact.at)


def _set_limit(tx: Transaction, service_point_id: str, watts: int, reason: str, at: datetime) -> None:
    meter = registry.meter_at(tx, service_point_id=service_point_id, at=at)
    request = headend.CommandRequest(
        id=stable_id("cmd", "limit", service_point_id, watts, at.isoformat()),
        meter_id=meter.meter_id,
        action="set_limit",
        watts=watts,
        actor="supply control",
        reason=reason,
        valid_for=_LIMIT_VALID,
    )
    try:
        headend.submit(tx, request=request, now=at)
    except headend.MeterNotLinked:
        _log.warning("meter %s is not linked: its load cannot be limited to %s W", meter.meter_id, watts)


def _tell_load(tx: Transaction, fact: pricing.LoadExceeded) -> None:
    contract = registry.contract(tx, contract_id=_contract(fact.contract_id), at=fact.at)
    since = datetime.fromisoformat(fact.start).astimezone(zone_named(contract.zone))
    notices.notify(
        tx,
        contract_id=contract.id,
        kind="load_curtail" if fact.action == "curtail" else "load_notice",
        values={"since": f"{since:%H:%M}", "peak": f"{Decimal(fact.peak_kw):.1f}"},
        about=f"{fact.clause}:{fact.start}",
        now=fact.at,
    )


def _tell_receipt(tx: Transaction, fact: prepay.RechargeCredited) -> None:
    notices.notify(
        tx,
        contract_id=_contract(fact.contract_id),
        kind="recharge_receipt",
        values={
            "amount": _money(fact.amount_micro, fact.currency),
            "available": _money(fact.available_micro, fact.currency),
            "currency": fact.currency,
        },
        about=fact.recharge_id,
        now=fact.at,
    )


def _restore_after_recharge(tx: Transaction, fact: prepay.RechargeCredited) -> None:
    control.restore(tx, contract_id=_contract(fact.contract_id), cause=fact.recharge_id, now=fact.at)


def _post_at_cut_off(tx: Transaction, fact: control.SupplyDisconnected) -> None:
    prepay.post_accrual(tx, contract_ids=[_contract(fact.contract_id)], now=fact.at)


def _tell_disconnected(tx: Transaction, fact: control.SupplyDisconnected) -> None:
    _tell(tx, _contract(fact.contract_id), "disconnected", fact.at)


def _tell_reconnected(tx: Transaction, fact: control.SupplyReconnected) -> None:
    _tell(tx, _contract(fact.contract_id), "reconnected", fact.at)


def _tell(tx: Transaction, contract_id: str, kind: str, at: datetime) -> None:
    try:
        registry.contract(tx, contract_id=contract_id, at=at)
    except registry.ContractNotFound:
        return  # a supply that ended: whoever had it knows
    notices.notify(tx, contract_id=contract_id, kind=kind, values={}, about=at.isoformat(), now=at)


def _tell_bill(tx: Transaction, fact: billing.BillPosted) -> None:
    notices.notify(
        tx,
        contract_id=_contract(fact.contract_id),
        kind="bill_ready" if fact.kind == "bill" else "statement_ready",
        values={"month": fact.month, "amount": _money(fact.total_micro, fact.currency), "currency": fact.currency},
        about=fact.bill_id,
        now=fact.at,
    )
