"""The exceptions queue over HTTP: what validation found, by the money at stake, and what people decide about it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol, cast

from fastapi import FastAPI, Query

from wattledger import readings
from wattledger.api import models as m
from wattledger.kernel import Money, Period, Problem, Quality
from wattledger.readings import vee
from wattledger.store import Store

_DAYS_MAX = 400
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_Name = Annotated[str | None, Query(pattern=m.NAME)]


class ValidationRefused(Problem):
    """A validation asked for makes no sense."""

    slug = "validation-refused"
    title = "This cannot be validated"
    status = 422


class ReviewDesk(Protocol):
    """Where what is stored is validated and decided about, with everything that follows from it."""

    def validate(self, *, period: Period, points: Collection[str] | None = None) -> readings.Validated:
        """Validate a period of some points, or of all."""
        ...

    def decide(self, *, exception_id: str, decision: readings.Decision, preview: bool = False) -> readings.Decided:
        """Carry out a decision, or tell what it would come to."""
        ...


def add_exceptions(
    api: FastAPI, *, prefix: str, store: Store, desk: ReviewDesk, problems: dict[int | str, dict[str, Any]]
) -> None:
    """Put the queue's routes on the application."""

    @api.get(f"{prefix}/exceptions", operation_id="listExceptions", responses=problems)
    def exceptions(
        state: Annotated[list[m.ExceptionState] | None, Query(description="What asks for a person if none")] = None,
        rule: _Name = None,
        service_point: _Name = None,
        channel: _Name = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> m.ReadingExceptionList:
        """The queue, most money at stake first; then most energy, then the oldest."""
        states = state or readings.ASKING
        with store.read() as tx:
            found = readings.exceptions(
                tx,
                states=states,
                rule=rule,
                service_point_id=service_point,
                channel=channel,
                limit=limit,
                offset=offset,
            )
            total = readings.exception_count(
                tx, states=states, rule=rule, service_point_id=service_point, channel=channel
            )
        return m.ReadingExceptionList(items=[_view(one) for one in found], total=total)

    @api.get(f"{prefix}/exceptions/{{exception_id}}", operation_id="getException", responses=problems)
    def exception(exception_id: str) -> m.ReadingExceptionDetail:
        """One exception: its values as they came and as they stand, and everything that was done about it."""
        with store.read() as tx:
            one = readings.exception_with_id(tx, exception_id=exception_id)
            steps = readings.exception_steps(tx, exception_id=exception_id)
            stands = readings.standing_values(tx, one)
        return m.ReadingExceptionDetail(
            exception=_view(one), values=_values(one, stands), steps=[_step(step) for step in steps]
        )

    @api.post(f"{prefix}/exceptions/{{exception_id}}/decisions", operation_id="decideException", responses=problems)
    def decide(exception_id: str, request: m.DecisionRequest) -> m.DecisionView:
        """Accept, edit, estimate or reject; the history and everything priced from it follow at once."""
        decided = desk.decide(
            exception_id=exception_id,
            decision=readings.Decision(
                action=request.action,
                actor=request.actor,
                reason=request.reason,
                wh=None if request.values is None else readings.watt_hours(request.values),
                method=None if request.method is None else vee.Method(request.method),
                revision=request.revision,
            ),
            preview=request.preview,
        )
        return m.DecisionView(
            exception=_view(decided.exception),
            energy_before=_energy(decided.before.known_wh),
            energy_after=_energy(decided.after.known_wh),
            effect=_text(decided.effect),
            currency=None if decided.effect is None else decided.effect.currency,
            waits=decided.waits,
            preview=request.preview,
        )

    @api.post(f"{prefix}/validations", operation_id="validateReadings", responses=problems)
    def validate(request: m.ValidationRequest) -> m.ValidationView:
        """Check what is stored: doubts and gaps become exceptions, short gaps are estimated. Safe to repeat."""
        done = desk.validate(period=_period(request.start, request.end), points=request.service_points)
        return m.ValidationView(
            start=done.period.start,
            end=done.period.end,
            channels=done.points,
            intervals=done.intervals,
            found=dict(done.found),
            exceptions_opened=done.opened,
            exceptions_changed=done.changed,
            exceptions_superseded=done.superseded,
            intervals_estimated=done.estimated,
            intervals_doubted=done.doubted,
            intervals_put_aside=done.put_aside,
            intervals_restored=done.restored,
        )


def _period(start: datetime, end: datetime) -> Period:
    try:
        period = Period(start, end)
        if period.start < _FIRST:
            raise ValueError("nothing was read before 1970")  # noqa: TRY301 - refused as what else makes no period
    except (ValueError, OverflowError) as error:
        raise ValidationRefused(
            f"start={start.isoformat()}, end={end.isoformat()}: {error}",
            remedy="name instants with an offset, from 1970 on, the end after the start: 2026-03-01T00:00:00Z",
        ) from error
    if period.seconds > _DAYS_MAX * 86_400:
        raise ValidationRefused(f"the period is longer than {_DAYS_MAX} days", remedy="ask for less at a time")
    return period


def _view(one: readings.ReadingException) -> m.ReadingExceptionView:
    proposal = one.proposal
    return m.ReadingExceptionView(
        id=one.id,
        service_point=one.service_point_id,
        channel=one.channel,
        unit=one.unit,
        interval_seconds=one.seconds,
        rule=one.rule,
        severity=cast("Literal['info', 'suspect', 'fail']", one.severity.name.lower()),
        state=one.state,
        start=one.period.start,
        end=one.period.end,
        words=one.words,
        stake_energy=_energy(one.stake_wh),
        stake=_text(one.stake),
        currency=None if one.stake is None else one.stake.currency,
        method=one.method or None,
        proposal=None
        if proposal is None
        else m.ExceptionProposal(
            action=proposal.action,
            by=proposal.by,
            reason=proposal.reason,
            at=proposal.at,
            effect=_text(proposal.effect),
        ),
        revision=one.revision,
        decided_by=one.decided_by or None,
        found_at=one.found_at,
        changed_at=one.changed_at,
        closed_at=one.closed_at,
    )


def _values(one: readings.ReadingException, stands: readings.Values) -> list[m.ExceptionValue]:
    came = one.seen
    return [
        m.ExceptionValue(
            start=one.period.start + timedelta(seconds=number * one.seconds),
            came=_known(came, number),
            came_quality=_quality(came, number),
            stands=_known(stands, number),
            stands_quality=_quality(stands, number),
        )
        for number in range(len(came))
    ]


def _known(values: readings.Values, number: int) -> str | None:
    return None if values.quality[number] == Quality.MISSING else _energy(int(values.wh[number]))


def _quality(values: readings.Values, number: int) -> m.QualityName:
    return cast("m.QualityName", Quality(int(values.quality[number])).name.lower())


def _step(step: readings.ExceptionStep) -> m.ExceptionStepView:
    return m.ExceptionStepView(
        at=step.at,
        actor=step.actor,
        action=step.action,
        reason=step.reason,
        state_before=step.state_before,
        state_after=step.state_after,
        energy_before=None if step.before is None else _energy(step.before.known_wh),
        energy_after=None if step.after is None else _energy(step.after.known_wh),
        effect=_text(step.effect),
        batch=step.batch_id,
    )


def _energy(wh: int) -> str:
    return f"{Decimal(wh).scaleb(-3):f}"


def _text(amount: Money | None) -> str | None:
    return None if amount is None else amount.text
