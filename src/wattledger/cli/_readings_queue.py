"""``wattledger readings validate|queue|accept|edit|estimate|reject``: what checks find in stored readings."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from wattledger.cli._options import DATA_DEFAULT, Data, Database, OptionRefused, SystemOptions

if TYPE_CHECKING:
    from wattledger.readings import Action, Decided, ReadingException, State, Validated

_NEVER = "never"
_YEARS = (1970, 9998)
_MOST = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What somebody decides about an exception; ``kwh`` for an edit, ``method`` for an estimate."""

    exception_id: str
    action: Action
    actor: str
    reason: str
    kwh: Sequence[str] | None = None
    method: str | None = None
    preview: bool = False


class ReviewedReadings(Protocol):
    """What ``app.py`` does for these commands."""

    def validate_readings(
        self, system: SystemOptions, *, first: date | None, last: date | None, points: Sequence[str] | None
    ) -> Validated:
        """Validate the days from ``first`` to ``last`` (yesterday), UTC, of some points or of all."""
        ...

    def exception_queue(
        self, system: SystemOptions, *, states: Sequence[State] | None, rule: str | None, point: str | None, limit: int
    ) -> tuple[Sequence[ReadingException], int]:
        """The head of the queue, and how long it is."""
        ...

    def decide_exception(self, system: SystemOptions, verdict: Verdict) -> Decided:
        """Carry a decision out, or tell what it would come to."""
        ...


def money_limit(told: str) -> Decimal | None:
    """An amount in whole units of whatever currency, or ``never``."""
    if told == _NEVER:
        return None
    try:
        limit = Decimal(told)
    except InvalidOperation:
        limit = Decimal(-1)
    if not limit.is_finite() or limit < 0:
        raise OptionRefused(f"--second-person-above {told!r} is no amount", remedy="write 50, or never")
    return limit


Rules = Annotated[
    Path | None,
    typer.Option(help="Rules of your own (YAML) in place of the shipped ones; docs/vee.md", envvar="WATTLEDGER_RULES"),
]
SecondPersonAbove = Annotated[
    str,
    typer.Option(
        help="A decision that moves more money than this (in its own currency) waits for a second person; or never",
        envvar="WATTLEDGER_SECOND_PERSON_ABOVE",
    ),
]
SECOND_PERSON_ABOVE = "50"

