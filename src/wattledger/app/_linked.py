"""What the commands about linked meters do: link, ask, command, and tell how the head-end stands with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from wattledger import control, headend, registry
from wattledger.app._meters import keys_of
from wattledger.app._system import System, opened
from wattledger.cli import MeterSecrets, MeterToLink, Order, Question, SystemOptions
from wattledger.kernel import Period, Problem, epoch, from_epoch, new_id
from wattledger.store import Transaction

_REMEMBERED = timedelta(days=40)  # as far back as most meters remember
_LOGS_EVERY = timedelta(hours=1)
_VALID_FOR = timedelta(minutes=15)
_ACTOR = "command line"
_CLIENTS = {"keys": "1", "password": "2", "nothing": "16"}
"""The addresses that IDIS gives to who manages, reads, and needs no secret."""


class PlaceTaken(Problem):
    """A meter is to hang where it cannot."""

    slug = "meter-place-taken"
    title = "The meter cannot hang there"
    status = 409


def link_meter(options: SystemOptions, wanted: MeterToLink) -> Mapping[str, Any]:
    """Say how a meter is reached, where it hangs and what is collected from it; returns what holds now."""
    headend.driver_named(headend.installed_drivers(), name=wanted.driver)
    with opened(options) as system, system.store.write() as tx:
        now = system.clock.now()
        point, since = _place(tx, wanted, now)
        has_keys = bool(headend.key_statuses(tx, meter_id=wanted.meter_id))
        link = headend.MeterLink(
            meter_id=wanted.meter_id,
            driver=wanted.driver,
            address=wanted.address,
            concentrator=wanted.concentrator,
            companion=wanted.companion,
            options=_options(wanted, has_keys=has_keys),
        )
        headend.put_meters(tx, links=[link], now=now)
        if wanted.secrets != MeterSecrets():
            vault = system.meters.tools.vault
            assert vault is not None  # noqa: S101 - a system always has one
            headend.put_keys(tx, meter_id=link.meter_id, keys=keys_of(wanted.secrets), vault=vault, now=now)
        if wanted.profile is not None:
            start = from_epoch(epoch(since) // wanted.seconds * wanted.seconds)
            plan = headend.ProfilePlan(
                meter_id=link.meter_id, profile=wanted.profile, seconds=wanted.seconds, start=start, every=wanted.every
            )
            headend.expect(tx, plans=[plan], now=now)
        for log in wanted.logs:
            headend.expect_events(tx, meter_ids=[link.meter_id], log=log, every=_LOGS_EVERY, since=since, now=now)
    return {
        "meter": link.meter_id,
        "driver": link.driver,
        "address": link.address,
        "options": dict(link.options),
        "point": point,
        "since": _told(since),
        "profile": wanted.profile,
        "logs": list(wanted.logs),
    }


def _options(wanted: MeterToLink, *, has_keys: bool) -> dict[str, str]:
    options = dict(wanted.options)
    if wanted.driver == "dlms" and "client" not in options:
        keyed = wanted.secrets.key is not None or (has_keys and wanted.secrets == MeterSecrets())
        options["client"] = _CLIENTS["keys" if keyed else "password" if wanted.secrets.password else "nothing"]
    return options


def _place(tx: Transaction, wanted: MeterToLink, now: datetime) -> tuple[str, datetime]:
    """Where the meter hangs, and since when; it is installed if it hangs nowhere."""
    hangs = registry.installed_at(tx, meter_ids=[wanted.meter_id]).get(wanted.meter_id, [])
    if hangs and hangs[-1].until is None:
        return hangs[-1].service_point_id, max(wanted.since or hangs[-1].since, hangs[-1].since)
    if hangs:
        raise PlaceTaken(
            f"meter {wanted.meter_id} was taken down at {_told(hangs[-1].until or now)}",
            remedy="link the meter that hangs there now, under a name of its own",
        )
    point = wanted.point
    if registry.unknown_points(tx, service_point_ids=[point]):
        registry.add_premise(tx, premise_id=point, kind="unknown", address="", zone=wanted.zone)
        registry.add_service_point(tx, service_point_id=point, premise_id=point)
    known = registry.metered_points(tx, service_point_ids=[point])[point]
    since = wanted.since or (now - _REMEMBERED if known.since is None else now).replace(
        minute=0, second=0, microsecond=0
    )
    if known.since is not None and known.until is None:
        other = registry.meter_at(tx, service_point_id=point, at=now).meter_id
        begun = registry.installed_at(tx, meter_ids=[other])[other][-1].since
        if since <= begun:
            raise PlaceTaken(
                f"meter {other} hangs at {point} since {_told(begun)}",
                remedy="say with --since when this one took its place, or name another --point",
            )
    registry.install_meter(
        tx,
        meter_id=wanted.meter_id,
        serial=wanted.meter_id,
        service_point_id=point,
        interval_seconds=wanted.seconds,
        at=since,
    )
    return point, since


def headend_status(options: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
    """How the head-end stands, and each of these meters, or all."""
    with opened(options) as system, system.store.read() as tx:
        now = system.clock.now()
        if meter_ids:
            headend.linked(tx, meter_ids=meter_ids)
        statuses = headend.meter_statuses(tx, meter_ids=meter_ids or None, now=now)
        stands = headend.standing(tx, now=now)
        gaps: Counter[str] = Counter()
        for gap in headend.gaps(tx, meter_ids=meter_ids or None, now=now):
            gaps[gap.meter_id] += 1
    return {
        "linked": stands.linked,
        "failing": dict(stands.failing),
        "rows_due": stands.rows_due,
        "rows_given_up": stands.rows_given_up,
        "commands": stands.commands,
        "meters": [
            {
                "meter": one.link.meter_id,
                "driver": one.link.driver,
                "address": one.link.address,
                "contacted_at": None if one.contacted_at is None else _told(one.contacted_at),
                "visit_at": None if one.visit_at is None else _told(one.visit_at),
                "visited": one.visited,
                "clock_off": one.clock_off,
                "gaps": gaps[one.link.meter_id],
                "failures": one.failures,
                "fault": (one.fault or "error") if one.failures else None,
                "detail": one.detail,
            }
            for one in statuses
        ],
    }


def collect_meters(options: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
    """A round of collection over the meters that are due; these, though they are not, or all."""
    with opened(options) as system:
        if meter_ids:
            with system.store.write() as tx:
                headend.linked(tx, meter_ids=meter_ids)
                headend.hurry(tx, meter_ids=meter_ids, now=system.clock.now())
        done = system.meters.collect(only=meter_ids or None)
    return {"reached": done.reached, "failed": dict(done.failed), "rows": done.rows, "done": not done.failed}


# --- Asking ---


def ask_meter(options: SystemOptions, question: Question) -> Mapping[str, Any]:
    """Ask a meter and wait for its answers; raises :class:`control.MeterUnreachable` when it gave none."""
    with opened(options) as system:
        requests = _requests(question, system.clock.now())
        asks = system.meters.ask_all(requests)
        if all(one.state == "waiting" for one in asks):
            raise _not_reached(system, question.meter_id)
        with system.store.read() as tx:
            companion = headend.linked(tx, meter_ids=[question.meter_id])[question.meter_id].companion
    told: dict[str, Any] = {"meter": question.meter_id}
    failed: dict[str, str] = {}
    for one in asks:
        if one.answer is None:
            failed[one.arguments.get("log") or one.what] = one.detail or f"no answer: {one.state}"
        else:
            _tell(told, one, one.answer, question, companion)
    return told | {"failed": failed, "done": not failed}


def _requests(question: Question, now: datetime) -> list[headend.AskRequest]:
    def request(what: headend.What, **more: Any) -> headend.AskRequest:  # noqa: ANN401 - as AskRequest has them
        return headend.AskRequest(
            id=new_id("ask"), meter_id=question.meter_id, what=what, valid_for=timedelta(minutes=2), **more
        )

    if question.logs:
        return [request("events", log=log, since=question.first) for log in question.logs]
    found = [request("clock")]
    if question.registers:
        found.append(request("registers", names=list(question.registers)))
    if question.relay:
        found.append(request("relay"))
    if question.limit:
        found.append(request("limit"))
    if question.profile is not None:
        last = question.last or now
        period = Period(question.first or last - timedelta(days=1), last)
        found.append(request("profile", profile=question.profile, seconds=question.seconds, period=period))
    return found


def _tell(
    told: dict[str, Any], one: headend.Ask, answer: Mapping[str, Any], question: Question, companion: str
) -> None:
    match one.what:
        case "clock":
            told["clock"] = {
                "at": _told(from_epoch(answer["at"])),
                "valid": answer["valid"],
                "off_seconds": answer["off"],
            }
        case "registers":
            told["registers"] = [
                one | {"at": _told(from_epoch(one["at"])), "unit": _unit(one)} for one in answer["registers"]
            ]
            names = {one["name"] for one in answer["registers"]}
            told["missing"] = [name for name in question.registers if name not in names]
        case "profile":
            rows = [
                {"start": _told(from_epoch(start)), "values": values, "status": status}
                for start, values, status in answer["rows"]
            ]
            told["profile"] = {"name": question.profile, "channels": answer["channels"], "rows": rows}
        case "events":
            told.setdefault("events", []).extend(
                {
                    "at": _told(from_epoch(entry["at"])),
                    "log": one.arguments["log"],
                    "code": entry["code"],
                    "kind": str(headend.event_kind(entry["code"], companion=companion)),
                }
                for entry in answer["events"]
            )
        case _:
            told[one.what] = dict(answer)


def _unit(register: Mapping[str, Any]) -> str:
    return register["unit"] if not register["scale"] else f"10^{register['scale']} {register['unit']}".strip()


def _not_reached(system: System, meter_id: str) -> control.MeterUnreachable:
    with system.store.read() as tx:
        (status,) = headend.meter_statuses(tx, meter_ids=[meter_id], now=system.clock.now())
    why = f"{status.fault or 'error'}: {status.detail}" if status.failures else "somebody else talks to it"
    return control.MeterUnreachable(f"meter {meter_id} gave no answer ({why})", remedy="wattledger headend status")


# --- Commanding ---


def command_meter(options: SystemOptions, order: Order) -> Mapping[str, Any]:
    """Command a meter and wait for the proof."""
    with opened(options) as system:
        request = headend.CommandRequest(
            id=new_id("cmd"),
            meter_id=order.meter_id,
            action=order.action,
            watts=order.watts,
            actor=_ACTOR,
            reason=order.reason,
            valid_for=_VALID_FOR,
        )
        done = system.meters.carry_out(request)
        detail = done.detail
        if done.state == "queued":
            detail = f"{_not_reached(system, order.meter_id)}; it is sent if the meter is reached within 15 minutes"
    return {
        "id": done.id,
        "meter": done.meter_id,
        "action": done.action,
        "watts": done.watts,
        "state": done.state,
        "seen": done.seen,
        "detail": detail,
        "attempts": done.attempts,
        "done": done.state == "confirmed",
    }


def rotate_keys(options: SystemOptions, meter_id: str) -> Mapping[str, Any]:
    """Give a meter new keys and wait until a conversation under them went well."""
    with opened(options) as system:
        keys = system.meters.rotate_keys(meter_id)
        told = _keys(meter_id, keys)
        if keys[-1].state == "new" and not keys[-1].attempts:
            problem = _not_reached(system, meter_id)
            told["keys"][-1]["detail"] = f"{problem}; they are given at the next conversation"
    return told | {"done": keys[-1].state == "active"}


def meter_keys(options: SystemOptions, meter_id: str) -> Mapping[str, Any]:
    """The generations of a meter's keys; never the keys."""
    with opened(options) as system, system.store.read() as tx:
        headend.linked(tx, meter_ids=[meter_id])
        return _keys(meter_id, headend.key_statuses(tx, meter_id=meter_id))


def _keys(meter_id: str, keys: Sequence[headend.KeyStatus]) -> dict[str, Any]:
    return {
        "meter": meter_id,
        "keys": [
            {
                "generation": one.generation,
                "state": one.state,
                "changed_at": _told(one.changed_at),
                "attempts": one.attempts,
                "detail": one.detail,
            }
            for one in keys
        ],
    }


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
