"""``wattledger meter serve`` and ``wattledger headend read``: meters that are programs, and any meter read at once."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from wattledger.cli._options import OptionRefused, host_and_port

if TYPE_CHECKING:
    from wattledger.virtual_meter import Fault

_KEY_BYTES = (16, 32)
_ROWS_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSecrets:
    """What opens a meter; never shown. ``None``: the meter has no such thing."""

    key: bytes | None = field(default=None, repr=False)
    auth_key: bytes | None = field(default=None, repr=False)
    master_key: bytes | None = field(default=None, repr=False)
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFleet:
    """The meters that are to be served: ``count`` of them, one port for all, or ports from ``port`` on."""

    count: int
    host: str
    port: int
    own_ports: bool
    seed: int
    zone: str
    load: Path | None
    days: int
    drift_ppm: int
    mode: int
    suite: int
    pdu_max: int
    secrets: MeterSecrets
    faults: Mapping[Fault, int]
    """Thousandths of the meters that have each fault."""
    push: str | None = None
    """``host:port`` that they push to, the rows of the load profile every ``push_every`` seconds."""
    push_every: int = 900
    dial: tuple[str, int] | None = None
    """Where they connect in, instead of being listened to."""
    vending_key: bytes | None = field(default=None, repr=False)
    """With one they are prepaid: the keys that their keypads understand tokens by are derived from it."""
    credit_kwh: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead:
    """What is to be read from a meter that nothing is known of but its address."""

    address: str
    options: Mapping[str, str]
    secrets: MeterSecrets
    registers: Sequence[str]
    profile: str | None
    log: str | None
    first: datetime | None
    last: datetime | None
    seconds: int


class Meters(Protocol):
    """What ``app`` does for these commands."""

    def serve_meters(self, fleet: MeterFleet) -> None:
        """Serve virtual meters until interrupted."""
        ...

    def read_meter(self, asked: MeterRead) -> Mapping[str, Any]:
        """Read a meter; returns what it said, as JSON."""
        ...


Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Encryption key in hexadecimal; better told by the environment: others see a command's options",
        envvar="WATTLEDGER_DLMS_KEY",
        show_envvar=True,
    ),
]
AuthKey = Annotated[
    str | None,
    typer.Option(
        "--auth-key", help="Authentication key in hexadecimal", envvar="WATTLEDGER_DLMS_AUTH_KEY", show_envvar=True
    ),
]
MasterKey = Annotated[
    str | None,
    typer.Option(
        "--master-key",
        help="Master key in hexadecimal, that new keys are wrapped with",
        envvar="WATTLEDGER_DLMS_MASTER_KEY",
        show_envvar=True,
    ),
]
Password = Annotated[
    str | None,
    typer.Option("--password", help="Password (LLS)", envvar="WATTLEDGER_DLMS_PASSWORD", show_envvar=True),
]


def secrets_of(
    *, key: str | None, auth_key: str | None, master_key: str | None = None, password: str | None
) -> MeterSecrets:
    """The secrets that were told; raises :class:`OptionRefused` for what is no key, without saying it."""
    encryption, authentication = _hex_key(key, "--key"), _hex_key(auth_key, "--auth-key")
    if (encryption is None) != (authentication is None):
        raise OptionRefused("--key and --auth-key go together", remedy="give both, or neither")
    if encryption is not None and authentication is not None and len(encryption) != len(authentication):
        raise OptionRefused("--key and --auth-key have different lengths", remedy="16 bytes each, 32 in suite 2")
    return MeterSecrets(
        key=encryption,
        auth_key=authentication,
        master_key=_hex_key(master_key, "--master-key"),
        password=None if password is None else password.encode(),
    )


def _hex_key(told: str | None, option: str, *, sizes: tuple[int, ...] = _KEY_BYTES) -> bytes | None:
    if not told:
        return None
    try:
        octets = bytes.fromhex(re.sub(r"[\s:-]", "", told.removeprefix("0x")))
    except ValueError:
        octets = b""
    if len(octets) not in sizes:
        digits = (
            "32 hexadecimal digits, or 64 in suite 2" if sizes == _KEY_BYTES else f"{2 * sizes[0]} hexadecimal digits"
        )
        raise OptionRefused(f"{option} is no key", remedy=f"write {digits}")
    return octets


def told_instant(told: str | None, option: str) -> datetime | None:
    """The instant that an option names, UTC where it names no zone; raises :class:`OptionRefused`."""
    if told is None:
        return None
    try:
        instant = datetime.fromisoformat(told)
    except ValueError:
        raise OptionRefused(
            f"{option} {told!r} is no instant", remedy="write 2026-03-01 or 2026-03-01T12:00Z"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _faults(told: Sequence[str]) -> dict[Fault, int]:
    from wattledger.virtual_meter import Fault  # noqa: PLC0415 - its own imports wait until a command runs

    found: dict[Fault, int] = {}
    for one in told:
        name, equals, share = one.partition("=")
        if name not in {fault.value for fault in Fault}:
            known = ", ".join(fault.value for fault in Fault)
            raise OptionRefused(f"--fault {one!r} names no fault", remedy=f"there are {known}")
        percent = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]))?%?", share if equals else "100")
        thousandths = int(percent[1]) * 10 + int(percent[2] or 0) if percent else 1_001
        if thousandths > 1_000:  # noqa: PLR2004 - all of them
            raise OptionRefused(f"--fault {one!r} has no share", remedy="write it as slow=3%")
        found[Fault(name)] = thousandths
    return found


def add_meters(cli: typer.Typer, commands: Meters) -> tuple[typer.Typer, typer.Typer]:
    """Add ``meter`` and ``headend``; returns the two groups."""
    meter = typer.Typer(no_args_is_help=True, help="Meters: virtual ones to serve, linked ones to command.")
    headend = typer.Typer(no_args_is_help=True, help="Conversations with meters.")
    cli.add_typer(meter, name="meter")
    cli.add_typer(headend, name="headend")
    _add_serve(meter, commands)
    _add_read(headend, commands)
    return meter, headend


def _add_serve(group: typer.Typer, commands: Meters) -> None:
    @group.command("serve")
    def serve(  # noqa: PLR0913 - one parameter an option
        *,
        count: Annotated[int, typer.Option(help="How many meters", min=1, max=60_000)] = 1,
        port: Annotated[int, typer.Option(help="Port to listen on; 0 asks for a free one", min=0, max=65_535)] = 4_059,
        host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
        own_ports: Annotated[
            bool, typer.Option("--own-ports", help="A port for each, from --port on, instead of one for all")
        ] = False,
        seed: Annotated[int, typer.Option(help="The same seed gives the same meters")] = 1,
        zone: Annotated[str, typer.Option(help="Whose local time their clocks show")] = "UTC",
        load: Annotated[
            Path | None, typer.Option(help="A file of intervals that is used behind each", exists=True, dir_okay=False)
        ] = None,
        days: Annotated[int, typer.Option(help="How many days they have been installed", min=1, max=3_650)] = 40,
        drift: Annotated[int, typer.Option(help="Millionths that their clocks run fast", min=-500, max=500)] = 0,
        mode: Annotated[
            int | None,
            typer.Option(help="Control mode of the disconnector; 4, or 6 where they are prepaid", min=0, max=6),
        ] = None,
        suite: Annotated[int, typer.Option(help="Security suite", min=0, max=2)] = 0,
        pdu: Annotated[int, typer.Option(help="Longest APDU they take", min=64, max=65_535)] = 1_024,
        fault: Annotated[
            list[str] | None, typer.Option("--fault", help="A fault, and how many have it: slow=3%; may be repeated")
        ] = None,
        push: Annotated[
            str | None,
            typer.Option(
                metavar="HOST:PORT", help="Push profile rows, alarms and last gasps there, ciphered with keys"
            ),
        ] = None,
        push_every: Annotated[
            int, typer.Option(help="Seconds between two pushes of the load profile", min=1, max=86_400)
        ] = 900,
        dial: Annotated[
            str | None,
            typer.Option(metavar="HOST:PORT", help="Connect in there and be read on that connection; do not listen"),
        ] = None,
        vending_key: Annotated[
            str | None,
            typer.Option(
                help="Prepaid, with STS tokens: a vending key of 40 hexadecimal digits",
                envvar="WATTLEDGER_STS_VENDING_KEY",
                show_envvar=True,
            ),
        ] = None,
        credit: Annotated[
            int, typer.Option(help="kWh of credit that prepaid ones begin with", min=0, max=100_000)
        ] = 10,
        key: Key = None,
        auth_key: AuthKey = None,
        master_key: MasterKey = None,
        password: Password = None,
    ) -> None:
        """Serve virtual DLMS/COSEM meters until interrupted.

        On one port, meter N is reached with N as the address in the TCP wrapper; on a port of its own it is 1, and
        speaks HDLC as well. With keys the management client (1) uses HLS-GMAC; the public client (16) needs none.
        """
        commands.serve_meters(
            MeterFleet(
                count=count,
                host=host,
                port=port,
                own_ports=own_ports,
                seed=seed,
                zone=zone,
                load=load,
                days=days,
                drift_ppm=drift,
                mode=mode if mode is not None else 6 if vending_key else 4,
                suite=suite,
                pdu_max=pdu,
                secrets=secrets_of(key=key, auth_key=auth_key, master_key=master_key, password=password),
                faults=_faults(fault or []),
                push=None if push is None else "{}:{}".format(*host_and_port(push, "--push")),
                push_every=push_every,
                dial=None if dial is None else host_and_port(dial, "--dial"),
                vending_key=_hex_key(vending_key, "--vending-key", sizes=(20,)),
                credit_kwh=credit,
            )
        )


def _add_read(group: typer.Typer, commands: Meters) -> None:
    @group.command("read")
    def read(  # noqa: PLR0913 - one parameter an option
        address: Annotated[str, typer.Argument(help="HOST:PORT")],
        *,
        profile: Annotated[str | None, typer.Option(help="A load profile to read, such as 1-0:99.1.0")] = None,
        log: Annotated[str | None, typer.Option(help="An event log to read, such as 0-0:99.98.2")] = None,
        register: Annotated[
            list[str] | None, typer.Option("--register", help="A register to read; may be repeated")
        ] = None,
        first: Annotated[str | None, typer.Option("--from", help="First instant of the profile or log")] = None,
        last: Annotated[str | None, typer.Option("--to", help="End of it, not included")] = None,
        client: Annotated[
            int | None, typer.Option(help="Our address: 1 with keys, 2 with a password, else 16", min=1, max=127)
        ] = None,
        server: Annotated[int, typer.Option(help="The meter's logical device", min=0, max=16_383)] = 1,
        physical: Annotated[int | None, typer.Option(help="Its lower HDLC address", min=0, max=16_383)] = None,
        framing: Annotated[Literal["wrapper", "hdlc"], typer.Option(help="What frames the APDUs")] = "wrapper",
        suite: Annotated[int, typer.Option(help="Security suite", min=0, max=2)] = 0,
        form: Annotated[
            Literal["service", "general", "general-ciphering"], typer.Option(help="How ciphered APDUs are written")
        ] = "service",
        title: Annotated[str | None, typer.Option(help="Our system title: 16 hexadecimal digits")] = None,
        counter: Annotated[str, typer.Option(help="The object that counts our frames in the meter")] = "0-0:43.1.0",
        stamp: Annotated[
            Literal["end", "start"], typer.Option(help="Which end of its interval a row is stamped with")
        ] = "end",
        timeout: Annotated[int, typer.Option(help="Seconds that all of it may take", min=1, max=3_600)] = 60,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
        key: Key = None,
        auth_key: AuthKey = None,
        password: Password = None,
    ) -> None:
        """Read a DLMS/COSEM meter once, with nothing set up: its clock, and what is asked for besides.

        With a key the association is HLS-GMAC, with a password LLS. Energies come as the meter keeps them.
        """
        secrets = secrets_of(key=key, auth_key=auth_key, password=password)
        chosen = client or (1 if secrets.key else 2 if secrets.password else 16)
        options = {
            "framing": framing,
            "client": str(chosen),
            "server": str(server),
            "suite": str(suite),
            "form": form,
            "counter": counter,
            "stamp": stamp,
        }
        options |= {} if physical is None else {"physical": str(physical)}
        options |= {} if title is None else {"title": title}
        told = commands.read_meter(
            MeterRead(
                address=address,
                options=options,
                secrets=secrets,
                registers=register or [],
                profile=profile,
                log=log,
                first=told_instant(first, "--from"),
                last=told_instant(last, "--to"),
                seconds=timeout,
            )
        )
        if as_json:
            typer.echo(json_text.dumps(told, ensure_ascii=False))
        else:
            for line in _lines(told):
                typer.echo(line)


def _lines(told: Mapping[str, Any]) -> list[str]:
    """What a meter said, to read."""
    lines = [f"clock     {told['clock']['at']}  ({told['clock']['off_seconds']:+d} s)"]
    lines += [f"{one['name']:<14}{one['value']:>14}  {one['unit']}" for one in told.get("registers", ())]
    lines += [f"{name}  not in this meter" for name in told.get("missing", ())]
    if told.get("profile") is not None:
        lines += profile_lines(told["profile"])
    if "events" in told:
        lines += [f"{one['at']:<22}{one['code']:>4}  {one['kind']}" for one in told["events"]] or ["no entries"]
    return lines


def profile_lines(profile: Mapping[str, Any]) -> list[str]:
    """Rows of a load profile, to read; the first some hundred of them."""
    heads = [f"{one['name']} {one['unit']}" for one in profile["channels"]]
    lines = [f"{profile['name']}: {len(profile['rows'])} rows"]
    lines.append(f"{'start':<22}" + "".join(f"{head:>18}" for head in heads) + "  status")
    for row in profile["rows"][:_ROWS_SHOWN]:
        values = "".join(f"{'' if value is None else value:>18}" for value in row["values"])
        lines.append(f"{row['start']:<22}{values}  {row['status'] or ''}".rstrip())
    left = len(profile["rows"]) - _ROWS_SHOWN
    return [*lines, f"{left} rows more: --json has them all"] if left > 0 else lines
