import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import wattledger.app._system
import wattledger.headend
import wattledger.payments  # noqa: F401 - every room declares its tables
from wattledger.kernel import ManualClock
from wattledger.store import (
    Fact,
    Handlers,
    Store,
    StoreUnreachable,
    Transaction,
    dispatch_outbox,
    metadata,
    recent_facts,
    undelivered,
)

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LampLit(Fact):
    room: str
    watts: int


def test_the_migrations_make_exactly_the_tables_that_the_rooms_declare(store: Store) -> None:
    with store.read() as tx:
        context = MigrationContext.configure(tx.connection)
        assert compare_metadata(context, metadata) == []


def test_to_migrate_again_changes_nothing(store: Store) -> None:
    store.migrate()
    store.migrate()


def test_an_exception_undoes_the_whole_unit_of_work(store: Store) -> None:
    def fails() -> None:
        with store.write() as tx:
            tx.emit(LampLit(at=NOW, room="hall", watts=5))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    with store.read() as tx:
        assert recent_facts(tx, limit=5) == []


def test_a_fact_comes_back_as_it_was_and_is_told_once(store: Store) -> None:
    fact = LampLit(at=NOW.astimezone(timezone(timedelta(hours=8))), contract_id="c", room="hall", watts=5)
    told: list[LampLit] = []
    with store.write() as tx:
        tx.emit(fact)
    handlers: Handlers = {LampLit: (lambda _tx, f: told.append(f),)}
    assert dispatch_outbox(store, handlers=handlers, now=NOW) == 1
    assert dispatch_outbox(store, handlers=handlers, now=NOW) == 0
    assert told == [LampLit(at=NOW, contract_id="c", room="hall", watts=5)]


def test_a_handler_that_fails_leaves_no_trace_and_is_tried_again_later(store: Store) -> None:
    clock, broken = ManualClock(NOW), True

    def handler(tx: Transaction, fact: LampLit) -> None:
        tx.emit(Fact(at=fact.at, contract_id="follow-up"))
        if broken:
            raise RuntimeError("not yet")

    with store.write() as tx:
        tx.emit(LampLit(at=NOW, room="hall", watts=1))
        tx.emit(Fact(at=NOW, contract_id="behind"))
    handlers: Handlers = {LampLit: (handler,)}
    assert dispatch_outbox(store, handlers=handlers, now=clock.now()) == 1  # the one behind goes on
    with store.read() as tx:
        assert undelivered(tx) == 1
        assert [fact.contract_id for fact in recent_facts(tx, limit=9)] == ["behind", None]
    assert dispatch_outbox(store, handlers=handlers, now=clock.now()) == 0  # patience
    clock.advance(timedelta(minutes=1))
    broken = False
    assert dispatch_outbox(store, handlers=handlers, now=clock.now()) == 1
    with store.read() as tx:
        assert recent_facts(tx, limit=1, contract_id="follow-up")


def test_two_dispatchers_at_once_tell_every_fact_once(store: Store) -> None:
    told: list[int] = []
    with store.write() as tx:
        for number in range(30):
            tx.emit(LampLit(at=NOW, room="hall", watts=number))
    handlers: Handlers = {LampLit: (lambda _tx, f: told.append(f.watts),)}
    threads = [
        threading.Thread(target=dispatch_outbox, args=(store,), kwargs={"handlers": handlers, "now": NOW})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == list(range(30))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "in-memory"),
        ("mysql://x/y", "not a database"),
        ("postgresql://nobody@127.0.0.1:1/x", "cannot use"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(StoreUnreachable, match=said):
        Store(url).migrate()


def test_a_lock_that_cannot_be_taken_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "db.work.lock").mkdir()
    with (
        pytest.raises(StoreUnreachable, match=r"cannot lock .*work\.lock"),
        Store(f"sqlite:///{tmp_path}/db").alone("work"),
    ):
        pass


def test_a_naive_instant_never_gets_in(store: Store) -> None:
    with pytest.raises((TypeError, sa.exc.StatementError)), store.write() as tx:
        tx.emit(Fact(at=datetime(2026, 3, 1)))  # noqa: DTZ001 - the mistake itself
