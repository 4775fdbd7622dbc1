"""The short way into SQLite's tables for batches of threads that wait: as a rule one statement, its own commit.

Every step of a statement gives the interpreter's lock away and has to wait for it afterwards, behind all threads that
compute meanwhile. So what counts is how often that happens, more than what SQLite does. A temporary view has a column
for each column of the widest table, and triggers that put a row inserted into it where it belongs: so one INSERT fills
all tables, looks at who was merged or erased, and commits. Many rows are worth a statement for each table: a trigger
costs more for a row than the steps that it saves.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, Engine, Table, event

from reclift.domain.events import Facts
from reclift.storage.database import own_connection
from reclift.storage.tables import EventRow, ExposureRow, ImpressionRow

_MOST_ROWS = 48
"""Rows of one statement. Each number of rows is a statement of its own that the driver keeps: see `database.py`."""

_EVENTS: Table = EventRow.__table__  # type: ignore[assignment]  # SQLAlchemy types it as a FromClause
_IMPRESSIONS: Table = ImpressionRow.__table__  # type: ignore[assignment]  # likewise
_EXPOSURES: Table = ExposureRow.__table__  # type: ignore[assignment]  # likewise
_TABLES = (_EVENTS, _IMPRESSIONS, _EXPOSURES)
_WIDEST = max(len(table.columns) for table in _TABLES)
_EARLIEST = (
    "ON CONFLICT (experiment, phase, unit_id, arm) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("at", "source", "attributes"))
    + " WHERE exposures.at > excluded.at"
)
"""Of exposures the earliest wins, in whatever order they arrive; ties keep what is there."""
_IS_PLAIN = (
    "SELECT EXISTS (SELECT 1 FROM aliases WHERE alias IN (SELECT value FROM json_each(?))), "
    "EXISTS (SELECT 1 FROM erasures WHERE at >= ?)"
)


class QuickSqlite:
    """Writes batches whose keys are all new; whatever is not as plain as that is left to the long way.

    Keeps a connection of its own, made at the first use and closed with the engine's pool.
    """

    def __init__(self, engine: Engine) -> None:
        """`engine` is a SQLite database's, whose connections leave transactions alone (autocommit)."""
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def write(self, batches: Sequence[Facts]) -> bool:
        """Commit the batches together, with their units marked dirty. False: nothing was written.

        That is so when a key is there already, or twice; when an id is an alias, or somebody was erased since the rows
        were recorded; and when anything goes wrong: the long way, which the caller goes then, finds out what it is.
        """
        with self._lock:
            try:
                self._write(batches)
            except Exception as error:  # noqa: BLE001 (whatever it is, the long way meets it again, and says so)
                if not isinstance(error, sqlite3.IntegrityError):
                    self._close()
                return False
        return True

    def _write(self, batches: Sequence[Facts]) -> None:
        if self._connection is None:
            self._connection = _connect(self._engine)
        if sum(map(len, batches)) <= _MOST_ROWS:
            rows = list(_rows(batches))
            self._connection.execute(_statement("intake", len(rows), len(rows[0])), tuple(chain.from_iterable(rows)))
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            _write_many(self._connection, batches)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Give the connection up; the next batch makes a new one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # it is given up because it does not work, perhaps not even for this
                connection.close()


def _connect(engine: Engine) -> sqlite3.Connection:
    connection: sqlite3.Connection = own_connection(engine)
    columns = ", ".join(f"NULL AS c{place}" for place in range(_WIDEST))
    connection.execute(f"CREATE TEMP VIEW intake AS SELECT NULL AS kind, NULL AS mark, NULL AS recorded, {columns}")
    for table in _TABLES:
        connection.execute(_trigger(table))
    return connection


