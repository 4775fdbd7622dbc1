"""Workers as real processes, killed and replaced: under `reclift serve`, and with PostgreSQL, Redis and beat."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from reclift.flows.heartbeat import LEASE_SECONDS
from reclift.storage.database import Database
from reclift.storage.tables import JobRun, ModelRow
from tests.integration.live_platform import (
    Process,
    Server,
    Slow,
    children,
    kill,
    kill_in_the_middle,
    lives,
    parent,
    the_main_road,
)
from tests.services import wait_until


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path / "plug-in")


def pass_a_lease(url: str) -> None:
    """As if the time of a lease had gone by since the last sign of life of what runs."""
    database = Database(url)
    with database.write() as session:
        rows = [
            *session.scalars(select(JobRun).where(JobRun.state == "running", JobRun.attempts > 0)),
            *session.scalars(select(ModelRow).where(ModelRow.state == "training")),
        ]
        for row in rows:
            assert row.alive_at is not None
            row.alive_at -= timedelta(seconds=LEASE_SECONDS)
    database.dispose()


@pytest.fixture
def embedded(slow: Slow) -> Iterator[Server]:
    server = Server(slow.environment)
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_the_embedded_worker_trains_reports_and_is_replaced_when_it_is_killed(embedded: Server, slow: Slow) -> None:
    shop = embedded.make_key("shop")
    manage = embedded.make_key("manage", "read")
    the_main_road(embedded, shop, manage, ("popularity", "item_cf"))

    def kill_worker(pid: int) -> None:
        main = parent(pid)
        kill(main, *children(main))  # as the system does when memory runs out: the worker with all its processes

    url = f"sqlite:///{embedded.folder / 'var' / 'reclift.db'}"
    kill_in_the_middle(embedded, manage, slow, lambda: pass_a_lease(url), kill_worker)

    # A server that is killed cannot end its worker: the worker ends by itself, so that the next server's is alone.
    workers = [pid for pid in slow.workers() if lives(pid)]
    assert workers
    main = parent(workers[0])
    assert embedded.process is not None
    os.kill(embedded.process.pid, signal.SIGKILL)
    wait_until(lambda: not lives(main) and not any(map(lives, workers)), 20)


@pytest.fixture
def production(slow: Slow, postgres_database: str, redis_url: str) -> Iterator[Server]:
    server = Server(
        slow.environment,
        {"DATABASE_URL": postgres_database, "REDIS_URL": redis_url},
        options=("--workers", "2"),
    )
    try:
        server.run("migrate")
        server.start()
        yield server
    finally:
        server.close()


def test_production_processes_do_the_same_and_survive_their_worker(
    production: Server, slow: Slow, postgres_database: str
) -> None:
    shop = production.make_key("shop")
    manage = production.make_key("manage", "read")
    with ExitStack() as stack:

        def start(*arguments: str) -> Process:
            process = Process(production, *arguments)
            stack.callback(process.close)
            process.start()
            return process

        start("beat")
        worker = start("worker", "--concurrency", "2")
        the_main_road(production, shop, manage, ("popularity", "popularity"))

        def kill_worker(_pid: int) -> None:
            worker.kill()  # with all its processes
            start("worker", "--concurrency", "1")

        kill_in_the_middle(production, manage, slow, lambda: pass_a_lease(postgres_database), kill_worker)
