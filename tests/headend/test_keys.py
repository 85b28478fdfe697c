import base64
import secrets
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from wattledger import headend
from wattledger.headend import KeySet, KeysSealed, LocalMasterKey, MasterKeyUnusable, MeterLink, Secret, Vault
from wattledger.headend._keys import Candidate, candidates, note_rotation, settle_rotation
from wattledger.store import Store, recent_facts

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MASTER = bytes(range(32))
UNICAST, KEK = b"unicast key here", b"master key here!"
KEYS = KeySet(
    unicast=Secret(UNICAST), authentication=Secret(b"authentication k"), master=Secret(KEK), password=Secret(b"lls")
)


def vault(master: bytes = MASTER, *former: bytes) -> Vault:
    return Vault(
        LocalMasterKey(master, random=secrets.token_bytes),
        random=secrets.token_bytes,
        former=[LocalMasterKey(one, random=secrets.token_bytes) for one in former],
    )


@pytest.fixture
def meter(store: Store) -> Store:
    with store.write() as tx:
        links = [MeterLink(meter_id=name, driver="paper", address=name) for name in ("m", "n")]
        headend.put_meters(tx, links=links, now=NOW)
        for name in ("m", "n"):
            headend.put_keys(tx, meter_id=name, keys=KEYS, vault=vault(), now=NOW)
    return store


def known(store: Store, by: Vault | None = None, name: str = "m") -> list[Candidate]:
    with store.read() as tx:
        found = candidates(tx, meter_ids=[name], vault=by or vault())[name]
    assert isinstance(found, list)
    return found


def begin(store: Store) -> int:
    with store.write() as tx:
        return headend.begin_rotation(tx, meter_id="m", vault=vault(), now=NOW)


def states(store: Store) -> list[tuple[int, str]]:
    with store.read() as tx:
        return [(one.generation, one.state) for one in headend.key_statuses(tx, meter_id="m")]


# --- The envelope ---

secret_bytes = st.none() | st.binary(min_size=0, max_size=40).map(Secret)
key_sets = st.builds(
    KeySet,
    unicast=secret_bytes,
    broadcast=secret_bytes,
    authentication=secret_bytes,
    master=secret_bytes,
    password=secret_bytes,
    generation=st.integers(0, 9),
)


@given(key_sets)
def test_what_is_sealed_opens_to_the_same(keys: KeySet) -> None:
    sealed = vault().seal(keys, meter_id="m")
    assert vault().open(sealed, meter_id="m", generation=keys.generation) == keys
    for one in fields(keys):
        secret = getattr(keys, one.name)
        if isinstance(secret, Secret) and len(secret.reveal()) > 7:
            assert secret.reveal() not in sealed
            assert secret.reveal().hex().encode() not in sealed


def test_the_same_keys_are_never_sealed_alike() -> None:
    assert vault().seal(KEYS, meter_id="m") != vault().seal(KEYS, meter_id="m")


@given(st.data())
def test_whatever_byte_is_changed_it_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(vault().seal(KEYS, meter_id="m"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(KeysSealed):
        vault().open(bytes(sealed), meter_id="m", generation=0)


@given(st.integers(0, 200))
def test_whatever_is_cut_off_it_does_not_open(size: int) -> None:
    with pytest.raises(KeysSealed):
        vault().open(vault().seal(KEYS, meter_id="m")[:size], meter_id="m", generation=0)


@pytest.mark.parametrize(("name", "generation"), [("n", 0), ("m", 1)])
def test_keys_open_in_their_own_row_only(name: str, generation: int) -> None:
    with pytest.raises(KeysSealed, match="moved"):
        vault().open(vault().seal(KEYS, meter_id="m"), meter_id=name, generation=generation)


def test_another_master_key_opens_nothing_and_a_former_one_still_does() -> None:
    other = bytes(32)
    sealed = vault().seal(KEYS, meter_id="m")
    with pytest.raises(KeysSealed, match="was not given"):
        vault(other).open(sealed, meter_id="m", generation=0)
    assert vault(other, MASTER).open(sealed, meter_id="m", generation=0) == KEYS
    again = vault(other, MASTER).rewrap(sealed, meter_id="m", generation=0)
    assert vault(other).open(again, meter_id="m", generation=0) == KEYS
    with pytest.raises(KeysSealed):
        vault().open(again, meter_id="m", generation=0)


# --- The master key ---


@pytest.mark.parametrize("text", [MASTER.hex(), MASTER.hex().upper() + "\n", base64.b64encode(MASTER).decode()])
def test_a_master_key_is_read_from_text_and_file(text: str, tmp_path: Path) -> None:
    wanted = LocalMasterKey(MASTER, random=secrets.token_bytes).id
    assert headend.master_key_from_text(text, random=secrets.token_bytes).id == wanted
    file = tmp_path / "key"
    for content in (text.encode(), MASTER):
        file.write_bytes(content)
        file.chmod(0o600)
        assert headend.master_key_from_file(file, random=secrets.token_bytes).id == wanted


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "not a key, but nearly one", MASTER.hex()[:-2]])
def test_what_is_no_master_key_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(MasterKeyUnusable) as caught:
        headend.master_key_from_text(text, random=secrets.token_bytes)
    assert len(text) < 3 or text not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(MASTER)
    file.chmod(0o640)
    with pytest.raises(MasterKeyUnusable, match="chmod 600"):
        headend.master_key_from_file(file, random=secrets.token_bytes)
    with pytest.raises(MasterKeyUnusable, match="cannot be read"):
        headend.master_key_from_file(tmp_path / "nothing", random=secrets.token_bytes)


