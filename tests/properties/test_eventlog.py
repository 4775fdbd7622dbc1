"""The event log as a whole: whatever fails when, what was acknowledged reaches the tables, and each fact once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, text

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.eventlog import EventLog, Poison, SinkUnavailable
from reclift.storage.migrate import migrate
from reclift.storage.sinks import database as database_sink
from reclift.storage.sinks import spool as spool_sink
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow
from tests.unit.storage.rows import event, exposure

TABLES = ("events", "impressions", "exposures", "dirty_units")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('eventlog') / 'test.db'}")
    sqlalchemy_event.listen(database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))
    migrate(database)
    yield database
    database.dispose()


class Process:
    """One process with its own sinks; several share the database and the spool's folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.direct = DatabaseSink(database)
        self.spool = SpoolSink(folder)
        self.log = EventLog([self.direct, self.spool])

    def die(self) -> None:
        self.spool._close()  # the system lets its lock go


class World:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.processes = [Process(database, folder) for _ in range(2)]
        self.is_down = False
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self.earliest: dict[str, int] = {}
        self.torn = 0

    def down(self) -> None:
        if not self.is_down:
            self._rename("events", "away")
        self.is_down = True

    def up(self) -> None:
        if self.is_down:
            self._rename("away", "events")
        self.is_down = False

    def _rename(self, old: str, new: str) -> None:
        with self.database.connection() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def send(self, who: int, names: list[int], exposed: list[tuple[int, int]], *, poison: bool) -> None:
        facts = Facts(
            [event(f"e{number}", f"u{number % 3}", value=float(number)) for number in names],
            exposures=[exposure(f"u{number}", "a", at) for number, at in exposed],
        )
        if poison:
            facts.events.append(event("poison", at=2**70))
        self.sent.update(f"e{number}" for number in names)
        try:
            self.processes[who].log.append(facts)
        except Poison:
            assert poison
        except SinkUnavailable:
            raise AssertionError("the spool takes what the database does not") from None
        else:
            # A poisonous batch may only be acknowledged by the spool, which has no rules.
            assert not poison or self.is_down
            if not poison:
                self.acknowledged.update(f"e{number}" for number in names)
                for number, at in exposed:
                    unit = f"u{number}"
                    self.earliest[unit] = min(at, self.earliest.get(unit, at))

    def drain(self, who: int) -> None:
        process = self.processes[who]
        if self.is_down:
            try:
                process.spool.drain(process.direct.append)
            except SinkUnavailable:
                return
        else:
            process.spool.drain(process.direct.append)

    def crash(self, who: int, *, torn: bool) -> None:
        """A process dies, perhaps in the middle of writing a line that it never acknowledged."""
        file = self.processes[who].spool._file
        if torn and file is not None and not file.closed:
            file.write(b'{"events":[{"event_id":"torn","type":"cl')
        self.processes[who].die()
        self.processes[who] = Process(self.database, self.folder)


NAMES = st.lists(st.integers(0, 25), max_size=4)
EXPOSED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=2)
WHO = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("send"), WHO, NAMES, EXPOSED),
    st.tuples(st.just("send"), WHO, NAMES, EXPOSED),
    st.tuples(st.just("poison"), WHO, NAMES),
    st.tuples(st.sampled_from(["down", "up"])),
    st.tuples(st.just("drain"), WHO),
    st.tuples(st.just("crash"), WHO, st.booleans()),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_acknowledged_facts_reach_the_tables_once(
    database: Database, tmp_path: Path, steps: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path / "spool"
    shutil.rmtree(folder, ignore_errors=True)
    with database.connection() as connection:
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {table}"))
    world = World(database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_sink, "_REST_SECONDS", 0.0)
        patch.setattr(spool_sink.os, "fsync", lambda _descriptor: None)  # nobody pulls the plug here
        try:
            for step, *rest in steps:
                if step == "send":
                    world.send(rest[0], rest[1], rest[2], poison=False)
                elif step == "poison":
                    world.send(rest[0], rest[1], [], poison=True)
                elif step == "drain":
                    world.drain(rest[0])
                elif step == "crash":
                    world.crash(rest[0], torn=rest[1])
                else:
                    getattr(world, step)()
        finally:
            world.up()
        world.crash(0, torn=False)  # what it held is free for the other to drain
        world.drain(1)
    with database.read() as session:
        stored = list(session.scalars(select(EventRow)))
        assert len(stored) == len({row.event_id for row in stored})
        assert {row.event_id for row in stored} >= world.acknowledged
        assert {row.event_id for row in stored} <= world.sent
        assert {row.value for row in stored} == {float(row.event_id[1:]) for row in stored}
        assert {row.unit_id: row.at for row in session.scalars(select(ExposureRow))} == world.earliest
        marked = set(session.scalars(select(DirtyUnit.unit_id)))
        assert marked >= {row.unit_id for row in stored} | world.earliest.keys()
    assert list(folder.glob("*.jsonl")) == []
    for path in folder.glob("*.poison"):
        assert all(b'"poison"' in line for line in path.read_bytes().splitlines())
