"""What every channel has to pass. Usable from outside, with any pytest::

    from wattledger.notices.conformance import ChannelConformance

    class TestMyChannel(ChannelConformance):
        @pytest.fixture
        def rig(self):
            with my_test_gateway() as gateway:
                yield MyRig(gateway)

The author brings a :class:`Rig`: the channel, something for it to talk to (simulated, or the real thing on loopback),
and levers that make it fail. What a rig cannot show is passed over.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from wattledger.notices.ports import (
    Channel,
    ChannelDown,
    Message,
    ReportingChannel,
    ReportRefused,
    SendFailed,
    Undeliverable,
)

ENGLISH = "Your electricity balance is 4.50 CNY. 100% {to} & <b>+1 kWh</b>? #top-up @ %d"
CHINESE = "您的电费余额为 4.50 CNY，按平时用量约可用 1 天，请及时充值，以免停电。" * 3  # noqa: RUF001 - its own punctuation


class Rig(Protocol):
    """A channel, and what it talks to."""

    @property
    def channel(self) -> Channel:
        """The channel under test."""
        ...

    @property
    def to(self) -> str:
        """An address that it reaches."""
        ...

    @property
    def nowhere(self) -> str | None:
        """An address that nobody can have; ``None`` when any may be somebody's."""
        ...

    @property
    def secrets(self) -> Sequence[str]:
        """What is in its settings that nobody is to read."""
        ...

    def arrived(self, count: int) -> Sequence[tuple[str, str]]:
        """The next ``count`` messages that arrive, address and text; waits, and fails when they do not come."""
        ...

    def break_down(self) -> bool:
        """Make what it talks to stop answering; returns whether that can be done."""
        ...

    def mend(self) -> None:
        """Undo :meth:`break_down`."""
        ...


def _message(rig: Rig, number: int, *, text: str = ENGLISH, to: str | None = None) -> Message:
    return Message(f"ntc_{number:020x}", to or rig.to, "en", "low_balance", text, "Low balance")


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - as assert, which optimised Python leaves out
    if not condition:
        raise AssertionError(otherwise)


def _hold_equal(found: Sequence[object], expected: Sequence[object]) -> None:
    _hold(list(found) == list(expected), f"there came {found!r}, not {expected!r}")


class ChannelConformance:
    """The suite."""

    def test_a_message_arrives_as_it_was_written(self, rig: Rig) -> None:
        """Whatever its characters mean to the way it goes."""
        rig.channel.send(_message(rig, 1))
        _hold_equal(rig.arrived(1), [(rig.to, ENGLISH)])

    def test_long_chinese_arrives_whole(self, rig: Rig) -> None:
        """In its order, every character."""
        rig.channel.send(_message(rig, 2, text=CHINESE))
        _hold_equal(rig.arrived(1), [(rig.to, CHINESE)])

    def test_the_same_message_may_be_sent_again(self, rig: Rig) -> None:
        """As happens after a crash; whether it arrives twice is the channel's own."""
        rig.channel.send(_message(rig, 3))
        rig.channel.send(_message(rig, 3))
        _hold_equal(rig.arrived(1), [(rig.to, ENGLISH)])

    def test_several_threads_may_send(self, rig: Rig) -> None:
        """Nothing is lost or mixed up."""
        texts = [f"Notice number {number}" for number in range(4)]
        failures: list[Exception] = []

        def send(number: int, text: str) -> None:
            try:
                rig.channel.send(_message(rig, 10 + number, text=text))
            except Exception as failure:  # noqa: BLE001 - told below, where the test sees it
                failures.append(failure)

        threads = [threading.Thread(target=send, args=numbered) for numbered in enumerate(texts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _hold_equal(failures, [])
        _hold_equal(sorted(rig.arrived(len(texts))), [(rig.to, text) for text in texts])

    def test_what_cannot_be_sent_is_told_and_can_be_sent_later(self, rig: Rig) -> None:
        """Never silently lost, never an exception of a kind that nobody knows, and no secret in it."""
        if not rig.break_down():
            return
        try:
            rig.channel.send(_message(rig, 20))
        except (ChannelDown, SendFailed) as failure:
            _hold(not [secret for secret in rig.secrets if secret in str(failure)], "a secret is told")
        else:
            raise AssertionError("it was sent to what does not answer, and nothing was said")
        finally:
            rig.mend()
        rig.channel.send(_message(rig, 20))
        _hold_equal(rig.arrived(1), [(rig.to, ENGLISH)])

    def test_an_address_that_is_none_is_told(self, rig: Rig) -> None:
        """So that it is not tried for days."""
        if rig.nowhere is None:
            return
        try:
            rig.channel.send(_message(rig, 30, to=rig.nowhere))
        except Undeliverable:
            return
        raise AssertionError(f"it was sent to {rig.nowhere!r}, and nothing was said")

    def test_it_has_a_name_and_keeps_its_secrets(self, rig: Rig) -> None:
        """Names are stored with every message."""
        _hold(bool(rig.channel.name.strip()), "the channel has no name")
        _hold(not [secret for secret in rig.secrets if secret in repr(rig.channel)], "a secret is told")

    def test_a_forged_report_is_refused(self, rig: Rig) -> None:
        """Anybody may call the address that reports come to."""
        if not isinstance(rig.channel, ReportingChannel):
            return
        for query in ({}, {"message": "ntc_1", "attempt": "1", "status": "1", "sign": "0" * 32}):
            try:
                report = rig.channel.read_report(query)
            except ReportRefused:
                continue
            raise AssertionError(f"{query} was taken for {report}")
