"""Erases a person from everything that is kept of single people. Stored reports hold sums only, and stay."""

from __future__ import annotations

from sqlalchemy import delete, or_

from reclift.storage.database import Database, rows_changed
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.tables import (
    Alias,
    DirtyUnit,
    EventRow,
    ExperimentUnit,
    ExposureRow,
    ImpressionRow,
    PositionTotal,
    Profile,
    UnitDay,
    UnitTotal,
)

_TABLES = (
    EventRow,
    ImpressionRow,
    ExposureRow,
    Profile,
    DirtyUnit,
    ExperimentUnit,
    UnitTotal,
    UnitDay,
    PositionTotal,
)


def erase(database: Database, spool: SpoolSink, unit: str) -> dict[str, int]:
    """Remove every row of the canonical id `unit`; returns rows removed by table.

    What waits in the spool is moved into the tables first, so that it cannot come back afterwards; `SinkUnavailable`
    when that is not possible now.
    """
    from reclift.storage.sinks.database import DatabaseSink

    spool.drain(DatabaseSink(database).append)
    with database.write() as session:
        removed = {
            table.__tablename__: rows_changed(session.execute(delete(table).where(table.unit_id == unit)))
            for table in _TABLES
        }
        removed[Alias.__tablename__] = rows_changed(
            session.execute(delete(Alias).where(or_(Alias.unit_id == unit, Alias.alias == unit)))
        )
    return removed
