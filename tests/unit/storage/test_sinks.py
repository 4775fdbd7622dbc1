"""The chain of sinks: what is acknowledged is durable in one of them, and reaches the tables once."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.eventlog import EventLog, NullSink, Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.sinks import database as database_sink
from reclift.storage.sinks import spool as spool_sink
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.sinks.encoding import decode
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow, ImpressionRow
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_sink, "_REST_SECONDS", 0.0)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolSink:
    return SpoolSink(tmp_path / "spool")


def ids(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(select(EventRow.event_id)))


def spooled(folder: Path, suffix: str = ".jsonl") -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


DEEP: dict[str, Any] = {"a": 1}
for _ in range(300):
    DEEP = {"a": DEEP}


class Away:
    """Makes a database unreachable and reachable again, by moving its tables out of sight."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> None:
        with self.database.connection() as connection:
            connection.exec_driver_sql("ALTER TABLE events RENAME TO away")

    def __exit__(self, *_: object) -> None:
        with self.database.connection() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO events")


# the database


def test_threads_together_lose_and_double_nothing(database: Database) -> None:
    sink = DatabaseSink(database)

    def send(number: int) -> Receipt:
        return sink.append(Facts([event(f"e{number}", f"u{number % 7}"), event("same")]))

    with ThreadPoolExecutor(12) as pool:
        receipts = list(pool.map(send, range(300)))
    assert ids(database) == sorted(["same", *(f"e{number}" for number in range(300))])
    assert sum(receipt.accepted for receipt in receipts) == 301
    assert sum(receipt.duplicates or 0 for receipt in receipts) == 299


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(event("bad", properties=DEEP), id="nested too deep for JSON"),
        pytest.param(event("bad", at=2**70), id="number too large"),
        pytest.param(event("bad", unit=None), id="null where none may be"),
        pytest.param(event("bad", item_id={"not": "text"}), id="wrong type"),
        pytest.param({"event_id": "bad", "unit_id": "u"}, id="columns missing"),
    ],
)
def test_a_poisonous_batch_fails_alone(database: Database, bad: dict[str, Any]) -> None:
    sink = DatabaseSink(database)
    results = sink._commit([Facts([event("good1")]), Facts([bad]), Facts([event("good2", "u2")])])
    assert results[0] == Receipt(1, 0)
    assert isinstance(results[1], Poison)
    assert results[2] == Receipt(1, 0)
    assert ids(database) == ["good1", "good2"]
    with database.read() as session:
        assert sorted(session.scalars(select(DirtyUnit.unit_id))) == ["u1", "u2"]
    assert sink.append(Facts([event("next")])) == Receipt(1, 0)


