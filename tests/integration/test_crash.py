"""Crashes in the middle of a load: what was acknowledged is in the tables, every event once, none lost."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import func, select

from reclift.storage.database import Database
from reclift.storage.tables import DirtyUnit, EventRow, ExperimentUnit, ImpressionRow, UnitTotal
from tests.integration.live_platform import ITEMS, Process, Server
from tests.services import PostgresServer, wait_until

ARMS = [
    {"key": "control", "strategy": "popularity", "control": True},
    {"key": "new", "strategy": "popularity", "params": {"count": "users"}},
]


class Load:
    """Clients that show lists and send numbered clicks, and repeat what was not acknowledged until it is."""

    def __init__(self, server: Server, key: str, clients: int = 3) -> None:
        self.server, self.key = server, key
        self.done = threading.Event()
        self.acknowledged: set[str] = set()
        self.lists: set[str] = set()
        self.refused = 0
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self, client: int) -> None:
        number = 0
        while not self.done.is_set():
            user, request = f"c{client}-u{number % 17}", f"c{client}-{number}"
            wish = {"user_id": user, "placement": "home", "k": 3, "request_id": request}
            shown = self._until_taken("/recommend", wish)
            rec = shown["recommendation_id"]
            events = [
                {
                    "event_id": f"c{client}-{number}-{which}",
                    "type": "click",
                    "user_id": user,
                    "item_id": f"i{which}",
                    "recommendation_id": rec,
                }
                for which in range(5)
            ]
            taken = self._until_taken("/events", {"events": events})
            assert taken["rejected"] == []
            with self._lock:
                self.lists.add(rec)
                self.acknowledged.update(str(event["event_id"]) for event in events)
            number += 1

    def _until_taken(self, path: str, body: Any) -> Any:
        deadline = time.monotonic() + 60
        while True:
            started = time.monotonic()
            try:
                status, answer = self.server.call("POST", path, self.key, body)
            except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
                status, answer = 0, None
            if status in {200, 202}:
                with self._lock:
                    self.slowest = max(self.slowest, time.monotonic() - started)
                return answer
            with self._lock:
                self.refused += 1
            assert status in {0, 503}, (status, answer)
            assert time.monotonic() < deadline, "never taken"
            time.sleep(0.05)

    def reaches(self, more: int) -> None:
        """Wait until so many more events are acknowledged."""
        goal = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= goal, 60)


def prepare(server: Server) -> str:
    key = server.make_key("shop", "manage", "read")
    server.ok("PUT", "/items", key, {"items": ITEMS})
    server.ok("POST", "/api/v1/experiments", key, {"key": "exp", "placement": "home", "arms": ARMS})
    server.ok("POST", "/api/v1/experiments/exp/start", key)
    models = lambda: server.ok("GET", "/api/v1/models", key)["models"]  # noqa: E731 (asked again and again)
    wait_until(lambda: sum(model["active"] for model in models()) == 2, 60)
    time.sleep(1.5)
    return key


def verify(database: Database, load: Load, *, drained: Callable[[], bool]) -> None:
    """Every acknowledged fact is there, nothing else is, and the totals have them all."""
    wait_until(drained, 60)

    def rolled_up() -> bool:
        with database.read() as session:
            return not session.scalar(select(func.count()).select_from(DirtyUnit))

    wait_until(rolled_up, 60)
    with database.read() as session:
        events = session.scalars(select(EventRow.event_id)).all()
        lists = session.scalars(select(ImpressionRow.recommendation_id)).all()
        assert len(events) == len(set(events))
        assert set(events) == load.acknowledged
        assert set(lists) >= load.lists
        shown = session.scalar(select(func.sum(ExperimentUnit.impressions)))
        clicks, denominator = session.execute(
            select(func.sum(UnitTotal.numerator), func.sum(UnitTotal.denominator)).where(UnitTotal.metric == "ctr")
        ).one()
        assert shown == denominator == len(lists)
        assert clicks == len(events)


@pytest.fixture
def embedded() -> Iterator[Server]:
    server = Server({})
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_the_embedded_platform_is_killed_in_the_middle_of_a_load(embedded: Server) -> None:
    key = prepare(embedded)
    with Load(embedded, key) as load:
        for _ in range(2):
            load.reaches(60)
            embedded.kill()  # the server, its worker, everything
            embedded.start()
        load.reaches(60)
    assert load.refused > 0
    database = Database(f"sqlite:///{embedded.folder / 'var' / 'reclift.db'}")
    try:
        verify(database, load, drained=lambda: True)
    finally:
        database.dispose()


def test_postgresql_goes_down_and_comes_back_in_the_middle_of_a_load(redis_url: str) -> None:
    postgres = PostgresServer()
    server: Server | None = None
    processes: list[Process] = []
    try:
        postgres.start()
        url = postgres.create_database("crash")
        server = Server({}, {"DATABASE_URL": url, "REDIS_URL": redis_url}, options=("--workers", "2"))
        server.run("migrate")
        server.start()
        for arguments in (["beat"], ["worker", "--concurrency", "2"]):
            processes.append(Process(server, *arguments))
            processes[-1].start()
        key = prepare(server)
        spool = Path(server.folder) / "var" / "spool"
        with Load(server, key) as load:
            load.reaches(60)
            postgres.kill()
            before = load.refused
            load.reaches(60)  # lists are answered and events taken while it is down
            assert load.refused - before <= len(load._threads), "what was on its way may be refused, nothing later"
            assert any(spool.glob("*.jsonl"))
            postgres.start()
            load.reaches(60)
        database = Database(url)
        try:
            verify(database, load, drained=lambda: not any(spool.glob("*.jsonl")))
        finally:
            database.dispose()
        assert list(spool.glob("*.poison")) == []
    finally:
        for process in processes:
            process.close()
        if server is not None:
            server.close()
        postgres.close()
