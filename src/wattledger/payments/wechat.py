"""WeChat Pay, version 3 of its API: orders of a mini program (JSAPI), notifications, refunds and the bill of a day.

Written from WeChat Pay's own documentation, on ``cryptography`` and ``httpx``; why not on a ready-made client stands in
docs/decisions/0010. Nothing is believed that is not signed: every answer and every notification is verified with the
platform's certificate or public key that its serial names. Nothing secret and nothing decrypted is ever logged.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wattledger.kernel import Clock, Money, epoch, from_epoch, new_id, zone_named
from wattledger.payments.ports import (
    Callback,
    CallbackRefused,
    Checkout,
    MalformedCallback,
    Order,
    Payment,
    ProviderRefused,
    ProviderUnreachable,
    Refund,
    RefundAnswer,
    RefundState,
    SettingsWrong,
    StatementLine,
    TamperedCallback,
    Told,
    UnknownCertificate,
    document,
    minor_units,
    of_minor_units,
    require_fresh,
)

_log = logging.getLogger(__name__)

GATEWAY = "https://api.mch.weixin.qq.com"
_SCHEME = "WECHATPAY2-SHA256-RSA2048"
_ZONE = "Asia/Shanghai"
_TIMEOUT_SECONDS = 10
_KEY_LENGTH = 32
_CERTIFICATES_GOOD_FOR = timedelta(hours=12)
_CERTIFICATES_AGAIN_AFTER = timedelta(minutes=1)  # strangers' serials must not make us ask and ask
_NONCE_LENGTH_MAX = 32
_BODY_LENGTH_MAX = 1 << 20
_OK, _NO_CONTENT, _UNAUTHORIZED, _TOO_MANY, _SERVER_ERROR = 200, 204, 401, 429, 500
_NOT_THERE = {"ORDER_NOT_EXIST", "ORDERNOTEXIST", "NO_STATEMENT_EXIST", "RESOURCE_NOT_EXISTS"}

_REFUND_STATES: Mapping[str, RefundState] = {
    "SUCCESS": "done",
    "PROCESSING": "under_way",
    "CLOSED": "refused",
    "ABNORMAL": "refused",
}

_Verifier: TypeAlias = tuple[rsa.RSAPublicKey, datetime | None, datetime | None]
"""A key and, if it is a certificate's, from when to when it is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who we are to WeChat Pay. ``serial`` is that of our own certificate; ``public_keys`` are WeChat Pay's by id.

    A merchant that was given public keys (their ids begin with ``PUB_KEY_ID_``) may have no platform certificates.
    """

    appid: str
    mchid: str
    serial: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    api_key: bytes = field(repr=False)
    notify_url: str
    public_keys: Mapping[str, rsa.RSAPublicKey] = field(default_factory=dict)


@dataclass(slots=True)
class WeChatPay:
    """The provider; safe in many threads. ``client`` has WeChat Pay's address as its base."""

    name: ClassVar[str] = "wechat"
    zone: ClassVar[str] = _ZONE
    merchant: Merchant
    clock: Clock
    client: httpx.Client
    chance: Callable[[], str] = lambda: new_id("n")
    _certificates: dict[str, _Verifier] = field(default_factory=dict, repr=False)
    _fetched_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # --- The provider's port ---

    def create(self, order: Order) -> Checkout:
        """A JSAPI order; ``order.payer`` is the payer's openid. Hands over the arguments of ``wx.requestPayment``."""
        if order.payer is None:
            raise ProviderRefused("WeChat Pay has to know who pays", remedy="place the order with the payer's openid")
        answer = self._asked(
            "POST",
            "/v3/pay/transactions/jsapi",
            {
                "appid": self.merchant.appid,
                "mchid": self.merchant.mchid,
                "description": order.description,
                "out_trade_no": order.id,
                "time_expire": order.expires_at.astimezone(zone_named(_ZONE)).isoformat(timespec="seconds"),
                "notify_url": self.merchant.notify_url,
                "amount": {"total": minor_units(order.amount), "currency": order.amount.currency},
                "payer": {"openid": order.payer},
            },
        )
        prepay_id = answer.get("prepay_id")
        if not isinstance(prepay_id, str):
            raise ProviderUnreachable("WeChat Pay answered an order without a prepay_id")
        return Checkout(prepay_id, self.request_payment(prepay_id))

    def request_payment(self, prepay_id: str) -> dict[str, str]:
        """The arguments that a mini program gives to ``wx.requestPayment``, signed by us."""
        at, nonce, package = str(epoch(self.clock.now())), self._nonce(), f"prepay_id={prepay_id}"
        return {
            "timeStamp": at,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._signature(f"{self.merchant.appid}\n{at}\n{nonce}\n{package}\n".encode()),
        }

    def query(self, order: Order) -> Payment | None:
        """What became of an order."""
        path = f"/v3/pay/transactions/out-trade-no/{order.id}?mchid={self.merchant.mchid}"
        try:
            answer = self._asked("GET", path)
        except _NotThere:
            return None
        try:
            return self._payment(answer)
        except (CallbackRefused, KeyError, TypeError, ValueError) as error:
            raise ProviderUnreachable(f"WeChat Pay's answer about {order.id} cannot be read: {error}") from error

    def verify(self, callback: Callback) -> Told:
        """Prove and open a notification."""
        if len(callback.body) > _BODY_LENGTH_MAX:
            raise MalformedCallback(f"it has {len(callback.body)} bytes")
        signed, signed_at = self._proved(callback)
        try:
            told = document(callback.body)
            event_id, kind = str(told["id"]), str(told["event_type"])
            opened = document(self._opened(told["resource"]))
            if kind == "TRANSACTION.SUCCESS":
                return Told(event_id, signed_at, signed, payment=self._payment(opened))
            if kind.startswith("REFUND."):
                self._require_ours(opened, "mchid")
                # A refund that ended badly may still be mended at WeChat Pay; it is told as what it is.
                state = _REFUND_STATES[str(opened["refund_status"])]
                answer = RefundAnswer(str(opened["out_refund_no"]), str(opened["refund_id"]), state)
                return Told(event_id, signed_at, signed, refund=answer)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedCallback(f"it cannot be read: {type(error).__name__}") from error
        return Told(event_id, signed_at, signed)

    def refund(self, refund: Refund) -> RefundAnswer:
        """Give money back; the same ``refund.id`` answers how far it is.

        ``ABNORMAL`` (the payer's account does not take it) is told as refused: the money is still the merchant's.
        """
        content = {
            "transaction_id": refund.payment_id,
            "out_refund_no": refund.id,
            "reason": refund.reason,
            "amount": {
                "refund": minor_units(refund.amount),
                "total": minor_units(refund.paid),
                "currency": refund.amount.currency,
            },
        }
        try:
            answer = self._asked("POST", "/v3/refund/domestic/refunds", content)
        except ProviderRefused as refusal:
            # No counts only if it is not there: an earlier attempt may have gone through.
            try:
                answer = self._asked("GET", f"/v3/refund/domestic/refunds/{refund.id}")
            except _NotThere:
                raise refusal from None
        try:
            return RefundAnswer(refund.id, str(answer["refund_id"]), _REFUND_STATES[answer["status"]])
        except (KeyError, TypeError) as error:
            raise ProviderUnreachable(f"WeChat Pay's answer to refund {refund.id} cannot be read") from error

    def statement(self, day: date) -> Sequence[StatementLine]:
        """The trade bill of a day in Shanghai; there is one from ten in the morning of the next day on."""
        try:
            told = self._asked("GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL")
        except _NotThere:
            return []
        try:
            url, hashed = httpx.URL(str(told["download_url"])), str(told["hash_value"])
        except (KeyError, httpx.InvalidURL) as error:
            raise ProviderUnreachable("WeChat Pay's answer about its bill cannot be read") from error
        base = self.client.base_url
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise ProviderUnreachable(f"WeChat Pay's bill is said to be at {url.host}", remedy="ask WeChat Pay why")
        # The file itself is not signed; its hash is, with the answer that named it.
        content = self._sent("GET", url.raw_path.decode(), b"").content
        if not hmac.compare_digest(hashlib.sha1(content, usedforsecurity=False).hexdigest(), hashed.lower()):
            raise ProviderUnreachable("WeChat Pay's bill is not the one that was announced", remedy="ask again")
        try:
            return _bill(content.decode("utf-8-sig"))
        except (KeyError, ValueError, InvalidOperation) as error:
            raise ProviderUnreachable(f"WeChat Pay's bill of {day} cannot be read: {error}") from error

    # --- What is said, and proof of it ---

    def _asked(self, method: str, target: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask and believe the answer only if it is signed, and fresh."""
        body = b"" if content is None else json.dumps(content, ensure_ascii=False).encode()
        answer = self._sent(method, target, body)
        about = f"{method} {target.partition('?')[0]}"
        try:
            _, signed_at = self._proved(Callback(answer.headers, answer.content))
            require_fresh(signed_at, now=self.clock.now())
            return document(answer.content)
        except CallbackRefused as refusal:
            raise ProviderUnreachable(f"WeChat Pay's answer to {about}: {refusal.detail}") from refusal
        except ValueError as error:
            raise ProviderUnreachable(f"WeChat Pay's answer to {about} cannot be read") from error

    def _sent(self, method: str, target: str, body: bytes) -> httpx.Response:
        request = self.client.build_request(method, target, content=body)
        at, nonce = str(epoch(self.clock.now())), self._nonce()
        message = f"{method}\n{request.url.raw_path.decode()}\n{at}\n{nonce}\n".encode() + body + b"\n"
        request.headers["Authorization"] = (
            f'{_SCHEME} mchid="{self.merchant.mchid}",nonce_str="{nonce}",signature="{self._signature(message)}",'
            f'timestamp="{at}",serial_no="{self.merchant.serial}"'
        )
        request.headers.update({"Accept": "application/json", "User-Agent": "wattledger"})
        if body:
            request.headers["Content-Type"] = "application/json"
        try:
            answer = self.client.send(request)
        except httpx.HTTPError as error:
            raise ProviderUnreachable(
                f"WeChat Pay does not answer: {type(error).__name__}", remedy="ask again later"
            ) from error
        if answer.status_code in (_OK, _NO_CONTENT):
            return answer
        code, said = _complaint(answer.content)
        told = f"WeChat Pay answered {answer.status_code} {code}: {said}"
        if answer.status_code in (_UNAUTHORIZED, _TOO_MANY) or answer.status_code >= _SERVER_ERROR:
            # Says nothing of what it was asked for: an earlier attempt at it may have been carried out.
            raise ProviderUnreachable(told, remedy="ask again later; for 401 check keys, serial and clock first")
        raise (_NotThere if code in _NOT_THERE else ProviderRefused)(told, code=code)

    def _signature(self, message: bytes) -> str:
        made = self.merchant.private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(made).decode()

    def _nonce(self) -> str:
        return self.chance()[:_NONCE_LENGTH_MAX]

    def _proved(self, told: Callback) -> tuple[bytes, datetime]:
        """The message that was signed, and when; raises a :class:`CallbackRefused`."""
        at, nonce = told.header("Wechatpay-Timestamp"), told.header("Wechatpay-Nonce")
        if not re.fullmatch(r"[0-9]{1,11}", at, re.ASCII):
            raise MalformedCallback("its timestamp is not in seconds")
        message = f"{at}\n{nonce}\n".encode() + told.body + b"\n"
        key = self._key(told.header("Wechatpay-Serial"))
        try:
            signature = base64.b64decode(told.header("Wechatpay-Signature"), validate=True)
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError) as error:
            raise TamperedCallback("the signature does not fit") from error
        return message, from_epoch(int(at))

    def _payment(self, told: Mapping[str, Any]) -> Payment | None:
        """The payment that a transaction tells of, if it is one that was paid."""
        self._require_ours(told, "mchid")
        if told["trade_state"] not in ("SUCCESS", "REFUND"):  # one that was given back had been paid
            return None
        self._require_ours(told, "appid")
        return Payment(
            id=str(told["transaction_id"]),
            order_id=str(told["out_trade_no"]),
            amount=of_minor_units(told["amount"]["total"], str(told["amount"].get("currency", "CNY"))),
            paid_at=_instant(told["success_time"]),
        )

    def _require_ours(self, told: Mapping[str, Any], name: str) -> None:
        if told[name] != getattr(self.merchant, name):
            raise MalformedCallback(f"its {name} is not ours: it is meant for somebody else")

    def _opened(self, sealed: Mapping[str, Any]) -> bytes:
        """What an ``AEAD_AES_256_GCM`` resource holds."""
        if sealed["algorithm"] != "AEAD_AES_256_GCM":
            raise MalformedCallback("it is sealed in a way that is not known")
        try:
            return AESGCM(self.merchant.api_key).decrypt(
                str(sealed["nonce"]).encode(),
                base64.b64decode(sealed["ciphertext"], validate=True),
                str(sealed.get("associated_data") or "").encode(),
            )
        except InvalidTag as error:
            raise TamperedCallback("it is not sealed with our key") from error

    # --- The platform's certificates ---

    def _key(self, serial: str) -> rsa.RSAPublicKey:
        """The key that a serial names; certificates are fetched when one is not known, and twice a day."""
        if serial in self.merchant.public_keys:
            return self.merchant.public_keys[serial]
        if serial.startswith("PUB_KEY_ID_"):
            raise UnknownCertificate(f"the public key {serial[:80]!r} is not among those we were given")
        now = self.clock.now()
        with self._lock:
            age = None if self._fetched_at is None else now - self._fetched_at
            old = age is None or age > _CERTIFICATES_GOOD_FOR
            if old or (serial not in self._certificates and age is not None and age > _CERTIFICATES_AGAIN_AFTER):
                try:
                    self._fetch_certificates(now)
                except ProviderUnreachable:
                    if serial not in self._certificates:
                        raise
                    _log.warning("WeChat Pay's certificates could not be fetched: going on with those we have")
            found = self._certificates.get(serial)
        if found is None:
            raise UnknownCertificate(f"the certificate {serial[:80]!r} is not WeChat Pay's")
        key, since, until = found
        if (since is not None and now < since) or (until is not None and now >= until):
            raise UnknownCertificate(f"the certificate {serial} is good from {since} to {until} only")
        return key

    def _fetch_certificates(self, now: datetime) -> None:
        """Get all platform certificates; they are sealed with our key, and the answer is signed by one of them."""
        answer = self._sent("GET", "/v3/certificates", b"")
        fetched: dict[str, _Verifier] = {}
        try:
            for one in document(answer.content)["data"]:
                certificate = x509.load_pem_x509_certificate(self._opened(one["encrypt_certificate"]))
                key = certificate.public_key()
                if not isinstance(key, rsa.RSAPublicKey) or f"{certificate.serial_number:X}" != one["serial_no"]:
                    raise MalformedCallback(f"certificate {one['serial_no']} is not what it is called")
                fetched[one["serial_no"]] = (key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
            told = Callback(answer.headers, answer.content)
            signer = fetched.get(told.header("Wechatpay-Serial"))
            if signer is None:
                raise UnknownCertificate("it is signed by none of the certificates in it")
            at, nonce = told.header("Wechatpay-Timestamp"), told.header("Wechatpay-Nonce")
            signer[0].verify(
                base64.b64decode(told.header("Wechatpay-Signature"), validate=True),
                f"{at}\n{nonce}\n".encode() + told.body + b"\n",
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
            require_fresh(from_epoch(int(at)), now=now)
        except (CallbackRefused, InvalidSignature, KeyError, TypeError, ValueError) as error:
            raise ProviderUnreachable(
                f"WeChat Pay's certificates cannot be believed: {type(error).__name__}",
                remedy="check the APIv3 key, the clock and the address",
            ) from error
        self._certificates, self._fetched_at = fetched, now


class _NotThere(ProviderRefused):
    """WeChat Pay knows no such order or bill."""


def _complaint(body: bytes) -> tuple[str, str]:
    try:
        told = document(body)
    except ValueError:
        return "", "no reason that can be read"
    return str(told.get("code", ""))[:40], str(told.get("message", ""))[:200]


def _instant(text: object) -> datetime:
    """An RFC 3339 instant with its offset, in UTC."""
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        msg = f"{at} has no offset"
        raise ValueError(msg)
    return at.astimezone(zone_named("UTC"))


# --- The bill of a day ---

_AT, _STATE, _CURRENCY = "交易时间", "交易状态", "货币种类"
_PAYMENT, _ORDER, _AMOUNT = "微信订单号", "商户订单号", "订单金额"
_REFUND, _REFUNDED = "商户退款单号", "申请退款金额"


def _bill(text: str) -> list[StatementLine]:
    """A trade bill of type ALL: a line of names, lines whose cells begin with a backtick, and two lines of totals."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        msg = "it is empty"
        raise ValueError(msg)
    names = [name.strip() for name in rows[0]]
    zone = zone_named(_ZONE)
    lines: list[StatementLine] = []
    for row in rows[1:]:
        if not row or not row[0].startswith("`"):
            break  # the totals
        cells = dict(zip(names, (cell.strip().lstrip("`") for cell in row), strict=True))
        at = datetime.fromisoformat(cells[_AT]).replace(tzinfo=zone).astimezone(zone_named("UTC"))
        state, currency = cells[_STATE], cells[_CURRENCY]
        if state == "SUCCESS":
            amount = Money.of(Decimal(cells[_AMOUNT]), currency)
            lines.append(StatementLine("payment", cells[_PAYMENT], cells[_ORDER], amount, at))
        elif state == "REFUND":
            amount = Money.of(Decimal(cells[_REFUNDED]), currency)
            lines.append(StatementLine("refund", cells[_REFUND], cells[_ORDER], amount, at))
        # REVOKED is an order that was called off: no money stayed.
    return lines


# --- Settings ---


def wechat(settings: Mapping[str, str], *, clock: Clock) -> WeChatPay:
    """The provider from settings.

    ``appid``, ``mchid``, ``serial`` (of the merchant's certificate), ``private_key`` (path of its PEM file),
    ``api_key`` (path of a file with the 32 bytes of the APIv3 key), ``notify_url`` (https); optionally ``gateway``,
    ``public_key_id`` and ``public_key`` (path of a PEM file). Raises
    :class:`~wattledger.payments.SettingsWrong`, without a word of what is secret.
    """
    wanted = ("appid", "mchid", "serial", "private_key", "api_key", "notify_url")
    missing = [name for name in wanted if not settings.get(name)]
    if missing:
        raise SettingsWrong(f"WeChat Pay lacks {', '.join(missing)}")
    if not settings["notify_url"].startswith("https://"):
        raise SettingsWrong("WeChat Pay notifies https addresses only", remedy="mend notify_url")
    try:
        private = serialization.load_pem_private_key(Path(settings["private_key"]).read_bytes(), password=None)
        api_key = Path(settings["api_key"]).read_bytes().strip()
        public_keys = {}
        if settings.get("public_key_id"):
            public = serialization.load_pem_public_key(Path(settings.get("public_key", "")).read_bytes())
            public_keys[settings["public_key_id"]] = public
    except (OSError, ValueError, TypeError) as error:
        raise SettingsWrong(f"a key of WeChat Pay cannot be read: {type(error).__name__}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or len(api_key) != _KEY_LENGTH:
        raise SettingsWrong(f"WeChat Pay needs an RSA key and an APIv3 key of {_KEY_LENGTH} bytes")
    keys = {name: key for name, key in public_keys.items() if isinstance(key, rsa.RSAPublicKey)}
    if len(keys) != len(public_keys):
        raise SettingsWrong("WeChat Pay's public key is not one of RSA")
    merchant = Merchant(
        appid=settings["appid"],
        mchid=settings["mchid"],
        serial=settings["serial"],
        private_key=private,
        api_key=api_key,
        notify_url=settings["notify_url"],
        public_keys=keys,
    )
    client = httpx.Client(base_url=settings.get("gateway", GATEWAY), timeout=_TIMEOUT_SECONDS)
    return WeChatPay(merchant, clock, client)
