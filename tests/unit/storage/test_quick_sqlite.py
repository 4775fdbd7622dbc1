"""The short way into SQLite leaves the same rows as the long one, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.storage import quick_sqlite
from reclift.storage.database import Database
from reclift.storage.facts import Receipt, write_batches
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow, ImpressionRow
from tests.unit.storage.rows import event, exposure, impression


def quick(database: Database, *batches: Facts) -> bool:
    with database.connection() as connection:
        written = quick_sqlite.write(connection, batches)
        if not written:
            connection.rollback()
        return written


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


@pytest.mark.parametrize("count", [1, 4, 5, 16, 64, 150])
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
