"""Engine and unit of work. Everything that differs between SQLite and PostgreSQL is in this file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from wattledger.kernel import Problem
from wattledger.store._facts import Fact, JsonText, outbox_rows
from wattledger.store._tables import outbox

_Item = TypeVar("_Item")

Row: TypeAlias = sa.Row[*tuple[Any, ...]]
"""A row of whatever columns were asked for."""

# SQLite takes 32,766 parameters a statement and PostgreSQL 65,535; a list in an IN is cut well below both.
_PARAMETERS_MAX = 10_000
_COUNTED = {"preserve_rowcount": True}
_MANY = 50  # rows from which on it pays to make them ready by columns
_PATIENCE = 60  # seconds that a writer waits for others
_FOR_EVER = 2_000_000  # seconds; in milliseconds it must fit 31 bits
_MIGRATION_LOCK = 0x77_6C_64_67  # an arbitrary number that is ours: "wldg"


class StoreUnreachable(Problem):
    """The database cannot be opened."""

    slug = "store-unreachable"
    title = "The database cannot be reached"
    status = 503


def _json_text(document: object) -> str:
    return document if isinstance(document, JsonText) else json.dumps(document)


def chunked(items: Sequence[_Item], size: int = _PARAMETERS_MAX) -> Iterator[Sequence[_Item]]:
    """``items`` in pieces of at most ``size``, so that an ``IN`` never outgrows the database's parameter limit."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _picked(names: Sequence[str]) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
    """What takes the values called ``names`` out of a row."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


def _for_driver(kind: sa.types.TypeEngine[Any], values: Sequence[Any], dialect: sa.Dialect) -> Sequence[Any]:
    """A column of values as the driver takes them."""
    if isinstance(kind, sa.JSON) and all(type(value) is JsonText for value in values):
        return list(map(str, values))  # plain ones: of any other the driver asks first how it is to be written
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    if process is None:
        return values
    first = values[0]
    if all(value is first for value in values):
        return [process(first)] * len(values)
    return list(map(process, values))


class Transaction:
    """One unit of work: all of it is committed, or none. Handed to the rooms by the edge that opened it."""

    def __init__(self, connection: sa.Connection, *, memory: dict[str, Any], snapshot: bool) -> None:
        self.connection = connection
        self.snapshot = snapshot
        """Whether everything read in this unit of work is of one state of the database."""
        self.memory = memory
        """What rooms keep in this process beside this database: shared by all units of work, of what is committed."""
        self.notes: dict[str, Any] = {}
        """What rooms keep for the length of this unit of work: what it has done and not yet committed."""
        self._postgresql = connection.dialect.name == "postgresql"

    @property
    def folder(self) -> Path | None:
        """The folder of the database's file; ``None`` for a database without one."""
        file = None if self._postgresql else self.connection.engine.url.database
        return None if file is None else Path(file).resolve().parent

    def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[*tuple[Any, ...]]:  # noqa: ANN401 - rows and parameters are as wide as SQL
        """Run ``statement`` within this unit of work."""
        return self.connection.execute(statement, parameters)

    def rows(self, statement: sa.Executable) -> Sequence[Row]:
        """All rows of ``statement``."""
        return self.connection.execute(statement).all()

    def insert(self, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert ``rows``, all of the same columns."""
        self.execute_many(sa.insert(table), rows)

    def insert_new(self, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
        """Insert the ``rows`` whose key is not there yet, leave the others as they are; returns how many were new."""
        insert = postgresql.insert if self._postgresql else sqlite.insert
        return self.execute_many(insert(table).on_conflict_do_nothing(), rows)

    def add_up(
        self, table: sa.Table, rows: Sequence[Mapping[str, object]], *, add: Iterable[str], same: Iterable[str]
    ) -> int:
        """Insert ``rows``; where the primary key is there already, add the ``add`` columns to what stands in it.

        One that is there with other ``same`` columns stays as it is and does not count; returns how many did.
        """
        insert = postgresql.insert if self._postgresql else sqlite.insert
        statement: Any = insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={column: table.c[column] + statement.excluded[column] for column in add},
            where=sa.and_(*(table.c[column] == statement.excluded[column] for column in same)),
        )
        return self.execute_many(statement, rows)

    def upsert(self, table: sa.Table, rows: Sequence[Mapping[str, object]], *, update: Iterable[str]) -> None:
        """Insert ``rows``; where the primary key is there already, overwrite the ``update`` columns."""
        insert = postgresql.insert if self._postgresql else sqlite.insert
        statement: Any = insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={column: statement.excluded[column] for column in update},
        )
        self.execute_many(statement, rows)

    def execute_many(self, statement: sa.Insert | sa.Update, rows: Sequence[Mapping[str, object]]) -> int:
        """Run ``statement`` once for each of ``rows``, all of the same names; returns how many rows it took effect on.

        A few rows go as any statement does. Many are made ready for the driver by columns: to do it row by row, as
        SQLAlchemy does, takes longer than to write them.
        """
        if len(rows) < _MANY:
            if not rows:
                return 0
            told = [dict(row) for row in rows]
            return self.connection.execute(statement, told, execution_options=_COUNTED).rowcount
        compiled = statement.compile(dialect=self.connection.dialect, column_keys=list(rows[0]))
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        names = list(compiled.positiontup or binds)
        own = [name for name in names if name in rows[0]]
        given = dict(zip(own, zip(*map(_picked(own), rows), strict=True), strict=True))
        columns = [
            _for_driver(
                binds[name].type,
                given[name] if name in given else [compiled.params[name]] * len(rows),
                self.connection.dialect,
            )
            for name in names
        ]
        made: Any = list(zip(*columns, strict=True))
        if not compiled.positional:
            made = [dict(zip(names, row, strict=True)) for row in made]
        return self.connection.exec_driver_sql(str(compiled), made, execution_options=_COUNTED).rowcount

    def among(self, column: sa.ColumnElement[str], values: Collection[str]) -> sa.ColumnElement[bool]:
        """The condition that a column of text is one of ``values``, however many: they are one parameter.

        A statement with an ``IN`` of ten thousand takes longer to be written than to be run.
        """
        if self._postgresql:
            return column == sa.any_(sa.bindparam(None, list(values), postgresql.ARRAY(sa.Text)))
        listed = sa.func.json_each(sa.bindparam(None, json.dumps(list(values)), sa.Text)).table_valued("value")
        return column.in_(sa.select(listed.c.value))

    def locked(self, select: sa.Select[Any]) -> sa.Select[Any]:
        """``select`` that also locks its rows to the end of this unit of work.

        SQLite needs nothing: a writing unit of work holds the only write lock from its beginning. Callers order the
        rows by key, so that two units of work never wait for each other in a circle.
        """
        return select.with_for_update() if self._postgresql else select

    def hold(self, work: str, *, shared: bool) -> None:
        """Wait until nobody does ``work``, and keep it to the end of this unit of work; ``shared``: with others.

        SQLite needs nothing, as of :meth:`locked`.
        """
        if self._postgresql:
            key = int.from_bytes(hashlib.sha256(work.encode()).digest()[:8], "big", signed=True)
            lock = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
            self.connection.execute(sa.select(lock(sa.cast(key, sa.BigInteger))))

    def emit(self, fact: Fact) -> None:
        """Put ``fact`` into the outbox: it is told to its handlers if, and only if, this unit of work commits."""
        self.emit_all([fact])

    def emit_all(self, facts: Sequence[Fact]) -> None:
        """As :meth:`emit`, for many facts at once, in their order."""
        self.insert(outbox, outbox_rows(facts))


class Store:
    """The database behind one URL: ``sqlite:///path`` or ``postgresql://...``.

    SQLite runs with a write-ahead log and full synchronisation: what is committed survives the power cut.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.get_backend_name() != "sqlite":
            raise StoreUnreachable(
                f"{parsed.get_backend_name()} is not a database this program knows",
                remedy="use sqlite:///path/to/file.db or postgresql://user@host/name",
            )
        self.url = parsed
        self.dialect: str = parsed.get_backend_name()
        self._memory: dict[str, Any] = {}
        self._turn = Lock()
        if self.dialect == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise StoreUnreachable("an in-memory database loses everything", remedy="give a file's path")
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnreachable(
                    f"cannot make the folder of {parsed.database}: {error.strerror}",
                    remedy="give a path that may be made",
                ) from error
            self.engine = sa.create_engine(
                parsed, connect_args={"timeout": _PATIENCE, "check_same_thread": False}, json_serializer=_json_text
            )
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = sa.create_engine(parsed, pool_pre_ping=True, json_serializer=_json_text)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A unit of work that changes something; commits at the end, rolls back when an exception leaves it."""
        with (
            self._in_turn(),
            self._connected() as connection,
            connection.execution_options(wattledger_write=True).begin(),
        ):
            yield Transaction(connection, memory=self._memory, snapshot=self.dialect == "sqlite")

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Let the writers of this process go one after the other.

        Those who wait for SQLite's own lock look for it now and then only, and while all of them sleep nobody writes.
        """
        if self.dialect != "sqlite":
            yield
            return
        mine = self._turn.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            if mine:
                self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A unit of work that only looks, at one consistent state of the whole database."""
        isolation = {} if self.dialect == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self._connected() as connection, connection.execution_options(**isolation).begin():
            yield Transaction(connection, memory=self._memory, snapshot=True)

    @contextmanager
    def alone(self, work: str) -> Iterator[None]:
        """Hold the one lock called ``work``; whoever else asks for it, in any process, waits.

        It is let go when the process dies, however it dies. Outside of any unit of work.
        """
        if self.dialect == "sqlite":
            with _locked_file(Path(f"{self.url.database}.{work}.lock")):
                yield
            return
        with self._connected() as connection:
            held = connection.execution_options(isolation_level="AUTOCOMMIT")
            key = {"key": int.from_bytes(hashlib.sha256(work.encode()).digest()[:8], "big", signed=True)}
            held.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)
            try:
                yield
            finally:
                held.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                raise  # the statement is wrong, not the database
            raise StoreUnreachable(
                f"cannot use {self.url.render_as_string(hide_password=True)}: {error.orig}",
                remedy="check that the path or server exists, may be written to and has room; nothing was changed",
            ) from error

    def migrate(self) -> None:
        """Bring the tables up to this program's version; safe to call from several processes at once."""
        from alembic import command  # noqa: PLC0415 - Alembic is slow to import and `wattledger rate` needs no database
        from alembic.config import Config  # noqa: PLC0415 - as above

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as tx:
            if self.dialect == "postgresql":
                tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = tx.connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


@contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    # SQLite's own lock on a file of no content: on every system, and gone with the process.
    try:
        connection = sqlite3.connect(path, timeout=_FOR_EVER, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise _not_lockable(path, error) from error
    with closing(connection):
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise _not_lockable(path, error) from error
        yield


def _not_lockable(path: Path, error: sqlite3.OperationalError) -> StoreUnreachable:
    return StoreUnreachable(
        f"cannot lock {path}: {error}",
        remedy="check that the folder may be written to and has room; nothing was changed",
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    connection.isolation_level = None  # the driver must not begin by itself: _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")
    cursor.execute("PRAGMA wal_autocheckpoint = 16384")  # pages, 64 MB: bulk work writes the same ones over and over
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the write lock at once: one that reads first and asks later can fail with "database is locked".
    write = connection.get_execution_options().get("wattledger_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
