"""A shop that never gives up: sends numbered events and asks for lists until each is answered, whatever breaks."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select

from reclift.storage.database import Database
from reclift.storage.tables import DeadLetter, EventRow, ImpressionRow
from reclift.wiring import Runtime
from tests.platform_fixtures import item, make_key
from tests.reclift_server import RecliftServer
from tests.services import wait_until

_GIVE_UP = 60.0


class Worker(RecliftServer):
    """`reclift worker --beat` beside a server; it has no port, so it counts as up once it runs."""

    def command(self) -> list[str]:
        return [self.python, "-m", "reclift", "worker", "--beat", "--concurrency", "1"]

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Shop:
    """Several visitors at once. `acknowledged` and `shown` are what the server has promised to keep."""

    def __init__(self, port: int, key: str, visitors: int = 4) -> None:
        self._port = port
        self._key = key
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(name,)) for name in range(visitors)]
        self._lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.shown: set[str] = set()
        self.assigned = 0
        self.refused = 0
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_GIVE_UP + 20)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.problems, self.problems

    def _visit(self, visitor: int) -> None:
        while not self._stop.is_set():
            with self._lock:
                numbers = [next(self._numbers) for _ in range(3)]
            user = f"u{visitor}-{numbers[0] % 20}"
            events = [
                {"event_id": f"n{number}", "type": "click", "user_id": user, "item_id": "i1", "value": 1.0}
                for number in numbers
            ]
            wish = {"user_id": user, "placement": "home", "k": 3, "request_id": f"q{numbers[0]}"}
            try:
                taken = self.insist("/events", {"events": events}, 202)
                shown = self.insist("/recommend", wish, 200)
                self.insist("/assign", {"user_id": user}, 200)
            except AssertionError as error:
                self.problems.append(str(error))
                return
            if taken["rejected"] or taken["accepted"] + taken["duplicates"] != len(events):
                self.problems.append(f"{taken}")
            with self._lock:
                self.acknowledged.update(event["event_id"] for event in events)
                self.shown.add(shown["recommendation_id"])
                self.assigned += 1

    def insist(self, path: str, body: Mapping[str, Any], status: int) -> Any:
        """Send until it is answered with `status`; only a server that is not there or says 503 is asked again."""
        deadline = time.monotonic() + _GIVE_UP
        while True:
            try:
                answered, text = self.send(path, body)
            except (OSError, http.client.HTTPException) as error:
                answered, text = 0, repr(error)
            if answered == status:
                return json.loads(text)
            with self._lock:
                self.refused += 1
            assert answered in {0, 503}, f"{path}: {answered} {text}"
            assert time.monotonic() < deadline, f"{path} was not answered for {_GIVE_UP} s: {answered} {text}"
            time.sleep(0.1)

    def send(self, path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        """One request: status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def goes_on(self, more: int = 20, seconds: float = 40.0) -> None:
        """Wait until `more` visits have been answered from now on."""
        before = self.assigned
        wait_until(lambda: self.assigned >= before + more or bool(self.problems), seconds)
        assert not self.problems, self.problems


def prepare(runtime: Runtime) -> str:
    """Tables, some items and a key for the shop."""
    from reclift.flows import catalogue

    runtime.set_up()
    with runtime.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item(item(number), "item") for number in range(5)])
    return make_key(runtime, "shop")


def everything_once(database: Database, shop: Shop) -> None:
    """Each promise is kept, once; what came beyond that are requests whose answer got lost, with no stranger among."""
    with database.read() as session:
        events = session.scalars(select(EventRow.event_id)).all()
        lists = session.scalars(select(ImpressionRow.recommendation_id)).all()
        assert session.scalar(select(func.count()).select_from(DeadLetter)) == 0
    assert len(shop.acknowledged) > 100
    assert sorted(shop.acknowledged - set(events)) == []
    assert sorted(shop.shown - set(lists)) == []
    assert len(events) == len(set(events))
    assert len(lists) == len(set(lists))


def spool_size(folder: Path) -> int:
    """Bytes that wait on disk."""
    return sum(path.stat().st_size for path in (folder / "spool").glob("*.jsonl"))
