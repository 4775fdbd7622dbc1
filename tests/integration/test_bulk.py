"""Writing in bulk does just what the plain INSERT does, on both databases, and fails in the same words."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from reclift.domain.events import Facts
from reclift.storage import bulk
from reclift.storage.database import Database
from reclift.storage.eventlog import Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.migrate import migrate
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.tables import DirtyUnit, EventId, EventRow, ExposureRow, ImpressionRow
from tests.services import PostgresServer
from tests.unit.storage.rows import event, exposure, impression

TABLES: tuple[Any, ...] = (EventRow, ImpressionRow, ExposureRow)
ODD = {"ü\\t\n": ["\\N", None, 1.5, True, {"deep": "\x7f\"'"}]}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('bulk') / 'bulk.db'}"
    database = Database(request.getfixturevalue("postgres_database") if request.param == "postgresql" else url)
    migrate(database)
    yield database
    database.dispose()


@pytest.fixture
def database(migrated: Database) -> Database:
    with migrated.write() as session:
        for table in (*TABLES, EventId, DirtyUnit):
            session.execute(delete(table))
    return migrated


def content(database: Database) -> list[Any]:
    with database.read() as session:
        return [
            [tuple(row) for row in session.execute(select(table.__table__).order_by(*table.__table__.primary_key))]
            for table in TABLES
        ]


def batch(draw: random.Random) -> Facts:
    return Facts(
        [
            event(
                f"e{draw.randrange(400)}",
                f"u{draw.randrange(50)}\\",
                item_id=draw.choice([None, "i\t1", "\\N"]),
                value=draw.choice([None, 0.1, -1e15, 3.0]),
                properties=draw.choice([{}, ODD]),
            )
            for _ in range(300)
        ],
        [
            impression(
                f"r{draw.randrange(400)}", fallback=draw.choice([None, {"reason": "too_few"}]), items=[{"item_id": "i"}]
            )
            for _ in range(200)
        ],
        [exposure(f"u{draw.randrange(150)}", at=draw.randrange(1_000), attributes=ODD) for _ in range(250)],
    )


def test_it_writes_what_a_plain_insert_writes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    # In one batch the plain INSERT and COPY may pick another of two rows with the same key.
    batches = [
        Facts(
            list({row["event_id"]: row for row in one.events}.values()),
            list({row["recommendation_id"]: row for row in one.impressions}.values()),
            one.exposures,
        )
        for one in (batch(draw) for _ in range(4))
    ]
    copied = [DatabaseSink(database).append(one) for one in batches]
    by_copy = content(database)
    with database.read() as session:
        dirty = sorted(session.scalars(select(DirtyUnit.unit_id)))
    with database.write() as session:
        for table in (*TABLES, EventId, DirtyUnit):
            session.execute(delete(table))
    monkeypatch.setattr(bulk, "WORTH", 10_000)
    assert [DatabaseSink(database).append(one) for one in batches] == copied
    assert content(database) == by_copy
    with database.read() as session:
        assert sorted(session.scalars(select(DirtyUnit.unit_id))) == dirty


def test_the_same_key_twice_in_one_batch_is_one_row(database: Database) -> None:
    rows = [event(f"e{number % 150}") for number in range(300)]
    assert DatabaseSink(database).append(Facts(rows)) == Receipt(150, 150)
    assert DatabaseSink(database).append(Facts(rows)) == Receipt(0, 300)


def test_several_batches_in_one_transaction(database: Database) -> None:
    one, two = ([event(f"{name}{number}") for number in range(120)] for name in "ab")
    assert DatabaseSink(database)._commit([Facts(one), Facts([*two, *one])]) == [Receipt(120, 0), Receipt(120, 120)]


@pytest.mark.parametrize("bad", [event("bad", at=2**63), event("bad", unit=None)])
def test_a_value_it_cannot_hold_is_poison(database: Database, bad: dict[str, Any]) -> None:
    good = [event(f"e{number}") for number in range(200)]
    results = DatabaseSink(database)._commit([Facts(good), Facts([*good, bad])])
    assert results[0] == Receipt(200, 0)
    assert isinstance(results[1], Poison)


def test_postgresql_keeps_no_nul_wherever_it_stands(database: Database) -> None:
    rows = [event(f"e{number}", properties={"a": "\x00"} if number == 150 else {}) for number in range(200)]
    (result,) = DatabaseSink(database)._commit([Facts(rows)])
    assert isinstance(result, Receipt if database.is_sqlite else Poison)


def test_a_database_that_is_away_is_not_the_facts_fault(postgres_server: PostgresServer) -> None:
    database = Database(postgres_server.create_database("test_bulk_empty"))  # not migrated
    with pytest.raises(SinkUnavailable, match="does not exist"):
        DatabaseSink(database).append(Facts([event(f"e{number}") for number in range(200)]))
    database.dispose()
    postgres_server.drop_database("test_bulk_empty")
