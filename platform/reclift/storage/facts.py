"""Writes facts into the tables, exactly once by key, and marks their units dirty in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, or_
from sqlalchemy.dialects import postgresql, sqlite

from reclift.domain.events import Facts
from reclift.storage.bulk import copy_column, copy_new, is_worth
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow, ImpressionRow


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch: rows that are new, and rows whose key was there already. None: not known yet."""

    accepted: int
    duplicates: int | None = None


def _table(mapped: Any) -> Table:
    table: Table = mapped.__table__
    return table


def _insert(connection: Connection, table: Any) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _add(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert what is new; returns how many rows that was."""
    if not rows:
        return 0
    if is_worth(connection, len(rows)):
        return copy_new(connection, _table(table), rows)
    keys = list(table.__table__.primary_key)
    # The new rows' keys are counted, since PostgreSQL's driver gives no row count of many rows at once.
    statement = _insert(connection, table).on_conflict_do_nothing().returning(*keys)
    # In the order of keys, so that two processes that write the same rows wait for each other and never both.
    return len(connection.execute(statement, sorted(rows, key=lambda row: row[keys[0].name])).all())


def add_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert events that are new, and mark nothing: the caller does. Returns how many were new."""
    return _add(connection, EventRow, rows)


def write_facts(connection: Connection, facts: Facts) -> Receipt:
    """Write one batch inside the caller's transaction. Writing it again changes nothing."""
    events = _add(connection, EventRow, facts.events)
    impressions = _add(connection, ImpressionRow, facts.impressions)
    if facts.exposures:
        _add_exposures(connection, _earliest(facts.exposures))
    units = {row["unit_id"] for rows in (facts.events, facts.impressions, facts.exposures) for row in rows}
    if is_worth(connection, len(units)):
        copy_column(connection, _table(DirtyUnit), "unit_id", sorted(units))
    elif units:
        connection.execute(insert(DirtyUnit), [{"unit_id": unit} for unit in sorted(units)])
    duplicates = len(facts.events) - events + len(facts.impressions) - impressions
    return Receipt(events + impressions + len(facts.exposures), duplicates)


def _add_exposures(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """The earliest exposure wins, in whatever order they arrive; ties keep what is there."""
    changed = ("at", "source", "attributes")
    if is_worth(connection, len(rows)):
        values = ", ".join(f"{name} = excluded.{name}" for name in changed)
        copy_new(connection, _table(ExposureRow), rows, f"DO UPDATE SET {values} WHERE exposures.at > excluded.at")
        return
    statement = _insert(connection, ExposureRow)
    earlier = statement.on_conflict_do_update(
        index_elements=["experiment", "phase", "unit_id", "arm"],
        set_={name: statement.excluded[name] for name in changed},
        where=or_(ExposureRow.at > statement.excluded.at),
    )
    connection.execute(earlier, rows)


def _earliest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a key: PostgreSQL refuses to update a row twice in one statement."""
    best: dict[tuple[str, int, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["experiment"], row["phase"], row["unit_id"], row["arm"])
        if key not in best or row["at"] < best[key]["at"]:
            best[key] = row
    return [best[key] for key in sorted(best)]
