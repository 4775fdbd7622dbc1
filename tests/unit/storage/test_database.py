"""Sessions for reading and writing, on SQLite with threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import StatementError

from reclift.storage import database as database_module
from reclift.storage.database import Database, abreast
from reclift.storage.tables import Alias, Configuration, EventRow, JobLock
from tests.unit.storage.rows import event

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_writers_take_turns_and_no_update_is_lost(database: Database) -> None:
    with database.write() as session:
        session.add(Configuration(id=1, version=0, catalogue_version=1, aliases_version=1, changed_at=AT))

    def raise_version(_: int) -> None:
        with database.write() as session:
            row = session.get_one(Configuration, 1)
            row.version += 1  # read, then written: lost if two did it at once

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_version, range(100)))
    with database.read() as session:
        assert session.get_one(Configuration, 1).version == 100


def test_what_is_raised_rolls_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.add(Alias(alias="a", unit_id="u", created_at=AT))
        session.flush()
        raise ZeroDivisionError
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alias)) == 0


def test_a_reader_sees_one_moment_and_does_not_block_writers(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alias)) == 0
        with database.write() as other:
            other.add(Alias(alias="a", unit_id="u", created_at=AT))
        assert session.scalar(select(func.count()).select_from(Alias)) == 0
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alias)) == 1


def test_a_writer_waits_for_its_turn_before_it_reads(database: Database) -> None:
    inside, seen = threading.Event(), []

    def second() -> None:
        inside.wait()
        with database.write() as session:
            seen.append(session.scalar(select(func.count()).select_from(Alias)))

    thread = threading.Thread(target=second)
    thread.start()
    with database.write() as session:
        session.add(Alias(alias="a", unit_id="u", created_at=AT))
        session.flush()
        inside.set()
        thread.join(0.1)  # long enough to read, if reading did not wait
    thread.join()
    assert seen == [1]


def test_sqlite_is_durable_and_lets_readers_through(database: Database) -> None:
    with database.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_times_are_kept_in_utc_and_naive_ones_refused(database: Database) -> None:
    east = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with database.write() as session:
        session.add(JobLock(name="n", holder="h", until=east))
    with database.read() as session:
        until = session.get_one(JobLock, "n").until
    assert until == AT
    assert until.tzinfo is UTC
    with pytest.raises(StatementError, match="has no time zone"), database.write() as session:
        session.add(JobLock(name="m", holder="h", until=AT.replace(tzinfo=None)))


def test_json_comes_back_as_it_went_in(database: Database) -> None:
    properties = {"text": 'ü "quoted"', "list": [1, 2.5, None, True], "deep": {"a": {"b": []}}}
    with database.write() as session:
        session.add(EventRow(**event(properties=properties)))
    with database.read() as session:
        assert session.get_one(EventRow, "e1").properties == properties


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_in_memory_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        Database(url)


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_names_of_postgresql_are_understood(name: str) -> None:
    database = Database(f"{name}://nobody@127.0.0.1:1/none")  # nothing connects
    assert database.url.drivername == "postgresql+psycopg"
    assert not database.is_sqlite


def test_connections_abreast_see_one_moment_whoever_writes(database: Database) -> None:
    stop = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not stop.wait(0.001):
            number += 1
            with database.write() as session:
                session.add(Alias(alias=f"a{number}", unit_id="u", created_at=AT))

    count = select(func.count()).select_from(Alias)
    writer = threading.Thread(target=keep_writing)
    writer.start()
    most = 0
    try:
        for _ in range(60):
            with database.read_abreast(3) as session:
                together = abreast(session)
                most = max(most, len(together))
                assert len({one.scalar(count) for one in (session, *together)}) == 1
    finally:
        stop.set()
        writer.join()
    assert most == 3
    with database.read_abreast(3) as session:
        first = [one.scalar(count) for one in abreast(session)]
        with database.write() as other:
            other.add(Alias(alias="late", unit_id="u", created_at=AT))
        assert [one.scalar(count) for one in abreast(session)] == first
        assert len(first) == 3


def test_nobody_reads_beside_a_moment_that_has_passed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody commits each time between the beginnings, one connection is left, and it works."""
    look, written = database_module._data_version, []

    def look_while_another_writes(connection: Connection) -> int:
        version = look(connection)
        with database.write() as other:
            other.add(Alias(alias=f"a{len(written)}", unit_id="u", created_at=AT))
        written.append(version)
        return version

    monkeypatch.setattr(database_module, "_data_version", look_while_another_writes)
    with database.read_abreast(2) as session:
        assert len(abreast(session)) == 1
        assert session.scalar(select(func.count()).select_from(Alias)) == len(written)
    assert len(written) == 2 * database_module._BEGIN_TRIES
