"""An Eclipse Mosquitto of the test's own on loopback: a door for all, one with a password, one with TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USERS = {"headend": "of-tests", "meter": "of-meters"}
_LONGEST = 20  # seconds that starting may take


def lacking() -> str | None:
    """Why there is no Mosquitto here; ``None`` when there is."""
    absent = [name for name in ("mosquitto", "mosquitto_passwd") if _found(name) is None]
    return f"Mosquitto is not installed (Debian: mosquitto): there is no {', '.join(absent)}" if absent else None


def _found(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class Mosquitto:
    """A broker that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.guarded, self.secured = _free_ports(3)
        _write_certificates(folder)
        passwords = folder / "passwords"
        passwords.write_text("".join(f"{user}:{password}\n" for user, password in USERS.items()))
        subprocess.run([_found("mosquitto_passwd") or "", "-U", passwords], check=True, capture_output=True)
        passwords.chmod(0o600)
        access = folder / "access"
        access.write_text("user headend\ntopic readwrite #\nuser meter\ntopic readwrite #\n")
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"""\
user root
per_listener_settings true
log_dest stderr
log_type information
log_type error
connection_messages false

listener {self.port} 127.0.0.1
allow_anonymous true

listener {self.guarded} 127.0.0.1
password_file {passwords}
acl_file {access}

listener {self.secured} 127.0.0.1
allow_anonymous true
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate true
""")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [_found("mosquitto") or "", "-c", self._file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        too_late = threading.Timer(_LONGEST, self._process.kill)
        too_late.start()
        said = []
        for line in self._process.stdout:
            said.append(line)
            if " running" in line:
                break
        too_late.cancel()
        assert said, "mosquitto said nothing"
        assert " running" in said[-1], "".join(said)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=_LONGEST)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def running_mosquitto(folder: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write_certificates(folder: Path) -> None:
    """An authority, the broker's certificate and a client's, and an authority that signed nothing."""
    authority, authority_key = _certificate("the authority of these tests", None)
    stranger, _ = _certificate("an authority of nobody", None)
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "stranger.pem").write_bytes(stranger.public_bytes(serialization.Encoding.PEM))
    for name in ("broker", "client"):
        certificate, key = _certificate(name, (authority, authority_key))
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _certificate(
    name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
    return builder.sign(key if signer is None else signer[1], hashes.SHA256()), key
