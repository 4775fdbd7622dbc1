"""Events on PostgreSQL lie in partitions, a month of `at` each (UTC); elsewhere there is nothing to do here.

A partition is made months ahead. What falls into none (from another age, or a clock that was wrong and was believed)
lies in `events_default`; a past month of which much lies there, as after an import, gets a partition of its own.

Several processes may do this at once: they take turns. Attaching and detaching need a moment in which nobody reads or
writes events. It is not waited for longer than `_PATIENCE`, since others queue up behind: somebody who reads for long
(a training) only delays it to the next turn, of which there are thousands before a month without a partition begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from reclift.domain.events import MICROS
from reclift.domain.totals import EARLY
from reclift.storage.database import Database
from reclift.storage.tables.facts import BEHIND

log = structlog.get_logger(__name__)

MONTHS_AHEAD = 3
WORTH = 10_000
"""Events of one past month in `events_default` for which a partition is made."""
WORTH_AHEAD = 1_000
"""Events of one month in a batch that is about to be written for which a partition is made."""
_LOCK = 7_236_003  # any constant that is not another's: see migrate.py and persons.py
_PATIENCE = "500ms"
_BLOCKS = 256
"""Blocks (of 8 kB) of a detached partition whose ids are removed in one transaction."""
_LOCKED = "55P03"
_NAMES = "event_id, type, unit_id, item_id, recommendation_id, value, at, client_at, received_at, properties"


class Month(NamedTuple):
    """A month, as the number of months since the year 0."""

    number: int

    @classmethod
    def of(cls, at: int) -> Month:
        """The month of a time, microseconds."""
        when = datetime.fromtimestamp(at / MICROS, UTC)
        return cls(when.year * 12 + when.month - 1)

    @property
    def start(self) -> int:
        """Its first microsecond."""
        year, month = divmod(self.number, 12)
        return round(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * MICROS

    @property
    def end(self) -> int:
        """The first microsecond after it."""
        return Month(self.number + 1).start

    @property
    def table(self) -> str:
        """The partition's name."""
        year, month = divmod(self.number, 12)
        return f"events_{year:04}{month + 1:02}"

    @classmethod
    def named(cls, table: str) -> Month | None:
        """The month of a partition's name; None for other tables."""
        digits = table.removeprefix("events_")
        if table == digits or len(digits) != 6 or not digits.isdigit():
            return None
        return cls(int(digits[:4]) * 12 + int(digits[4:]) - 1)


def ensure(database: Database, now: int) -> list[str]:
    """Make the partitions of this month and the next ones, and of past months of which much is kept; returns the new.

    `now`: microseconds. What cannot be made now, since somebody reads for long, is logged and left for the next turn.
    """
    if database.is_sqlite:
        return []
    this = Month.of(now)
    with database.engine.connect() as connection:
        there = {month for month, _ in _attached(connection)}
        past = text(
            "SELECT array_agg(at) FROM (SELECT min(at) AS at FROM events_default WHERE at BETWEEN 0 AND :now "
            "GROUP BY date_trunc('month', to_timestamp(at / 1000000) AT TIME ZONE 'UTC') HAVING count(*) >= :worth) x"
        )
        found = connection.execute(past, {"now": now, "worth": WORTH}).scalar_one() or []
    wanted = {Month(this.number + ahead) for ahead in range(MONTHS_AHEAD + 1)} | {Month.of(at) for at in found}
    return _make_missing(database, wanted - there)


def ensure_for(database: Database, times: Iterable[int]) -> list[str]:
    """Make the partitions of months of which many are about to be written, as by an import; returns the new.

    `times`: microseconds. Done before, nothing has to be moved afterwards.
    """
    if database.is_sqlite:
        return []
    counts = Counter(Month.of(at) for at in times)
    many = {month for month, count in counts.items() if count >= WORTH_AHEAD}
    if not many:
        return []
    with database.engine.connect() as connection:
        there = {month for month, _ in _attached(connection)}
    return _make_missing(database, many - there)


def _make_missing(database: Database, months: Iterable[Month]) -> list[str]:
    made = []
    for month in sorted(months):
        try:
            with _alone(database) as connection:
                if month not in {known for known, _ in _attached(connection)}:
                    _make(connection, month)
                    made.append(month.table)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCKED:
                raise
            log.warning("partition_waits", partition=month.table, reason="events are being read or written for long")
    if made:
        log.info("partitions_made", partitions=made)
    return made


