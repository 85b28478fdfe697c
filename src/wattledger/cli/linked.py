"""``wattledger headend status|collect`` and ``wattledger meter link|read|events|connect|disconnect|limit|keys``."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Protocol

import typer

from wattledger.cli._options import DATA_DEFAULT, Data, Database, OptionRefused, SystemOptions
from wattledger.cli.meter import (
    AuthKey,
    Key,
    MasterKey,
    MeterSecrets,
    Password,
    profile_lines,
    secrets_of,
    told_instant,
)

_NOT_DONE = 1
_WAITS = {"m": 60, "min": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterToLink:
    """How a meter is reached from now on, where it hangs, and what is collected from it.

    ``point``    its service point; it is made, and the meter installed there, if ``since`` is told and it hangs nowhere
    ``profile``  collected ``every`` so often from ``since`` on; ``None``: nothing is
    """

    meter_id: str
    driver: str
    address: str
    options: Mapping[str, str]
    concentrator: str
    companion: str
    secrets: MeterSecrets
    point: str
    zone: str
    since: datetime | None
    profile: str | None
    seconds: int
    every: timedelta
    logs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a linked meter is to be asked; what is ``None`` or empty is not."""

    meter_id: str
    registers: Sequence[str] = ()
    profile: str | None = None
    seconds: int = 900
    logs: Sequence[str] = ()
    first: datetime | None = None
    last: datetime | None = None
    relay: bool = False
    limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a linked meter is to do. ``watts`` is the limit, for ``set_limit`` alone."""

    meter_id: str
    action: Literal["switch_on", "switch_off", "set_limit"]
    reason: str
    watts: int | None = None


class LinkedMeters(Protocol):
    """What ``app`` does for these commands; what it returns is for JSON."""

    def link_meter(self, system: SystemOptions, wanted: MeterToLink) -> Mapping[str, Any]:
        """Link a meter."""
        ...

    def headend_status(self, system: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
        """How the head-end stands, and each of these meters, or all."""
        ...

    def collect_meters(self, system: SystemOptions, meter_ids: Sequence[str]) -> Mapping[str, Any]:
        """A round of collection."""
        ...

    def ask_meter(self, system: SystemOptions, question: Question) -> Mapping[str, Any]:
        """Ask a meter and wait for its answers."""
        ...

    def command_meter(self, system: SystemOptions, order: Order) -> Mapping[str, Any]:
        """Command a meter and wait for the proof."""
        ...

    def rotate_keys(self, system: SystemOptions, meter_id: str) -> Mapping[str, Any]:
        """Give a meter new keys and wait until they are proved."""
        ...

    def meter_keys(self, system: SystemOptions, meter_id: str) -> Mapping[str, Any]:
        """The generations of a meter's keys; never the keys."""
        ...


