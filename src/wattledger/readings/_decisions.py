"""What people decide about exceptions: accept, edit, estimate, reject; by whom and why, and by two above a limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from wattledger.kernel import Energy, Money, Period, Problem, Quality, epoch, zone_named
from wattledger.readings import vee
from wattledger.readings._arrivals import METERED, batch_of, standing_values
from wattledger.readings._bounded import bounded_estimates
from wattledger.readings._exceptions import (
    EDIT_REPLACED,
    LIVE,
    MACHINE,
    Action,
    ExceptionStep,
    Proposal,
    ReadingException,
    Stake,
    State,
    Values,
    exception_with_id,
    exceptions_about,
    write_exceptions,
    write_steps,
)
from wattledger.readings._history import series
from wattledger.readings._memory import head_of
from wattledger.readings._registers import registers_of_points
from wattledger.readings.ports import TakeIn, Worth, only_store, worth_unknown
from wattledger.registry import metered_points
from wattledger.store import Transaction

_NAME_MAX = 120
_REASON_MAX = 2_000
_WH_MAX = 2**31 - 1
_TOLD_MAX = 40
_AMOUNT = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{0,15})?")  # plainly: 1e999999 is a number, too
_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")  # no database takes these in a text
_BECOMES: dict[Action, State] = {
    "accept": "accepted",
    "edit": "edited",
    "estimate": "estimated",
    "reject": "rejected",
}


class ExceptionDecided(Problem):
    """An exception is not any more as it was when somebody decided about it."""

    slug = "exception-decided"
    title = "This exception has changed meanwhile"
    status = 409


class SecondPersonNeeded(Problem):
    """A change of much money needs another person than the one who proposed it."""

    slug = "second-person-needed"
    title = "Another person has to agree"
    status = 409


class DecisionRefused(Problem):
    """A decision cannot be carried out as it was said."""

    slug = "decision-refused"
    title = "This cannot be decided so"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPolicy:
    """What one person may decide alone.

    ``second_person_above``  a change whose effect on the bill is more than so many units of its currency waits for a
                             second person; ``None``: one person decides about everything
    """

    second_person_above: Decimal | None = Decimal(50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody wants done about an exception, and why.

    ``wh``        of an edit: watt-hours of each interval of the stretch; not given: as was proposed
    ``method``    of an estimate: a straight line or like days; not given: as the rules say
    ``revision``  the exception's, when they looked at it; not given: whatever it is
    """

    action: Action
    actor: str
    reason: str
    wh: Sequence[int] | None = None
    method: vee.Method | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decided:
    """What a decision comes to: the values ``before`` and ``after`` it, and its ``effect`` on the bill by the price.

    ``waits`` while a second person has to agree. ``effect`` is ``None`` where no tariff prices the energy.
    """

    exception: ReadingException
    before: Values
    after: Values
    effect: Money | None
    waits: bool


def watt_hours(kwh: Sequence[str]) -> list[int]:
    """Kilowatt-hours as text in whole watt-hours; raises :class:`DecisionRefused`, naming the first that is none."""
    found = []
    for number, told in enumerate(kwh):
        try:
            if not _AMOUNT.fullmatch(told):
                raise ValueError(told)  # noqa: TRY301 - with those that are finer than a watt-hour
            found.append(Energy.from_kilowatt_hours(told).wh)
        except ValueError as error:
            raise DecisionRefused(
                f"value {number + 1} of {len(kwh)}: {told[:_TOLD_MAX]!r} is no whole number of watt-hours",
                remedy="write kWh as 0.25",
            ) from error
    return found


