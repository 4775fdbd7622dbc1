"""Writes facts into the tables, exactly once by key, and marks their units dirty in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, or_
from sqlalchemy.dialects import postgresql, sqlite

from reclift.domain.events import Facts
from reclift.storage.bulk import add_column, add_new, add_new_events, is_worth
from reclift.storage.news import announce
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow, ImpressionRow

_DIRTY: Any = DirtyUnit.__table__
_EXPOSURES: Any = ExposureRow.__table__
_EVENTS: Any = EventRow.__table__
_CHANGED = ("at", "source", "attributes")
"""What an earlier exposure brings with it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch: rows that are new, and rows whose key was there already. None: not known yet."""

    accepted: int
    duplicates: int | None = None


class _Statements(NamedTuple):
    """The writing statements in one database's dialect; made once, since making one takes as long as running it."""

    events: Any
    impressions: Any
    exposures: Any
    dirty: Any


@cache
def _statements(dialect_name: str) -> _Statements:
    dialect = postgresql if dialect_name == "postgresql" else sqlite
    exposures = dialect.insert(ExposureRow)
    return _Statements(
        # The new rows' keys are counted, since PostgreSQL's driver gives no row count of many rows at once.
        dialect.insert(EventRow).on_conflict_do_nothing().returning(EventRow.event_id),
        dialect.insert(ImpressionRow).on_conflict_do_nothing().returning(ImpressionRow.recommendation_id),
        # The earliest exposure wins, in whatever order they arrive; ties keep what is there.
        exposures.on_conflict_do_update(
            index_elements=["experiment", "phase", "unit_id", "arm"],
            set_={name: exposures.excluded[name] for name in _CHANGED},
            where=or_(ExposureRow.at > exposures.excluded.at),
        ),
        insert(DirtyUnit),
    )


def _add(connection: Connection, table: Any, statement: Any, key: str, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert what is new; returns the keys that were."""
    if not rows:
        return set()
    if table is _EVENTS and connection.dialect.name == "postgresql":
        return add_new_events(connection, table, rows)
    if is_worth(len(rows)):
        return add_new(connection, table, rows, returning=key)
    # In the order of keys, so that two processes that write the same rows wait for each other and never both.
    return set(connection.execute(statement, sorted(rows, key=lambda row: row[key])).scalars())


def add_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert events that are new, and mark nothing: the caller does. Returns how many were new."""
    new = _add(connection, _EVENTS, _statements(connection.dialect.name).events, "event_id", rows)
    announce(connection, {row["unit_id"] for row in rows if row["event_id"] in new})
    return len(new)


def write_facts(connection: Connection, facts: Facts) -> Receipt:
    """Write one batch inside the caller's transaction. Writing it again changes nothing."""
    return write_batches(connection, [facts])[0]


def write_batches(connection: Connection, batches: Sequence[Facts]) -> list[Receipt]:
    """Write many batches inside the caller's transaction, with as few statements as one takes.

    A key that stands in several batches is new in the first of them.
    """
    statements = _statements(connection.dialect.name)
    events = [row for facts in batches for row in facts.events]
    impressions = [row for facts in batches for row in facts.impressions]
    exposures = [row for facts in batches for row in facts.exposures]
    new_events = _add(connection, _EVENTS, statements.events, "event_id", events)
    announce(connection, {row["unit_id"] for row in events if row["event_id"] in new_events})
    new_impressions = _add(
        connection, ImpressionRow.__table__, statements.impressions, "recommendation_id", impressions
    )
    if exposures:
        _add_exposures(connection, statements.exposures, _earliest(exposures))
    units = {row["unit_id"] for rows in (events, impressions, exposures) for row in rows}
    if is_worth(len(units)):
        add_column(connection, _DIRTY, "unit_id", sorted(units))
    elif units:
        connection.execute(statements.dirty, [{"unit_id": unit} for unit in sorted(units)])
    receipts = []
    for facts in batches:
        taken = _claim(new_events, "event_id", facts.events)
        taken += _claim(new_impressions, "recommendation_id", facts.impressions)
        duplicates = len(facts.events) + len(facts.impressions) - taken
        receipts.append(Receipt(taken + len(facts.exposures), duplicates))
    return receipts


def _claim(new: set[str], key: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many of the rows are new; a new key counts once."""
    count = 0
    for row in rows:
        if row[key] in new:
            new.discard(row[key])
            count += 1
    return count


def _add_exposures(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if is_worth(len(rows)):
        values = ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
        add_new(connection, _EXPOSURES, rows, f"DO UPDATE SET {values} WHERE exposures.at > excluded.at")
    else:
        connection.execute(statement, rows)


def _earliest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a key: PostgreSQL refuses to update a row twice in one statement."""
    best: dict[tuple[str, int, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["experiment"], row["phase"], row["unit_id"], row["arm"])
        if key not in best or row["at"] < best[key]["at"]:
            best[key] = row
    return [best[key] for key in sorted(best)]
