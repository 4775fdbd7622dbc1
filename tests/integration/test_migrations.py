"""Migrations run on both databases, from empty and from each earlier revision, and agree with the models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from reclift.domain.events import Facts
from reclift.storage import migrate as migrations
from reclift.storage.database import Database
from reclift.storage.facts import Receipt
from reclift.storage.migrate import MigrationError, current_revision, downgrade, migrate, revisions
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.tables import Base
from tests.services import PostgresServer
from tests.unit.storage.rows import event

REVISIONS = revisions()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        yield database
        database.dispose()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = Database(server.create_database("test_migrations"))
    yield database
    database.dispose()
    server.drop_database("test_migrations")


def differences(database: Database) -> list[Any]:
    """The parts of a partitioned table are the database's own; only the whole stands in the models."""
    with database.engine.connect() as connection:
        parts: set[str] = set()
        if not database.is_sqlite:
            parts = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))

        def is_ours(name: str | None, kind: str, _: Any) -> bool:
            return kind != "table" or name not in parts

        options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, Base.metadata))


def constraints(database: Database) -> dict[str, set[str | None]]:
    """What alembic does not compare: check constraints and primary keys, partial indexes, how SQLite counts, and by
    what PostgreSQL partitions, and that there is a partition for the rest.
    """
    inspector = inspect(database.engine)
    found = {
        table: {check["name"] for check in inspector.get_check_constraints(table)}
        | {inspector.get_pk_constraint(table)["name"]}
        for table in Base.metadata.tables
    }
    with database.engine.connect() as connection:
        if database.is_sqlite:
            indexes = "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        else:
            indexes = (
                "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' "
                "AND tablename NOT LIKE 'events\\_%' AND tablename <> 'alembic_version'"
            )
            parted = text(
                "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) || ' ' || "
                "partdefid::regclass::text FROM pg_partitioned_table"
            )
            for table, by in connection.execute(parted):
                found[table].add(by)
        for table, definition in connection.execute(text(indexes)):
            found[table].add(definition)
    if database.is_sqlite:
        with database.engine.connect() as connection:
            counting = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"))
            for table in counting.scalars():
                found[table].add("autoincrement")
    return found


def test_models_and_migrations_agree(database: Database) -> None:
    assert migrate(database) == (None, REVISIONS[-1])
    assert differences(database) == []
    migrated = constraints(database)
    downgrade(database, "base")
    Base.metadata.create_all(database.engine)
    assert constraints(database) == migrated


