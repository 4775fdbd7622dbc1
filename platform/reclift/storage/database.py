"""The connection to the database: SQLite (WAL) or PostgreSQL, with one way to read and one way to write."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
from sqlalchemy import Connection, CursorResult, Engine, NullPool, Result, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from reclift.storage.hurry import may_wait
from reclift.storage.patience import Circuit, DatabaseAway, Deadlines

QUICK_SECONDS = 1.0
"""How long somebody who waits for a list or an assignment waits for the database, at most."""

_WRITE = "reclift_write"
_FRESH = "reclift_fresh"
_ABREAST = "reclift_abreast"
_PING_SECONDS = 10.0
_BEGIN_TRIES = 3


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


class Database:
    """An engine with sessions for reading and for writing. Nothing connects before the first use.

    A reading session sees one moment, whatever others commit meanwhile: a report's counts and sums must belong
    together (a snapshot on SQLite, REPEATABLE READ on PostgreSQL). On SQLite a writing session begins with
    `BEGIN IMMEDIATE`: it waits for its turn at the start instead of failing in the middle, when a reader would have to
    become a writer.

    A PostgreSQL that hangs is noticed by `within`; from then until it answers, everything here raises `DatabaseAway` at
    once.
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
            # Enough for the inserts of quick_sqlite: each number of rows is a statement of its own.
            options["connect_args"] = {"timeout": 30, "check_same_thread": False, "cached_statements": 512}
            options["pool_size"] = pool_size
            options["max_overflow"] = 50
        else:
            options["pool_size"] = pool_size
            options["max_overflow"] = 20
            options["pool_timeout"] = 5
            # A host that is cut off says nothing: without these a thread would wait for it for minutes.
            alive = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 5_000}
            options["connect_args"] = {"connect_timeout": 2, "application_name": "reclift", **alive}
        self.engine: Engine = create_engine(parsed, **options)
        self.circuit = Circuit(self._probe)
        self._deadlines = Deadlines()
        self._patience = threading.local()
        if not self.is_sqlite:
            self._prober = create_engine(parsed, poolclass=NullPool, connect_args=options["connect_args"])
            event.listen(self.engine, "connect", _mark_fresh)
            event.listen(self.engine, "checkout", self._ping)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        one_moment = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._read = sessionmaker(self.engine.execution_options(**one_moment), expire_on_commit=False)
        self._write = sessionmaker(self.engine.execution_options(**{_WRITE: True}), expire_on_commit=False)

    @contextmanager
    def read(self, patience: float | None = None) -> Iterator[Session]:
        """A session for reading, at one moment; nothing is committed.

        `patience`: seconds after which the block loses its connection; None: however long it takes.
        """
        may_wait()
        self.circuit.check()
        with self._read() as session:
            if patience is None or self.is_sqlite:
                yield session
                return
            with self._deadlines.cut(session.connection().connection.driver_connection, patience):
                yield session

    @contextmanager
    def read_abreast(self, connections: int) -> Iterator[Session]:
        """As `read`, for queries that may run side by side on SQLite: see `abreast`, which has the connections.

        There are at most so many, and only one where others wrote again and again just as the reading began: they must
        all see the same moment. PostgreSQL needs none of this: it has workers of its own for a large query.
        """
        may_wait()
        with ExitStack() as stack:
            session = stack.enter_context(self.read())
            if self.is_sqlite and connections > 1:
                others = [stack.enter_context(self.engine.connect()) for _ in range(connections - 1)]
                session.info[_ABREAST] = others if _begin_as_one(session, others) else []
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session for one unit of work: committed at the end, rolled back when anything is raised."""
        may_wait()
        self.circuit.check()
        with self._write() as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A bare connection in a writing transaction, for bulk work."""
        may_wait()
        self.circuit.check()
        with self.engine.execution_options(**{_WRITE: True}).begin() as connection:
            yield connection

    @contextmanager
    def within(self, seconds: float = QUICK_SECONDS, *, writing: bool = False) -> Iterator[Connection]:
        """A bare connection in a transaction, for those who cannot wait; committed at the end where it is for writing.

        Raises `DatabaseAway` after about so many seconds at the latest (two more where a connection must be made, which
        is when the pool has none), and at once while the database is known to hang. On SQLite nothing hangs.
        """
        may_wait()
        engine = self.engine.execution_options(**{_WRITE: writing})
        if self.is_sqlite:
            with engine.begin() as connection:
                yield connection
            return
        self.circuit.check()
        began = time.monotonic()
        self._patience.seconds = seconds
        try:
            with engine.connect() as connection:
                left = max(seconds / 2, seconds - (time.monotonic() - began))
                with self._deadlines.cut(connection.connection.driver_connection, left), connection.begin():
                    yield connection
        except (OperationalError, PoolTimeout) as error:
            if time.monotonic() - began < seconds * 0.9 or isinstance(error, DatabaseAway):
                raise
            raise self._hangs(f"no answer within {seconds:g} seconds") from error
        finally:
            self._patience.seconds = _PING_SECONDS

    def _hangs(self, reason: str) -> DatabaseAway:
        if not self.circuit.is_open:
            self.circuit.trip(reason)
            self.engine.dispose()  # idle connections hang as well; those in use go with their owners
        return DatabaseAway(reason)

    def _ping(self, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Before a connection is used again: whether it still works. In place of the pool's own, which may hang."""
        if record.info.pop(_FRESH, False):
            return
        seconds = getattr(self._patience, "seconds", _PING_SECONDS)
        with self._deadlines.cut(connection, seconds) as is_cut:
            try:
                self.engine.dialect.do_ping(connection)
            except self.engine.dialect.loaded_dbapi.Error as error:
                if is_cut():
                    raise self._hangs(f"no answer to a ping within {seconds:g} seconds") from error
                raise InvalidatePoolError from error

    def _probe(self) -> None:
        with (
            self._prober.connect() as connection,
            self._deadlines.cut(connection.connection.driver_connection, QUICK_SECONDS),
        ):
            connection.exec_driver_sql("SELECT 1")

    @contextmanager
    def connection_outside_transaction(self) -> Iterator[Connection]:
        """A bare connection for writing whose transaction the caller begins."""
        may_wait()
        with self.engine.execution_options(**{_WRITE: True}).connect() as connection:
            yield connection

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def own_connection(engine: Engine) -> Any:
    """A driver's connection that the caller keeps and closes: the pool does not count it any more."""
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection


def abreast(session: Session) -> list[Connection]:
    """The session's connection, and others that see what it sees, each for one thread at a time."""
    return [session.connection(), *session.info.get(_ABREAST, ())]


def _begin_as_one(session: Session, others: Sequence[Connection]) -> bool:
    """Begin a transaction on all, at one moment; whether it succeeded.

    SQLite's `data_version` tells a connection whether anybody has committed since it last looked. When nobody has
    between the look before all transactions began and the one within its own, then all of them see the same.
    """
    for _ in range(_BEGIN_TRIES):
        before = [_data_version(other) for other in others]
        for one in (session.connection(), *others):
            one.exec_driver_sql("SELECT count(*) FROM sqlite_schema")  # the first reading fixes the moment
        if [_data_version(other) for other in others] == before:
            return True
        session.rollback()
        for other in others:
            other.rollback()
    return False


def _data_version(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    version: int = driver.execute("PRAGMA data_version").fetchone()[0]
    return version


def rows_changed(result: Result[Any]) -> int:
    """How many rows a statement inserted, changed or deleted."""
    return max(cast("CursorResult[Any]", result).rowcount, 0)


def _mark_fresh(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info[_FRESH] = True


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # As PostgreSQL has it: a number for a unit that has to do with nothing else.
    connection.create_function("sha256", 1, lambda name: hashlib.sha256(name.encode()).digest(), deterministic=True)
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