_Meter = Annotated[str, typer.Argument(metavar="ID", help="The meter, as it was linked")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the command")]


def add_linked(meter: typer.Typer, headend: typer.Typer, commands: LinkedMeters) -> None:
    """Add the commands about linked meters to the groups ``meter`` and ``headend``."""
    _add_status(headend, commands)
    _add_link(meter, commands)
    _add_asking(meter, commands)
    _add_orders(meter, commands)
    keys = typer.Typer(no_args_is_help=True, help="Keys of linked meters; never shown.")
    meter.add_typer(keys, name="keys")
    _add_keys(keys, commands)


def _say(told: Mapping[str, Any], lines: Callable[[Mapping[str, Any]], Sequence[str]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text.dumps(told, ensure_ascii=False))
    else:
        for line in lines(told):
            typer.echo(line)
    if not told.get("done", True):
        raise typer.Exit(_NOT_DONE)


# --- The head-end ---


def _add_status(group: typer.Typer, commands: LinkedMeters) -> None:
    @group.command("status")
    def status(
        meters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These meters; all if none")] = None,
        *,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Show how the head-end stands with its meters: last contact, what is missing, what is under way."""
        told = commands.headend_status(SystemOptions(data, database), meters or [])
        _say(told, _status_lines, as_json=as_json)

    @group.command("collect")
    def collect(
        meters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These meters; all if none")] = None,
        *,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Talk to every linked meter that is due, once. `wattledger serve` does so by itself."""
        told = commands.collect_meters(SystemOptions(data, database), meters or [])
        _say(told, _round_lines, as_json=as_json)


def _status_lines(told: Mapping[str, Any]) -> list[str]:
    rows_missing = f"{told['rows_due']} rows missing, {told['rows_given_up']} of them given up"
    failing = sum(told["failing"].values())
    lines = [f"{told['linked']} meters, {failing} failing; {rows_missing}; {told['commands']} commands open"]
    heads = ("meter", "address", "last contact", "next", "clock", "gaps", "trouble")
    rows = [
        (
            one["meter"],
            f"{one['driver']} {one['address']}",
            _minute(one["contacted_at"], "never"),
            "now" if one["visited"] else _minute(one["visit_at"], "-"),
            "" if one["clock_off"] is None else f"{one['clock_off']:+d} s",
            str(one["gaps"]) if one["gaps"] else "",
            "" if one["fault"] is None else f"{one['fault']} ({one['failures']} x): {one['detail']}",
        )
        for one in told["meters"]
    ]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads) - 1)]
    for row in (heads, *rows) if rows else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return lines


def _minute(told: str | None, otherwise: str) -> str:
    return otherwise if told is None else told[:16].replace("T", " ")


def _round_lines(told: Mapping[str, Any]) -> list[str]:
    failed = ", ".join(f"{count} {kind}" for kind, count in sorted(told["failed"].items()))
    return [f"{told['reached']} visits went well, {told['rows']} rows came" + (f"; failed: {failed}" if failed else "")]


# --- Linking ---


def _add_link(group: typer.Typer, commands: LinkedMeters) -> None:
    @group.command("link")
    def link(  # noqa: PLR0913 - one parameter an option
        meter: Annotated[str, typer.Argument(metavar="ID", help="What the meter is called from now on")],
        address: Annotated[
            str,
            typer.Argument(help="HOST:PORT, or in: if it connects in (and --option peer=), or what the driver takes"),
        ],
        *,
        driver: Annotated[str, typer.Option(help="Who speaks its protocol")] = "dlms",
        option: Annotated[
            list[str] | None,
            typer.Option("--option", help="NAME=VALUE for the driver; for dlms client, server, framing, suite ..."),
        ] = None,
        server: Annotated[int | None, typer.Option(help="The meter's logical device (dlms)", min=0, max=16_383)] = None,
        client: Annotated[
            int | None, typer.Option(help="Our address (dlms): 1 with keys, 2 with a password, else 16", min=1, max=127)
        ] = None,
        concentrator: Annotated[str, typer.Option(help="What it shares its line with")] = "",
        companion: Annotated[str, typer.Option(help="Whose event codes it has: idis, smr5, is15959")] = "idis",
        point: Annotated[
            str | None, typer.Option(help="The service point where it hangs; its own name if not told")
        ] = None,
        zone: Annotated[str, typer.Option(help="Time zone of a service point that is made")] = "UTC",
        since: Annotated[
            str | None, typer.Option("--since", help="Since when it hangs there and is collected; 40 days if not told")
        ] = None,
        collect: Annotated[
            str | None, typer.Option(help="The load profile that is collected, 1-0:99.1.0 for instance")
        ] = None,
        minutes: Annotated[int, typer.Option(help="Minutes of its intervals", min=1, max=60)] = 15,
        every: Annotated[str, typer.Option(help="How often it is collected: 15min, 1h, 1d")] = "1h",
        log: Annotated[
            list[str] | None, typer.Option("--log", help="An event log that is read every hour; may be repeated")
        ] = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
        key: Key = None,
        auth_key: AuthKey = None,
        master_key: MasterKey = None,
        password: Password = None,
    ) -> None:
        """Say how a meter is reached, with which keys, and what is collected from it.

        Said again it replaces what was said; without keys it keeps those it has. Keys are sealed before they are kept.
        """
        secrets = secrets_of(key=key, auth_key=auth_key, master_key=master_key, password=password)
        told = commands.link_meter(
            SystemOptions(data, database),
            MeterToLink(
                meter_id=meter,
                driver=driver,
                address=address,
                options=_driver_options(option or [], client=client, server=server),
                concentrator=concentrator,
                companion=companion,
                secrets=secrets,
                point=point or meter,
                zone=zone,
                since=told_instant(since, "--since"),
                profile=collect,
                seconds=minutes * 60,
                every=_wait(every),
                logs=log or [],
            ),
        )
        _say(told, _link_lines, as_json=as_json)


