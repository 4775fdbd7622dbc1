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
from reclift.storage.erasures import digest, refuse

_LOCK = 7_236_002  # any constant that is not another's: see migrate.py
_QUERY = (
    "SELECT alias AS known, unit_id, NULL AS at FROM aliases WHERE alias {units} "
    "UNION ALL SELECT digest, NULL, at FROM erasures WHERE digest {digests}"
)
_EACH = "IN (SELECT value FROM json_each(:{}))"
_SQLITE = text(_QUERY.format(units=_EACH.format("units"), digests=_EACH.format("digests")))
_POSTGRESQL = text(_QUERY.format(units="= ANY(:units)", digests="= ANY(:digests)"))


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
    persons, gone = _known(connection, units)
    if persons:
        # A person who came back may have made an old id known again.
        gone |= _known(connection, set(persons.values()))[1]
    if gone:
        refuse(batches, gone)
    if persons:
        for row in rows:
            unit: Any = row.get("unit_id")
            if unit in persons:
                row["unit_id"] = persons[unit]
        if gone:
            refuse(batches, gone)


def _known(connection: Connection, units: Collection[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Those that are aliases, with whom they mean; those that were erased, with when."""
    names = {digest(unit): unit for unit in units}
    is_sqlite = connection.dialect.name == "sqlite"
    given: dict[str, Any] = {"units": list(units), "digests": list(names)}
    if is_sqlite:  # one parameter, however many ids there are
        given = {name: orjson.dumps(values).decode() for name, values in given.items()}
    found = connection.execute(_SQLITE if is_sqlite else _POSTGRESQL, given).all()
    persons = {known: unit for known, unit, at in found if at is None}
    return persons, {names[known]: at for known, _, at in found if at is not None}
