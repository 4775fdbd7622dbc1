"""One row, read without a session: the same errors as with one, and nothing that stays open."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from reclift.storage.database import Database
from reclift.storage.read_sqlite import OneRow


def test_it_reads_what_was_committed_last(database: Database) -> None:
    one_row = OneRow(database.engine)
    assert one_row.ask("SELECT count(*), ? FROM dirty_units", ("x",)) == (0, "x")
    with database.connection() as connection:
        connection.execute(text("INSERT INTO dirty_units (unit_id) VALUES ('u')"))
        assert one_row.ask("SELECT count(*) FROM dirty_units", ()) == (0,)
    assert one_row.ask("SELECT count(*) FROM dirty_units", ()) == (1,)
    assert len(one_row._free) == 1


def test_troubles_are_told_in_sqlalchemys_words(database: Database) -> None:
    one_row = OneRow(database.engine)
    with pytest.raises(OperationalError, match="no such table"):
        one_row.ask("SELECT 1 FROM nowhere", ())
    assert one_row._free == []
    assert one_row.ask("SELECT 1", ()) == (1,)


def test_many_threads_have_connections_of_their_own(database: Database) -> None:
    one_row, together, answers = OneRow(database.engine), threading.Barrier(4), []

    def ask() -> None:
        together.wait(10)
        answers.extend(one_row.ask("SELECT ?", (n,))[0] for n in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == sorted([*range(50)] * 4)
    assert 1 <= len(one_row._free) <= 4
    database.dispose()
    assert one_row._free == []
    assert one_row.ask("SELECT 1", ()) == (1,)
