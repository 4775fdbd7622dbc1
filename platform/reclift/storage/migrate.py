"""Brings a database to the newest revision, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from reclift.resources import shipped
from reclift.storage.database import Database

_LOCK = 7_236_001  # any constant: all migrating processes must agree on it


class MigrationError(Exception):
    """A migration left the database in a state that it must not have; nothing of it was kept."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    return config


def migrate(database: Database, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade to `revision`; returns the revisions before and after. Processes that migrate at once take turns."""
    config = _config()
    with _alone(database) as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        after = MigrationContext.configure(connection).get_current_revision()
    return before, after


def downgrade(database: Database, revision: str) -> None:
    """Go back to an earlier revision, or to nothing with `base`. What newer tables and columns hold is lost."""
    config = _config()
    with _alone(database) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else migrates.

    SQLite changes a table by making a new one and dropping the old; with foreign keys on, the drop would delete the
    rows that refer to it. They are off meanwhile (which only works outside a transaction) and checked at the end.
    """
    with database.connection_outside_transaction() as connection:
        driver = connection.connection.driver_connection
        if database.is_sqlite:
            assert driver is not None  # noqa: S101 (for the type checker: the connection is open)
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                yield connection
                if database.is_sqlite:
                    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
                    if broken:
                        raise MigrationError(f"rows refer to rows that are not there: {broken[:5]}")
        finally:
            if database.is_sqlite:
                assert driver is not None  # noqa: S101 (likewise)
                driver.execute("PRAGMA foreign_keys=ON")


def current_revision(database: Database) -> str | None:
    """The revision the database is at; None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def revisions() -> list[str]:
    """All revisions, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return [revision.revision for revision in reversed(list(script.walk_revisions()))]
