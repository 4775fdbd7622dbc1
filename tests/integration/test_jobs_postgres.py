"""What several processes do at the same moment on PostgreSQL, where transactions overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import catalogue, experiments, jobs, layers, models
from reclift.flows.errors import Conflict
from reclift.flows.serving import Live
from reclift.settings import Settings
from reclift.storage.eventlog import Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.sinks.database import DatabaseSink
from reclift.storage.tables import Alias, EventRow, ExposureRow, ModelRow
from reclift.strategy import Registry
from tests.unit.flows.conftest import MemoryQueue
from tests.unit.flows.toys import Other, Toy, draft
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture(scope="module")
def here(postgres_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wiring.Runtime]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), database_url=postgres_database, redis_url="", default_strategy="toy"
    )
    runtime = wiring.build(settings, registry=Registry({"toy": Toy, "other": Other}), queue=MemoryQueue())
    runtime.set_up()
    yield runtime
    runtime.close()


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Results, or what was raised, of actions that begin together."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        barrier.wait(10)
        try:
            return action()
        except Exception as error:  # noqa: BLE001 (returned to the test)
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def create(here: wiring.Runtime, key: str, **more: Any) -> None:
    with here.database.write() as session:
        experiments.create(session, here.registry, draft(key, **more), "me")


def act(here: wiring.Runtime, key: str, action: str) -> str:
    with here.database.write() as session:
        return experiments.act(session, here.registry, here.queue, key, action, "me").status


def test_two_that_start_at_once_never_share_users_of_a_layer(
    here: wiring.Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(here, "left", layer="l", traffic=0.6)
    create(here, "right", layer="l", traffic=0.6)
    look = layers.slots
    # Time for the other to look, too, before this one has written what it takes.
    monkeypatch.setattr(layers, "slots", lambda *rest, **more: (look(*rest, **more), _pause())[0])
    results = at_once(lambda: act(here, "left", "start"), lambda: act(here, "right", "start"))
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Status"]


def _pause() -> None:
    threading.Event().wait(0.1)


def test_versions_of_models_differ_though_they_begin_at_once(here: wiring.Runtime) -> None:
    def begin() -> int:
        with here.database.write() as session:
            return models.begin(session, "toy", models.complete(here.registry, "toy", {})).version

    assert sorted(at_once(*[begin] * 6)) == [1, 2, 3, 4, 5, 6]


def test_of_two_models_that_become_active_at_once_one_is(here: wiring.Runtime) -> None:
    with here.database.write() as session:
        ready = [models.begin(session, "other", models.complete(here.registry, "other", {})) for _ in range(2)]
        for row in ready:
            row.state = "ready"
    numbers = [row.id for row in ready]

    def activate(number: int) -> str:
        with here.database.write() as session:
            return models.label(models.activate(session, number, "me"))

    assert sorted(at_once(*(lambda number=number: activate(number) for number in numbers))) == ["other@1", "other@2"]
    with here.database.read() as session:
        active = session.scalars(select(ModelRow.version).where(ModelRow.strategy == "other", ModelRow.active)).all()
    assert len(active) == 1


def test_pausing_and_stopping_at_once_leave_a_state_that_the_rules_allow(here: wiring.Runtime) -> None:
    create(here, "busy", placement="cart")
    act(here, "busy", "start")
    results = at_once(lambda: act(here, "busy", "pause"), lambda: act(here, "busy", "stop"))
    with here.database.read() as session:
        row = experiments.find(session, "busy")
    assert row.status == "stopped"
    assert "stopped" in results
    if "paused" in results:
        assert row.version == 4
    else:
        assert any(isinstance(result, Conflict) for result in results)
        assert row.version == 3


def test_the_same_key_made_twice_at_once_is_made_once(here: wiring.Runtime) -> None:
    results = at_once(lambda: create(here, "same"), lambda: create(here, "same"))
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "NoneType"]


def test_an_alias_that_commits_late_is_not_missed(here: wiring.Runtime) -> None:
    live = Live(here.database, here.registry, here.artifacts, poll_seconds=1)
    live.refresh()
    added, go = threading.Event(), threading.Event()

    def slow() -> None:
        with here.database.write() as session:
            catalogue.add_alias(session, "u1", "slow-device")
            session.flush()
            added.set()
            assert go.wait(10)

    def quick() -> None:
        assert added.wait(10)
        with here.database.write() as session:
            catalogue.add_alias(session, "u2", "quick-device")

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    for thread in threads:
        thread.start()
    assert added.wait(10)
    threads[1].join(0.2)
    live.refresh()
    go.set()
    for thread in threads:
        thread.join(10)
    live.refresh()
    assert [live.current.canonical(name) for name in ("slow-device", "quick-device")] == ["u1", "u2"]
    with here.database.read() as session:
        assert session.scalars(select(Alias.alias).order_by(Alias.id)).all() == ["slow-device", "quick-device"]


def test_a_job_is_taken_by_one_and_a_lock_held_by_one(here: wiring.Runtime) -> None:
    with here.database.write() as session:
        job = jobs.request(session, here.queue, "report", {"experiment": "x"}).id
    taken = at_once(*[lambda: jobs.begin(here.database, job)] * 6)
    assert sum(run is not None for run in taken) == 1
    inside, most, counting = 0, 0, threading.Lock()

    def hold() -> bool:
        nonlocal inside, most
        with jobs.only_one(here.database, "x") as mine:
            if mine:
                with counting:
                    inside += 1
                    most = max(most, inside)
                _pause()
                with counting:
                    inside -= 1
            return mine

    assert True in at_once(*[hold] * 6)
    assert most == 1


def test_sweepers_at_once_recover_a_lost_job_once(here: wiring.Runtime) -> None:
    from reclift.flows import heartbeat

    with here.database.write() as session:
        job = jobs.request(session, here.queue, "train", {"strategy": "lost"}).id
    run = jobs.begin(here.database, job)
    assert run is not None
    with here.database.connection() as connection:
        connection.execute(
            text("UPDATE job_runs SET alive_at = alive_at - make_interval(secs => :s) WHERE id = :id"),
            {"s": heartbeat.LEASE_SECONDS + 1, "id": job},
        )
    at_once(*[lambda: jobs.sweep(here.database, here.queue)] * 4)
    with here.database.read() as session:
        assert (session.get_one(jobs.JobRun, job).state, session.get_one(jobs.JobRun, job).attempts) == ("queued", 1)


# facts


def ids(here: wiring.Runtime, like: str) -> list[str]:
    with here.database.read() as session:
        return sorted(session.scalars(select(EventRow.event_id).where(EventRow.event_id.like(like))))


def test_overlapping_batches_in_any_order_do_not_stand_in_each_others_way(here: wiring.Runtime) -> None:
    sinks = [DatabaseSink(here.database) for _ in range(6)]  # as if in six processes
    names = [f"d{number:02}" for number in range(40)]

    def send(number: int) -> list[Receipt]:
        receipts = []
        for turn in range(10):
            order = names[number + turn :] + names[: number + turn]
            order = order[::-1] if (number + turn) % 2 else order
            facts = Facts([event(name, f"u-{name}") for name in order], exposures=[exposure(f"u-{n}") for n in order])
            receipts.append(sinks[number].append(facts))
        return receipts

    results = at_once(*(lambda number=number: send(number) for number in range(6)))
    assert [error for error in results if isinstance(error, Exception)] == []
    assert ids(here, "d%") == names
    assert sum(receipt.accepted - 40 for receipts in results for receipt in receipts) == 40  # beside the exposures


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(event("bad", properties={"a": "\x00"}), id="NUL in JSON"),
        pytest.param(event("bad", item_id="a\x00"), id="NUL in text"),
        pytest.param(event("bad", unit="x" * 300), id="too long"),
        pytest.param(event("bad", at=2**70), id="number too large"),
        pytest.param(event("bad", item_id={"a": 1}), id="wrong type"),
        pytest.param(event("bad", unit=None), id="null"),
    ],
)
def test_poison_fails_alone(here: wiring.Runtime, bad: dict[str, Any], request: pytest.FixtureRequest) -> None:
    name = str(abs(hash(request.node.name)))
    sink = DatabaseSink(here.database)
    results = sink._commit([Facts([event(f"{name}-1")]), Facts([bad]), Facts([event(f"{name}-2")])])
    assert [type(result) for result in results] == [Receipt, Poison, Receipt], results
    assert ids(here, f"{name}%") == [f"{name}-1", f"{name}-2"]


def test_a_database_that_is_not_migrated_or_read_only_is_away(here: wiring.Runtime) -> None:
    sink = DatabaseSink(here.database)
    for breaking, mending in (
        ("ALTER TABLE events RENAME TO away", "ALTER TABLE away RENAME TO events"),
        ("ALTER ROLE reclift SET default_transaction_read_only = on", "ALTER ROLE reclift RESET ALL"),
    ):
        with here.database.connection() as connection:
            connection.exec_driver_sql(breaking)
        here.database.dispose()
        with pytest.raises(SinkUnavailable):
            sink.append(Facts([event("good")]))
        with here.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(mending)
        here.database.dispose()
        sink._rest_until = 0.0
    assert sink.append(Facts([event("good")])).accepted == 1


def test_counts_are_right_and_the_earliest_exposure_wins(here: wiring.Runtime) -> None:
    sink = DatabaseSink(here.database)
    facts = Facts([event("c1"), event("c2")], [impression("c1")], [exposure("cu", at=500), exposure("cu", at=300)])
    assert sink.append(facts) == Receipt(5, 0)
    assert sink.append(facts) == Receipt(2, 3)
    for at in (400, 200, 600):
        sink.append(Facts(exposures=[exposure("cu", at=at, attributes={"at": at})]))
    with here.database.read() as session:
        row = session.scalars(select(ExposureRow).where(ExposureRow.unit_id == "cu")).one()
    assert (row.at, row.attributes) == (200, {"at": 200})


def test_a_reading_session_sees_one_moment(here: wiring.Runtime, tmp_path: Path) -> None:
    with here.database.read() as session:
        before = session.scalars(select(EventRow.event_id)).all()
        DatabaseSink(here.database).append(Facts([event("moment")]))
        assert session.scalars(select(EventRow.event_id)).all() == before
    assert ids(here, "moment") == ["moment"]