def decide(  # noqa: PLR0913 - the ports are many
    tx: Transaction,
    *,
    exception_id: str,
    decision: Decision,
    rules: vee.Rules,
    now: datetime,
    policy: DecisionPolicy | None = None,
    take_in: TakeIn = only_store,
    worth: Worth = worth_unknown,
    preview: bool = False,
) -> Decided:
    """Decide about an exception; with ``preview`` only tell what that would come to.

    ``accept``    the value stands as it came; where the rules had estimated what lacked, the estimate stands
    ``edit``      the values given stand, as SUBSTITUTED
    ``estimate``  an estimate stands until the reading comes
    ``reject``    the value is taken out: missing, until a reading comes or somebody estimates

    Raises :class:`ExceptionNotFound`, :class:`ExceptionDecided` when another was faster or other values have come,
    :class:`SecondPersonNeeded` and :class:`DecisionRefused`.
    """
    if not preview:
        head_of(tx, locked=True)  # whoever decides, and whatever arrives, goes in turn
    one = exception_with_id(tx, exception_id=exception_id)
    decision = _as_said(decision)
    stands = standing_values(tx, one)
    _check_unchanged(one, decision, stands)
    after, method = _Outcome(tx, one, stands, rules).of(decision)
    difference = after.known_wh - stands.known_wh
    stake = Stake(one.service_point_id, one.channel, one.period, difference)
    effect = worth(tx, stakes=[stake])[0] if difference else (one.stake and Money.zero(one.stake.currency))
    alone = not _is_much(effect, policy or DecisionPolicy()) or _agreed(one, decision, after)
    if preview:
        return Decided(exception=one, before=stands, after=after, effect=effect, waits=not alone)
    batch_id = None
    if alone:
        batch_id = _write(tx, one, decision, (stands, after), rules, method, take_in, now)
        done = replace(
            one,
            state=_BECOMES[decision.action],
            made=after,
            method=method or one.method,
            proposal=None,
            decided_by=decision.actor,
            closed_at=now,
        )
    else:
        proposal = Proposal(decision.action, decision.actor, decision.reason, now, after, effect, method)
        done = replace(one, state="waiting", proposal=proposal)
    done = replace(done, revision=one.revision + 1, changed_at=now)
    step = ExceptionStep(
        at=now,
        actor=decision.actor,
        action=decision.action if alone else "propose",
        reason=decision.reason,
        state_before=one.state,
        state_after=done.state,
        period=one.period,
        before=stands,
        after=after,
        effect=effect,
        batch_id=batch_id,
    )
    write_exceptions(tx, [done])
    write_steps(tx, [(one.id, step)])
    return Decided(exception=done, before=stands, after=after, effect=effect, waits=not alone)


def _as_said(decision: Decision) -> Decision:
    """A decision that can be understood and kept; blanks around a name make it no other person's."""
    actor, reason = " ".join(decision.actor.split()), decision.reason.strip()
    for name, said, most in (("actor", actor, _NAME_MAX), ("reason", reason, _REASON_MAX)):
        if not said or len(said) > most:
            raise DecisionRefused(f"{name}: {len(said)} characters", remedy=f"say it in 1 to {most} characters")
        if _NOT_KEPT.search(said):
            raise DecisionRefused(f"{name}: {said[:_TOLD_MAX]!r} is no text", remedy="leave out what is no character")
    if actor.casefold() == MACHINE:
        raise DecisionRefused(f"actor: {actor!r} stands for what nobody decided", remedy="name the person who decides")
    if decision.wh is not None and decision.action != "edit":
        raise DecisionRefused(f"values are given, and {decision.action} takes none", remedy="only an edit takes values")
    if decision.method is not None and decision.action != "estimate":
        raise DecisionRefused(f"a method is named, and {decision.action} has none", remedy="only an estimate has one")
    return replace(decision, actor=actor, reason=reason)


