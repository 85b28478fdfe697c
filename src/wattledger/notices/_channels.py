"""Finding channels, and reading which of them there are to be: built-in ones and strangers' alike are entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import yaml

from wattledger.kernel import Problem
from wattledger.notices._delivery import DeliveryRules
from wattledger.notices._preferences import QuietHours
from wattledger.notices.ports import Channel, ChannelMisconfigured

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


@dataclass(frozen=True, slots=True)
class Outlets:
    """The channels of an installation, and how notices go by them."""

    channels: tuple[Channel, ...]
    rules: DeliveryRules


def installed_channels() -> dict[str, EntryPoint]:
    """The entry points of the group ``wattledger.notifiers``, by name; none of them is loaded yet."""
    return {point.name: point for point in entry_points(group=GROUP)}


def open_channel(*, use: str, name: str, settings: Mapping[str, str]) -> Channel:
    """A channel called ``name``, made by the entry point ``use`` from its settings.

    Raises :class:`ChannelNotFound`, :class:`ChannelBroken`, and
    :class:`~wattledger.notices.ChannelMisconfigured` for settings that it cannot work with.
    """
    points = installed_channels()
    if use not in points:
        raise ChannelNotFound(
            f"no channel is called {use!r}", remedy=f"installed are: {', '.join(sorted(points)) or 'none'}"
        )
    try:
        channel: Channel = points[use].load()(name, settings)
    except Problem:
        raise
    except Exception as error:
        raise ChannelBroken(
            f"the channel {use} ({points[use].value}) cannot be loaded: {error}",
            remedy="install what it needs (pip install wattledger[notify] for apprise), or remove its package",
        ) from error
    if channel.name != name:
        raise ChannelBroken(
            f"the channel {use} ({points[use].value}) was to be called {name!r} and calls itself {channel.name!r}",
            remedy="its author lets it bear the name that it is given",
        )
    return channel


def load_outlets(path: Path) -> Outlets:
    """The channels that a YAML file lists (see ``docs/notices.md``).

    Raises :class:`ChannelMisconfigured` for a file that says something else, and as :func:`open_channel`.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ChannelMisconfigured(f"{path} cannot be read: {error}", remedy="see docs/notices.md") from error
    said = _mapping(document, f"{path}", {"channels", "usual", "quiet"})
    channels = []
    for name, told in _mapping(said.get("channels"), f"{path}: channels", None).items():
        settings = {key: str(value) for key, value in _mapping(told, f"{path}: {name}", None).items()}
        channels.append(open_channel(use=settings.pop("use", name), name=name, settings=settings))
    usual = said.get("usual", [])
    names = [channel.name for channel in channels]
    if not isinstance(usual, list) or not all(name in names for name in usual):
        raise ChannelMisconfigured(
            f"{path}: usual lists other than {', '.join(names)}", remedy="name channels above it"
        )
    quiet = _mapping(said.get("quiet", {}), f"{path}: quiet", {"start", "end"})
    rules = DeliveryRules(usual=tuple(usual), quiet=QuietHours(**{key: _clock(value) for key, value in quiet.items()}))
    return Outlets(tuple(channels), rules)


def _clock(value: object) -> str:
    # YAML 1.1 takes 22:00 for a number to the base of 60.
    return f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) else str(value)


def _mapping(node: object, where: str, known: set[str] | None) -> dict[str, object]:
    if not isinstance(node, dict) or not all(isinstance(key, str) for key in node):
        raise ChannelMisconfigured(f"{where} is not a list of settings by name", remedy="see docs/notices.md")
    for unknown in sorted(node.keys() - known) if known is not None else ():
        raise ChannelMisconfigured(
            f"{where} has no setting {unknown!r}", remedy=f"it has {', '.join(sorted(known or ()))}"
        )
    return node
