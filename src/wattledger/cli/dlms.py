"""``wattledger dlms``: look at what meters send, with nothing set up."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated

import typer

from wattledger.kernel import Problem


class FrameUnreadable(Problem):
    """What came in is no frame, or one that cannot be read to its end."""

    slug = "frame-unreadable"
    title = "The frame cannot be read"
    status = 422


_INPUT_MAX = 1 << 22
_BAD_TAG = "check --auth-key; if that is right, the frame is not as its sender made it"
_REMEDIES = {
    "no key": "give it with --auth-key or WATTLEDGER_DLMS_AUTH_KEY",
    "bad key": "check --key, and --title where the frame does not name its sender",
    "bad tag": _BAD_TAG,
    "wrong system title": "give the sender's with --title",
    "truncated": "give the whole frame, or all frames of a message one after the other",
    "oversize": "give fewer frames at once",
}
_Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Encryption key in hexadecimal: 16 bytes, 32 in suite 2",
        envvar="WATTLEDGER_DLMS_KEY",
        show_envvar=True,
    ),
]
_AuthKey = Annotated[
    str | None,
    typer.Option(
        "--auth-key",
        help="Authentication key in hexadecimal",
        envvar="WATTLEDGER_DLMS_AUTH_KEY",
        show_envvar=True,
    ),
]
_Title = Annotated[str | None, typer.Option("--title", help="System title of the sender, where the frame omits it")]


def add_dlms(cli: typer.Typer) -> None:
    """Add the ``dlms`` commands."""
    group = typer.Typer(no_args_is_help=True, help="Look at what meters send, in DLMS/COSEM.")
    group.command("decode")(decode)
    cli.add_typer(group, name="dlms")


def decode(
    *,
    key: _Key = None,
    auth_key: _AuthKey = None,
    title: _Title = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON instead of a tree")] = False,
) -> None:
    """Tell what the frames on standard input say: HDLC, M-Bus, the TCP wrapper or a bare APDU, in hexadecimal.

    Several frames may follow each other. Exit code 1: it can be read, but its authentication tag does not fit.
    """
    # Their own imports wait until they are needed: other commands start sooner.
    from wattledger.cli._frames_told import message_json, message_lines  # noqa: PLC0415
    from wattledger.dlms import DlmsError, Keys, read_messages  # noqa: PLC0415

    encryption, authentication = _hex_option(key, "--key", (16, 32)), _hex_option(auth_key, "--auth-key", (16, 32))
    if authentication is not None and encryption is None:
        raise FrameUnreadable("--auth-key without --key opens nothing", remedy="give the encryption key as well")
    keys = None if encryption is None else Keys(encryption, authentication, broadcast=encryption)
    octets, sender = _input(), _hex_option(title, "--title", (8,))
    try:
        messages = read_messages(octets, keys=keys, title=sender)
    except DlmsError as error:
        raise FrameUnreadable(str(error), remedy=_REMEDIES.get(error.kind)) from error
    if as_json:
        told = [message_json(message) for message in messages]
        typer.echo(json.dumps(told[0] if len(told) == 1 else told, ensure_ascii=False))
    else:
        typer.echo("\n".join(line for message in messages for line in message_lines(message)))
    if any(message.envelope is not None and message.envelope.genuine is False for message in messages):
        sys.stderr.write(f"wattledger: the authentication tag does not fit ({_BAD_TAG})\n")
        raise typer.Exit(1)


def _input() -> bytes:
    """Standard input, of which only hexadecimal digits count."""
    raw = sys.stdin.buffer.read(_INPUT_MAX)
    text = re.sub(r"0x|[\s,;:-]", "", raw.decode("ascii", errors="replace"), flags=re.IGNORECASE)
    wrong = re.search(r"[^0-9A-Fa-f]", text)
    if wrong is not None:
        shown = wrong[0] if wrong[0].isprintable() and wrong[0] != "�" else "a byte that is no text"
        raise FrameUnreadable(f"digit {wrong.start() + 1} is {shown}: hexadecimal has 0-9 and a-f")
    if not text:
        raise FrameUnreadable("nothing came on standard input", remedy="wattledger dlms decode < frame.hex")
    if len(text) % 2:
        raise FrameUnreadable(f"{len(text)} hexadecimal digits: a byte has two")
    return bytes.fromhex(text)


def _hex_option(told: str | None, option: str, sizes: tuple[int, ...]) -> bytes | None:
    if told is None:
        return None
    try:
        octets = bytes.fromhex(re.sub(r"[\s:-]", "", told.strip().removeprefix("0x")))
    except ValueError:
        octets = b""
    if len(octets) not in sizes:
        wanted = " or ".join(map(str, sizes))
        raise FrameUnreadable(f"{option} is not {wanted} bytes in hexadecimal", remedy=f"write {2 * sizes[0]} digits")
    return octets
