"""Migrations run on both databases, from empty and from each earlier revision, and agree with the models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import inspect, text

from reclift.storage import migrate as migrations
from reclift.storage.database import Database
from reclift.storage.migrate import MigrationError, current_revision, downgrade, migrate, revisions
from reclift.storage.tables import Base
from tests.services import PostgresServer

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
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))


def constraints(database: Database) -> dict[str, set[str | None]]:
    """What alembic does not compare: names of check constraints and primary keys, and how SQLite counts."""
    inspector = inspect(database.engine)
    found = {
        table: {check["name"] for check in inspector.get_check_constraints(table)}
        | {inspector.get_pk_constraint(table)["name"]}
        for table in Base.metadata.tables
    }
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