def _check_unchanged(one: ReadingException, decision: Decision, stands: Values) -> None:
    """Nobody was faster, and nothing has come that the decision does not know of."""
    look = f"look at it again: GET /api/v1/exceptions/{one.id} or `wattledger readings queue`"
    if not one.live:
        raise ExceptionDecided(
            f"exception {one.id} was {one.state} on {one.changed_at.isoformat()} by {one.decided_by or 'itself'}",
            remedy=look,
        )
    if decision.revision is not None and decision.revision != one.revision:
        raise ExceptionDecided(
            f"exception {one.id} is at revision {one.revision}, what was looked at is {decision.revision}", remedy=look
        )
    came = np.isin(stands.quality, METERED)
    moved = ~stands.same(one.made) if len(one.made) else came & (stands.wh != one.seen.wh)
    if moved.any():
        last = one.period.end - timedelta(seconds=one.seconds)
        raise ExceptionDecided(
            f"exception {one.id}: {int(moved.sum())} of its intervals have other values by now",
            remedy=f"validate the time again: POST /api/v1/validations or `wattledger readings validate --from "
            f"{one.period.start:%Y-%m-%d} --to {last:%Y-%m-%d} --point {one.service_point_id}`",
        )


def _is_much(effect: Money | None, policy: DecisionPolicy) -> bool:
    limit = policy.second_person_above
    return effect is not None and limit is not None and abs(effect.amount) > limit


def _agreed(one: ReadingException, decision: Decision, after: Values) -> bool:
    """Whether another person had proposed just this."""
    proposal = one.proposal
    if proposal is None:
        return False
    same = proposal.action == decision.action and proposal.values == after
    if proposal.by.casefold() == decision.actor.casefold():
        if same:
            raise SecondPersonNeeded(
                f"exception {one.id}: {decision.actor} has proposed this", remedy="somebody else has to agree"
            )
        return False  # who proposed may think better of it
    if not same:
        raise ExceptionDecided(
            f"exception {one.id}: what {proposal.by} proposed ({proposal.action}) waits for a second person",
            remedy="agree by saying the same, or let them take it back",
        )
    return True