def _driver_options(told: Sequence[str], *, client: int | None, server: int | None) -> dict[str, str]:
    options = {} if client is None else {"client": str(client)}
    options |= {} if server is None else {"server": str(server)}
    for one in told:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise OptionRefused(f"--option {one!r} has no value", remedy="write it as NAME=VALUE")
        options[name] = value
    return options


def _wait(told: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5})\s*(m|min|h|d)", told)
    if found is None or not int(found[1]):
        raise OptionRefused(f"--every {told!r} is no time", remedy="write 15min, 1h or 1d")
    return timedelta(seconds=int(found[1]) * _WAITS[found[2]])


def _link_lines(told: Mapping[str, Any]) -> list[str]:
    lines = [f"{told['meter']} is reached at {told['driver']} {told['address']} and hangs at {told['point']}"]
    if told["profile"] is not None:
        lines.append(f"{told['profile']} is collected from {told['since']} on")
    return lines


# --- Asking ---


def _add_asking(group: typer.Typer, commands: LinkedMeters) -> None:
    @group.command("read")
    def read(  # noqa: PLR0913 - one parameter an option
        meter: _Meter,
        *,
        register: Annotated[
            list[str] | None, typer.Option("--register", help="A register to read; may be repeated")
        ] = None,
        profile: Annotated[str | None, typer.Option(help="A load profile to read, such as 1-0:99.1.0")] = None,
        minutes: Annotated[int, typer.Option(help="Minutes of its intervals", min=1, max=60)] = 15,
        first: Annotated[str | None, typer.Option("--from", help="First instant of the profile")] = None,
        last: Annotated[str | None, typer.Option("--to", help="End of it, not included")] = None,
        relay: Annotated[bool, typer.Option("--relay", help="How its disconnector stands")] = False,
        limit: Annotated[bool, typer.Option("--limit", help="How many watts it allows")] = False,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Read a linked meter now: its clock, and what is asked for besides. What comes is kept, too."""
        question = Question(
            meter_id=meter,
            registers=register or [],
            profile=profile,
            seconds=minutes * 60,
            first=told_instant(first, "--from"),
            last=told_instant(last, "--to"),
            relay=relay,
            limit=limit,
        )
        _say(commands.ask_meter(SystemOptions(data, database), question), _answer_lines, as_json=as_json)

    @group.command("events")
    def events(
        meter: _Meter,
        *,
        log: Annotated[
            list[str] | None, typer.Option("--log", help="A log to read; the four of IDIS if none is told")
        ] = None,
        first: Annotated[str | None, typer.Option("--from", help="Since when, by the meter's clock")] = None,
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Read the event logs of a linked meter now."""
        logs = log or ["0-0:99.98.0", "0-0:99.98.1", "0-0:99.98.2", "0-0:99.98.5"]
        question = Question(meter_id=meter, logs=logs, first=told_instant(first, "--from"))
        _say(commands.ask_meter(SystemOptions(data, database), question), _answer_lines, as_json=as_json)


def _answer_lines(told: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if "clock" in told:
        lines.append(f"clock     {told['clock']['at']}  ({told['clock']['off_seconds']:+d} s)")
    lines += [f"{one['name']:<14}{one['value']:>14}  {one['unit']}" for one in told.get("registers", ())]
    lines += [f"{name}  not in this meter" for name in told.get("missing", ())]
    if "relay" in told:
        stands = "on" if told["relay"]["output"] else "off"
        lines.append(f"supply    {stands}, {told['relay']['control_state'].replace('_', ' ')}")
    if "limit" in told:
        lines.append(f"limit     {told['limit']['watts']} W")
    if "profile" in told:
        lines += profile_lines(told["profile"])
    if "events" in told:
        lines += [f"{one['at']:<22}{one['log']:<14}{one['code']:>4}  {one['kind']}" for one in told["events"]]
        lines += [] if told["events"] else ["no entries"]
    lines += [f"{what}: {why}" for what, why in told.get("failed", {}).items()]
    return lines


# --- Commanding ---


def _add_orders(group: typer.Typer, commands: LinkedMeters) -> None:
    @group.command("connect")
    def connect(
        meter: _Meter,
        *,
        reason: _Reason = "asked for on the command line",
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Switch a supply on; ends with 0 when the meter was read back as connected, else with 1."""
        order = Order(meter_id=meter, action="switch_on", reason=reason)
        _say(commands.command_meter(SystemOptions(data, database), order), _order_lines, as_json=as_json)

    @group.command("disconnect")
    def disconnect(
        meter: _Meter,
        *,
        reason: _Reason = "asked for on the command line",
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Switch a supply off; ends with 0 when the meter was read back as disconnected, else with 1."""
        order = Order(meter_id=meter, action="switch_off", reason=reason)
        _say(commands.command_meter(SystemOptions(data, database), order), _order_lines, as_json=as_json)

    @group.command("limit")
    def limit(
        meter: _Meter,
        watts: Annotated[int, typer.Argument(help="What it may draw; 0 for no limit", min=0)],
        *,
        reason: _Reason = "asked for on the command line",
        data: Data = DATA_DEFAULT,
        database: Database = None,
        as_json: _Json = False,
    ) -> None:
        """Limit the load of a supply; ends with 0 when the limit was read back, else with 1."""
        order = Order(meter_id=meter, action="set_limit", reason=reason, watts=watts)
        _say(commands.command_meter(SystemOptions(data, database), order), _order_lines, as_json=as_json)


def _order_lines(told: Mapping[str, Any]) -> list[str]:
    line = f"{told['meter']}: {told['action'].replace('_', ' ')} {told['state'].replace('_', ' ')}"
    details = [told["seen"] and f"read back: {told['seen']}", told["detail"]]
    return ["; ".join([line, *(one for one in details if one)]), f"command {told['id']}"]


# --- Keys ---


def _add_keys(group: typer.Typer, commands: LinkedMeters) -> None:
    @group.command("rotate")
    def rotate(meter: _Meter, *, data: Data = DATA_DEFAULT, database: Database = None, as_json: _Json = False) -> None:
        """Give a meter new keys; ends with 0 when a conversation under them went well, else with 1.

        The new keys are stored before the meter hears of them; a change that was interrupted settles at the next visit.
        """
        _say(commands.rotate_keys(SystemOptions(data, database), meter), _key_lines, as_json=as_json)

    @group.command("status")
    def status(meter: _Meter, *, data: Data = DATA_DEFAULT, database: Database = None, as_json: _Json = False) -> None:
        """Show the generations of a meter's keys, and whether a change is under way."""
        _say(commands.meter_keys(SystemOptions(data, database), meter), _key_lines, as_json=as_json)


def _key_lines(told: Mapping[str, Any]) -> list[str]:
    return [
        f"generation {one['generation']}: {one['state']} since {one['changed_at'][:19].replace('T', ' ')}"
        + (f" ({one['detail']})" if one["detail"] else "")
        for one in told["keys"]
    ] or [f"{told['meter']} has no keys"]
