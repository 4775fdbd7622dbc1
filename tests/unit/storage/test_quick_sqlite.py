"""The short way into SQLite leaves the same rows as the long one, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.storage import erasures
from reclift.storage.database import Database
from reclift.storage.eventlog import Poison
from reclift.storage.facts import Receipt, write_batches
from reclift.storage.quick_sqlite import QuickSqlite
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.tables import Alias, DirtyUnit, EventRow, ExposureRow, ImpressionRow
from tests.unit.storage.rows import event, exposure, impression


def quick(database: Database, *batches: Facts) -> bool:
    return QuickSqlite(database.engine).write(batches)


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as session:
        found = {
            table.__tablename__: sorted(session.execute(select(*table.__table__.columns)).all(), key=repr)
            for table in (EventRow, ImpressionRow, ExposureRow)
        }
        found["dirty"] = sorted(session.execute(select(DirtyUnit.unit_id).distinct()).all())
    return {name: [tuple(row) for row in table] for name, table in found.items()}


def batches(count: int) -> list[Facts]:
    return [
        Facts(
            [event(f"e{n}", f"u{n % 7}", value=0.1 + n, properties={"n": [n, "é"]})] if n % 3 == 0 else [],
            [impression(f"r{n}", f"u{n % 5}", fallback={"reason": "x"} if n % 2 else None, items=[{"item_id": "i"}])],
            [exposure(f"u{n % 5}", at=10 * (n * 7 % 11), source=f"s{n}", attributes={"n": n})],
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 4, 5, 16, 20, 21, 64, 150])
def test_the_same_rows_as_the_long_way(database: Database, tmp_path: Any, migrated_file: Any, count: int) -> None:
    import shutil

    shutil.copyfile(migrated_file, tmp_path / "other.db")
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    assert quick(database, *batches(count))
    with other.connection() as connection:
        write_batches(connection, batches(count))
    assert rows(database) == rows(other)
    other.dispose()


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(Facts(impressions=[impression("r1")]), id="impression"),
        pytest.param(Facts(events=[event("e1")]), id="event"),
        pytest.param(Facts(events=[event("twice"), event("twice")]), id="twice in the batch"),
        pytest.param(Facts(events=[event(f"e{n}") for n in range(200, 0, -1)]), id="after many statements"),
    ],
)
def test_a_known_key_leaves_everything_to_the_long_way(database: Database, again: Facts) -> None:
    assert quick(database, Facts([event("e1")], [impression("r1")]))
    before = rows(database)
    assert not quick(database, Facts([event("e2")], [impression("r2")], [exposure("u9")]), again)
    assert rows(database) == before


def test_the_sink_tells_each_batch_what_was_new(database: Database) -> None:
    sink = DatabaseSink(database)
    assert sink.append(Facts([event("e1")], [impression("r1")], [exposure()])) == Receipt(3, 0)
    assert sink.append(Facts([event("e1"), event("e2")])) == Receipt(1, 1)
    assert sink._commit([Facts([event("e3")]), Facts([event("e3")]), Facts(impressions=[impression("r2")])]) == [
        Receipt(1, 0), Receipt(0, 1), Receipt(1, 0),
    ]  # fmt: skip


def test_each_unit_is_marked_once(database: Database) -> None:
    assert quick(database, Facts([event("e1", "u2")], [impression("r1")], [exposure()]), Facts([event("e2", "u2")]))
    with database.read() as session:
        assert sorted(session.scalars(select(DirtyUnit.unit_id))) == ["u1", "u2"]


@pytest.mark.parametrize("more", [0, 100])
def test_aliases_are_left_to_the_long_way(database: Database, more: int) -> None:
    with database.write() as session:
        session.add(Alias(alias="cookie", unit_id="u1", created_at=datetime.now(UTC)))
    many = Facts([event(f"more{n}", "someone") for n in range(more)])
    assert not quick(database, many, Facts([event("e1", "someone")], [impression("r1", "cookie")]))
    assert rows(database)["events"] == []
    assert DatabaseSink(database).append(Facts([], [impression("r1", "cookie")])) == Receipt(1, 0)
    with database.read() as session:
        assert session.scalars(select(ImpressionRow.unit_id)).all() == ["u1"]


@pytest.mark.parametrize("more", [0, 100])
def test_what_is_of_before_an_erasure_is_left_to_the_long_way(database: Database, more: int) -> None:
    with database.write() as session:
        erasures.note(session, ["u1"], 1_000)
    many = Facts([event(f"more{n}", "someone", at=2_000) for n in range(more)])
    assert not quick(database, many, Facts([event("e1", "u2", at=500, received_at=1_000)]))
    assert not quick(database, many, Facts(exposures=[exposure("u2", at=1_000)]))
    assert quick(database, many, Facts([event("e1", "u1", at=500, received_at=1_001)], [], [exposure("u2", at=1_001)]))
    sink = DatabaseSink(database)
    assert sink.append(Facts([event("late", "u1", at=500), event("other", "u2", at=500)])) == Receipt(1, 0)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(event("e2", properties={"n": object()}), id="no JSON"),
        pytest.param(event("e2", at=2**70), id="no number of SQLite"),
        pytest.param(event("e2", type="\ud800"), id="no Unicode"),
        pytest.param({"event_id": "e2", "unit_id": "u1", "at": 1}, id="columns missing"),
    ],
)
def test_what_cannot_be_written_fails_alone(database: Database, odd: dict[str, Any]) -> None:
    assert not quick(database, Facts([event("e1"), odd]))
    assert rows(database)["events"] == []
    results = DatabaseSink(database)._commit([Facts([event("e1")]), Facts([odd])])
    assert results[0] == Receipt(1, 0)
    assert isinstance(results[1], Poison)


def test_a_connection_that_broke_is_made_anew(database: Database) -> None:
    quickly = QuickSqlite(database.engine)
    assert quickly.write([Facts([event("e1")])])
    assert quickly._connection is not None
    quickly._connection.close()
    assert not quickly.write([Facts([event("e2")])])
    assert quickly.write([Facts([event("e2")])])


def test_disposing_of_the_pool_closes_the_connection(database: Database) -> None:
    quickly = QuickSqlite(database.engine)
    assert quickly.write([Facts([event("e1")])])
    database.dispose()
    assert quickly._connection is None
    assert quickly.write([Facts([event("e2")])])
    assert len(rows(database)["events"]) == 2
