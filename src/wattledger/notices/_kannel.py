"""Text messages by Kannel, the gateway of a utility's own: its ``sendsms`` over HTTP, its delivery reports back.

What is said here of Kannel stands in its user guide (version 1.4.5), chapter "Using the HTTP interface to send SMS
messages" and "Delivery reports": a request may be a POST of the plain text, with everything else in ``X-Kannel-``
headers. So neither the password nor what people are told stands in an address, where every log would keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import httpx

from wattledger.notices.ports import (
    ChannelDown,
    ChannelMisconfigured,
    Message,
    Report,
    ReportRefused,
    SendFailed,
    Undeliverable,
)

_NEEDED = frozenset({"url", "user", "password"})
_KNOWN = _NEEDED | {"sender", "smsc", "reports"}
_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_TRIMMED = str.maketrans("", "", " -()./")

# The default alphabet of GSM 03.38 and its extension: what a message of 160 characters is made of. All else is UCS-2.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€"
)
_DELIVERED, _NOT_DELIVERED, _REJECTED = 1, 2, 16  # of a report's type, and of the mask that asks for them
_TIME_LIMIT = httpx.Timeout(5, connect=3)  # seconds


class KannelChannel:
    """Sends through one Kannel.

    Settings: ``url`` of sendsms, ``user`` and ``password`` of its sendsms-user; may have ``sender``, ``smsc`` (the id
    of the centre to send by) and ``reports``, the address under which Kannel reaches this program's API at
    ``/api/v1/notices/reports/NAME``: without it messages stay *sent*.
    """

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        for lacking in sorted(_NEEDED - settings.keys()):
            raise ChannelMisconfigured(
                f"the channel {name} lacks the setting {lacking!r}", remedy="see docs/notices.md"
            )
        for unknown in sorted(settings.keys() - _KNOWN):
            raise ChannelMisconfigured(
                f"the channel {name} has no setting {unknown!r}", remedy=f"its settings are {', '.join(sorted(_KNOWN))}"
            )
        for setting in ("url", "reports"):
            parts = urlsplit(settings.get(setting, "http://none"))
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "%" in parts.geturl():
                raise ChannelMisconfigured(
                    f"{setting} of the channel {name} is no plain web address", remedy="write http://host:port/path"
                )
        for setting, value in settings.items():
            if not value.isprintable() or not value.isascii():
                raise ChannelMisconfigured(f"{setting} of the channel {name} has other than plain ASCII characters")
        self._name = name
        self._settings = dict(settings)
        self._tls = ssl.create_default_context()  # slow to make

    def __repr__(self) -> str:
        return f"KannelChannel({self._name!r}, {self._settings['url']!r})"  # and no password

    @property
    def name(self) -> str:
        """As the settings call it."""
        return self._name

    def default_address(self, *, phone: str | None, name: str) -> str | None:  # noqa: ARG002 - the port's signature
        """The person's telephone number."""
        return phone

    def send(self, message: Message) -> None:
        """Hand a text message to the gateway, in UCS-2 where the letters of GSM do not suffice.

        Taken is also what the gateway queues because its centre is away. A gateway that does not answer, refuses the
        password or is overloaded is :class:`ChannelDown`.
        """
        number = message.to.translate(_TRIMMED)
        if not _NUMBER.fullmatch(number):
            raise Undeliverable(f"{message.to!r} is no telephone number")
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-Kannel-Username": self._settings["user"],
            "X-Kannel-Password": self._settings["password"],
            "X-Kannel-To": number,
            "X-Kannel-Coding": "0" if _GSM.issuperset(message.text) else "2",
        }
        if "sender" in self._settings:
            headers["X-Kannel-From"] = self._settings["sender"]
        if "smsc" in self._settings:
            headers["X-Kannel-SMSC"] = self._settings["smsc"]
        if "reports" in self._settings:
            headers["X-Kannel-DLR-Mask"] = str(_DELIVERED | _NOT_DELIVERED | _REJECTED)
            headers["X-Kannel-DLR-Url"] = self._report_address(message)
        try:
            # A connection each: one that is kept may have died with the gateway since.
            with httpx.Client(timeout=_TIME_LIMIT, verify=self._tls, trust_env=False) as http:
                answer = http.post(self._settings["url"], content=message.text.encode(), headers=headers)
        except httpx.HTTPError as error:
            raise ChannelDown(
                f"Kannel at {self._settings['url']} does not answer: {type(error).__name__} {error}"
            ) from error
        said = f"Kannel answered {answer.status_code}: {answer.text.strip()[:200]}"
        if answer.is_success:
            return
        if answer.status_code in {403, 404, 408, 429} or answer.is_server_error:
            raise ChannelDown(said)
        if "denied" in answer.text or "receiver" in answer.text:
            raise Undeliverable(said)
        raise SendFailed(said)

    def read_report(self, query: Mapping[str, str]) -> Report:
        """The report in a call-back of Kannel's; raises :class:`ReportRefused` unless it bears our signature."""
        message_id, attempt = query.get("message", ""), query.get("attempt", "")
        signature, status = query.get("sign", ""), query.get("status", "")
        right = hmac.compare_digest(self._signature(message_id, attempt).encode(), signature.encode())
        if not (right and attempt.isdecimal() and status.isdecimal()):
            raise ReportRefused(f"the delivery report about {message_id[:60]!r} is not one that was asked for")
        answer = query.get("answer", "").strip("/ ")
        match int(status):
            case 1:
                return Report(message_id, int(attempt), "delivered")
            case 2:
                return Report(message_id, int(attempt), "failed", f"not delivered: {answer}"[:200])
            case 16:
                return Report(message_id, int(attempt), "failed", f"refused by the centre: {answer}"[:200])
            case other:
                raise ReportRefused(f"a delivery report of type {other} was not asked for")

    def _report_address(self, message: Message) -> str:
        signature = self._signature(message.id, str(message.attempt))
        asked = f"message={quote(message.id, safe='')}&attempt={message.attempt}&sign={signature}"
        return f"{self._settings['reports']}?{asked}&status=%d&answer=%A"  # Kannel fills in the last two

    def _signature(self, message_id: str, attempt: str) -> str:
        signed = f"delivery report\n{self._name}\n{message_id}\n{attempt}".encode()
        return hmac.new(self._settings["password"].encode(), signed, hashlib.sha256).hexdigest()[:32]
