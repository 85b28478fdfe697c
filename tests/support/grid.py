"""A small network of real rooms to test on: a few homes, a tariff, a clock that stands still, meters that obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from wattledger import billing, prepay, pricing, readings, registry
from wattledger.control import MeterUnreachable, RelayState
from wattledger.kernel import IntervalSeries, ManualClock, Money, Quality, epoch
from wattledger.store import Store
from wattledger.tariffs import Tariff, parse_tariff

ZONE = "Asia/Shanghai"
MARCH = datetime(2026, 2, 28, 16, tzinfo=UTC)  # 1 March 00:00 in Shanghai
APRIL = datetime(2026, 3, 31, 16, tzinfo=UTC)
SLOT = timedelta(minutes=15)

FLAT: Mapping[str, object] = {
    "id": "flat",
    "version": "1",
    "name": "Flat",
    "currency": "CNY",
    "zone": ZONE,
    "charges": [
        {"name": "energy", "kind": "energy", "price": "0.5"},
        {"name": "standing charge", "kind": "fixed", "price": "0.10", "per": "day"},
    ],
}


def slots(count: int, *, start: datetime = MARCH) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return epoch(start) + 900 * np.arange(count, dtype=np.int64)


def intervals(values: Sequence[int], *, start: datetime = MARCH, quality: Quality = Quality.ACTUAL) -> IntervalSeries:
    return IntervalSeries(
        slots(len(values), start=start),
        np.array(values, dtype=np.int64),
        np.full(len(values), quality, dtype=np.uint8),
        900,
    )


@dataclass(slots=True)
class ObedientMeters:
    """Disconnectors that do as they are told, unless told to be silent or stuck."""

    open: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def disconnect(self, *, meter_id: str) -> None:
        self._ask(meter_id, "disconnect")
        if meter_id not in self.stuck:
            self.open.add(meter_id)

    def reconnect(self, *, meter_id: str) -> None:
        self._ask(meter_id, "reconnect")
        if meter_id not in self.stuck:
            self.open.discard(meter_id)

    def read_relay(self, *, meter_id: str) -> RelayState:
        self._ask(meter_id, "read")
        on = meter_id not in self.open
        return RelayState(output_on=on, control_state="connected" if on else "disconnected")

    def _ask(self, meter_id: str, what: str) -> None:
        self.asked.append((meter_id, what))
        if meter_id in self.silent:
            raise MeterUnreachable(f"meter {meter_id} is silent")


@dataclass(slots=True)
class Grid:
    """Homes ``h0``, ``h1`` ...: contract, service point and account share the name, the meter is ``m-h0``."""

    store: Store
    clock: ManualClock = field(default_factory=lambda: ManualClock(MARCH))
    meters: ObedientMeters = field(default_factory=ObedientMeters)

    def publish(self, document: Mapping[str, object] = FLAT, *, valid_from: datetime = MARCH) -> Tariff:
        tariff = parse_tariff(document, source="test")
        with self.store.write() as tx:
            registry.publish_tariff(tx, tariff=tariff, valid_from=valid_from)
        return tariff

    def homes(self, count: int, *, mode: registry.PaymentMode, tariff: str = "flat", first: int = 0) -> list[str]:
        names = [f"h{number}" for number in range(first, first + count)]
        with self.store.write() as tx:
            for name in names:
                registry.add_premise(tx, premise_id=name, kind="home", address=f"{name} street", zone=ZONE)
                registry.add_service_point(tx, service_point_id=name, premise_id=name)
                registry.install_meter(
                    tx,
                    meter_id=f"m-{name}",
                    serial=f"serial-{name}",
                    service_point_id=name,
                    interval_seconds=900,
                    at=MARCH,
                )
                registry.add_account(tx, account_id=name, name=f"Family {name}", language="en", phone="+8610")
                registry.open_contract(
                    tx,
                    contract_id=name,
                    account_id=name,
                    service_point_id=name,
                    mode=mode,
                    tariff_id=tariff,
                    currency="CNY",
                    valid_from=MARCH,
                )
        return names

    def batch(
        self, batch_id: str, series: Mapping[str, IntervalSeries], *, channel: str = readings.IMPORT
    ) -> readings.IntervalBatch:
        points = [readings.PointIntervals(point, channel, one) for point, one in series.items()]
        return readings.IntervalBatch(id=batch_id, source="test", points=points)

    def deliver(
        self, batch_id: str, series: Mapping[str, IntervalSeries], *, channel: str = readings.IMPORT
    ) -> readings.Receipt:
        with self.store.write() as tx:
            batch = self.batch(batch_id, series, channel=channel)
            receipt = readings.ingest(tx, batch=batch, now=self.clock.now())
            billing.note_late(tx, changes=receipt.changes, batch_id=batch_id, now=self.clock.now())
            prepay.deduct(tx, changes=receipt.changes, now=self.clock.now())
            pricing.watch_loads(tx, changes=receipt.changes, now=self.clock.now())
        return receipt

    def recharge(self, contract: str, amount: str, *, key: str = "key") -> prepay.Recharge:
        with self.store.write() as tx:
            return prepay.recharge(
                tx,
                contract_id=contract,
                amount=Money.of(Decimal(amount), "CNY"),
                method="simulated",
                key=key,
                now=self.clock.now(),
            )

    def wallet(self, contract: str) -> prepay.Wallet:
        with self.store.read() as tx:
            return prepay.wallet(tx, contract_id=contract, now=self.clock.now())
