"""What waits on disk moves into the tables by itself, and whatever goes wrong does not end that."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from reclift import wiring
from reclift.domain.events import Facts
from reclift.storage.tables import EventRow
from reclift.wiring import Runtime
from tests.unit.storage.rows import event


def test_the_spool_drains_by_itself_when_the_database_returns(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "_DRAIN_SECONDS", 0.01)
    with shop.database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO away")
    shop.start()
    answer = shop.ingest.ingest(shop.live.current, [{"type": "click", "user_id": "u1", "event_id": "e1"}])
    assert (answer["accepted"], answer["rejected"]) == (1, [])
    threading.Event().wait(0.1)
    assert shop.spool.size() > 0
    with shop.database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO events")
    for _ in range(500):
        if not shop.spool.size():
            break
        threading.Event().wait(0.01)
    with shop.database.read() as session:
        assert session.scalars(select(EventRow.event_id)).all() == ["e1"]


def test_nothing_ends_the_draining(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "_DRAIN_SECONDS", 0.001)
    drain, calls, enough = shop.spool.drain, [], threading.Event()

    def trouble(*given: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the disk is gone")
        if len(calls) == 2:
            raise RuntimeError("a bug")
        enough.set()
        return drain(*given)

    monkeypatch.setattr(shop.spool, "drain", trouble)
    shop.spool.append(Facts([event("e1")]))
    shop.start()
    assert enough.wait(10)
    for _ in range(500):
        if not shop.spool.size():
            break
        threading.Event().wait(0.01)
    assert shop.spool.size() == 0


def test_closing_ends_the_threads(shop: Runtime) -> None:
    shop.start()
    threads = [thread for thread in threading.enumerate() if thread.name in {"reclift-drain", "reclift-live"}]
    assert len(threads) == 2
    shop.close()
    assert not any(thread.is_alive() for thread in threads)
