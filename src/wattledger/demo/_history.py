"""How a town comes to be: registered at once, then its days lived through quickly, through the house's own doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wattledger import billing, control, prepay, readings, registry
from wattledger.demo._clock import TownClock
from wattledger.demo._links import ask_first_registers, link_at_hand
from wattledger.demo._meters import MeterMemory, TownMeters
from wattledger.demo._people import People, pay
from wattledger.demo._town import CURRENCY, SLOT_SECONDS, ZONE, Town, town_tariffs
from wattledger.demo.ports import TownHost
from wattledger.kernel import Period, Problem, epoch, from_epoch, local_days, local_months, zone_named
from wattledger.store import RecordedFact, Store

# When, by the town's clock, history's readings come in: once a day at first, at midnight UTC, where the store begins
# new rows; in the last days often enough to look like life.
_HOURS_FIRST = (8,)
_HOURS_LATER = (8, 14, 18, 22)
_LATER = timedelta(days=10)
_EVERY_HOUR = timedelta(hours=26)
_HOUR = timedelta(hours=1)
_GRAIN_FIRST = timedelta(hours=1)
_ASKED_AGAIN_AFTER = timedelta(minutes=15)
_BILLS_AFTER = timedelta(minutes=105)  # the last hour's readings are in, but for those of silent meters
_HELD_AGAIN_AFTER = timedelta(hours=6)


class OtherTown(Problem):
    """The store holds something that is not this town."""

    slug = "other-town"
    title = "The store does not hold this town"
    status = 409


@dataclass(slots=True)
class Simulation:
    """The town, its clock, meters and people: all that is simulated. Everything else is the house's."""

    town: Town
    clock: TownClock
    meters: TownMeters
    people: People
    heard: int = field(default=0)
    dates: list[datetime] = field(default_factory=list)
    """When the house has something to do by itself: announced cut-offs, meters to be asked again."""

    def listen(self, host: TownHost) -> list[RecordedFact]:
        """What has happened since last time; people have heard it too."""
        facts = list(host.facts_since(self.heard))
        if facts:
            self.heard = facts[-1].seq
            self.people.hear(facts)
        for fact in facts:
            if fact.kind == control.DisconnectPlanned.__name__:
                self.dates.append(datetime.fromisoformat(fact.data["cut_off_at"]))
            elif fact.kind == control.SwitchFailed.__name__:
                self.dates.append(fact.at + _ASKED_AGAIN_AFTER)
        return facts


@dataclass(frozen=True, slots=True)
class Milestone:
    """How far history has come, for a progress bar; the first one tells where it begins.

    ``rows``  how many rows of profiles the head-end brought since the one before
    """

    at: datetime
    rows: int


def raise_town(*, host: TownHost, simulation: Simulation, progress: Callable[[Milestone], None]) -> None:
    """Register the town if it is not there yet and live through its history up to the plan's ``live_from``.

    A town that was stopped, or killed, goes on from its last delivered interval; whatever is repeated carries the id it
    had the first time. Raises :class:`OtherTown` when the store holds something else.
    """
    town, clock = simulation.town, simulation.clock
    register(host.store, town=town, people=simulation.people)
    is_new = wake(host, simulation)
    with host.store.write() as tx:
        link_at_hand(tx, town=town, now=clock.now())
        if is_new:
            ask_first_registers(tx, town=town, now=clock.now())
    progress(Milestone(at=clock.now(), rows=0))
    if is_new:
        host.collect()
        for supply in town.prepaid:
            amount = simulation.people.first_amount(supply)
            host.recharge(
                contract_id=supply.contract_id, amount=amount, key=f"town:{town.plan.seed}:{supply.tag}:first"
            )
        host.settle_town()
        simulation.heard = host.last_fact()
    for instant in round_instants(town, after=clock.now()):
        _live_until(instant, host, simulation)
        rows = host.collect()
        if rows:
            progress(Milestone(at=instant, rows=rows))
        _bill_if_due(host, simulation)
        host.settle_town()
        simulation.listen(host)


def register(store: Store, *, town: Town, people: People) -> None:
    """Write the whole town into the registry, in one unit of work; one that is there stays.

    Raises :class:`OtherTown`.
    """
    with store.read() as tx:
        found = {(i.service_point_id, i.serial) for i in registry.installations(tx, at=town.plan.start)}
        strangers = not found and registry.contract_count(tx, at=town.plan.live_from) > 0
    expected = {(supply.service_point_id, town.serial(supply)) for supply in town.supplies}
    if found == expected:
        return
    if found or strangers:
        raise OtherTown(
            f"the store has {len(found)} meters that are not those of a town with seed {town.plan.seed} "
            f"and {town.plan.homes} homes",
            remedy="start it with --fresh, with the options it was raised with, or with another --data",
        )
    start = town.plan.start
    with store.write() as tx:
        for tariff in town_tariffs():
            registry.publish_tariff(tx, tariff=tariff, valid_from=start)
        for supply in town.supplies:
            registry.add_premise(tx, premise_id=supply.premise_id, kind=supply.kind, address=supply.address, zone=ZONE)
            registry.add_service_point(tx, service_point_id=supply.service_point_id, premise_id=supply.premise_id)
            registry.install_meter(
                tx,
                meter_id=supply.meter_id,
                serial=town.serial(supply),
                service_point_id=supply.service_point_id,
                interval_seconds=SLOT_SECONDS,
                at=start,
            )
            registry.add_account(
                tx, account_id=supply.account_id, name=supply.name, language=supply.language, phone=supply.phone
            )
            registry.open_contract(
                tx,
                contract_id=supply.contract_id,
                account_id=supply.account_id,
                service_point_id=supply.service_point_id,
                mode=supply.mode,
                tariff_id=supply.tariff_id,
                currency=CURRENCY,
                valid_from=start,
            )
            if supply.mode == "prepay":
                prepay.open_wallet(
                    tx,
                    contract_id=supply.contract_id,
                    currency=CURRENCY,
                    now=start,
                    low_threshold=people.low_threshold(supply),
                )


