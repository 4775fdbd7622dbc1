"""Many rows at once, by the shortest way that each database has.

PostgreSQL: COPY into a temporary table, then one INSERT of what is new. SQLite: `executemany` of what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Table
from sqlalchemy.exc import DBAPIError

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
    names, keys, makers = _columns(table)
    inside, columns = f"copied_{table.name}", ", ".join(names)
    conflict = f"ON CONFLICT ({', '.join(keys)}) {on_conflict}"
    # Sorted here, as plain INSERTs are: the database's own order of texts may be another.
    ordered = sorted(rows, key=itemgetter(*keys))
    values = [[make(row[name]) for name, make in zip(names, makers, strict=True)] for row in ordered]
    with driver_cursor(connection) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(names))
            insert = f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {conflict}"  # noqa: S608 (names of our own tables and columns)
            new = _unknown(cursor, table.name, returning, [row[returning] for row in ordered]) if returning else set()
            cursor.executemany(insert, values)
            return new
        # Kept for the connection's life and emptied at each commit: a table a transaction would bloat the catalogue.
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {inside} (LIKE {table.name} INCLUDING DEFAULTS) "
            "ON COMMIT DELETE ROWS"
        )
        cursor.execute(f"TRUNCATE {inside}")
        with cursor.copy(f"COPY {inside} ({columns}) FROM STDIN") as copy:
            for value in values:
                copy.write_row(value)
        cursor.execute(
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {inside} {conflict}"  # noqa: S608 (likewise)
            f"{f' RETURNING {returning}' if returning else ''}"
        )
        return {key for (key,) in cursor.fetchall()} if returning else set()


def _unknown(cursor: Any, table: str, key: str, keys: Sequence[str]) -> set[str]:
    """Keys that are not there yet. SQLite has one writer at a time, so that this stays true until it has written."""
    known = cursor.execute(
        f"SELECT {key} FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))",  # noqa: S608 (likewise)
        [orjson.dumps(keys).decode()],
    )
    return set(keys).difference(found for (found,) in known)


def add_column(connection: Connection, table: Table, name: str, values: Sequence[str]) -> None:
    """Append rows of one column, the others having their defaults."""
    with driver_cursor(connection) as cursor:
        if connection.dialect.name == "sqlite":
            cursor.executemany(f"INSERT INTO {table.name} ({name}) VALUES (?)", [(value,) for value in values])  # noqa: S608 (likewise)
            return
        with cursor.copy(f"COPY {table.name} ({name}) FROM STDIN") as copy:
            for value in values:
                copy.write_row((value,))


@contextmanager
def driver_cursor(connection: Connection) -> Iterator[Any]:
    """The driver's own cursor inside SQLAlchemy's transaction, with errors in SQLAlchemy's words."""
    driver: Any = connection.connection.driver_connection
    base: Any = connection.dialect.loaded_dbapi.Error
    try:
        with closing(driver.cursor()) as cursor:
            yield cursor
    except base as error:
        raise DBAPIError.instance(None, None, error, base, dialect=connection.dialect) from error


@cache
def _columns(table: Table) -> tuple[list[str], list[str], list[Callable[[Any], Any]]]:
    names = [column.name for column in table.columns]
    makers: list[Callable[[Any], Any]] = [
        _json if isinstance(column.type, JSON) else _as_is for column in table.columns
    ]
    return names, [column.name for column in table.primary_key], makers


def _as_is(value: Any) -> Any:
    return value


def _json(value: Any) -> str:
    """As SQLAlchemy writes it: None is JSON's null."""
    return orjson.dumps(value).decode()
