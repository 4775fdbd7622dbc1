"""Writers and several rollup workers at once, some of which die: the totals are right in the end, on both databases."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from reclift.domain.events import Facts
from reclift.flows import rollup
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from tests.properties.rollup_reference import DAY, check
from tests.properties.rollup_world import EXPERIMENTS, T0, set_up
from tests.properties.test_rollup import Crash, Worker
from tests.services import PostgresServer
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    server: PostgresServer | None = None
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.create_database("test_rollup_concurrent"))
    migrate(database)
    set_up(database)
    yield database
    database.dispose()
    if server is not None:
        server.drop_database("test_rollup_concurrent")


def some_facts(dice: random.Random, number: int) -> Facts:
    unit, key, arm = f"u{dice.randrange(12)}", dice.choice(["one", "two"]), dice.choice("aab")
    at = T0 + dice.randrange(-3 * DAY, 4 * DAY)
    facts = Facts()
    if dice.random() < 0.4:
        facts.exposures.append(exposure(unit, arm, at, experiment=key))
    if dice.random() < 0.5:
        at -= dice.choice([0, 0, 9 * DAY])
        items = [{"item_id": "i1", "position": 1}]
        more = {"experiment": key, "phase": 1, "arm": arm, "items": items, "latency_ms": 2.5}
        facts.impressions.append(impression(f"r{number % 60}", unit, at, **more))
    for which in range(dice.randrange(3)):
        kind = dice.choice(["click", "purchase", "visit"])
        more = {"type": kind, "value": dice.choice([None, 0.5, 2.0]), "recommendation_id": f"r{dice.randrange(60)}"}
        happened = at + dice.randrange(DAY) - dice.choice([0, 0, 0, 8 * DAY, 30 * DAY])
        more["received_at"] = happened + dice.choice([0, DAY, 30 * DAY])
        facts.events.append(event(f"e{number}-{which}", unit, happened, **more))
    return facts


def test_many_writers_and_workers(database: Database) -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        for number in range(60):
            facts = some_facts(dice, seed * 1_000 + number)
            for _ in range(dice.choice([1, 1, 2])):  # sometimes sent twice
                with database.connection() as connection:
                    write_facts(connection, facts)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        while not done.is_set():
            mortal = Worker(database, lambda: None, dies_in_write=dice.random() < 0.3)
            try:
                rollup.roll_up(mortal, batch=dice.choice([1, 3, 100]), most=5)
            except Crash:
                continue

    def guarded(target: object, seed: int) -> None:
        try:
            target(seed)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    writers = [threading.Thread(target=guarded, args=(write, seed)) for seed in (1, 2, 3)]
    workers = [threading.Thread(target=guarded, args=(work, seed)) for seed in (4, 5, 6)]
    for thread in [*workers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in workers:
        thread.join()
    assert failures == []
    rollup.roll_up(database)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM dirty_units")).scalar_one() == 0
        assert connection.execute(text("SELECT COUNT(*) FROM experiment_units")).scalar_one() > 10
        check(connection, EXPERIMENTS)