def wake(host: TownHost, simulation: Simulation) -> bool:
    """Put clock, meters and people where the store says they were; returns whether nothing was ever read here."""
    town, clock = simulation.town, simulation.clock
    everything = Period(town.plan.start, from_epoch(epoch(town.plan.live_from)) + timedelta(days=36_500))
    points = [supply.service_point_id for supply in town.supplies]
    with host.store.read() as tx:
        stored = readings.series_of_points(tx, service_point_ids=points, period=everything)
        given = readings.series_of_points(
            tx,
            service_point_ids=[supply.service_point_id for supply in town.supplies if supply.has_export],
            period=everything,
            channel=readings.EXPORT,
        )
        supplies = control.supplies(tx, service_point_ids=points)
        last_batch_at = readings.collected(tx).last_batch_at
    memories: dict[str, MeterMemory] = {}
    for supply in town.supplies:
        state = supplies[supply.service_point_id]
        memories[supply.meter_id] = MeterMemory(
            imported=stored.get(supply.service_point_id),
            exported=given.get(supply.service_point_id),
            # A command under way is asked again by the house: until then the disconnector stands as it stood before.
            output_on=state.state in ("on", "disconnecting"),
            since=state.since if state.state in ("on", "off") else None,
        )
    simulation.meters.restore(memories)
    last_fact = host.last_fact()
    newest = [fact.at for fact in host.facts_since(last_fact - 1)] if last_fact else []
    ends = [from_epoch(int(series.starts[-1]) + SLOT_SECONDS) for series in stored.values() if len(series)]
    clock.move_to(max([clock.now(), *ends, *([last_batch_at] if last_batch_at else []), *newest]))
    simulation.heard = last_fact
    if last_fact:
        simulation.people.look(host.store, now=clock.now())
    return not ends


def round_instants(town: Town, *, after: datetime) -> Iterator[datetime]:
    """When history's readings come in: once a day, later oftener, at months' ends, last when the town goes live."""
    live, zone = town.plan.live_from, zone_named(ZONE)
    for day in local_days(Period(town.plan.start, live), zone=zone):
        turn = {0} if day.start.astimezone(zone).day == 1 else set()
        for hour in range(24):
            instant = day.start + hour * _HOUR
            hours = turn.union(_HOURS_LATER if live - instant <= _LATER else _HOURS_FIRST)
            if max(after, town.plan.start) < instant < live and (hour in hours or live - instant <= _EVERY_HOUR):
                yield instant
    if after < live:
        yield live


def month_to_bill(store: Store, *, town: Town, now: datetime) -> str | None:
    """The month whose bills are to be made now: when it is over, and again while some are held for want of readings."""
    zone = zone_named(ZONE)
    over = [
        month
        for month in local_months(Period(max(town.plan.start, now - timedelta(days=62)), now), zone=zone)
        if month.end + _BILLS_AFTER <= now
    ]
    if not over:
        return None
    name = f"{over[-1].start.astimezone(zone):%Y-%m}"
    with store.read() as tx:
        run = billing.latest_run(tx)
    if run is None or run.month < name:
        return name
    held_long = run.held and run.finished_at is not None and now - run.finished_at >= _HELD_AGAIN_AFTER
    return name if run.month == name and run.state == "finished" and held_long else None


def _live_until(until: datetime, host: TownHost, simulation: Simulation) -> None:
    """Let people act and the house keep its dates up to ``until``; then the clock stands there.

    The clock goes from one thing that is due to the next; in the first weeks things wait for the full hour.
    """
    town, clock, people = simulation.town, simulation.clock, simulation.people
    grain = _GRAIN_FIRST if town.plan.live_from - until > _LATER else timedelta(seconds=1)
    while clock.now() < until:
        now = clock.now()
        simulation.dates = [date for date in simulation.dates if date > now]
        month_turn = now.astimezone(zone_named(ZONE)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        due = people.next_due()
        ahead = [*simulation.dates, month_turn + _BILLS_AFTER, *([] if due is None else [max(due, now + grain)])]
        stop = min((instant for instant in ahead if instant > now), default=until)
        since = stop - town.plan.start
        clock.move_to(min(until, town.plan.start - (-since // grain) * grain))
        for intention in people.take_due(clock.now()):
            pay(people, intention, store=host.store, payer=host.recharge, now=clock.now())
        if clock.now() < until:  # what happens at ``until`` is settled with the readings that come then
            _bill_if_due(host, simulation)
            host.settle_town()
            simulation.listen(host)


def _bill_if_due(host: TownHost, simulation: Simulation) -> None:
    month = month_to_bill(host.store, town=simulation.town, now=simulation.clock.now())
    if month is not None:
        host.run_bills(month=month)
