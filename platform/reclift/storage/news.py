"""Who has new events or another profile, as told by the database itself: so that memories need not ask for each user.

SQLite numbers the rows of a table in the order of their commits (it has one writer at a time): the news are the rows
behind the last one that was read. A profile that changes moves to the end of its table (see storage/profiles.py).
PostgreSQL's writers commit in any order, and a number drawn early may appear late, so there the writers say it:
`announce` sends a notification with the transaction, and notifications come in the order of the commits, to everyone
who listens.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Protocol

import orjson
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reclift.storage.database import Database, own_connection

log = structlog.get_logger(__name__)

CHANNEL = "reclift_events"
_MOST_UNITS = 2_000
_MOST_BYTES = 7_000
"""PostgreSQL takes payloads below 8,000 bytes."""
_ANYBODY = "*"
_ANSWER_SECONDS = 2.0
_BEFORE_ALL = (0, None, None)
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


def announce(connection: Connection, units: Collection[str]) -> None:
    """Tell, when this transaction is committed, that something of these units is new. On SQLite the rows say it."""
    if not units or connection.dialect.name != "postgresql":
        return
    for payload in _payloads(sorted(units)):
        connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


def _payloads(units: list[str]) -> list[str]:
    if len(units) > _MOST_UNITS:
        return [_ANYBODY]
    found, part, size = [], list[str](), 0
    for unit in units:
        length = len(orjson.dumps(unit)) + 1
        if part and size + length > _MOST_BYTES:
            found.append(orjson.dumps(part).decode())
            part, size = [], 0
        part.append(unit)
        size += length
    return [*found, orjson.dumps(part).decode()]


class News(Protocol):
    """Tells of whom something was written."""

    def read(self) -> set[str] | None:
        """Units of whom something was committed since the last reading and before this one; None: it may be anybody.

        Raises SQLAlchemy's errors while the database is away.
        """
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


class _End:
    """The end of a table, as far as it was read."""

    def __init__(self, table: str, mark: str, *, moves: bool = False) -> None:
        """`mark`: SQL for a text that tells a row from any other that has had, or will have, its number.

        `moves`: a row that changes goes to the end.
        """
        columns = f"SELECT rowid, {mark}, unit_id FROM {table}"  # noqa: S608 (our own names)
        self._behind = f"{columns} WHERE rowid >= ? ORDER BY rowid LIMIT ?"
        self._newest = f"{columns} ORDER BY rowid DESC LIMIT 1"
        self._moves = moves
        self._last: tuple[Any, ...] | None = None

    def read(self, connection: Connection) -> set[str] | None:
        """Units of the rows behind the last one; None: nobody knows.

        The row that was the last one is read again: if it is another, or gone for good, numbers may be used anew.
        """
        if self._last is not None:
            found = connection.exec_driver_sql(self._behind, (self._last[0], _MOST_UNITS + 2)).all()
            rows = [tuple(row) for row in found]
            if self._is_known(rows):
                rows = rows[1:] if rows[:1] == [self._last] else rows
                if len(rows) <= _MOST_UNITS:
                    self._last = rows[-1] if rows else self._last
                    return {unit for _, _, unit in rows}
        row = connection.exec_driver_sql(self._newest).first()
        self._last = tuple(row) if row is not None else _BEFORE_ALL
        return None

    def _is_known(self, rows: list[tuple[Any, ...]]) -> bool:
        """Whether the last row is where it was, or known to have moved behind: then the rows are all that is new."""
        if self._last in (_BEFORE_ALL, *rows[:1]):
            return True
        assert self._last is not None  # noqa: S101 (for the type checker)
        number, _, unit = self._last
        return self._moves and any(row[2] == unit for row in rows) and rows[0][0] != number


class SqliteNews:
    """Reads the rows behind the last ones."""

    def __init__(self, database: Database) -> None:
        """Nothing connects before the first reading."""
        self._database = database
        self._ends = (_End("events", "event_id"), _End("profiles", "updated_at", moves=True))

    def read(self) -> set[str] | None:
        """Each table's end, at one moment."""
        with self._database.engine.connect() as connection:
            told = [end.read(connection) for end in self._ends]
        units: set[str] = set()
        for one in told:
            if one is None:
                return None
            units |= one
        return units

    def close(self) -> None:
        """Nothing is kept open."""


class PostgresNews:
    """Listens on a connection of its own, and hears itself: what was committed before came before."""

    def __init__(self, database: Database) -> None:
        """Nothing connects before the first reading."""
        self._database = database
        self._connection: Any = None

    def read(self) -> set[str] | None:
        """Everything up to a notification that it sends itself.

        `DBAPIError` also where that does not come back: a pooler that gives each transaction another connection (as
        pgbouncer does, unless set to sessions) loses notifications.
        """
        missed = self._connection is None
        try:
            units = self._heard()
        except (self._database.engine.dialect.loaded_dbapi.Error, DBAPIError) as error:
            self.close()
            if isinstance(error, DBAPIError):
                raise
            raise DBAPIError.instance(None, None, error, type(error), dialect=self._database.engine.dialect) from error
        except BaseException:
            self.close()
            raise
        return None if missed else units

    def _heard(self) -> set[str] | None:
        if self._connection is None:
            self._connection = own_connection(self._database.engine)
            self._connection.autocommit = True
            # A notification is a commit, but nothing of it needs to survive.
            self._connection.execute("SET synchronous_commit TO off")
            self._connection.execute(f"LISTEN {CHANNEL}")
        own = f"heard {uuid.uuid4()}"
        self._connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, own))
        units: set[str] = set()
        anybody = False
        for told in self._connection.notifies(timeout=_ANSWER_SECONDS):
            if told.payload == own:
                return None if anybody else units
            if told.payload == _ANYBODY:
                anybody = True
            elif told.payload.startswith("["):
                units.update(orjson.loads(told.payload))
        raise self._database.engine.dialect.loaded_dbapi.OperationalError(
            f"a notification did not come back within {_ANSWER_SECONDS:g} s: is there a pooler that shares connections?"
        )

    def close(self) -> None:
        """Let the connection go; the next reading makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it may be broken, which is why it goes
                connection.close()


def news_of(database: Database) -> News:
    """The way that this database has."""
    return SqliteNews(database) if database.is_sqlite else PostgresNews(database)


class Follower:
    """A thread that hands on the news every `seconds`."""

    def __init__(
        self,
        news: News,
        changed: Callable[[Collection[str], float], None],
        distrust: Callable[[], None],
        *,
        seconds: float,
    ) -> None:
        """`changed` gets the units and the moment (monotonic clock) until which they are all; `distrust`: anybody."""
        self._news = news
        self._changed = changed
        self._distrust = distrust
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False

    def follow(self) -> None:
        """Once: read and hand on. While the database is away nothing is, and that is logged once."""
        until = time.monotonic()
        try:
            units = self._news.read()
        except SQLAlchemyError as error:
            if not self._away:
                log.warning("news_unavailable", reason=str(error).splitlines()[0])
            self._away = True
            return
        self._away = False
        if units is None:
            self._distrust()
        self._changed(units or (), until)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="reclift-news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let the connection go."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        self._news.close()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.follow()
            except Exception:
                # The thread must live on; until it reads again, memories fall back to asking for each user.
                log.exception("news_not_read")
