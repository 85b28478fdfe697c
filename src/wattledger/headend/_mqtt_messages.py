"""What MQTT JSON messages look like: bounded, strict, and signed where the meter has a key (docs/mqtt.md)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import numpy as np

from wattledger.headend.ports import (
    BadKey,
    BadTag,
    Channel,
    LoggedEvent,
    Malformed,
    ProfileRows,
    Register,
    Secret,
)
from wattledger.kernel import epoch

MESSAGE_MAX: Final = 65_536
"""Bytes of a message, either way: what is longer is not read."""

_WORDS_MAX = 200
_NAME_MAX = 64
_INT64 = 2**63
_INSTANT_END = 2**33  # the year 2242: milliseconds are no seconds
_SCALES = range(-12, 13)
_STATUS_MAX = 0xFF
_CODE_MAX = 0xFFFF
_ROW_HEAD = 2  # start and status stand before the values
_CHANNELS_MAX = 64
_TAGGED = re.compile(rb"(.*)\n([0-9a-f]{64})\n?", re.DOTALL)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(Z|z|[+-]\d\d:\d\d)")
_UNITS = frozenset({"Wh", "varh", "VAh", "W", "var", "VA", "V", "A", "Hz", ""})
_DISTRUST = frozenset({"bad_tag", "bad_key"})


# --- Signing ---


def tag(body: bytes, *, topic: str, key: Secret) -> bytes:
    """HMAC-SHA-256 over the topic, a line feed and the body, in hexadecimal digits."""
    return hmac.new(key.reveal(), topic.encode() + b"\n" + body, hashlib.sha256).hexdigest().encode()


def written(content: Mapping[str, object], *, topic: str, key: Secret | None) -> bytes:
    """A message as it is published: JSON, and where there is a key a line feed and the tag."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return body if key is None else body + b"\n" + tag(body, topic=topic, key=key)


def read(payload: bytes, *, topic: str, key: Secret | None, who: str) -> Fields:
    """What a message says, after its size and its tag were found right.

    Raises :class:`Malformed` for what is no message, :class:`BadTag` for one that was changed or signed with another
    key, and :class:`BadKey` where the meter says that it is ours that does not fit. Nobody can vouch for that word, but
    it is only ever believed as a failure.
    """
    if len(payload) > MESSAGE_MAX:
        raise Malformed(f"{who}: a message of {len(payload)} bytes; {MESSAGE_MAX} are allowed")
    signed = _TAGGED.fullmatch(payload)
    body = payload if signed is None else signed[1]
    if key is None:
        return Fields.of(body, who=who)
    if signed is not None and hmac.compare_digest(signed[2], tag(body, topic=topic, key=key)):
        return Fields.of(body, who=who)
    try:
        said = Fields.of(body, who=who)
    except Malformed:
        if signed is None:
            raise  # cut off, most likely
    else:
        error = said.content.get("error")
        if isinstance(error, dict) and error.get("kind") in _DISTRUST:
            raise BadKey(f"{who}: it says that the tag of our request is wrong")
    raise BadTag(f"{who}: a message {'without a tag' if signed is None else 'whose tag is wrong'} on {topic}")


# --- Reading strictly ---


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:_NAME_MAX]} is no whole number")


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object names something twice")
    return content


_decoder = json.JSONDecoder(
    object_pairs_hook=_each_once, parse_float=_no_number, parse_constant=_no_number, strict=True
)


class Fields:
    """A JSON object, read strictly: what is missing or of another shape than agreed is :class:`Malformed`."""

    def __init__(self, content: Mapping[str, Any], *, who: str) -> None:
        self.content, self._who = content, who

    @classmethod
    def of(cls, body: bytes, *, who: str) -> Fields:
        """Of JSON text."""
        try:
            content = _decoder.decode(body.decode())
        except RecursionError:
            raise Malformed(f"{who}: a message is nested too deeply") from None
        except ValueError as error:  # of JSON and of UTF-8 alike; its text may be long and hold what was sent
            words = str(error)[:_WORDS_MAX] if not isinstance(error, UnicodeError) else "it is not UTF-8"
            raise Malformed(f"{who}: a message is no JSON of ours: {words}") from None
        if not isinstance(content, dict):
            raise Malformed(f"{who}: a message is no object")
        return cls(content, who=who)

    def wrong(self, name: str, due: str) -> Malformed:
        """That ``name`` is not what is due."""
        return Malformed(f"{self._who}: {name!r} is {clipped(self.content.get(name))} where {due} is due")

    def whole(self, name: str, *, least: int = 0, most: int = _INT64 - 1) -> int:
        """A whole number."""
        value = self.content.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def truth(self, name: str) -> bool:
        """Yes or no."""
        value = self.content.get(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def text(self, name: str, *, most: int = _NAME_MAX) -> str:
        """Text of ``most`` characters."""
        value = self.content.get(name)
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(name, f"text of at most {most} characters")
        return value

    def instant(self, name: str) -> int:
        """Epoch seconds, written so or as RFC 3339."""
        try:
            return _instant(self.content.get(name))
        except ValueError:
            raise self.wrong(name, "an instant") from None

    def part(self, name: str) -> Fields:
        """An object in it."""
        value = self.content.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value, who=self._who)

    def many(self, name: str) -> list[Any]:
        """A list in it."""
        value = self.content.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return value

    def parts(self, name: str) -> list[Fields]:
        """A list of objects in it."""
        values = self.many(name)
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(name, "a list of objects")
        return [Fields(value, who=self._who) for value in values]


