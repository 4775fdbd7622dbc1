"""What the shop told of a user, kept under the person's id, and said to every process that remembers the person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.dialects import postgresql

from reclift.storage.news import announce
from reclift.storage.persons import write_beside_others
from reclift.storage.tables import Alias, Profile

# SQLite: a row that changes gets the number behind the last one, as a new one does, so that its change is news.
_SQLITE = text(
    "INSERT INTO profiles (unit_id, attributes, updated_at) VALUES (:unit_id, :attributes, :updated_at) "
    "ON CONFLICT (unit_id) DO UPDATE SET attributes = excluded.attributes, updated_at = excluded.updated_at, "
    "rowid = (SELECT max(rowid) + 1 FROM profiles)"
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
    connection.execute(_SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL, row)
    announce(connection, {person})
    return person