class _Outcome:
    """What should stand after a decision."""

    def __init__(self, tx: Transaction, one: ReadingException, stands: Values, rules: vee.Rules) -> None:
        self._tx, self._one, self._stands, self._rules = tx, one, stands, rules

    def of(self, decision: Decision) -> tuple[Values, str]:
        """The values, and the method of an estimate."""
        if decision.action == "accept":
            return self._accepted(), ""
        if decision.action == "edit":
            return self._edited(decision), ""
        if decision.action == "estimate":
            return self._estimated(decision.method)
        return self._rejected(), ""

    def _accepted(self) -> Values:
        one, stands = self._one, self._stands
        lacks = one.rule == vee.Rule.MISSING.value
        if lacks and (stands.quality == Quality.MISSING).any():
            raise DecisionRefused(
                f"exception {one.id}: there is no value that could stand", remedy="estimate it, or give the values"
            )
        if lacks or one.rule == EDIT_REPLACED or not len(one.made):
            return stands
        free = np.isin(one.seen.quality, METERED) & ~self._doubted_otherwise()
        return Values(
            np.where(free, one.seen.wh, stands.wh), np.where(free, Quality.ACTUAL, stands.quality).astype(np.uint8)
        )

    def _doubted_otherwise(self) -> NDArray[np.bool_]:
        """Where another rule doubts the value, too: that is for its own exception to decide."""
        one = self._one
        doubted = np.zeros(len(one.seen), dtype=np.bool_)
        for other in exceptions_about(
            self._tx, period=one.period, states=LIVE, channel=one.channel, service_point_ids=[one.service_point_id]
        ):
            if other.id != one.id and other.severity >= vee.Severity.SUSPECT and other.seconds == one.seconds:
                first, last = ((epoch(at) - epoch(one.period.start)) // one.seconds for at in _ends(other.period))
                doubted[max(first, 0) : max(last, 0)] = True
        return doubted

    def _edited(self, decision: Decision) -> Values:
        one, wh = self._one, decision.wh
        if wh is None and one.proposal is not None and one.proposal.action == "edit":
            return one.proposal.values
        if wh is None or len(wh) != len(one.seen):
            raise DecisionRefused(
                f"exception {one.id}: {0 if wh is None else len(wh)} values for {len(one.seen)} intervals",
                remedy="give one value for each interval of the stretch, in order",
            )
        if not all(0 <= value <= _WH_MAX for value in wh):
            raise DecisionRefused(
                f"exception {one.id}: a value is below nothing or beyond 2,147,483.647 kWh",
                remedy="what is given back stands on the export channel",
            )
        return Values(np.array(wh, dtype=np.int32), np.full(len(wh), Quality.SUBSTITUTED, dtype=np.uint8))

    def _estimated(self, method: vee.Method | None) -> tuple[Values, str]:
        one, rules = self._one, self._rules.of(self._one.channel)
        if method is vee.Method.FLAT:
            raise DecisionRefused("nobody can ask for a flat estimate", remedy="ask for linear or like days")
        if method is not None:
            hours = Decimal(9000) if method is vee.Method.LINEAR else Decimal(0)
            rules = replace(rules, estimate=replace(rules.estimate, linear_hours=hours))
        reach = timedelta(days=rules.estimate.reach_days + 1)
        around = Period(one.period.start - reach, one.period.end + reach)
        known = series(self._tx, service_point_id=one.service_point_id, period=around, channel=one.channel)
        first, last = _ends(one.period)
        known = known.picked((known.starts < epoch(first)) | (known.starts >= epoch(last)))
        reads = registers_of_points(
            self._tx, service_point_ids=[one.service_point_id], channel=one.channel, period=around
        ).get(one.service_point_id)
        about = metered_points(self._tx, service_point_ids=[one.service_point_id]).get(one.service_point_id)
        zone = zone_named("UTC" if about is None else about.zone)
        guessed = vee.estimate(known, rules=rules, zone=zone, within=one.period, unit=one.unit)
        whole = sum(len(part.values) for part in guessed.filled) == len(one.seen)
        if not whole or known.seconds != one.seconds:
            why = guessed.unfilled[0].why if guessed.unfilled else "nothing is known around it"
            raise DecisionRefused(f"exception {one.id} cannot be estimated: {why}", remedy="give the values")
        used = guessed.filled[0].method
        if method is not None and used is not method:
            raise DecisionRefused(
                f"exception {one.id}: no estimate by {method.value} is possible, one by {used.value} is",
                remedy="let the rules choose the method, or give the values",
            )
        wh = np.concatenate([part.values for part in guessed.filled])
        if reads is not None:
            for part in bounded_estimates(known, reads, rules=rules, zone=zone, unit=one.unit):
                at = (epoch(part.period.start) - epoch(first)) // one.seconds
                a, b = max(at, 0), min(at + len(part.values), len(wh))
                if a < b:
                    wh[a:b] = part.values[a - at : b - at]
        wh = np.clip(wh, 0, _WH_MAX).astype(np.int32)
        return Values(wh, np.full(len(wh), Quality.ESTIMATED, dtype=np.uint8)), used.value

    def _rejected(self) -> Values:
        one, stands = self._one, self._stands
        if (stands.quality == Quality.MISSING).all():
            raise DecisionRefused(
                f"exception {one.id}: there is no value that could be taken out", remedy="estimate it, or wait"
            )
        return Values(np.zeros_like(stands.wh), np.zeros_like(stands.quality))


def _ends(period: Period) -> tuple[datetime, datetime]:
    return period.start, period.end


def _write(  # noqa: PLR0913, PLR0917 - what a batch says of itself
    tx: Transaction,
    one: ReadingException,
    decision: Decision,
    values: tuple[Values, Values],
    rules: vee.Rules,
    method: str,
    take_in: TakeIn,
    now: datetime,
) -> str | None:
    """Store what is other than before; the batch that did it."""
    before, after = values
    at = np.flatnonzero(~before.same(after))
    if not len(at):
        return None
    starts = epoch(one.period.start) + one.seconds * at
    batch = batch_of(
        one.channel,
        one.seconds,
        [(one.service_point_id, starts, Values(after.wh[at], after.quality[at]))],
        head_of(tx).version,
        f"{one.rule} {rules.digest}",
        method,
        actor=decision.actor,
        reason=decision.reason,
    )
    take_in(tx, batches=[batch], now=now)
    return batch.id