def _trigger(table: Table) -> str:
    """Where a row of this kind goes. An INSERT in it that meets a key that is there undoes the whole statement."""
    names = ", ".join(column.name for column in table.columns)
    values = ", ".join(f"NEW.c{place}" for place in range(len(table.columns)))
    unit = f"NEW.c{list(table.columns.keys()).index('unit_id')}"
    return (
        f"CREATE TEMP TRIGGER take_{table.name} INSTEAD OF INSERT ON intake WHEN NEW.kind = '{table.name}' BEGIN "  # noqa: S608 (names of our own tables and columns)
        f"SELECT RAISE(ABORT, 'an alias') WHERE NEW.mark AND EXISTS (SELECT 1 FROM aliases WHERE alias = {unit}); "
        "SELECT RAISE(ABORT, 'somebody was erased') "
        "WHERE NEW.recorded NOTNULL AND EXISTS (SELECT 1 FROM erasures WHERE at >= NEW.recorded); "
        f"INSERT INTO {table.name} ({names}) VALUES ({values}) {_EARLIEST if table is _EXPOSURES else ''}; "
        f"INSERT INTO dirty_units (unit_id) SELECT {unit} WHERE NEW.mark; "
        "END"
    )


def _rows(batches: Sequence[Facts]) -> Iterator[tuple[Any, ...]]:
    """What the view takes: the first of each unit's rows marks it dirty, the first of all has the earliest time."""
    marked: set[Any] = set()
    earliest: int | None = min(_recorded(batches))
    for facts in batches:
        for table, rows in ((_EVENTS, facts.events), (_IMPRESSIONS, facts.impressions), (_EXPOSURES, facts.exposures)):
            padding = (None,) * (_WIDEST - len(table.columns))
            for row, values in zip(rows, _values(table, rows), strict=True):
                unit = row["unit_id"]
                yield (table.name, unit not in marked, earliest, *values, *padding)
                marked.add(unit)
                earliest = None


def _write_many(connection: sqlite3.Connection, batches: Sequence[Facts]) -> None:
    """As the triggers do it, in some statements of the caller's transaction."""
    units = {row["unit_id"] for facts in batches for row in _all(facts)}
    plain = connection.execute(_IS_PLAIN, (orjson.dumps(sorted(units)).decode(), min(_recorded(batches))))
    if plain.fetchone() != (0, 0):
        raise sqlite3.IntegrityError("an alias, or somebody was erased")
    for table, kind in ((_EVENTS, "events"), (_IMPRESSIONS, "impressions"), (_EXPOSURES, "exposures")):
        names = ", ".join(column.name for column in table.columns)
        rows = _values(table, [row for facts in batches for row in getattr(facts, kind)])
        _insert(connection, f"{table.name} ({names})", rows, _EARLIEST if table is _EXPOSURES else "")
    _insert(connection, "dirty_units (unit_id)", [(unit,) for unit in sorted(units)])


def _insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]], conflict: str = "") -> None:
    for start in range(0, len(rows), _MOST_ROWS):
        part = rows[start : start + _MOST_ROWS]
        connection.execute(_statement(into, len(part), len(part[0]), conflict), tuple(chain.from_iterable(part)))


def _all(facts: Facts) -> Iterator[Mapping[str, Any]]:
    return chain(facts.events, facts.impressions, facts.exposures)


def _recorded(batches: Sequence[Facts]) -> Iterator[int]:
    """When each row was: an exposure keeps no time of its arrival (see `erasures.is_of_before`)."""
    return (row.get("received_at", row["at"]) for facts in batches for row in _all(facts))


def _values(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The columns of the table, JSON as text."""
    pick, json = _columns(table)
    values = []
    for row in rows:
        value = list(pick(row))
        for place in json:
            value[place] = orjson.dumps(value[place]).decode()
        values.append(value)
    return values


@cache
def _statement(into: str, rows: int, columns: int, conflict: str = "") -> str:
    marks = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([marks] * rows)} {conflict}"  # noqa: S608 (names of our own tables and columns)


@cache
def _columns(table: Table) -> tuple[Callable[[Mapping[str, Any]], tuple[Any, ...]], tuple[int, ...]]:
    """How a row's columns are taken, and which of them are JSON."""
    json = tuple(place for place, column in enumerate(table.columns) if isinstance(column.type, JSON))
    return itemgetter(*(column.name for column in table.columns)), json
