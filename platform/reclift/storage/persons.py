"""Facts are written under the person's id as it is known then: an alias may be told while they wait in a buffer.

Who writes facts and who changes aliases (or erases a person) must not pass each other unseen: facts of an alias that
are written while it is merged would keep the old id, facts of a person that are written while it is erased would stay.
On PostgreSQL writers share an advisory lock that changes of persons take alone; on SQLite all writers take turns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from reclift.domain.events import Facts
from reclift.storage.bulk import driver_cursor
from reclift.storage.erasures import erased, is_of_before, refuse

_LOCK = 7_236_002  # any constant that is not another's: see migrate.py
# The aliases among some ids, and beside them when somebody was last erased.
_QUERY = (
    "SELECT alias, unit_id, NULL AS at FROM aliases WHERE alias {} UNION ALL SELECT NULL, NULL, max(at) FROM erasures"
)
_SQLITE = _QUERY.format("IN (SELECT value FROM json_each(?))")
_POSTGRESQL = text(_QUERY.format("= ANY(:units)"))


def change_alone(session: Session) -> None:
    """Until this transaction ends, nobody writes facts."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def write_beside_others(connection: Connection) -> None:
    """Until this transaction ends, nobody changes who is whom."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})


def resolve(connection: Connection, batches: Sequence[Facts]) -> None:
    """Put the canonical id in place of each alias, in the rows themselves, and take out what is of erased people."""
    write_beside_others(connection)
    rows = [row for facts in batches for rows in (facts.events, facts.impressions, facts.exposures) for row in rows]
    units = {row["unit_id"] for row in rows if isinstance(row.get("unit_id"), str)}
    found = _look_up(connection, list(units))
    persons = {alias: unit for alias, unit, _ in found if alias is not None}
    last = next(at for alias, _, at in found if alias is None)
    gone: dict[str, int] = {}
    if last is not None and any(is_of_before(row, last) for row in rows):
        # By both ids: a person who came back may have made an old one known again.
        gone = erased(connection, {*units, *persons.values()})
        refuse(batches, gone)
    if persons:
        for row in rows:
            unit: Any = row.get("unit_id")
            if unit in persons:
                row["unit_id"] = persons[unit]
        refuse(batches, gone)


def who_is_who(connection: Connection, units: Collection[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Of these ids: the canonical one of each alias, and when whom of them (by either id) was erased, microseconds.

    Until this transaction ends, nobody changes either.
    """
    write_beside_others(connection)
    found = _look_up(connection, list(units))
    persons = {alias: unit for alias, unit, _ in found if alias is not None}
    last = next(at for alias, _, at in found if alias is None)
    return persons, {} if last is None else erased(connection, {*units, *persons.values()})


def _look_up(connection: Connection, units: list[str]) -> Sequence[Any]:
    """One parameter, however many ids there are."""
    if connection.dialect.name != "sqlite":
        return connection.execute(_POSTGRESQL, {"units": units}).all()
    # This happens in each commit of waiting threads: by the driver it costs a tenth.
    with driver_cursor(connection) as cursor:
        rows: list[Any] = cursor.execute(_SQLITE, (orjson.dumps(units).decode(),)).fetchall()
        return rows
