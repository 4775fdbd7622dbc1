"""Memories of people in two processes, whatever happens in which order: what is said here is known here at once, what
is said elsewhere once the news were read, or when the time of trust is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from reclift.domain.events import Facts
from reclift.flows.clock import now
from reclift.storage import histories as histories_module
from reclift.storage import profiles
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.histories import Histories
from reclift.storage.migrate import migrate
from reclift.storage.news import SqliteNews
from tests.unit.storage.rows import event

UNITS = ("anna", "ben", "cleo")
TTL = 10.0


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('histories') / 'test.db'}")
    sqlalchemy_event.listen(database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))
    migrate(database)
    yield database
    database.dispose()


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Process:
    """One memory and its ear."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self.histories = Histories(database, {"click": 1.0}, length=3, ttl=TTL, capacity=2)
        self.news = SqliteNews(database)

    def follow(self) -> None:
        units = self.news.read()
        if units is None:
            self.histories.distrust()
        self.histories.changed(units or (), self.clock.now)

    def known(self, unit: str) -> tuple[list[str], dict[str, Any]]:
        known = self.histories.known(unit)
        return [signal.item_id for signal in known.signals], dict(known.attributes)


class World:
    """Both processes, and what is true."""

    def __init__(self, database: Database, clock: Clock) -> None:
        with database.connection() as connection:
            for table in ("events", "profiles", "dirty_units"):
                connection.execute(text(f"DELETE FROM {table}"))
        self.database, self.clock = database, clock
        self.processes = [Process(database, clock) for _ in range(2)]
        self.items: dict[str, list[str]] = {unit: [] for unit in UNITS}
        self.attributes: dict[str, dict[str, Any]] = {unit: {} for unit in UNITS}
        self.number = 0
        for process in self.processes:
            process.follow()

    def truth(self, unit: str) -> tuple[list[str], dict[str, Any]]:
        return self.items[unit][-3:], self.attributes[unit]

    def put(self, who: int, unit: str) -> None:
        self.number += 1
        self.attributes[unit] = {"n": self.number}
        with self.database.connection() as connection:
            profiles.put(connection, unit, self.attributes[unit], now())
        self.processes[who].histories.persons_changed([unit])

    def click(self, who: int, unit: str) -> None:
        self.number += 1
        self.items[unit].append(f"i{self.number}")
        row = event(f"e{self.number}", unit, at=self.number, item_id=f"i{self.number}")
        with self.database.connection() as connection:
            write_facts(connection, Facts([row]))
        self.processes[who].histories.note([row])

    def erase(self, who: int, unit: str) -> None:
        """The other hears of it by the aliases' version, as everybody does, when it follows."""
        self.items[unit], self.attributes[unit] = [], {}
        with self.database.connection() as connection:
            for table in ("events", "profiles"):
                connection.execute(text(f"DELETE FROM {table} WHERE unit_id = :unit"), {"unit": unit})
        self.processes[who].histories.forget(unit)
        self.processes[1 - who].histories.persons_changed(None)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "click", "click", "erase", "follow", "look", "wait"]),
        st.integers(0, 1),
        st.sampled_from(UNITS),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_each_process_knows_what_it_must(
    database: Database, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, int, str]]
) -> None:
    clock = Clock()
    monkeypatch.setattr(histories_module, "time", clock)
    world = World(database, clock)
    for action, who, unit in actions:
        clock.now += 0.001
        process = world.processes[who]
        if action in {"put", "click", "erase"}:
            getattr(world, action)(who, unit)
            if action == "click":
                # What the other took meanwhile may be missing still.
                assert process.known(unit)[0][-1] == f"i{world.number}"
            else:
                assert process.known(unit) == world.truth(unit)
        elif action == "follow":
            process.follow()
            clock.now += 0.001
            assert [process.known(one) for one in UNITS] == [world.truth(one) for one in UNITS]
        elif action == "wait":
            clock.now += TTL  # without news, as while the database did not answer
            assert process.known(unit) == world.truth(unit)
        else:
            process.known(unit)  # whatever it says: it may be the first look, or one at what is old
    for process in world.processes:
        process.follow()
        clock.now += 0.001
        assert [process.known(one) for one in UNITS] == [world.truth(one) for one in UNITS]