@pytest.mark.parametrize("start", REVISIONS)
def test_each_earlier_revision_leads_to_the_newest_and_back(database: Database, start: str) -> None:
    assert migrate(database, start) == (None, start)
    assert current_revision(database) == start
    assert migrate(database) == (start, REVISIONS[-1])
    assert migrate(database) == (REVISIONS[-1], REVISIONS[-1])
    assert differences(database) == []
    downgrade(database, start)
    assert current_revision(database) == start
    downgrade(database, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    assert migrate(database) == (None, REVISIONS[-1])


def test_events_and_their_ids_survive_the_partitions_and_the_way_back(database: Database) -> None:
    migrate(database, "0002")
    now = datetime.now(UTC)
    march = round(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    rows = [("first", 0), ("past", march - 1), ("now", round(now.timestamp() * 1e6)), ("far", 2**62)]
    insert = (
        "INSERT INTO events (event_id, type, unit_id, item_id, recommendation_id, value, at, client_at, received_at, "
        "properties) VALUES (:id, 'buy', 'u', NULL, 'r', 0.1, :at, NULL, :at, '{\"a\": [null, \"\\u00fc\"]}')"
    )
    with database.connection() as connection:
        connection.execute(text(insert), [{"id": name, "at": at} for name, at in rows])
        if not database.is_sqlite:
            many = "INSERT INTO events SELECT 'm' || n, type, unit_id, item_id, recommendation_id, value, CAST(:at AS "
            many += (
                "bigint) + n, n, received_at, properties FROM events, generate_series(0, 9999) n WHERE event_id = 'now'"
            )
            connection.execute(text(many), {"at": march})
    query = text("SELECT * FROM events ORDER BY event_id")
    with database.engine.connect() as connection:
        before = connection.execute(query).all()
        assert len(before) == 4 if database.is_sqlite else 10_004
    migrate(database)
    with database.engine.connect() as connection:
        assert connection.execute(query).all() == before
        if not database.is_sqlite:
            ids = connection.execute(text("SELECT event_id, at FROM event_ids ORDER BY event_id")).all()
            assert [(row.event_id, row.at) for row in before] == [tuple(row) for row in ids]
            parts = connection.execute(text("SELECT event_id, tableoid::regclass::text AS part FROM events"))
            lies = {row.event_id: row.part for row in parts}
            assert lies["m0"] == lies["m9999"] == "events_202403"
            assert lies["now"] == f"events_{now:%Y%m}"
            assert {lies[name] for name in ("first", "past", "far")} == {"events_default"}
    assert DatabaseSink(database).append(Facts([event("past"), event("new")])) == Receipt(1, 1)
    downgrade(database, "0002")
    with database.connection() as connection:
        connection.execute(text("DELETE FROM events WHERE event_id = 'new'"))
        assert connection.execute(query).all() == before
    with pytest.raises(IntegrityError), database.connection() as connection:
        connection.execute(text(insert), [{"id": "past", "at": 1}])
    migrate(database)
    with database.engine.connect() as connection:
        assert connection.execute(query).all() == before


def test_processes_that_migrate_at_once_take_turns(database: Database) -> None:
    ends: list[Any] = []

    def run() -> None:
        own = Database(database.url.render_as_string(hide_password=False))
        try:
            ends.append(migrate(own))
        finally:
            own.dispose()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ends, key=str) == [(REVISIONS[-1], REVISIONS[-1])] * 3 + [(None, REVISIONS[-1])]


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(database: Database) -> None:
    """On SQLite a changed table is a new one: dropping the old must not delete arms with their experiments."""
    migrate(database)
    _experiment_with_an_arm(database)
    with migrations._alone(database) as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("experiments", recreate="always" if database.is_sqlite else "auto") as batch:
            batch.alter_column("hypothesis", new_column_name="question")
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT question FROM experiments")).scalar_one() == "h"
        assert connection.execute(text("SELECT count(*) FROM arms")).scalar_one() == 1
        if database.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    with database.connection() as connection:
        connection.execute(text("DELETE FROM experiments"))
        assert connection.execute(text("SELECT count(*) FROM arms")).scalar_one() == 0  # and now it cascades again


def test_a_migration_that_fails_leaves_nothing_behind(database: Database) -> None:
    migrate(database)
    _experiment_with_an_arm(database)
    with pytest.raises(ZeroDivisionError), migrations._alone(database) as connection:
        connection.execute(text("DROP TABLE arms"))
        raise ZeroDivisionError
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM arms")).scalar_one() == 1


def test_a_migration_that_breaks_references_is_undone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    _experiment_with_an_arm(database)
    with pytest.raises(MigrationError, match="arms"), migrations._alone(database) as connection:
        connection.execute(text("DELETE FROM experiments"))
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM experiments")).scalar_one() == 1
    database.dispose()


def _experiment_with_an_arm(database: Database) -> None:
    with database.connection() as connection:
        for statement in (
            (
                "INSERT INTO placements (key, name, strategy, params, fallback, settings, created_at, updated_at) "
                "VALUES ('home', '', 's', '{}', '[]', '{}', '2026-01-01', '2026-01-01')"
            ),
            (
                "INSERT INTO experiments (id, key, name, hypothesis, kind, source, placement, traffic, audience, "
                "exclude, overrides, sticky, metrics, data, status, phase, version, created_at, updated_at) VALUES "
                "(1, 'e', '', 'h', 'ab', 'live', 'home', 1, '{}', '{}', '{}', false, '{}', '{}', 'draft', 1, 1, "
                "'2026-01-01', '2026-01-01')"
            ),
            (
                "INSERT INTO arms (id, experiment_id, key, position, strategy, params, weight, control) "
                "VALUES (1, 1, 'a', 0, 's', '{}', 1, true)"
            ),
        ):
            connection.execute(text(statement))


def test_totals_learn_their_arm_and_forget_it(database: Database) -> None:
    migrate(database, "0001")
    units = "INSERT INTO experiment_units (experiment, phase, unit_id, arm, exposed_at, day, arms_seen, impressions, "
    totals = "INSERT INTO unit_totals (experiment, phase, metric, unit_id, numerator, denominator, pre_numerator, "
    with database.connection() as connection:
        connection.execute(text(units + "attributes) VALUES ('e', 1, 'u1', 'a', 0, 0, 1, 1, '{}')"))
        connection.execute(text(units + "attributes) VALUES ('e', 1, 'u2', 'b', 0, 0, 2, 1, '{}')"))
        for unit, number in (("u1", 1.5), ("u2", 2.5)):
            connection.execute(text(totals + f"pre_denominator) VALUES ('e', 1, 'm', '{unit}', {number}, 3, 4, 5)"))
    migrate(database, "0002")
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT unit_id, arm, numerator, pre_denominator FROM unit_totals ORDER BY 1"))
        assert found.all() == [("u1", "a", 1.5, 5.0), ("u2", "", 2.5, 5.0)]
    downgrade(database, "0001")
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM unit_totals ORDER BY unit_id"))
        assert found.all() == [("e", 1, "m", "u1", 1.5, 3.0, 4.0, 5.0), ("e", 1, "m", "u2", 2.5, 3.0, 4.0, 5.0)]