def test_nothing_that_holds_a_key_shows_it() -> None:
    master = LocalMasterKey(MASTER, random=secrets.token_bytes)
    told = f"{master!r} {vault()!r} {KEYS!r} {Candidate(KEYS, 'active')!r}"
    for key in (MASTER, UNICAST, KEK):
        assert key.hex() not in told
        assert repr(key)[2:-1] not in told


# --- The store ---


def test_no_key_stands_in_the_database(meter: Store) -> None:
    begin(meter)
    with meter.read() as tx:
        rows = tx.execute(sa.text("SELECT * FROM headend_key")).all()
    told = repr([tuple(row) for row in rows])
    for one in (*known(meter), *known(meter, name="n")):
        for name in ("unicast", "authentication", "master", "password"):
            plain = getattr(one.keys, name).reveal()
            assert repr(plain)[2:-1] not in told
            assert plain.hex() not in told


def test_a_rotation_is_stored_before_anything_is_sent_and_both_are_tried(meter: Store) -> None:
    assert begin(meter) == 2
    assert states(meter) == [(1, "active"), (2, "new")]
    old, new, *mixed = known(meter)
    assert (old.standing, new.standing, [one.standing for one in mixed]) == ("active", "new", ["mixed", "mixed"])
    assert (old.keys.generation, new.keys.generation) == (1, 2)
    assert old.keys.unicast == KEYS.unicast
    assert new.keys.unicast != old.keys.unicast
    assert new.keys.authentication != old.keys.authentication
    assert (new.keys.master, new.keys.password) == (old.keys.master, old.keys.password)
    assert [(one.keys.unicast, one.keys.authentication) for one in mixed] == [
        (new.keys.unicast, old.keys.authentication),
        (old.keys.unicast, new.keys.authentication),
    ]
    # Counters go with the key that enciphers.
    assert all((one.keys.generation == 2) == (one.keys.unicast == new.keys.unicast) for one in (old, new, *mixed))
    with meter.read() as tx:
        (status,) = headend.meter_statuses(tx, meter_ids=["m"], now=NOW)
    assert status.visit_at == NOW


def test_one_rotation_at_a_time(meter: Store) -> None:
    begin(meter)
    with pytest.raises(headend.RotationUnderWay):
        begin(meter)
    with pytest.raises(headend.RotationUnderWay), meter.write() as tx:
        headend.put_keys(tx, meter_id="m", keys=KEYS, vault=vault(), now=NOW)
    with pytest.raises(sa.exc.IntegrityError), meter.write() as tx:  # whatever the program thinks
        tx.execute(
            sa.text(
                "INSERT INTO headend_key (meter_id, generation, state, sealed, made_at, changed_at, attempts) "
                "SELECT meter_id, 7, state, sealed, made_at, changed_at, 0 FROM headend_key WHERE state = 'new'"
            )
        )


def test_a_settled_rotation_is_settled_once(meter: Store) -> None:
    generation = begin(meter)
    with meter.write() as tx:
        note_rotation(tx, meter_id="m", generation=generation, detail="no answer", now=NOW)
        (status,) = [one for one in headend.key_statuses(tx, meter_id="m") if one.state == "new"]
        assert (status.attempts, status.detail) == (1, "no answer")
    new = known(meter)[1].keys
    for _ in range(2):
        with meter.write() as tx:
            settle_rotation(tx, meter_id="m", generation=generation, now=NOW)
    assert states(meter) == [(1, "retired"), (2, "active")]
    (only,) = known(meter)
    assert (only.standing, only.keys) == ("active", new)
    with meter.read() as tx:
        assert [fact.kind for fact in recent_facts(tx, limit=5)] == ["KeysRotated"]
    assert begin(meter) == 3


def test_keys_that_were_given_anew_replace_the_others(meter: Store) -> None:
    with meter.write() as tx:
        assert headend.put_keys(tx, meter_id="m", keys=KeySet(unicast=Secret(b"x" * 16)), vault=vault(), now=NOW) == 2
    assert states(meter) == [(1, "retired"), (2, "active")]
    with pytest.raises(headend.KeysMissing, match="master key"):
        begin(meter)


def test_a_meter_without_keys_has_none_and_cannot_be_given_others(store: Store) -> None:
    with store.write() as tx:
        headend.put_meters(tx, links=[MeterLink(meter_id="m", driver="paper", address="m")], now=NOW)
        assert candidates(tx, meter_ids=["m"], vault=vault()) == {}
        with pytest.raises(headend.KeysMissing, match="its keys are"):
            headend.begin_rotation(tx, meter_id="m", vault=vault(), now=NOW)
        with pytest.raises(headend.MeterNotLinked):
            headend.put_keys(tx, meter_id="nobody", keys=KEYS, vault=vault(), now=NOW)


def test_keys_that_do_not_open_are_in_nobody_elses_way(meter: Store) -> None:
    with meter.write() as tx:
        tx.execute(sa.text("UPDATE headend_key SET sealed = :none WHERE meter_id = 'm'"), {"none": b"nothing"})
        found = candidates(tx, meter_ids=["m", "n"], vault=vault())
        without = candidates(tx, meter_ids=["n"], vault=None)
    assert isinstance(found["m"], KeysSealed)
    assert isinstance(found["n"], list)
    assert isinstance(without["n"], KeysSealed)


def test_a_new_master_key_takes_over_in_pieces(meter: Store) -> None:
    begin(meter)
    other = vault(bytes(32), MASTER)
    done = []
    while True:
        with meter.write() as tx:
            done.append(headend.rewrap_keys(tx, vault=other, limit=2))
        if not done[-1]:
            break
    assert done == [2, 1, 0]
    assert known(meter, vault(bytes(32)))[0].keys.unicast == KEYS.unicast
