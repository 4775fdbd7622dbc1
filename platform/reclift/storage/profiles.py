"""What the shop told of a user, kept under the person's id, and said to every process that remembers the person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.dialects import postgresql

from reclift.domain.events import MICROS
from reclift.storage.news import announce
from reclift.storage.persons import write_beside_others
from reclift.storage.tables import Alias, Profile

# SQLite: a profile that is new or changes gets a number behind all others, so that the change is news. By the clock, so
# that the number of one that was erased does not come again.
_SQLITE = text(
    "INSERT INTO profiles (rowid, unit_id, attributes, updated_at) "
    "VALUES (max(:number, coalesce((SELECT max(rowid) + 1 FROM profiles), 1)), :unit_id, :attributes, :updated_at) "
    "ON CONFLICT (unit_id) DO UPDATE SET "
    "rowid = excluded.rowid, attributes = excluded.attributes, updated_at = excluded.updated_at"
).bindparams(
    bindparam("attributes", type_=Profile.attributes.type), bindparam("updated_at", type_=Profile.updated_at.type)
)
_INSERT = postgresql.insert(Profile)
_POSTGRESQL = _INSERT.on_conflict_do_update(
    index_elements=["unit_id"],
    set_={"attributes": _INSERT.excluded.attributes, "updated_at": _INSERT.excluded.updated_at},
)


def put(connection: Connection, unit: str, attributes: Mapping[str, Any], at: datetime) -> str:
    """Replace a user's attributes, in the caller's transaction; returns the person's canonical id.

    `unit` may be an alias that this process has not heard of yet: it is looked up here.
    """
    write_beside_others(connection)
    person: str = connection.scalar(select(Alias.unit_id).where(Alias.alias == unit)) or unit
    row = {"unit_id": person, "attributes": dict(attributes), "updated_at": at}
    if connection.dialect.name == "sqlite":
        connection.execute(_SQLITE, {**row, "number": round(at.timestamp() * MICROS)})
    else:
        connection.execute(_POSTGRESQL, row)
    announce(connection, {person})
    return person