def test_a_database_that_is_not_ready_is_away_not_poisoned_by_good_facts(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")  # not migrated
    with pytest.raises(SinkUnavailable, match="no such table"):
        DatabaseSink(database).append(Facts([event()]))
    database.dispose()


def test_after_a_failure_it_rests(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_sink, "_REST_SECONDS", 3600.0)
    sink = DatabaseSink(database)
    with Away(database), pytest.raises(SinkUnavailable, match="no such table"):
        sink.append(Facts([event()]))
    with pytest.raises(SinkUnavailable, match="a moment ago"):
        sink.append(Facts([event()]))
    sink._rest_until = 0.0
    assert sink.append(Facts([event()])) == Receipt(1, 0)


# the chain


def test_a_database_that_is_down_is_bridged_by_the_spool(database: Database, spool: SpoolSink, tmp_path: Path) -> None:
    direct = DatabaseSink(database)
    log = EventLog([direct, spool])
    facts = Facts([event("e1")], [impression("r1")], [exposure()])
    assert log.append(facts).duplicates == 0
    with Away(database):
        receipt = log.append(Facts([event("e2", properties={"ü": [1, None]}), event("e1")], [impression("r2")]))
        assert receipt == Receipt(3, None)  # the spool cannot know yet what it knows already
        with pytest.raises(SinkUnavailable):
            spool.drain(direct.append)
        assert len(spooled(tmp_path / "spool")) == 1
    assert spool.drain(direct.append) == 3
    assert ids(database) == ["e1", "e2"]
    with database.read() as session:
        assert session.get_one(EventRow, "e2").properties == {"ü": [1, None]}
        assert session.scalar(select(func.count()).select_from(ImpressionRow)) == 2
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 1
    assert spooled(tmp_path / "spool") == []
    assert spool.size() == 0
    assert dict(log.taken) == {"database": 3, "spool": 3}
    assert dict(log.refused) == {"database": 3}


def test_when_no_sink_takes_it_nothing_is_acknowledged() -> None:
    log = EventLog([NullSink()])
    with pytest.raises(SinkUnavailable, match="none: no sink took 1 facts"):
        log.append(Facts([event()]))
    with pytest.raises(SinkUnavailable, match="has no sink"):
        EventLog([]).append(Facts([event()]))
    assert log.append(Facts()) == Receipt(0, 0)
    assert dict(log.taken) == {}


def test_poison_is_not_passed_on_to_the_next_sink(database: Database, spool: SpoolSink, tmp_path: Path) -> None:
    log = EventLog([DatabaseSink(database), spool])
    with pytest.raises(Poison):
        log.append(Facts([event(at=2**70)]))
    assert spooled(tmp_path / "spool") == []


def test_counters_are_exact_with_many_threads(spool: SpoolSink) -> None:
    log = EventLog([NullSink(), spool])
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: log.append(Facts([event(f"e{number}")])), range(300)))
    assert (log.taken["spool"], log.refused["none"]) == (300, 300)


# the spool


def test_lines_are_on_disk_when_the_append_returns(spool: SpoolSink, tmp_path: Path) -> None:
    spool.append(Facts([event("e1")]))
    (path,) = spooled(tmp_path / "spool")
    assert [orjson.loads(line)["events"][0]["event_id"] for line in path.read_bytes().splitlines()] == ["e1"]
    assert spool.size() == path.stat().st_size


def test_draining_twice_is_harmless(database: Database, spool: SpoolSink, tmp_path: Path) -> None:
    spool.append(Facts([event("e1")], exposures=[exposure()]))
    (path,) = spooled(tmp_path / "spool")
    copy = path.read_bytes()
    direct = DatabaseSink(database)
    assert spool.drain(direct.append) == 2
    (tmp_path / "spool" / "again.jsonl").write_bytes(copy + copy)
    assert spool.drain(direct.append) == 4
    assert ids(database) == ["e1"]


def test_a_torn_last_line_is_dropped_and_the_rest_kept(database: Database, spool: SpoolSink, tmp_path: Path) -> None:
    spool.append(Facts([event("e1")]))
    (path,) = spooled(tmp_path / "spool")
    whole = path.read_bytes()
    other = tmp_path / "spool" / "crashed.jsonl"
    for cut in range(1, len(whole)):
        other.write_bytes(whole.replace(b'"e1"', b'"e2"') + whole.replace(b'"e1"', b'"e3"')[:cut].rstrip(b"\n"))
        spool.drain(DatabaseSink(database).append)
        assert not other.exists()
    assert spooled(tmp_path / "spool", ".poison") == []
    # The last cut only lacks the newline: it is whole, so it is taken.
    assert ids(database) == ["e1", "e2", "e3"]


@pytest.mark.parametrize("line", [b'{"events": [], "clicks": []}', b"[1]", b"not json"])
def test_whole_lines_that_are_not_understood_are_set_aside(
    database: Database, spool: SpoolSink, tmp_path: Path, line: bytes
) -> None:
    spool.append(Facts([event("e1")]))
    spool._close()
    (path,) = spooled(tmp_path / "spool")
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert spool.drain(DatabaseSink(database).append) == 1
    assert ids(database) == ["e1"]
    (aside,) = spooled(tmp_path / "spool", ".poison")
    assert aside.read_bytes() == line + b"\n"


