"""The short way into SQLite's tables for batches of threads that wait: few statements, each of many rows.

Every statement gives the interpreter's lock away and has to wait for it afterwards, behind all threads that compute
meanwhile. So what counts is how often that happens, more than what SQLite does: rows go in by the dozen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Table

from reclift.domain.events import Facts
from reclift.storage.bulk import driver_cursor
from reclift.storage.tables import EventRow, ExposureRow, ImpressionRow

_MOST_ROWS = 64
"""Rows of one statement. The driver keeps that many prepared for each table: see `database.py`."""

_EVENTS: Any = EventRow.__table__
_IMPRESSIONS: Any = ImpressionRow.__table__
_EXPOSURES: Any = ExposureRow.__table__
_KEY = "experiment, phase, unit_id, arm"


def write(connection: Connection, batches: Sequence[Facts]) -> bool:
    """Write batches whose keys are all new, in the caller's transaction, with their units marked dirty.

    False when a key was there already, or twice: then nothing was written, and the caller finds out whose it was.
    """
    with driver_cursor(connection) as cursor:
        cursor.execute("SAVEPOINT quick")
        if _write(cursor, batches):
            return True
        cursor.execute("ROLLBACK TO quick")
        return False


def _write(cursor: Any, batches: Sequence[Facts]) -> bool:
    if not _add_new(cursor, _EVENTS, [row for facts in batches for row in facts.events]):
        return False
    if not _add_new(cursor, _IMPRESSIONS, [row for facts in batches for row in facts.impressions]):
        return False
    # The earliest wins, in whatever order they arrive, also within one statement; ties keep what is there.
    changed = ", ".join(f"{name} = excluded.{name}" for name in ("at", "source", "attributes"))
    conflict = f"ON CONFLICT ({_KEY}) DO UPDATE SET {changed} WHERE exposures.at > excluded.at"
    _insert(cursor, _EXPOSURES, [row for facts in batches for row in facts.exposures], conflict)
    units = {
        row["unit_id"]
        for facts in batches
        for rows in (facts.events, facts.impressions, facts.exposures)
        for row in rows
    }
    _insert_values(cursor, "dirty_units", ("unit_id",), [(unit,) for unit in sorted(units)], "")
    return True


def _all_rows(batches: Sequence[Facts]) -> list[dict[str, Any]]:
    return [row for facts in batches for rows in (facts.events, facts.impressions, facts.exposures) for row in rows]


def _add_new(cursor: Any, table: Table, rows: Sequence[Mapping[str, Any]]) -> bool:
    return _insert(cursor, table, rows, "ON CONFLICT DO NOTHING") == len(rows)


def _insert(cursor: Any, table: Table, rows: Sequence[Mapping[str, Any]], conflict: str) -> int:
    """How many rows were inserted or changed."""
    if not rows:
        return 0
    names, pick, json_places = _columns(table)
    values = []
    for row in rows:
        value = list(pick(row))
        for place in json_places:
            value[place] = orjson.dumps(value[place]).decode()
        values.append(value)
    return _insert_values(cursor, table.name, names, values, conflict)


def _insert_values(
    cursor: Any, table: str, names: tuple[str, ...], rows: Sequence[Sequence[Any]], conflict: str
) -> int:
    changed = 0
    for start in range(0, len(rows), _MOST_ROWS):
        part = rows[start : start + _MOST_ROWS]
        cursor.execute(_statement(table, names, len(part), conflict), [value for row in part for value in row])
        changed += cursor.rowcount
    return changed


@cache
def _statement(table: str, names: tuple[str, ...], rows: int, conflict: str) -> str:
    marks = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([marks] * rows)} {conflict}"  # noqa: S608 (names of our own tables and columns)


@cache
def _columns(table: Table) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[int, ...]]:
    names = tuple(column.name for column in table.columns)
    json_places = tuple(place for place, column in enumerate(table.columns) if isinstance(column.type, JSON))
    return names, itemgetter(*names), json_places