_Json = Annotated[bool, typer.Option("--json", help="Print JSON, every amount a decimal string")]
_Id = Annotated[str, typer.Argument(help="The exception, as `readings queue` lists it", metavar="EXCEPTION")]
_Actor = Annotated[str, typer.Option(help="Who decides", envvar="WATTLEDGER_ACTOR")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept")]
_Preview = Annotated[bool, typer.Option("--preview", help="Only show values before and after and the bill's effect")]


def add_review(group: typer.Typer, commands: ReviewedReadings) -> None:
    """Put the commands about exceptions beside ``readings check``."""
    _add_validate(group, commands)
    _add_queue(group, commands)
    _add_accept(group, commands)
    _add_edit(group, commands)
    _add_estimate(group, commands)
    _add_reject(group, commands)


def _add_validate(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def validate(
        *,
        first: Annotated[str | None, typer.Option("--from", help="First day, UTC: 2026-03-01; yesterday")] = None,
        last: Annotated[str | None, typer.Option("--to", help="Last day, UTC, included; the first one")] = None,
        point: Annotated[list[str] | None, typer.Option(help="Only this service point; may be repeated")] = None,
        rules: Rules = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Check what is stored: doubts and gaps become exceptions, short gaps are estimated. Safe to repeat."""
        begin, end = _day(first, "--from"), _day(last, "--to")
        if begin is not None and end is not None:
            _check_days(begin, end)
        done = commands.validate_readings(
            SystemOptions(data, database, rules=rules), first=begin, last=end, points=point or None
        )
        if json:
            _print_json(_validated(done))
            return
        span = _span(done.period.start, done.period.end)
        print_lines(
            [
                f"{span}: {done.intervals:,} intervals of {done.points:,} channels",
                "  found: " + (", ".join(f"{n:,} {rule}" for rule, n in done.found.items()) or "nothing"),
                f"  exceptions: {done.opened:,} new, {done.changed:,} changed, {done.superseded:,} closed by itself",
                f"  intervals: {done.estimated:,} estimated, {done.doubted:,} doubted",
                f"             {done.put_aside:,} put aside, {done.restored:,} given back",
            ]
        )


def _add_queue(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def queue(
        *,
        state: Annotated[
            list[str] | None,
            typer.Option(help="told, open, filled, waiting, accepted, edited, estimated, rejected, superseded"),
        ] = None,
        rule: Annotated[str | None, typer.Option(help="Only what this rule found")] = None,
        point: Annotated[str | None, typer.Option(help="Only this service point")] = None,
        limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show")] = 20,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Show what asks for a person, most money at stake first."""
        system = SystemOptions(data, database)
        found, total = commands.exception_queue(
            system,
            states=_states(state),
            rule=_rule(rule),
            point=point,
            limit=limit,
        )
        if json:
            _print_json({"total": total, "items": [as_json(one) for one in found]})
            return
        lines = []
        for one in found:
            stake = "not priced" if one.stake is None else str(one.stake)
            lines += [
                f"{one.id}  {stake:>16}  {one.state:<10} {one.rule:<14} {one.service_point_id} {one.channel}",
                f"    {_span(one.period.start, one.period.end)}: {one.words}",
            ]
            if one.proposal is not None:
                lines.append(f"    {one.proposal.by} proposes to {one.proposal.action}: {one.proposal.reason}")
        print_lines([*lines, f"{len(found)} of {total}"] if found else ["nothing asks for a person"])


def _states(told: Sequence[str] | None) -> Sequence[State] | None:
    from wattledger.readings import STATES  # noqa: PLC0415 - the store is imported when it is asked for

    known = [state for state in STATES if state in (told or ())]
    unknown = sorted(set(told or ()) - set(known))
    if unknown:
        raise OptionRefused(f"--state {unknown[0]!r} is none", remedy=f"one of {', '.join(STATES)}")
    return known or None


def _rule(told: str | None) -> str | None:
    from wattledger.readings import EDIT_REPLACED, vee  # noqa: PLC0415 - likewise

    known = [*(rule.value for rule in vee.Rule), EDIT_REPLACED]
    if told is not None and told not in known:
        raise OptionRefused(f"--rule {told!r} is none", remedy=f"one of {', '.join(known)}")
    return told


def _add_accept(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def accept(  # noqa: PLR0913 - one parameter an option
        exception: _Id,
        *,
        actor: _Actor,
        reason: _Reason,
        preview: _Preview = False,
        second_person_above: SecondPersonAbove = SECOND_PERSON_ABOVE,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Let the value stand as it came."""
        verdict = Verdict(exception_id=exception, action="accept", actor=actor, reason=reason, preview=preview)
        _decide(commands, _system(data, database, None, second_person_above), verdict, json=json)


def _add_edit(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def edit(  # noqa: PLR0913 - one parameter an option
        exception: _Id,
        *,
        actor: _Actor,
        reason: _Reason,
        kwh: Annotated[
            str | None, typer.Option(help="A value for each interval, in order: 0.25,0.3; as proposed when not given")
        ] = None,
        preview: _Preview = False,
        second_person_above: SecondPersonAbove = SECOND_PERSON_ABOVE,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Put other values in the place of those that are doubted or lack."""
        values = None if kwh is None else [part.strip() for part in kwh.split(",")]
        verdict = Verdict(
            exception_id=exception, action="edit", actor=actor, reason=reason, kwh=values, preview=preview
        )
        _decide(commands, _system(data, database, None, second_person_above), verdict, json=json)


def _add_estimate(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def estimate(  # noqa: PLR0913 - one parameter an option
        exception: _Id,
        *,
        actor: _Actor,
        reason: _Reason,
        method: Annotated[
            Literal["linear", "like days"] | None, typer.Option(help="In place of the one that the rules choose")
        ] = None,
        preview: _Preview = False,
        second_person_above: SecondPersonAbove = SECOND_PERSON_ABOVE,
        rules: Rules = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Put an estimate there until the reading comes."""
        verdict = Verdict(
            exception_id=exception, action="estimate", actor=actor, reason=reason, method=method, preview=preview
        )
        _decide(commands, _system(data, database, rules, second_person_above), verdict, json=json)


def _add_reject(group: typer.Typer, commands: ReviewedReadings) -> None:
    @group.command()
    def reject(  # noqa: PLR0913 - one parameter an option
        exception: _Id,
        *,
        actor: _Actor,
        reason: _Reason,
        preview: _Preview = False,
        second_person_above: SecondPersonAbove = SECOND_PERSON_ABOVE,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        json: _Json = False,
    ) -> None:
        """Take the value out: it is missing until a reading comes or somebody estimates it."""
        verdict = Verdict(exception_id=exception, action="reject", actor=actor, reason=reason, preview=preview)
        _decide(commands, _system(data, database, None, second_person_above), verdict, json=json)


def _system(data: Path, database: str | None, rules: Path | None, above: str) -> SystemOptions:
    return SystemOptions(data, database, rules=rules, second_person_above=money_limit(above))


def _decide(commands: ReviewedReadings, system: SystemOptions, verdict: Verdict, *, json: bool) -> None:
    decided = commands.decide_exception(system, verdict)
    one = decided.exception
    before, after = (f"{Decimal(values.known_wh).scaleb(-3):f}" for values in (decided.before, decided.after))
    if json:
        _print_json(
            {
                "exception": as_json(one),
                "energy_before": before,
                "energy_after": after,
                "effect": None if decided.effect is None else decided.effect.text,
                "currency": None if decided.effect is None else decided.effect.currency,
                "waits": decided.waits,
                "preview": verdict.preview,
            }
        )
        return
    effect = "no tariff prices it" if decided.effect is None else f"{decided.effect} on the bill, by the price"
    if verdict.preview:
        became = "would need a second person" if decided.waits else "would be carried out"
    else:
        became = "waits for a second person" if decided.waits else one.state
    print_lines(
        [
            f"{one.id} {became}",
            f"  {one.service_point_id} {one.channel}, {_span(one.period.start, one.period.end)}",
            f"  {before} -> {after} {one.unit}; {effect}",
        ]
    )


def _day(told: str | None, option: str) -> date | None:
    try:
        day = None if told is None else date.fromisoformat(told)
    except ValueError as error:
        raise OptionRefused(f"{option} {told!r} is no day", remedy="write it as 2026-03-01") from error
    if day is not None and not _YEARS[0] <= day.year <= _YEARS[1]:
        raise OptionRefused(f"{option} {told!r} is no day that is read", remedy="write it as 2026-03-01")
    return day


def _check_days(begin: date, end: date) -> None:
    if end < begin:
        raise OptionRefused(f"--to {end} is before --from {begin}", remedy="name the first day, then the last")
    if end - begin >= _MOST:  # a thousand homes of it are held at once
        raise OptionRefused(f"{begin} to {end} are more than {_MOST.days} days", remedy="validate less at a time")


def _span(start: datetime, end: datetime) -> str:
    one_day = end - start < timedelta(days=1) and start.date() == end.date()
    return (
        f"{start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
        if one_day
        else f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    )


def print_lines(lines: Sequence[str]) -> None:
    """Put lines on standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _print_json(said: dict[str, Any]) -> None:
    sys.stdout.write(json_text.dumps(said, indent=2, ensure_ascii=False) + "\n")


def _validated(done: Validated) -> dict[str, Any]:
    counts = ("points", "intervals", "opened", "changed", "superseded", "estimated", "doubted", "put_aside", "restored")
    return {
        "from": done.period.start.isoformat(),
        "to": done.period.end.isoformat(),
        "found": dict(done.found),
        **{name: getattr(done, name) for name in counts},
    }


def as_json(one: ReadingException) -> dict[str, Any]:
    """An exception as JSON."""
    return {
        "id": one.id,
        "point": one.service_point_id,
        "channel": one.channel,
        "rule": one.rule,
        "severity": one.severity.name.lower(),
        "state": one.state,
        "from": one.period.start.isoformat(),
        "to": one.period.end.isoformat(),
        "words": one.words,
        "stake_kwh": f"{Decimal(one.stake_wh).scaleb(-3):f}",
        "stake": None if one.stake is None else one.stake.text,
        "currency": None if one.stake is None else one.stake.currency,
        "method": one.method or None,
        "revision": one.revision,
        "proposal": None
        if one.proposal is None
        else {"action": one.proposal.action, "by": one.proposal.by, "reason": one.proposal.reason},
    }
