"""Erases a person from everything that is kept of single people. Stored reports hold sums only, and stay."""

from __future__ import annotations

from sqlalchemy import delete, or_, select

from reclift.flows.catalogue import aliases_changed
from reclift.flows.configuration import take_turns
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
    """Remove every row of the canonical id `unit` and of its aliases; returns rows removed by table.

    What was recorded under an alias before it was known to be this person goes too. What waits in the spool is moved
    into the tables first, so that it cannot come back afterwards; `SinkUnavailable` when that is not possible now.
    """
    from reclift.storage.sinks.database import DatabaseSink

    spool.drain(DatabaseSink(database).append)
    with database.write() as session:
        take_turns(session)
        ids = [unit, *session.scalars(select(Alias.alias).where(Alias.unit_id == unit))]
        removed = {
            table.__tablename__: rows_changed(session.execute(delete(table).where(table.unit_id.in_(ids))))
            for table in _TABLES
        }
        removed[Alias.__tablename__] = rows_changed(
            session.execute(delete(Alias).where(or_(Alias.unit_id.in_(ids), Alias.alias.in_(ids))))
        )
        if removed[Alias.__tablename__]:
            aliases_changed(session)
    return removed
