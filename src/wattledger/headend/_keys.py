"""The keys of meters: sealed at rest, and changed so that no power cut locks anybody out.

Every row is sealed by a key of its own, and that by the master key (an envelope): the master key is used on 32 bytes at
a time, may live in a device that never gives it away, and can be changed without touching a meter.

A generation of keys is NEW from the moment it is made, **before** anything is sent to the meter, and becomes ACTIVE
when a conversation under it succeeded. In between nobody knows which the meter has, so both are tried. A meter can have
one NEW and one ACTIVE generation: the database refuses a second rotation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wattledger.headend import _tables as t
from wattledger.headend._queue import hurry, linked
from wattledger.headend.ports import KeySet, Secret
from wattledger.kernel import Problem
from wattledger.store import Fact, Row, Transaction

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Unguessable bytes, handed in: so many."""

_MAGIC = b"WK1"
_KEY_BYTES = 32  # AES-256
_NONCE_BYTES = 12
_OTHERS = 0o077
_ROTATED = ("unicast", "authentication", "broadcast")


class MasterKeyUnusable(Problem):
    """The master key cannot be had, or is none."""

    slug = "master-key-unusable"
    title = "The master key cannot be used"
    status = 500


class KeysSealed(Problem):
    """Keys are stored that this master key does not open, or that were tampered with."""

    slug = "meter-keys-sealed"
    title = "The meter's keys cannot be opened"
    status = 500


class KeysMissing(Problem):
    """No keys are known of a meter, or not those that are needed."""

    slug = "meter-keys-missing"
    title = "The meter's keys are not known"
    status = 409


class RotationUnderWay(Problem):
    """A meter's keys are being changed already."""

    slug = "key-rotation-under-way"
    title = "The meter's keys are being changed already"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRotated(Fact):
    """A meter took new keys, and was talked to under them."""

    meter_id: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """A generation of a meter's keys, without the keys."""

    meter_id: str
    generation: int
    state: Literal["new", "active", "retired"]
    made_at: datetime
    changed_at: datetime
    attempts: int
    detail: str | None


# --- The envelope ---


class MasterKey(Protocol):
    """What seals the keys that seal. A PKCS#11 device fits: it wraps and unwraps, and never shows its key."""

    @property
    def id(self) -> str:
        """Which key this is; no secret, at most 64 ASCII characters. Kept beside what it sealed."""
        ...

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Seal a key of 32 bytes, so that it opens in the same ``context`` only."""
        ...

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Open what :meth:`wrap` sealed; raises :class:`ValueError` for anything else."""
        ...


@final
class LocalMasterKey:
    """A master key in this process: AES-256-GCM."""

    __slots__ = ("_cipher", "_random", "id")

    def __init__(self, key: bytes, *, random: RandomBytes) -> None:
        if len(key) != _KEY_BYTES:
            raise MasterKeyUnusable(
                f"a master key has {_KEY_BYTES} bytes; this one has {len(key)}", remedy="make one: openssl rand -hex 32"
            )
        self._cipher = AESGCM(key)
        self._random = random
        self.id = hmac.new(key, b"wattledger master key", hashlib.sha256).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"LocalMasterKey(id={self.id!r})"

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """See :class:`MasterKey`."""
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """See :class:`MasterKey`."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except InvalidTag as error:
            raise ValueError("sealed by another key, or for another row") from error


def master_key_from_text(text: str, *, random: RandomBytes) -> LocalMasterKey:
    """The master key written as 64 hexadecimal digits or in base64, as a setting has it."""
    return LocalMasterKey(_read_key(text.strip()), random=random)


def master_key_from_file(path: Path, *, random: RandomBytes) -> LocalMasterKey:
    """The master key in a file: as text, or its 32 bytes. Refuses a file that others on the machine may read."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise MasterKeyUnusable(
            f"the master key in {path} cannot be read: {error.strerror}",
            remedy="make one: (umask 077; openssl rand -hex 32 > FILE)",
        ) from error
    if stat.S_IMODE(mode) & _OTHERS:
        raise MasterKeyUnusable(f"others may read the master key in {path}", remedy=f"chmod 600 {path}")
    if len(content) == _KEY_BYTES:
        return LocalMasterKey(content, random=random)
    return LocalMasterKey(_read_key(content.decode("ascii", "replace").strip()), random=random)