def test_poison_in_the_spool_is_set_aside_and_stops_nothing(
    database: Database, spool: SpoolSink, tmp_path: Path
) -> None:
    for row in (event("e1"), event("bad", at=2**63), event("e2")):
        spool.append(Facts([row]))
    assert spool.drain(DatabaseSink(database).append) == 2
    assert ids(database) == ["e1", "e2"]
    (aside,) = spooled(tmp_path / "spool", ".poison")
    assert b'"bad"' in aside.read_bytes()


def test_what_cannot_be_json_fails_alone_and_is_not_written(spool: SpoolSink, tmp_path: Path) -> None:
    results = spool._commit([Facts([event("e1")]), Facts([event("bad", properties=DEEP)]), Facts([event("e2")])])
    assert isinstance(results[1], Poison)
    assert [results[0], results[2]] == [Receipt(1), Receipt(1)]
    (path,) = spooled(tmp_path / "spool")
    assert len(path.read_bytes().splitlines()) == 2


def test_what_can_never_be_written_is_buried_with_its_reason(
    database: Database, spool: SpoolSink, tmp_path: Path
) -> None:
    spool.append(Facts([event("e1")]))
    spool.append(Facts([event("bad", at=2**63)]))
    spool._close()
    with (tmp_path / "spool" / "torn.jsonl").open("wb") as file:
        file.write(b"not json\n")
    assert spool.drain(DatabaseSink(database).append) == 1  # nobody to bury it: it is set aside
    assert spool.aside() > 100
    buried: list[tuple[bytes, str]] = []
    spool.append(Facts([event("worse", at=2**63)]))
    assert spool.drain(DatabaseSink(database).append, lambda line, reason: buried.append((line, reason))) == 0
    assert [b"bad" in line or b"worse" in line or line == b"not json\n" for line, _ in buried] == [True] * 3
    assert len({line for line, _ in buried}) == 3
    assert all(reason for _, reason in buried)
    assert (spool.aside(), spool.size()) == (0, 0)
    assert list((tmp_path / "spool").glob("*")) == []


def test_what_is_set_aside_is_bounded_and_then_nothing_is_lost(
    database: Database, spool: SpoolSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_sink, "_MOST_ASIDE", 500)
    for number in range(4):
        spool.append(Facts([event(f"bad{number}", at=2**63)]))
        spool._close()
    with pytest.raises(SinkUnavailable, match="aside"):
        spool.drain(DatabaseSink(database).append)
    assert 0 < spool.aside() <= 500
    assert spool.size() > 0
    buried: list[bytes] = []
    spool.drain(DatabaseSink(database).append, lambda line, _: buried.append(line))
    assert sorted({orjson.loads(line)["events"][0]["event_id"] for line in buried}) == [f"bad{n}" for n in range(4)]


def test_a_grave_that_cannot_be_dug_keeps_the_line(database: Database, spool: SpoolSink) -> None:
    spool.append(Facts([event("bad", at=2**63)]))

    def bury(line: bytes, reason: str) -> None:
        raise SinkUnavailable(f"{len(line)} bytes, {reason}")

    with pytest.raises(SinkUnavailable):
        spool.drain(DatabaseSink(database).append, bury)
    assert spool.size() > 0


def test_the_file_of_a_living_process_is_not_drained_by_another(
    database: Database, spool: SpoolSink, tmp_path: Path
) -> None:
    spool.append(Facts([event("e1")]))
    other = SpoolSink(tmp_path / "spool")
    direct = DatabaseSink(database)
    assert other.drain(direct.append) == 0
    assert ids(database) == []
    spool._close()  # what the system does when the process ends
    assert other.drain(direct.append) == 1
    assert ids(database) == ["e1"]


