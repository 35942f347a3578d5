"""What the ledger needs of a database, twice: SQLite in a file, PostgreSQL by URL.

Statements are written once, in the words that both know, with `?` for values. Writers come one after the other, also
those of other processes: a transaction sees all that was written before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from optimizer.errors import InputError, MissingPartError, Problem

Row = Sequence[Any]
WRITERS_LOCK = 0x51756172746574
"""Number of the lock that PostgreSQL's writers of a ledger take in turn."""
WAIT_S = 20.0
"""How long a writer waits for another one, and a connection for the server."""
_STREAMED = 2_000
POSTGRES_URL = ("postgresql://", "postgres://")


class Database(Protocol):
    """One connection, to be used from the thread that made it."""

    where: str

    def query(self, statement: str, *values: object) -> list[Row]: ...
    def stream(self, statement: str) -> AbstractContextManager[Iterator[tuple[list[str], Row]]]:
        """Column names and row, row by row: for results that may be large."""
        ...

    def execute(self, statement: str, values: Row = ()) -> int:
        """Runs a statement and says how many rows it changed."""
        ...

    def insert(self, statement: str, rows: Iterable[Row]) -> None: ...
    def transaction(self) -> AbstractContextManager[None]: ...
    def has_table(self, name: str) -> bool: ...
    def create(self, tables: Iterable[str], kept: Iterable[tuple[str, str]]) -> None:
        """Makes the tables; `kept` are the append-only ones with the columns that may not change (all when empty)."""
        ...

    def close(self) -> None: ...


def open_database(where: Path | str) -> Database:
    """The database at a path (SQLite) or at a URL that begins with `postgresql://`.

    Raises:
        InputError: the file is no database, or the URL cannot be read.
        MissingPartError: it cannot be opened, or no server answers.
    """
    if isinstance(where, str) and where.startswith(POSTGRES_URL):
        return PostgresDatabase(where)
    return SqliteDatabase(Path(where))


def holds_table(where: Path | str, name: str) -> bool:
    """Whether there is a database with a table, without changing anything.

    Raises:
        MissingPartError: a server does not answer.
    """
    if isinstance(where, str) and where.startswith(POSTGRES_URL):
        with closing(PostgresDatabase(where)) as server:
            return server.has_table(name)
    try:
        with closing(sqlite3.connect(f"{Path(where).resolve().as_uri()}?mode=ro", uri=True)) as file:
            return bool(file.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchall())
    except sqlite3.DatabaseError:
        return False


def unreadable(where: str, message: str) -> InputError:
    return InputError([Problem(file=where, path="ledger", value="this ledger", message=message)])


class SqliteDatabase:
    """A file with a write-ahead log. Its users must stand on one machine: the log is shared in memory."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.execute("PRAGMA journal_mode=WAL")
        except (OSError, sqlite3.OperationalError) as error:
            raise MissingPartError(
                f"ledger {path} cannot be opened: {error}; give a path that can be written"
            ) from error
        except sqlite3.DatabaseError as error:
            raise unreadable(self.where, f"not a ledger ({error}): move it away or give another path") from error

    def query(self, statement: str, *values: object) -> list[Row]:
        return self._db.execute(statement, values).fetchall()

    @contextmanager
    def stream(self, statement: str) -> Iterator[Iterator[tuple[list[str], Row]]]:
        cursor = self._db.execute(statement)
        names = [column[0] for column in cursor.description]
        yield ((names, row) for row in cursor)

    def execute(self, statement: str, values: Row = ()) -> int:
        return self._db.execute(statement, values).rowcount

    def insert(self, statement: str, rows: Iterable[Row]) -> None:
        self._db.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE name = ?", name))

    def create(self, tables: Iterable[str], kept: Iterable[tuple[str, str]]) -> None:
        for statement in tables:
            self._db.execute(statement)
        for table, columns in kept:
            refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            of = f"OF {columns} " if columns else ""
            self._db.execute(f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {refuse}")
            self._db.execute(f"CREATE TRIGGER {table}_fixed BEFORE UPDATE {of}ON {table} {refuse}")

    def close(self) -> None:
        self._db.close()


class PostgresDatabase:
    """A server, for several workers on several machines."""

    def __init__(self, url: str) -> None:
        self.where = _without_password(url)
        try:
            self._db: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                url, autocommit=True, connect_timeout=round(WAIT_S), options=f"-c lock_timeout={round(WAIT_S * 1000)}"
            )
        except psycopg.OperationalError as error:
            said = str(error).strip().splitlines()[0]
            raise MissingPartError(f"ledger {self.where} cannot be opened: {said}") from error

    def query(self, statement: str, *values: object) -> list[Row]:
        return list(self._db.execute(_marked(statement), values).fetchall())

    @contextmanager
    def stream(self, statement: str) -> Iterator[Iterator[tuple[list[str], Row]]]:
        with self._db.transaction(), self._db.cursor(name=f"stream_{abs(hash(statement))}") as cursor:
            cursor.itersize = _STREAMED
            cursor.execute(_marked(statement))
            names = [column.name for column in cursor.description or ()]
            yield ((names, row) for row in cursor)

    def execute(self, statement: str, values: Row = ()) -> int:
        return self._db.execute(_marked(statement), values).rowcount

    def insert(self, statement: str, rows: Iterable[Row]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany(_marked(statement), rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._db.transaction():
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))
            yield

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?", name))

    def create(self, tables: Iterable[str], kept: Iterable[tuple[str, str]]) -> None:
        for statement in tables:
            self._db.execute(_in_postgres(statement))
        self._db.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table, columns in kept:
            of = f"OF {columns} " if columns else ""
            for name, event, each in (
                (f"{table}_kept", "DELETE", "ROW"),
                (f"{table}_fixed", f"UPDATE {of}", "ROW"),
                (f"{table}_whole", "TRUNCATE", "STATEMENT"),
            ):
                trigger = f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {each}"
                self._db.execute(f"{trigger} EXECUTE FUNCTION refuse_change()".encode())

    def close(self) -> None:
        self._db.close()


_WORDS: tuple[tuple[str, str], ...] = (
    (" BLOB", " BYTEA"),
    (" REAL", " DOUBLE PRECISION"),
    (" INTEGER", " BIGINT"),
    (") WITHOUT ROWID", ")"),
)
"""Where the schema's words differ."""


def _in_postgres(statement: str) -> bytes:
    for ours, theirs in _WORDS:
        statement = statement.replace(ours, theirs)
    return statement.encode()


def _marked(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


def _without_password(url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise InputError([Problem("command line", "ledger", "URL", f"cannot be read: {error}")]) from error
    return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


IntegrityErrors: tuple[type[Exception], ...] = (sqlite3.IntegrityError, psycopg.IntegrityError)