def _read_key(text: str) -> bytes:
    try:
        if len(text) == 2 * _KEY_BYTES:
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        # From None: the text of the error would show the key.
        raise MasterKeyUnusable(
            "the master key is neither hexadecimal nor base64", remedy="make one: openssl rand -hex 32"
        ) from None


@final
class Vault:
    """Seals and opens the keys of meters. ``former`` master keys still open what they sealed."""

    def __init__(self, master: MasterKey, *, random: RandomBytes, former: Sequence[MasterKey] = ()) -> None:
        self.random = random
        self._master = master
        self._masters = {one.id: one for one in (*former, master)}

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._masters)})"

    def seal(self, keys: KeySet, *, meter_id: str) -> bytes:
        """The keys of one meter and generation, sealed: they open for this meter and generation only."""
        context = _context(meter_id, keys.generation)
        plain = {
            one.name: secret.reveal().hex()
            for one in fields(keys)
            if isinstance(secret := getattr(keys, one.name), Secret)
        }
        own = self.random(_KEY_BYTES)
        nonce = self.random(_NONCE_BYTES)
        body = nonce + AESGCM(own).encrypt(nonce, json.dumps(plain).encode(), context)
        return _envelope(self._master.id, self._master.wrap(own, context=context), body)

    def open(self, sealed: bytes, *, meter_id: str, generation: int) -> KeySet:
        """The keys that were sealed for this meter and generation; raises :class:`KeysSealed`."""
        context = _context(meter_id, generation)
        try:
            master_id, wrapped, body = _opened(sealed)
            own = self._by(master_id, meter_id).unwrap(wrapped, context=context)
            plain = json.loads(AESGCM(own).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], context))
        except (ValueError, InvalidTag) as error:
            raise KeysSealed(
                f"the keys of {meter_id} (generation {generation}) were changed or moved from another row",
                remedy="put the row back from a backup, or give the meter's keys again",
            ) from error
        return KeySet(generation=generation, **{name: Secret(bytes.fromhex(text)) for name, text in plain.items()})

    def rewrap(self, sealed: bytes, *, meter_id: str, generation: int) -> bytes:
        """The same keys under the present master key; what they seal stays as it is."""
        context = _context(meter_id, generation)
        try:
            master_id, wrapped, body = _opened(sealed)
            own = self._by(master_id, meter_id).unwrap(wrapped, context=context)
        except ValueError as error:
            raise KeysSealed(f"the keys of {meter_id} (generation {generation}) do not open") from error
        return _envelope(self._master.id, self._master.wrap(own, context=context), body)

    def is_present(self, sealed: bytes) -> bool:
        """Whether the present master key sealed this."""
        return _opened(sealed)[0] == self._master.id

    def _by(self, master_id: str, meter_id: str) -> MasterKey:
        if master_id not in self._masters:
            raise KeysSealed(
                f"the keys of {meter_id} are sealed by the master key {master_id}, which was not given",
                remedy=f"give it as a former master key; known are {', '.join(self._masters)}",
            )
        return self._masters[master_id]


def _context(meter_id: str, generation: int) -> bytes:
    return f"wattledger meter keys\0{meter_id}\0{generation}".encode()


def _envelope(master_id: str, wrapped: bytes, body: bytes) -> bytes:
    name = master_id.encode("ascii")
    return b"".join((_MAGIC, bytes((len(name),)), name, len(wrapped).to_bytes(2, "big"), wrapped, body))


def _opened(sealed: bytes) -> tuple[str, bytes, bytes]:
    """The parts of an envelope; raises :class:`ValueError` where it is none."""
    if sealed[:3] != _MAGIC or len(sealed) < 6:  # noqa: PLR2004 - as _envelope writes it
        raise ValueError("not an envelope")
    at = 4 + sealed[3]
    size = int.from_bytes(sealed[at : at + 2], "big")
    return sealed[4:at].decode("ascii"), sealed[at + 2 : at + 2 + size], sealed[at + 2 + size :]


# --- The store ---


@dataclass(frozen=True, slots=True)
class Candidate:
    """Keys that a meter may have now.

    ``mixed`` is the half of a rotation that took one key and not the other before its power went.
    """

    keys: KeySet
    standing: Literal["active", "new", "mixed"]


def put_keys(tx: Transaction, *, meter_id: str, keys: KeySet, vault: Vault, now: datetime) -> int:
    """Keep the keys that are in a meter now (as its maker told them); returns their generation.

    Those that were thought to be in it before are retired; told the same again it is still the same generation, for
    what was sent under these keys must not count anew. Raises :class:`RotationUnderWay`.
    """
    linked(tx, meter_ids=[meter_id])
    rows = _rows(tx, meter_id)
    if any(row.state == "new" for row in rows):
        raise RotationUnderWay(
            f"the keys of {meter_id} are being changed", remedy="wait until the change is settled, then give them"
        )
    for row in rows:
        with suppress(KeysSealed):
            if row.state == "active" and _open(row, vault) == replace(keys, generation=row.generation):
                return int(row.generation)
    _retire_active(tx, meter_id, now)
    return _insert(tx, meter_id, replace(keys, generation=_next_generation(rows)), "active", vault=vault, now=now)


def begin_rotation(tx: Transaction, *, meter_id: str, vault: Vault, now: datetime) -> int:
    """Make new keys for a meter, store them, and let the meter be talked to; returns their generation.

    To be committed before the meter hears of them. The master key and the password stay as they are. Raises
    :class:`RotationUnderWay` while an earlier change is not settled, :class:`KeysMissing` for a meter that cannot be
    given keys.
    """
    linked(tx, meter_ids=[meter_id])
    rows = _rows(tx, meter_id)
    if any(row.state == "new" for row in rows):
        raise RotationUnderWay(
            f"the keys of {meter_id} are being changed", remedy="it settles at the next conversation with the meter"
        )
    active = next((_open(row, vault) for row in rows if row.state == "active"), None)
    if active is None or active.master is None or active.unicast is None:
        raise KeysMissing(
            f"{meter_id} cannot be given keys: its {'keys are' if active is None else 'master key is'} not known",
            remedy="give the keys that are in it now, its master key among them",
        )
    fresh = {
        name: Secret(vault.random(len(secret.reveal())))
        for name in _ROTATED
        if isinstance(secret := getattr(active, name), Secret)
    }
    generation = _next_generation(rows)
    _insert(tx, meter_id, replace(active, generation=generation, **fresh), "new", vault=vault, now=now)
    hurry(tx, meter_ids=[meter_id], now=now)
    return generation


def candidates(
    tx: Transaction, *, meter_ids: Collection[str], vault: Vault | None
) -> dict[str, list[Candidate] | KeysSealed]:
    """The keys that each of these meters may have now, in the order they are tried; none for one without keys.

    For a meter whose keys do not open, why: the others go on.
    """
    select = sa.select(t.key).where(tx.among(t.key.c.meter_id, meter_ids), t.key.c.state != "retired")
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in tx.rows(select.order_by(t.key.c.meter_id, t.key.c.state)):  # "active" comes before "new"
        rows[row.meter_id].append(row)
    found: dict[str, list[Candidate] | KeysSealed] = {}
    for meter_id, own in rows.items():
        try:
            if vault is None:
                raise KeysSealed(f"the keys of {meter_id} are sealed", remedy="give the master key")  # noqa: TRY301 - told like any other
            known = [Candidate(_open(row, vault), row.state) for row in own]
        except KeysSealed as problem:
            found[meter_id] = problem
        else:
            found[meter_id] = known + (_mixtures(*(one.keys for one in known)) if len(known) > 1 else [])
    return found