def _make(connection: Connection, month: Month) -> None:
    """Attached, not created in place: that would lock the whole table."""
    connection.execute(text("LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text(f"CREATE TABLE {month.table} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    connection.execute(
        text(
            f"WITH moved AS (DELETE FROM events_default WHERE at >= :first AND at < :last RETURNING {_NAMES}) "  # noqa: S608 (our own names)
            f"INSERT INTO {month.table} ({_NAMES}) SELECT {_NAMES} FROM moved"
        ),
        {"first": month.start, "last": month.end},
    )
    connection.execute(
        text(f"ALTER TABLE events ATTACH PARTITION {month.table} FOR VALUES FROM ({month.start}) TO ({month.end})")
    )


def drop_before(database: Database, edge: int) -> int:
    """Drop the partitions that end at `edge` (microseconds) or before, with the ids of their events; how many events.

    Safe to interrupt: a partition is first detached, so that nobody sees its events any more, then loses its ids in
    small transactions, then goes; one that was left half-way is finished by the next call.
    """
    if database.is_sqlite:
        return 0
    with database.engine.connect() as connection:
        old = [month for month, _ in _attached(connection) if month.end <= edge]
    for month in old:
        try:
            with _alone(database) as connection:
                if month in {known for known, _ in _attached(connection)}:
                    _detach(connection, month, edge)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCKED:
                raise
            log.warning("partition_stays", partition=month.table, reason="events are being read or written for long")
    return sum(_finish(database, table) for table in _detached(database))


def _detach(connection: Connection, month: Month, edge: int) -> None:
    """Clicks on lists that are not old, of clients whose clock was, stay: they move to `events_default`."""
    connection.execute(text(f"ALTER TABLE events DETACH PARTITION {month.table}"))
    connection.execute(
        text(
            f"WITH stay AS (DELETE FROM {month.table} WHERE {BEHIND} AND received_at >= :lately RETURNING {_NAMES}) "  # noqa: S608 (our own names)
            f"INSERT INTO events ({_NAMES}) SELECT {_NAMES} FROM stay"
        ),
        {"lately": edge - EARLY},
    )


def _finish(database: Database, table: str) -> int:
    with database.engine.connect() as connection:
        blocks = connection.execute(text(f"SELECT pg_relation_size('{table}') / 8192")).scalar_one()
    events = 0
    for first in range(0, blocks, _BLOCKS):
        with database.connection() as connection:
            # Row and id go together: should this be done twice, an event that came again meanwhile keeps its id.
            gone = text(
                f"WITH old AS (DELETE FROM {table} WHERE ctid >= '({first},0)'::tid "  # noqa: S608 (our own table)
                f"AND ctid < '({first + _BLOCKS},0)'::tid RETURNING event_id) "
                "DELETE FROM event_ids USING old WHERE old.event_id = event_ids.event_id"
            )
            events += connection.execute(gone).rowcount
    with database.connection() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    return events


def drop_rest(database: Database, edge: int, portion: int) -> int:
    """Delete events before `edge` that lie in no month's partition, `portion` of them a transaction; how many."""
    old = text(
        "WITH old AS (DELETE FROM events_default WHERE ctid = ANY(ARRAY(SELECT ctid FROM events_default "
        "WHERE at < :edge AND (recommendation_id IS NULL OR received_at < :lately) ORDER BY at LIMIT :portion)) "
        "RETURNING event_id) "
        "DELETE FROM event_ids USING old WHERE old.event_id = event_ids.event_id"
    )
    events = gone = 0
    while True:
        with database.connection() as connection:
            gone = connection.execute(old, {"edge": edge, "lately": edge - EARLY, "portion": portion}).rowcount
        if not gone:
            return events
        events += gone


def _detached(database: Database) -> list[str]:
    """Tables that were partitions of events and are not any more."""
    query = text(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition AND relname LIKE 'events\\_%' "
        "AND relnamespace = current_schema()::regnamespace ORDER BY relname"
    )
    with database.engine.connect() as connection:
        return [name for name in connection.scalars(query) if Month.named(name) is not None]


def _attached(connection: Connection) -> list[tuple[Month, str]]:
    query = text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'events'::regclass ORDER BY c.relname"
    )
    return [(month, name) for name in connection.scalars(query) if (month := Month.named(name)) is not None]


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else changes partitions, and which gives up rather than hold others up."""
    with database.connection() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection
