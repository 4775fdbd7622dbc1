"""A thread in a hurry does not wait, and keeps nothing itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.eventlog import EventLog, NullSink, Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.hurry import Hurry, MustWait, current, may_wait
from reclift.storage.read_sqlite import OneRow
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.sinks.spool import SpoolSink
from tests.unit.storage.rows import event, impression


def test_only_this_thread_and_only_for_so_long() -> None:
    may_wait()
    others: list[object] = []
    with Hurry() as hurry:
        assert current() is hurry
        with pytest.raises(MustWait):
            may_wait()
        other = threading.Thread(target=lambda: others.extend([may_wait(), current()]))
        other.start()
        other.join(10)
    assert others == [None, None]
    may_wait()
    assert current() is None
    with pytest.raises(KeyError), Hurry():
        raise KeyError
    may_wait()


def test_no_way_to_the_database_is_open(database: Database) -> None:
    ways = [
        database.read,
        database.write,
        database.connection,
        database.within,
        database.connection_outside_transaction,
        lambda: database.read_abreast(2),
    ]
    for way in ways:
        with Hurry(), pytest.raises(MustWait), way():  # type: ignore[operator]
            pass
        with way():  # type: ignore[operator]
            pass
    one_row = OneRow(database.engine)
    with Hurry(), pytest.raises(MustWait):
        one_row.ask("SELECT 1", ())


def test_facts_are_collected_not_kept(database: Database) -> None:
    log = EventLog([DatabaseSink(database)])
    with Hurry() as hurry:
        assert log.append(Facts([event("e1")])) == Receipt(1)
        assert log.append(Facts()) == Receipt(0, 0)
    assert [facts.events[0]["event_id"] for facts in hurry.facts] == ["e1"]
    assert not log.taken
    assert log.append_many(hurry.facts) == [Receipt(1, 0)]
    assert log.append_many(hurry.facts) == [Receipt(0, 1)]


def test_many_batches_fare_each_for_itself(database: Database, tmp_path: Path) -> None:
    odd = Facts([event("odd", properties={"n": object()})])
    good = [Facts([event(f"e{n}")], [impression(f"r{n}")]) for n in range(3)]
    spool = SpoolSink(tmp_path / "spool")
    log = EventLog([DatabaseSink(database), spool])
    results = log.append_many([good[0], odd, good[1]])
    assert (results[0], results[2]) == (Receipt(2, 0), Receipt(2, 0))
    assert isinstance(results[1], Poison)
    assert log.taken == {"database": 4}
    second = EventLog([NullSink(), spool])
    assert second.append_many(good) == [Receipt(2)] * 3
    assert (second.taken, second.refused) == ({"spool": 6}, {"none": 6})
    nothing = EventLog([NullSink()]).append_many(good)
    assert all(isinstance(one, SinkUnavailable) and "none: no sink took 2 facts" in str(one) for one in nothing)
    assert EventLog([]).append_many([]) == []
