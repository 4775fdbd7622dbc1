"""Erases a person from everything that is kept of single people. Stored reports hold sums only, and stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from reclift.flows.clock import now_micros
from reclift.flows.configuration import aliases_changed, take_turns
from reclift.flows.dead_letters import Burying
from reclift.flows.drain_stream import StreamDrain
from reclift.storage.database import Database, rows_changed
from reclift.storage.erasures import note
from reclift.storage.eventlog import SinkUnavailable
from reclift.storage.persons import change_alone
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.tables import (
    Alias,
    DeadLetter,
    DirtyUnit,
    EventId,
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
    DeadLetter,
    ExperimentUnit,
    UnitTotal,
    UnitDay,
    PositionTotal,
)
_STREAM_SECONDS = 20.0


def erase(
    database: Database,
    spool: SpoolSink,
    unit: str,
    *,
    stream: StreamDrain | None = None,
    forget: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Remove every row of the canonical id `unit` and of its aliases; returns rows removed by table.

    What was recorded under an alias before it was known to be this person goes too. What waits in the stream and in
    the spool is moved into the tables first, so that it cannot come back afterwards; `SinkUnavailable` when that is
    not possible now. What others still hold of before is refused when it is written (see storage/erasures.py).
    `forget` drops an id from memories outside the database; what it raises undoes the erasing.
    """
    from reclift.storage.sinks.database import DatabaseSink

    tables = Burying(database, DatabaseSink(database), "spool")
    spool.drain(tables.append, tables.bury)
    if spool.size():
        raise SinkUnavailable("another process has facts on disk; it moves them within seconds")
    if stream is not None:
        stream.until_done(_STREAM_SECONDS)
    with database.write() as session:
        change_alone(session)
        take_turns(session)
        ids = [unit, *session.scalars(select(Alias.alias).where(Alias.unit_id == unit))]
        events = select(EventRow.event_id).where(EventRow.unit_id.in_(ids))
        session.execute(delete(EventId).where(EventId.event_id.in_(events)))
        removed = {
            table.__tablename__: rows_changed(session.execute(delete(table).where(table.unit_id.in_(ids))))
            for table in _TABLES
        }
        removed[DeadLetter.__tablename__] += _letters_that_name(session, ids)
        removed[Alias.__tablename__] = rows_changed(
            session.execute(delete(Alias).where(or_(Alias.unit_id.in_(ids), Alias.alias.in_(ids))))
        )
        aliases_changed(session)  # aliases or not: other processes are to forget what the person did
        note(session, ids, now_micros())
        for one in ids:
            forget(one)
    for one in ids:
        forget(one)  # again: somebody may have looked the person up before the commit
    return removed


def _letters_that_name(session: Session, ids: Sequence[str]) -> int:
    """Letters that nobody could read may name the person all the same."""
    unread = session.execute(select(DeadLetter.id, DeadLetter.payload).where(DeadLetter.unit_id.is_(None)))
    marks = [f'"{one}"'.encode() for one in ids]
    named = [number for number, payload in unread if any(mark in payload for mark in marks)]
    if named:
        session.execute(delete(DeadLetter).where(DeadLetter.id.in_(named)))
    return len(named)
