"""Messages by Apprise: more than a hundred services for text messages, e-mail and push, each by a URL of its own."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import apprise

from wattledger.notices.ports import ChannelMisconfigured, Message, SendFailed, Undeliverable

_KNOWN = frozenset({"url", "address"})
_MARK = "{to}"


class AppriseChannel:
    """Sends by one of Apprise's services.

    Settings: ``url`` is Apprise's for the service, with ``{to}`` where the person's address belongs, as in
    ``mailtos://user:password@example.org?to={to}``; ``address`` says where that address is taken from when a
    person gave none: ``phone``, or nowhere (``none``).
    A person's address never is a URL of its own: whoever may write one could make this program call any machine.
    """

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        for unknown in sorted(settings.keys() - _KNOWN):
            raise ChannelMisconfigured(
                f"the channel {name} has no setting {unknown!r}", remedy="its settings are url, address"
            )
        if settings.get("address", "none") not in {"phone", "none"}:
            raise ChannelMisconfigured(f"address of the channel {name} is neither phone nor none")
        self._name = name
        self._url = settings.get("url", "")
        self._by_phone = settings.get("address") == "phone"
        self._asset = apprise.AppriseAsset(app_id="Wattledger", app_desc="Wattledger", async_mode=False)
        if _MARK not in self._url or not self._opened("10000000000"):
            # The URL holds secrets: it is not repeated.
            raise ChannelMisconfigured(
                f"url of the channel {name} is none of Apprise's with {_MARK} in it",
                remedy="see the service's page in Apprise's documentation",
            )

    @property
    def name(self) -> str:
        """As the settings call it."""
        return self._name

    def default_address(self, *, phone: str | None, name: str) -> str | None:  # noqa: ARG002 - the port's signature
        """The person's telephone number, where the settings say so."""
        return phone if self._by_phone else None

    def send(self, message: Message) -> None:
        """Hand a message to the service. Apprise does not tell why one failed: each failure is the message's own."""
        service = self._opened(message.to)
        if not service:
            raise Undeliverable(f"Apprise cannot send to {message.to!r} by the channel {self._name}")
        if not service.notify(body=message.text, title=message.title, body_format=apprise.NotifyFormat.TEXT):
            raise SendFailed(f"Apprise could not send by the channel {self._name}; its reason is in the log")

    def _opened(self, to: str) -> apprise.Apprise | None:
        opened = apprise.Apprise(asset=self._asset)
        return opened if opened.add(self._url.replace(_MARK, quote(to, safe=""))) else None
