"""Writes events of imported files: past ones, many at once, exactly once by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection, text

from reclift.storage.bulk import add_column, add_new_events, driver_cursor
from reclift.storage.news import announce
from reclift.storage.persons import who_is_who
from reclift.storage.tables import DirtyUnit, EventRow

Imported = tuple[str, str, str, str, float | None, int, int]
"""Event id, type, unit, item, value, time (microseconds), and the row's number in the file."""

_EVENTS: Any = EventRow.__table__
_DIRTY: Any = DirtyUnit.__table__
# What all rows share stands in the statement: binding it costs a third of writing a row.
_SQLITE = (
    "INSERT INTO events (event_id, type, unit_id, item_id, value, at, recommendation_id, client_at, received_at, "
    "properties) VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, {now:d}, '{{}}') ON CONFLICT (event_id) DO NOTHING"
)
_CACHE_KB = 56_000
_EXPOSED_SQLITE = "SELECT DISTINCT unit_id FROM exposures WHERE unit_id IN (SELECT value FROM json_each(?))"
_EXPOSED = text("SELECT DISTINCT unit_id FROM exposures WHERE unit_id = ANY(:units)")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch.

    Attributes:
        new: how many events were not there before.
        refused: numbers of rows of people who were erased after what the row says.
        units: whose rows they are, by their ids of now.
    """

    new: int
    refused: Sequence[int]
    units: Collection[str]


def add_imported(connection: Connection, rows: Sequence[Imported], now: int) -> Written:
    """Insert events that are new, under the persons' ids of now, in the caller's transaction.

    Marks nothing: see `mark_exposed`. What happened before a person was erased does not bring them back; unlike in the
    event log, where it counts when something was recorded, a file's rows are held to when they happened.

    Args:
        connection: the transaction.
        rows: the events.
        now: when they arrive, microseconds.
    """
    persons, gone = who_is_who(connection, {row[2] for row in rows})
    refused: list[int] = []
    if persons or gone:
        kept = []
        for row in rows:
            unit = persons.get(row[2], row[2])
            if row[5] <= max(gone.get(row[2], -1), gone.get(unit, -1)):
                refused.append(row[6])
            else:
                kept.append((row[0], row[1], unit, *row[3:]))
        rows = kept
    units = {row[2] for row in rows}
    # In the order of ids: neighbours in the index, and two imports of the same file never wait for each other.
    ordered = sorted(rows, key=itemgetter(0))
    if connection.dialect.name == "sqlite":
        with driver_cursor(connection) as cursor:
            # Three indexes grow at random places: they should be in memory.
            cursor.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
            cursor.executemany(_SQLITE.format(now=now), (row[:6] for row in ordered))
            new = max(0, cursor.rowcount)
    else:
        ids = add_new_events(connection, _EVENTS, [_row(row, now) for row in ordered])
        new = len(ids)
        announce(connection, {row[2] for row in ordered if row[0] in ids})
    return Written(new, refused, units)


def mark_exposed(connection: Connection, units: Collection[str]) -> None:
    """Let the rollup look at those of these units that are in an experiment."""
    if connection.dialect.name == "sqlite":
        with driver_cursor(connection) as cursor:
            given = (orjson.dumps(list(units)).decode(),)
            found = [unit for (unit,) in cursor.execute(_EXPOSED_SQLITE, given)]
    else:
        found = list(connection.scalars(_EXPOSED, {"units": list(units)}))
    if found:
        add_column(connection, _DIRTY, "unit_id", sorted(found))


def _row(row: Imported, now: int) -> dict[str, Any]:
    return {
        "event_id": row[0],
        "type": row[1],
        "unit_id": row[2],
        "item_id": row[3],
        "recommendation_id": None,
        "value": row[4],
        "at": row[5],
        "client_at": None,
        "received_at": now,
        "properties": {},
    }