def _instant(value: object) -> int:
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            value = epoch(datetime.fromisoformat(value.upper()).astimezone(UTC))
        except OverflowError as error:
            raise ValueError(value) from error
    if type(value) is int and 0 <= value < _INSTANT_END:
        return value
    raise ValueError(value)


def clipped(value: object) -> str:
    """What a meter said, fit to be shown: short, and nothing that a terminal would obey."""
    shown = repr(value) if not isinstance(value, str) else value
    return "".join(c if c.isprintable() else "?" for c in shown[:_WORDS_MAX])


# --- What meters measure ---


def channel(said: Fields) -> Channel:
    """``{"name", "scale", "unit"}``; a scale of 0 and Wh unless told."""
    scale = said.whole("scale", least=_SCALES[0], most=_SCALES[-1]) if "scale" in said.content else 0
    unit = said.text("unit") if "unit" in said.content else "Wh"
    if unit not in _UNITS:
        raise said.wrong("unit", "a unit")
    return Channel(name=said.text("name"), scale=scale, unit=unit)


def register(said: Fields) -> Register:
    """A channel with ``value`` and ``at``."""
    return Register(channel=channel(said), value=said.whole("value", least=-_INT64), at=said.instant("at"))


def events(said: Fields, *, log: str) -> list[LoggedEvent]:
    """``"events": [[at, code], ...]``."""
    found = []
    for entry in said.many("events"):
        match entry:
            case [at, int(code)] if 0 <= code <= _CODE_MAX and not isinstance(code, bool):
                try:
                    found.append(LoggedEvent(log=log, code=code, at=_instant(at)))
                except ValueError:
                    raise said.wrong("events", "entries with an instant") from None
            case _:
                raise said.wrong("events", "entries of an instant and a code")
    return found


def profile_rows(said: Fields) -> ProfileRows:
    """``"channels": [...], "rows": [[start, status, value, ...], ...]``; a value that misses is null."""
    channels = tuple(map(channel, said.parts("channels")))
    rows = said.many("rows")
    width = _ROW_HEAD + len(channels)
    if len(channels) > _CHANNELS_MAX:
        raise said.wrong("channels", f"a list of at most {_CHANNELS_MAX}")
    if not rows:
        return ProfileRows.none(channels)
    starts = []
    for row in rows:
        if not _is_row(row, width):
            raise said.wrong("rows", f"rows of start, status and {len(channels)} whole number(s)")
        try:
            starts.append(_instant(row[0]))
        except ValueError:
            raise said.wrong("rows", "rows that begin with an instant") from None
    there = [[value is not None for value in row[_ROW_HEAD:]] for row in rows]
    return ProfileRows(
        channels=channels,
        starts=np.array(starts, dtype=np.int64),
        values=np.array([[value or 0 for value in row[_ROW_HEAD:]] for row in rows], dtype=np.int64).reshape(
            len(rows), len(channels)
        ),
        status=np.array([row[1] for row in rows], dtype=np.uint8),
        present=None if all(map(all, there)) else np.array(there, dtype=np.bool_),
    )


def _is_row(row: object, width: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == width
        and type(row[1]) is int
        and 0 <= row[1] <= _STATUS_MAX
        and all(value is None or (type(value) is int and -_INT64 <= value < _INT64) for value in row[_ROW_HEAD:])
    )


def joined(pages: Sequence[ProfileRows]) -> ProfileRows:
    """Pages of one profile, one after the other; raises :class:`Malformed` where they do not fit together."""
    first = pages[0]
    if len(pages) == 1:
        return first
    if any(page.channels != first.channels for page in pages):
        raise Malformed("a profile changed its channels while it was read")
    whole = all(page.present is None for page in pages)
    return ProfileRows(
        channels=first.channels,
        starts=np.concatenate([page.starts for page in pages]),
        values=np.concatenate([page.values for page in pages]),
        status=np.concatenate([page.status for page in pages]),
        present=None
        if whole
        else np.concatenate(
            [np.ones(page.values.shape, dtype=np.bool_) if page.present is None else page.present for page in pages]
        ),
    )
