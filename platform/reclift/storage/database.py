"""The connection to the database: SQLite (WAL) or PostgreSQL, with one way to read and one way to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
from sqlalchemy import Connection, CursorResult, Engine, Result, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

_WRITE = "reclift_write"


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


class Database:
    """An engine with sessions for reading and for writing. Nothing connects before the first use.

    A reading session sees one moment, whatever others commit meanwhile: a report's counts and sums must belong
    together (a snapshot on SQLite, REPEATABLE READ on PostgreSQL). On SQLite a writing session begins with
    `BEGIN IMMEDIATE`: it waits for its turn at the start instead of failing in the middle, when a reader would have to
    become a writer.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """`url` is SQLAlchemy's; `postgres://` and `postgresql://` use psycopg 3. `ValueError` for SQLite in memory."""
        parsed = make_url(url)
        if parsed.drivername in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads}
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError(f"database {url!r}: SQLite needs a file, because processes and threads share it")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            # Enough for the inserts of quick_sqlite: some tables, each with one statement for each number of rows.
            options["connect_args"] = {"timeout": 30, "check_same_thread": False, "cached_statements": 512}
            options["pool_size"] = pool_size
            options["max_overflow"] = 50
        else:
            options["pool_size"] = pool_size
            options["max_overflow"] = 20
            options["pool_pre_ping"] = True
            options["pool_timeout"] = 5
            # A host that is cut off says nothing: without these a thread would wait for it for minutes.
            alive = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 5_000}
            options["connect_args"] = {"connect_timeout": 3, "application_name": "reclift", **alive}
        self.engine: Engine = create_engine(parsed, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        one_moment = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._read = sessionmaker(self.engine.execution_options(**one_moment), expire_on_commit=False)
        self._writer = self.engine.execution_options(**{_WRITE: True})
        self._write = sessionmaker(self._writer, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading, at one moment; nothing is committed."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session for one unit of work: committed at the end, rolled back when anything is raised."""
        with self._write() as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A bare connection in a writing transaction, for bulk work."""
        with self._writer.begin() as connection:
            yield connection

    @contextmanager
    def connection_outside_transaction(self) -> Iterator[Connection]:
        """A bare connection for writing whose transaction the caller begins."""
        with self._writer.connect() as connection:
            yield connection

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def rows_changed(result: Result[Any]) -> int:
    """How many rows a statement inserted, changed or deleted."""
    return max(cast("CursorResult[Any]", result).rowcount, 0)


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite alone
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # acknowledged means durable; group commit pays for it
        # A batch of events touches hundreds of pages; copying them into the file after each would double the work.
        "wal_autocheckpoint=8000",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "temp_store=MEMORY",
        "cache_size=-32000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