def test_a_file_is_locked_before_drains_can_find_it(
    spool: SpoolSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain between the file's making and its lock would remove it under the writer's hands."""
    other = SpoolSink(tmp_path / "spool")
    taken: list[int] = []
    flock = fcntl.flock

    def slow_flock(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX:
            taken.append(other.drain(lambda facts: None))
        flock(file, how)

    monkeypatch.setattr(spool_sink.fcntl, "flock", slow_flock)
    spool.append(Facts([event("e1")]))
    assert taken == [0]
    assert len(spooled(tmp_path / "spool")) == 1


def test_appends_and_drains_at_once_lose_nothing(database: Database, spool: SpoolSink) -> None:
    direct = DatabaseSink(database)
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            spool.drain(direct.append)

    drainers = [threading.Thread(target=drain) for _ in range(2)]
    for thread in drainers:
        thread.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: spool.append(Facts([event(f"e{number:03}")])), range(200)))
    done.set()
    for thread in drainers:
        thread.join()
    spool.drain(direct.append)
    assert ids(database) == [f"e{number:03}" for number in range(200)]


def test_the_spool_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_sink, "_ROTATE_BYTES", 100)
    spool = SpoolSink(tmp_path / "spool", max_bytes=1_000)
    taken = 0
    with pytest.raises(SinkUnavailable, match="the most is 1000"):
        for _ in range(100):
            spool.append(Facts([event()]))
            taken += 1
    assert 1 <= taken < 10
    assert spool.size() <= 1_000 + len(orjson.dumps({"events": [event()], "impressions": [], "exposures": []})) + 1
    assert len(spooled(tmp_path / "spool")) == taken


def test_a_write_that_fails_leaves_nothing_that_could_spoil_the_next(
    database: Database, spool: SpoolSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(Facts([event("e1")]))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool_sink.os, "fsync", full)
    with pytest.raises(SinkUnavailable, match="No space left"):
        spool.append(Facts([event("e2")]))
    monkeypatch.undo()
    assert spool.append(Facts([event("e3")])) == Receipt(1)
    assert spool.drain(DatabaseSink(database).append) == 2
    assert ids(database) == ["e1", "e3"]


def test_nothing_is_written_behind_a_torn_line(
    database: Database, spool: SpoolSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle of a line, and the line cannot be cut off either."""
    spool.append(Facts([event("e1")]))
    real = spool._file
    assert real is not None

    class Full:
        def tell(self) -> int:
            return real.tell()

        def fileno(self) -> int:
            return real.fileno()

        def write(self, data: memoryview) -> int:
            if len(data) > 10:
                return real.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        def truncate(self, size: int) -> int:
            raise OSError(5, "Input/output error")

        def close(self) -> None:
            real.close()

    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(SinkUnavailable, match="No space left"):
        spool.append(Facts([event("e2")]))
    assert spool.append(Facts([event("e3")])) == Receipt(1)
    assert spool.drain(DatabaseSink(database).append) == 2
    assert ids(database) == ["e1", "e3"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    with pytest.raises(SinkUnavailable, match="cannot be written"):
        SpoolSink(tmp_path / "spool").append(Facts([event()]))


def test_nothing_waits_where_there_is_no_folder(tmp_path: Path) -> None:
    spool = SpoolSink(tmp_path / "none")
    assert (spool.size(), spool.drain(lambda facts: None)) == (0, 0)


def test_draining_writes_many_lines_in_one_transaction(spool: SpoolSink) -> None:
    spool._open().write(b"".join(_lines(1_200)))
    batches: list[int] = []
    assert spool.drain(lambda facts: batches.append(len(facts))) == 1_200
    assert max(batches) <= 500
    assert len(batches) < 10


def _lines(count: int) -> Iterator[bytes]:
    for number in range(count):
        facts = {"events": [event(f"x{number}")], "impressions": [], "exposures": []}
        yield orjson.dumps(facts) + b"\n"


def test_the_lock_goes_with_the_process(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        SpoolSink(folder).append(Facts([event("from the dead")]))
        os.write(writing, b"x")
        os.kill(os.getpid(), 9)
    assert os.read(reading, 1) == b"x"
    os.waitpid(child, 0)
    assert SpoolSink(folder).drain(DatabaseSink(database).append) == 1
    assert ids(database) == ["from the dead"]


def test_a_batch_of_an_earlier_version_is_read_as_having_no_list_quality() -> None:
    row = impression("r1")
    for column in ("novelty", "diversity"):
        del row[column]
    (found,) = decode(orjson.dumps({"events": [], "impressions": [row], "exposures": []})).impressions
    assert found == impression("r1")
