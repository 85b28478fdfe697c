"""What a DLMS message says, as JSON and as a tree to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Any

from wattledger.dlms import (
    AccessResult,
    ActionResult,
    AssociationRequest,
    AssociationResponse,
    Bits,
    Data,
    DataNotification,
    Date,
    DateTime,
    Envelope,
    GetResponse,
    Message,
    Reference,
    Release,
    Tag,
    Time,
    obis_text,
)

_OBIS_BYTES = 6
_DATE_TIME_BYTES = 12


def message_json(message: Message) -> dict[str, Any]:
    """A message as JSON: ``framing``, ``security`` and ``apdu``; octet-strings are ``"hex:..."``."""
    envelope = message.envelope
    told: dict[str, Any] = {"framing": message.framing, "security": None, "apdu": None}
    if envelope is not None:
        told["security"] = _security(envelope)
    if message.apdu is None:
        told["apdu"] = {"type": "ciphered", "body": None, "apdu_hex": message.raw.hex()}
    else:
        told["apdu"] = {"type": _type(message), **_apdu(message), "trailing_hex": message.trailing.hex()}
    return told


def _security(envelope: Envelope) -> dict[str, Any]:
    return {
        "system_title": envelope.title.hex() if envelope.title else None,
        "security_control": envelope.control.byte,
        "invocation_counter": envelope.counter,
        "authenticated": envelope.control.authenticated,
        "encrypted": envelope.control.encrypted,
        "suite": envelope.control.suite,
        "tag_ok": envelope.genuine,
    }


def _type(message: Message) -> str:
    match message.apdu:
        case AssociationRequest():
            return "aarq"
        case AssociationResponse():
            return "aare"
        case Release(answers=answers):
            return "rlre" if answers else "rlrq"
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(message.apdu).__name__).lower()


def _apdu(message: Message) -> dict[str, Any]:
    match message.apdu:
        case DataNotification() as push:
            encoding = "absent" if push.time is None else ("090c+12" if push.tagged_time else "0c+12")
            body = _plain(push.body.plain)
            return {
                "long_invoke_id": push.invoke,
                "datetime": _plain(push.time),
                "datetime_encoding": encoding,
                "body_start": push.body_at,
                "body": body if isinstance(body, list) else [body],
                "plain_hex": None if message.plain is None else message.plain.hex(),
            }
        case GetResponse() as answer:
            results = [result.name.lower() for result, _ in answer.answers]
            values = [_plain(value.plain if isinstance(value, Data) else value) for _, value in answer.answers]
            return {"invoke_id": answer.invoke, "results": results, "body": values}
    fields = {} if message.apdu is None else {name: _plain(part) for name, part in message.apdu._asdict().items()}
    for name in ("value", "values", "body"):
        if name in fields:
            body = fields.pop(name)
            fields["body"] = body if isinstance(body, list) else [body]
    return {"datetime": fields.pop("time", None), **fields} if "time" in fields else fields


def _plain(value: Any) -> Any:  # noqa: ANN401, C901, PLR0911 - whatever a meter sends; a form for each
    match value:
        case Data():
            return _plain(value.plain)
        case AccessResult() | ActionResult() | IntFlag():
            return str(value.name).lower()
        case bool() | None | str():
            return value
        case bytes():
            return f"hex:{value.hex()}"
        case DateTime():
            return {
                "year": value.year,
                "month": value.month,
                "day": value.day,
                "dow": value.weekday,
                "hour": value.hour,
                "minute": value.minute,
                "second": value.second,
                "hundredths": value.hundredths,
                "deviation_min": value.deviation_minutes,
                "clock_status": value.status,
            }
        case Date() | Time() | Bits():
            return str(value)
        case Reference():
            return {"class": value.class_id, "obis": obis_text(value.name), "number": value.number}
        case IntEnum():
            return int(value)
        case tuple() if hasattr(value, "_asdict"):
            return {name: _plain(part) for name, part in value._asdict().items()}
        case list() | tuple():
            return [_plain(part) for part in value]
    return value


def message_lines(message: Message) -> Iterator[str]:
    """A message as an indented tree, with the types of its data."""
    yield f"{message.framing}, {len(message.raw)} bytes"
    if message.envelope is not None:
        yield f"  {_envelope_said(message.envelope)}"
    if message.apdu is None:
        yield "  to read it, give the key with --key or WATTLEDGER_DLMS_KEY"
    else:
        yield f"  {_type(message)}"
        for name, part in message.apdu._asdict().items():
            if part is not None and name not in {"tagged_time", "body_at", "listed"}:
                yield from _lines(name.replace("_", " "), part, 2)
    if message.trailing:
        yield f"  followed by {message.trailing.hex(' ')}"


def _envelope_said(envelope: Envelope) -> str:
    control = envelope.control
    how = [
        word for word, is_so in (("authenticated", control.authenticated), ("encrypted", control.encrypted)) if is_so
    ]
    title = "an unnamed sender" if envelope.title is None else _title_said(envelope.title)
    tag = {True: ", its tag fits", False: ", ITS TAG DOES NOT FIT", None: ""}[envelope.genuine]
    return f"{' and '.join(how) or 'not protected'} by {title}, suite {control.suite}, counter {envelope.counter}{tag}"


def _title_said(title: bytes) -> str:
    maker = title[:3].decode("ascii", errors="replace")
    return f"{maker} {title.hex()}" if maker.isascii() and maker.isalpha() else title.hex()


def _lines(name: str, value: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - whatever a meter sends
    indent = "  " * depth
    label = f"{name}: " if name else ""
    if isinstance(value, Data):
        yield from _data_lines(label, value, depth)
    elif isinstance(value, tuple) and hasattr(value, "_asdict") and not isinstance(value, DateTime | Reference):
        yield f"{indent}{label}".rstrip()
        for key, part in value._asdict().items():
            yield from _lines(key.replace("_", " "), part, depth + 1)
    elif isinstance(value, tuple | list) and not isinstance(value, DateTime | Reference):
        yield f"{indent}{label}{len(value)}"
        for part in value:
            yield from _lines("", part, depth + 1)
    else:
        shown = value.hex(" ") if isinstance(value, bytes) else str(value)
        yield f"{indent}{label}{shown}"


def _data_lines(label: str, data: Data, depth: int) -> Iterator[str]:
    kind, indent = data.tag.name.lower().replace("_", "-"), "  " * depth
    if data.tag in {Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY}:
        yield f"{indent}{label}{kind} of {len(data.value)}"
        for item in data.value:
            yield from _data_lines("", item, depth + 1)
    elif isinstance(data.value, bytes):
        yield f"{indent}{label}{kind} {data.value.hex(' ')}{_guessed(data.value)}"
    else:
        yield f"{indent}{label}{kind}" + ("" if data.value is None else f" {data.value}")


def _guessed(octets: bytes) -> str:
    """What an octet-string most likely is, where its length or its letters tell."""
    if len(octets) == _OBIS_BYTES and octets[-1] in {0xFF, 0x00}:
        return f"  ({obis_text(octets)})"
    if len(octets) == _DATE_TIME_BYTES:
        moment = DateTime.decode(octets)
        if moment.month is not None and moment.month <= 12 and moment.hour is not None:  # noqa: PLR2004 - a month
            return f"  ({moment})"
    text = octets.decode("ascii", errors="replace")
    return f"  ({text})" if octets and text.isascii() and text.isprintable() else ""
