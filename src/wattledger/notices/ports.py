"""How a message leaves the house: the plug point of channels.

A :class:`Channel` carries messages one way (a text-message gateway, e-mail, a push service). It knows nothing of
databases, quiet hours or retries: it hands a message over, or says what kind of failure it was. Register what makes
one, called with the name that it is to bear and its settings (text to text), as an entry point of the group
``wattledger.notifiers``, and prove it with :mod:`wattledger.notices.conformance`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from wattledger.kernel import Problem

_log = logging.getLogger("wattledger.notices")


class ChannelDown(Problem):
    """Nothing can be sent on this channel now: no answer, an overload, credentials that are not accepted.

    It is nobody's fault whose message it was: the whole channel rests for a while, and no message uses up an attempt.
    """

    slug = "notice-channel-down"
    title = "A channel for notices is out of order"
    status = 503


class SendFailed(Problem):
    """This message could not be sent this time; it is tried again."""

    slug = "notice-not-sent"
    title = "A notice could not be sent"
    status = 502


class Undeliverable(Problem):
    """This message can never be sent to this address; it is given up."""

    slug = "notice-undeliverable"
    title = "A notice cannot be delivered"
    status = 422


class ReportRefused(Problem):
    """What came is no delivery report, or not one of ours."""

    slug = "delivery-report-refused"
    title = "The delivery report is not accepted"
    status = 403


class ChannelMisconfigured(Problem):
    """A channel's settings are incomplete or wrong."""

    slug = "notice-channel-misconfigured"
    title = "A channel for notices is not set up"
    status = 422


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one person, worded in that person's language.

    ``id``       stays the same when the message is sent again
    ``to``       the person's address, as the channel understands it (for text messages a telephone number)
    ``title``    a few words, for channels that show a title: an e-mail's subject
    ``attempt``  1 for the first time it is sent on this channel
    """

    id: str
    to: str
    language: str
    kind: str
    text: str
    title: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message that was handed over: it arrived, or it did not. ``attempt`` is the message's own."""

    message_id: str
    attempt: int
    outcome: Literal["delivered", "failed"]
    detail: str = ""


class Channel(Protocol):
    """Carries messages. May be used from several threads."""

    @property
    def name(self) -> str:
        """What preferences and settings call it."""
        ...

    def default_address(self, *, phone: str | None, name: str) -> str | None:
        """Where this channel reaches a person who gave no address for it; ``None`` when it cannot."""
        ...

    def send(self, message: Message) -> None:
        """Hand ``message`` over; it may come twice with one id after a crash.

        Raises :class:`ChannelDown`, :class:`SendFailed` or :class:`Undeliverable`; anything else counts as
        :class:`SendFailed`. Gives up waiting after some ten seconds.
        """
        ...


@runtime_checkable
class ReportingChannel(Protocol):
    """A channel that is told later whether a message arrived: its gateway calls back over HTTP."""

    def read_report(self, query: Mapping[str, str]) -> Report:
        """The report that a call-back's query carries; raises :class:`ReportRefused` for what is not the gateway's."""
        ...


class LogChannel:
    """Writes every message to the program's log: the channel that needs nothing set up."""

    def __init__(self, name: str = "log", settings: Mapping[str, str] | None = None) -> None:
        for unknown in sorted(settings or ()):
            raise ChannelMisconfigured(f"the channel {name} has no setting {unknown!r}", remedy="leave it out")
        self.name = name

    def default_address(self, *, phone: str | None, name: str) -> str | None:
        """The person's telephone number, or the name: anything does."""
        return phone or name

    def send(self, message: Message) -> None:
        """Log ``message`` at level INFO."""
        _log.info("to %s (%s): %s", message.to, message.kind, message.text)
