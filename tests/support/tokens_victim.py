"""Recharges homes whose meters keep their credit and makes the tokens; starts over from the beginning at every run."""

from __future__ import annotations

import sys
from datetime import timedelta

from grid import MARCH, Grid
from victim import say, thinking_aloud

from wattledger import ledger, prepay, registry, sts
from wattledger.kernel import ManualClock, Money
from wattledger.store import Store

HOMES = ("h0", "h1")
RECHARGES = 3
KEY = sts.DecoderKey(sts.Algorithm.MISTY1, bytes(range(16)))
POLICY = """
currency: CNY
fees: [{name: service, fixed: 0.50}]
arrears: {name: old bills, percent: 20}
"""


def delivery(store: Store, clock: ManualClock) -> prepay.StsDelivery:
    return prepay.StsDelivery(
        store=store,
        clock=clock,
        meter_of=lambda _meter: prepay.TokenMeter(KEY, sts.BaseDate.Y2014),
        bits=lambda _count: 7,
    )


def main(url: str) -> None:
    store, clock = thinking_aloud(url), ManualClock(MARCH + timedelta(hours=1))
    store.migrate()
    grid = Grid(store, clock)
    with store.read() as tx:
        there = registry.contract_count(tx, at=MARCH)
    if not there:
        grid.publish()
        grid.homes(len(HOMES), mode="prepay")
    with store.write() as tx:
        prepay.publish_policy(tx, text=POLICY, source="victim", valid_from=MARCH)
    for home in HOMES:
        with store.write() as tx:
            prepay.keep_credit(tx, contract_id=home, via="sts", now=clock.now())
            bill = ledger.Transfer(
                f"bill:{home}", f"receivable:{home}", "revenue", Money.of(50, "CNY"), "bill", "b", MARCH
            )
            opening = [ledger.Account(f"receivable:{home}", "receivable", "CNY")]
            ledger.post(tx, transfers=[bill], opening=[*opening, ledger.Account("revenue", "revenue", "CNY")])
            prepay.take_over_arrears(tx, contract_id=home, owed_on=f"receivable:{home}", cause="move", now=clock.now())
        for number in range(RECHARGES):
            grid.recharge(home, "10", key=str(number))
    way = delivery(store, clock)
    for _ in range(20):  # what was under way when a run died is asked about after a while
        prepay.deliver_due(store, ways={"sts": way}, now=clock.now())
        clock.advance(timedelta(minutes=6))
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
