"""What the shop tells of a user: under the person's id, replaced whole, and each change behind all others."""

from __future__ import annotations

from typing import Any

from reclift.flows.clock import now
from reclift.storage import profiles
from reclift.storage.database import Database
from reclift.storage.tables import Alias, Profile


def put(database: Database, unit: str, **attributes: Any) -> str:
    with database.connection() as connection:
        return profiles.put(connection, unit, attributes, now())


def rows(database: Database) -> list[tuple[str, str]]:
    with database.connection() as connection:
        found = connection.exec_driver_sql("SELECT unit_id, attributes FROM profiles ORDER BY rowid")
        return [(unit, attributes) for unit, attributes in found]


def test_a_profile_is_replaced_whole_and_moves_to_the_end(database: Database) -> None:
    for unit in ("anna", "ben", "cleo"):
        assert put(database, unit, of=unit, country="CN") == unit
    put(database, "anna", country="US", tags=["a", {"b": None}])
    assert rows(database) == [
        ("ben", '{"of":"ben","country":"CN"}'),
        ("cleo", '{"of":"cleo","country":"CN"}'),
        ("anna", '{"country":"US","tags":["a",{"b":null}]}'),
    ]
    put(database, "anna", country="US")
    assert [unit for unit, _ in rows(database)] == ["ben", "cleo", "anna"]
    with database.read() as session:
        assert session.get_one(Profile, "anna").updated_at > session.get_one(Profile, "cleo").updated_at


def test_what_is_told_of_an_alias_is_told_of_the_person(database: Database) -> None:
    with database.write() as session:
        session.add(Alias(alias="device", unit_id="anna", created_at=now()))
    assert put(database, "device", country="CN") == "anna"
    assert rows(database) == [("anna", '{"country":"CN"}')]
