"""Many rows at once, by the shortest way that each database has.

PostgreSQL: COPY into a temporary table, then one INSERT of what is new. SQLite: `executemany` of what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, Connection, Float, String, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

WORTH = 100
"""Fewer rows are as quick as a plain INSERT."""


def is_worth(rows: int) -> bool:
    """Whether so many rows are better written in bulk."""
    return rows >= WORTH


def add_new(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    on_conflict: str = "DO NOTHING",
    *,
    returning: str | None = None,
) -> set[str]:
    """Insert rows, those whose primary key is there already as `on_conflict` says.

    Returns the values of the column `returning` of the rows that were written.

    In the caller's transaction. Every row must have all columns of the table. They are inserted in the order of their
    keys, so that two processes that write the same ones wait for each other and never both. Raises what SQLAlchemy
    raises for the same trouble.
    """
    names, keys, _ = _columns(table)
    inside, columns = f"copied_{table.name}", ", ".join(names)
    conflict = f"ON CONFLICT ({', '.join(keys)}) {on_conflict}"
    # Sorted here, as plain INSERTs are: the database's own order of texts may be another.
    ordered = sorted(rows, key=itemgetter(*keys))
    values = _values(table, ordered)
    with _cursor(connection) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(names))
            insert = f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {conflict}"  # noqa: S608 (names of our own tables and columns)
            new = _unknown(cursor, table.name, returning, [row[returning] for row in ordered]) if returning else set()
            cursor.executemany(insert, values)
            return new
        _copy(cursor, table.name, columns, values)
        cursor.execute(
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {inside} {conflict}"  # noqa: S608 (likewise)
            f"{f' RETURNING {returning}' if returning else ''}"
        )
        return {key for (key,) in cursor.fetchall()} if returning else set()


def add_new_events(connection: Connection, events: Table, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert those events whose id `event_ids` does not have yet, on PostgreSQL; returns their ids.

    One statement adds the ids, and the events of those ids that it added: the table of events is partitioned by time,
    so that no index of it could tell that an id is new. In the caller's transaction; every row must have all columns.
    In the order of ids, as in `add_new`. Of rows with the same id the first counts.
    """
    names = _columns(events)[0]
    columns = ", ".join(names)
    first = {row["event_id"]: row for row in reversed(rows)}
    values = _values(events, [first[key] for key in sorted(first)])
    with _cursor(connection) as cursor:
        if is_worth(len(values)):
            _copy(cursor, events.name, columns, values)
            source, given, parameters = "", f"copied_{events.name}", None
        else:
            arrays = ", ".join(f"%s::{_array(column.type)}" for column in events.columns)
            source = f"given AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS r({columns})), "  # noqa: S608 (names of our own tables and columns)
            given, parameters = "given", [list(part) for part in zip(*values, strict=True)]
        cursor.execute(
            f"WITH {source}"  # noqa: S608 (likewise)
            f"new AS (INSERT INTO event_ids (event_id, at) SELECT event_id, at FROM {given} "
            "ON CONFLICT DO NOTHING RETURNING event_id), "
            f"written AS (INSERT INTO {events.name} ({columns}) "
            f"SELECT {columns} FROM {given} JOIN new USING (event_id)) "
            f"SELECT event_id FROM {given} LEFT JOIN new USING (event_id) WHERE new.event_id IS NULL",
            parameters,
        )
        # Those that were there already are asked for: they are few, and most often none.
        return first.keys() - {key for (key,) in cursor.fetchall()}


def _values(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The rows' columns in the table's order, JSON as text."""
    names, _, json = _columns(table)
    take = itemgetter(*names)
    values = []
    for row in rows:
        value = list(take(row))
        for place in json:
            value[place] = orjson.dumps(value[place]).decode()  # as SQLAlchemy writes it: None is JSON's null
        values.append(value)
    return values


def _array(column: TypeEngine[Any]) -> str:
    """The type of a column's values as an array; texts without their length, since a cast would cut them off."""
    if isinstance(column, JSON):
        return "jsonb[]"
    kinds: dict[type[TypeEngine[Any]], str] = {BigInteger: "bigint[]", Float: "float8[]", String: "text[]"}
    return kinds[type(column)]


def _copy(cursor: Any, table: str, columns: str, values: Sequence[Sequence[Any]]) -> None:
    """Rows into a temporary table with the columns of `table`, `copied_…`.

    It is kept for the connection's life and emptied at each commit: a table a transaction would bloat the catalogue.
    """
    inside = f"copied_{table}"
    cursor.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {inside} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    )
    cursor.execute(f"TRUNCATE {inside}")
    with cursor.copy(f"COPY {inside} ({columns}) FROM STDIN") as copy:
        for value in values:
            copy.write_row(value)


def _unknown(cursor: Any, table: str, key: str, keys: Sequence[str]) -> set[str]:
    """Keys that are not there yet. SQLite has one writer at a time, so that this stays true until it has written."""
    known = cursor.execute(
        f"SELECT {key} FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))",  # noqa: S608 (likewise)
        [orjson.dumps(keys).decode()],
    )
    return set(keys).difference(found for (found,) in known)


def add_column(connection: Connection, table: Table, name: str, values: Sequence[str]) -> None:
    """Append rows of one column, the others having their defaults."""
    with _cursor(connection) as cursor:
        if connection.dialect.name == "sqlite":
            cursor.executemany(f"INSERT INTO {table.name} ({name}) VALUES (?)", [(value,) for value in values])  # noqa: S608 (likewise)
            return
        with cursor.copy(f"COPY {table.name} ({name}) FROM STDIN") as copy:
            for value in values:
                copy.write_row((value,))


@contextmanager
def _cursor(connection: Connection) -> Iterator[Any]:
    """The driver's own cursor inside SQLAlchemy's transaction, with errors in SQLAlchemy's words."""
    driver: Any = connection.connection.driver_connection
    base: Any = connection.dialect.loaded_dbapi.Error
    try:
        with closing(driver.cursor()) as cursor:
            yield cursor
    except base as error:
        raise DBAPIError.instance(None, None, error, base, dialect=connection.dialect) from error


@cache
def _columns(table: Table) -> tuple[list[str], list[str], list[int]]:
    """Names, those of the primary key, and the places of columns with JSON."""
    json = [place for place, column in enumerate(table.columns) if isinstance(column.type, JSON)]
    return [column.name for column in table.columns], [column.name for column in table.primary_key], json