def settle_rotation(tx: Transaction, *, meter_id: str, generation: int, now: datetime) -> None:
    """A conversation under the new keys succeeded: they are ACTIVE now. Settled before is settled."""
    rows = {row.generation: row for row in _rows(tx, meter_id)}
    if generation not in rows or rows[generation].state != "new":
        return
    _retire_active(tx, meter_id, now)
    _set(tx, meter_id, generation, state="active", changed_at=now, detail=None)
    tx.emit(KeysRotated(at=now, meter_id=meter_id, generation=generation))


def note_rotation(tx: Transaction, *, meter_id: str, generation: int, detail: str, now: datetime) -> None:
    """New keys were sent to the meter, and it is not settled: why."""
    row = next((row for row in _rows(tx, meter_id) if row.generation == generation), None)
    if row is not None and row.state == "new":
        _set(tx, meter_id, generation, attempts=row.attempts + 1, changed_at=now, detail=detail[:1000])


def key_statuses(tx: Transaction, *, meter_id: str) -> list[KeyStatus]:
    """The generations of a meter's keys, oldest first; never the keys."""
    return [
        KeyStatus(
            meter_id=row.meter_id,
            generation=row.generation,
            state=row.state,
            made_at=row.made_at,
            changed_at=row.changed_at,
            attempts=row.attempts,
            detail=row.detail,
        )
        for row in tx.rows(sa.select(t.key).where(t.key.c.meter_id == meter_id).order_by(t.key.c.generation))
    ]


def rewrap_keys(tx: Transaction, *, vault: Vault, limit: int = 10_000) -> int:
    """Seal keys that a former master key sealed under the present one; returns how many. Repeat until none is left.

    Nothing is said to any meter.
    """
    done = 0
    for row in tx.rows(tx.locked(sa.select(t.key).order_by(t.key.c.meter_id, t.key.c.generation))):
        if done < limit and not vault.is_present(row.sealed):
            sealed = vault.rewrap(row.sealed, meter_id=row.meter_id, generation=row.generation)
            _set(tx, row.meter_id, row.generation, sealed=sealed)
            done += 1
    return done


def _mixtures(active: KeySet, new: KeySet) -> list[Candidate]:
    if active.authentication is None or new.authentication is None:
        return []
    # Counters go with the key that enciphers.
    return [
        Candidate(replace(new, authentication=active.authentication), "mixed"),
        Candidate(replace(active, authentication=new.authentication), "mixed"),
    ]


def _open(row: Row, vault: Vault) -> KeySet:
    return vault.open(row.sealed, meter_id=row.meter_id, generation=row.generation)


def _rows(tx: Transaction, meter_id: str) -> Sequence[Row]:
    """All generations; the meter's row is the lock under which its keys change."""
    tx.execute(tx.locked(sa.select(t.meter.c.meter_id).where(t.meter.c.meter_id == meter_id)))
    return tx.rows(sa.select(t.key).where(t.key.c.meter_id == meter_id).order_by(t.key.c.generation))


def _next_generation(rows: Sequence[Row]) -> int:
    return 1 + max((row.generation for row in rows), default=0)


def _insert(
    tx: Transaction,
    meter_id: str,
    keys: KeySet,
    state: Literal["new", "active"],
    *,
    vault: Vault,
    now: datetime,
) -> int:
    row = {
        "meter_id": meter_id,
        "generation": keys.generation,
        "state": state,
        "sealed": vault.seal(keys, meter_id=meter_id),
        "made_at": now,
        "changed_at": now,
        "attempts": 0,
    }
    tx.insert(t.key, [row])
    return keys.generation


def _retire_active(tx: Transaction, meter_id: str, now: datetime) -> None:
    tx.execute(
        t.key.update()
        .where(t.key.c.meter_id == meter_id, t.key.c.state == "active")
        .values(state="retired", changed_at=now)
    )


def _set(tx: Transaction, meter_id: str, generation: int, **values: object) -> None:
    where = (t.key.c.meter_id == meter_id, t.key.c.generation == generation)
    tx.execute(t.key.update().where(*where).values(**values))
