"""WeChat Pay on loopback: checks our signatures, signs and seals as the real one does. People pay by ``pay``."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from wattledger.kernel import Clock, epoch
from wattledger.payments import Callback

APPID, MCHID, MERCHANT_SERIAL = "wxd678efh567hg6787", "1900007291", "3775B6A45ACD588826D15E583A95F5DD00000001"
API_KEY = b"an APIv3 key has thirty-two byte"
HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:  # noqa: ARG001 - the cache looks at it
    """A key by name; making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(key: rsa.RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


@dataclass(slots=True)
class WeChatServer:
    clock: Clock
    platform: list[str] = field(default_factory=lambda: ["platform"])
    troubles: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    transactions: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    bill: bytes = b""
    address: str = ""
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)
    _nonces: set[str] = field(default_factory=set)

    # --- Signing and sealing ---

    def certificate(self, name: str) -> x509.Certificate:
        if name not in self.certificates:
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign")])
            self.certificates[name] = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(subject)
                .public_key(rsa_key(name).public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(self.clock.now() - timedelta(days=1))
                .not_valid_after(self.clock.now() + timedelta(days=30))
                .sign(rsa_key(name), hashes.SHA256())
            )
        return self.certificates[name]

    def serial(self, name: str) -> str:
        return f"{self.certificate(name).serial_number:X}"

    def signed(self, body: bytes, *, by: str | None = None, at: datetime | None = None) -> dict[str, str]:
        name = by or self.platform[0]
        stamp, nonce = str(epoch(at or self.clock.now())), secrets.token_hex(16)
        return {
            "Wechatpay-Timestamp": stamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial(name),
            "Wechatpay-Signature": sign(rsa_key(name), f"{stamp}\n{nonce}\n".encode() + body + b"\n"),
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
        }

    def sealed(self, content: bytes, associated: str, key: bytes = API_KEY) -> dict[str, str]:
        nonce = secrets.token_hex(6)
        made = AESGCM(key).encrypt(nonce.encode(), content, associated.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": base64.b64encode(made).decode(),
        }

    # --- People pay, and we are told ---

    def pay(self, order_id: str, *, total: int | None = None) -> dict[str, Any]:
        ordered = self.orders[order_id]
        fen = ordered["amount"]["total"] if total is None else total
        paid = {
            "appid": APPID,
            "mchid": MCHID,
            "out_trade_no": order_id,
            "transaction_id": f"42000{len(self.transactions):023}",
            "trade_type": "JSAPI",
            "trade_state": "SUCCESS",
            "bank_type": "OTHERS",
            "success_time": self.local().isoformat(timespec="seconds"),
            "payer": ordered["payer"],
            "amount": {"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"},
        }
        self.transactions[order_id] = paid
        return paid

    def notify(self, told: dict[str, Any], *, kind: str = "TRANSACTION.SUCCESS", key: bytes = API_KEY) -> bytes:
        about = "refund" if kind.startswith("REFUND") else "transaction"
        resource = {"original_type": about, **self.sealed(json.dumps(told).encode(), about, key)}
        return json.dumps(
            {
                "id": str(told.get("transaction_id")) + kind,
                "create_time": self.local().isoformat(timespec="seconds"),
                "resource_type": "encrypt-resource",
                "event_type": kind,
                "summary": "支付成功",
                "resource": resource,
            },
            ensure_ascii=False,
        ).encode()

    def call_back(self, body: bytes, *, by: str | None = None, at: datetime | None = None) -> Callback:
        return Callback(self.signed(body, by=by, at=at), body)

    def local(self) -> datetime:
        return self.clock.now().astimezone(datetime.fromisoformat("2026-01-01T00:00:00+08:00").tzinfo)

    # --- What it answers ---

    def answer(  # noqa: C901, PLR0911, PLR0912 - a table of all that may be asked
        self, method: str, target: str, body: bytes, authorization: str
    ) -> tuple[int, bytes, dict[str, str]]:
        if not self._authentic(method, target, body, authorization):
            return self._told(401, {"code": "SIGN_ERROR", "message": "签名错误"})
        content = json.loads(body) if body else {}
        url = urlsplit(target)
        self.asked.append((method, url.path, content))
        if "down" in self.troubles:
            return self._told(503, {"code": "SYSTEM_ERROR", "message": "系统繁忙"})
        name = url.path.rpartition("/")[2]
        match method, url.path.removesuffix(name):
            case "GET", "/v3/" if name == "certificates":
                data = [
                    {
                        "serial_no": self.serial(one),
                        "encrypt_certificate": self.sealed(
                            self.certificate(one).public_bytes(serialization.Encoding.PEM), "certificate"
                        ),
                    }
                    for one in self.platform
                ]
                return self._told(200, {"data": data})
            case "POST", "/v3/pay/transactions/":
                known = self.orders.setdefault(content["out_trade_no"], content)
                if known["amount"] != content["amount"]:
                    return self._told(400, {"code": "INVALID_REQUEST", "message": "商户订单号重复"})
                return self._told(200, {"prepay_id": f"wx{content['out_trade_no']}"})
            case "GET", "/v3/pay/transactions/out-trade-no/":
                if name not in self.orders or parse_qs(url.query) != {"mchid": [MCHID]}:
                    return self._told(404, {"code": "ORDER_NOT_EXIST", "message": "订单不存在"})
                unpaid = {"appid": APPID, "mchid": MCHID, "out_trade_no": name, "trade_state": "NOTPAY"}
                return self._told(200, self.transactions.get(name, unpaid))
            case "POST", "/v3/refund/domestic/" if "not_enough" in self.troubles:
                return self._told(403, {"code": "NOT_ENOUGH", "message": "基本账户余额不足"})
            case "POST", "/v3/refund/domestic/":
                status = "PROCESSING" if "slow_refunds" in self.troubles else "SUCCESS"
                made = {**content, "refund_id": f"50000{len(self.refunds):023}", "at": f"{self.local():%F %T}"}
                kept = self.refunds.setdefault(content["out_refund_no"], made)
                return self._told(200, {**kept, "status": status})
            case "GET", "/v3/refund/domestic/refunds/" if name in self.refunds:
                return self._told(200, {**self.refunds[name], "status": "SUCCESS"})
            case "GET", "/v3/bill/":
                self.bill = self._bill(parse_qs(url.query)["bill_date"][0])
                if not self.bill:
                    return self._told(400, {"code": "NO_STATEMENT_EXIST", "message": "账单文件不存在"})
                link = f"{self.address}/v3/billdownload/file?token=a%2Fb_{len(self.bill)}"
                if "foreign_bill" in self.troubles:
                    link = "https://example.net/file"
                hashed = hashlib.sha1(self.bill, usedforsecurity=False).hexdigest()
                return self._told(200, {"hash_type": "SHA1", "hash_value": hashed, "download_url": link})
            case "GET", "/v3/billdownload/":
                return 200, self.bill + (b" " if "spoilt_bill" in self.troubles else b""), {}
        return self._told(404, {"code": "RESOURCE_NOT_EXISTS", "message": "不存在"})

    def _told(self, status: int, content: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        body = json.dumps(content, ensure_ascii=False).encode()
        at = self.clock.now() - timedelta(hours=1) if "old_answers" in self.troubles else None
        headers = self.signed(body, by="stranger" if "strange_answers" in self.troubles else None, at=at)
        return status, body + (b" " if "spoilt_answers" in self.troubles else b""), headers

    def _authentic(self, method: str, target: str, body: bytes, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        message = f"{method}\n{target}\n{said.get('timestamp')}\n{said.get('nonce_str')}\n".encode() + body + b"\n"
        try:
            rsa_key("merchant").public_key().verify(
                base64.b64decode(said["signature"]), message, padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, KeyError, ValueError):
            return False
        fresh = abs(epoch(self.clock.now()) - int(said["timestamp"])) <= 300 and said["nonce_str"] not in self._nonces
        self._nonces.add(said["nonce_str"])
        ours = (said["mchid"], said["serial_no"]) == (MCHID, MERCHANT_SERIAL)
        return fresh and ours and scheme == "WECHATPAY2-SHA256-RSA2048"

    def _bill(self, day: str) -> bytes:
        rows = []
        for one in self.transactions.values():
            at = one["success_time"][:19].replace("T", " ")
            fen = yuan(one["amount"]["total"])
            cells = [at, APPID, MCHID, "0", "", one["transaction_id"], one["out_trade_no"], "openid", "JSAPI"]
            cells += ["SUCCESS", "OTHERS", "CNY", fen, "0.00", "0", "0", "0.00", "0.00", "", "", "电费, 预存", ""]
            rows.append([*cells, "0.00000", "0.60%", fen, "0.00", ""])
        for one in self.refunds.values():
            fen = yuan(one["amount"]["refund"])
            cells = [one["at"], APPID, MCHID, "0", "", one["transaction_id"], "order", "openid", "JSAPI", "REFUND"]
            cells += ["OTHERS", "CNY", "0.00", "0.00", one["refund_id"], one["out_refund_no"], fen, "0.00", "ORIGINAL"]
            rows.append([*cells, "SUCCESS", "电费", "", "0.00000", "0.60%", "0.00", fen, ""])
        rows = [row for row in rows if row[0].startswith(day)]
        if not rows:
            return b""
        quoted = [",".join(f'"`{cell}"' if "," in cell else f"`{cell}" for cell in row) for row in rows]
        totals = ["总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"]
        return "\r\n".join([f"\ufeff{HEADER}", *quoted, *totals, "`1,`0.00,`0.00,`0.00,`0.00,`0.00,`0.00", ""]).encode()


@contextmanager
def wechat_server(clock: Clock) -> Iterator[WeChatServer]:
    served = WeChatServer(clock)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = served.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            self.send_response(told[0])
            for name, value in {**told[2], "Content-Length": str(len(told[1]))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told[1])

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
