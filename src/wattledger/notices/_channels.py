"""Finding channels: built-in ones and strangers' alike are entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from wattledger.kernel import Problem
from wattledger.notices.ports import Channel

GROUP = "wattledger.notifiers"


class ChannelNotFound(Problem):
    """No installed channel has this name."""

    slug = "notice-channel-not-found"
    title = "There is no such channel for notices"
    status = 422


class ChannelBroken(Problem):
    """An entry point names something that makes no channel."""

    slug = "notice-channel-broken"
    title = "A channel for notices cannot be loaded"
    status = 500


def installed_channels() -> dict[str, EntryPoint]:
    """The entry points of the group ``wattledger.notifiers``, by name; none of them is loaded yet."""
    return {point.name: point for point in entry_points(group=GROUP)}


def open_channel(*, name: str, settings: Mapping[str, str]) -> Channel:
    """The channel ``name`` with its settings.

    An entry point names what makes a channel from a mapping of settings, text to text. Raises :class:`ChannelNotFound`,
    :class:`ChannelBroken`, and :class:`~wattledger.notices.ChannelMisconfigured` for settings it cannot work with.
    """
    points = installed_channels()
    if name not in points:
        raise ChannelNotFound(
            f"no channel is called {name!r}", remedy=f"installed are: {', '.join(sorted(points)) or 'none'}"
        )
    try:
        channel: Channel = points[name].load()(settings)
    except Problem:
        raise
    except Exception as error:
        raise ChannelBroken(
            f"the channel {name} ({points[name].value}) cannot be loaded: {error}",
            remedy="install what it needs (pip install wattledger[notify] for apprise), or remove its package",
        ) from error
    if channel.name != name:
        raise ChannelBroken(
            f"the entry point {name} ({points[name].value}) makes a channel that calls itself {channel.name}",
            remedy="its author gives both one name",
        )
    return channel
