"""The plan reaches every process soon, and each keeps its last good plan while the database is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reclift.flows import accounts, experiments, jobs
from reclift.settings import Settings
from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.integration.conftest import Running
from tests.integration.test_ofrep import wait_for
from tests.platform_fixtures import Caller, build_runtime, experiment, make_key
from tests.services import PostgresServer, wait_until


def test_processes_look_for_changes_at_least_every_other_second() -> None:
    assert Settings.model_fields["plan_poll_seconds"].default < 2


def test_a_change_by_one_process_reaches_the_other(running: Running) -> None:
    key = running.start(experiment("spreads"))
    wait_for(running, key)
    ready = running.server.get("/health/ready")
    assert ready.status == 200

    def stop() -> None:
        registry, queue = running.runtime.registry, jobs.NullQueue()
        with running.runtime.database.write() as session:
            experiments.act(session, registry, queue, key, "stop", "tests")

    headers = {"Authorization": f"Bearer {running.shop_key}"}
    stop()
    wait_until(lambda: "not_running" in running.server.get(f"/assign?user_id=u&experiment={key}", headers).body, 10)


def test_a_key_works_everywhere_the_moment_it_is_made(runtime: Runtime) -> None:
    client = create_app(runtime).test_client()
    runtime.live.refresh()
    with runtime.database.write() as session:  # as another process would: this one has not looked since
        _, secret = accounts.create_key(session, "new", ["shop"], "tests")
    assert accounts.digest(secret) not in runtime.live.current.keys
    assert client.get("/assign?user_id=u", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    for wrong in (secret[:-1], secret + "x"):
        answer = client.get("/assign?user_id=u", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert answer.json["detail"] == "this API key is unknown or revoked"
    with runtime.database.write() as session:
        (key,) = [key for key in accounts.keys(session) if key["name"] == "new"]
        accounts.revoke_key(session, key["id"], "tests")
    assert client.get("/assign?user_id=u", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


@pytest.fixture
def on_postgres(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> Iterator[tuple[Runtime, PostgresServer]]:
    here = build_runtime(tmp_path / "var", database_url=postgres_database, plan_poll_seconds=0.05)
    here.set_up()
    try:
        yield here, postgres_server
    finally:
        here.close()
        if postgres_server.process is None or postgres_server.process.poll() is not None:
            postgres_server.start()


def test_without_the_database_the_last_good_plan_decides(on_postgres: tuple[Runtime, PostgresServer]) -> None:
    here, server = on_postgres
    client = create_app(here).test_client()
    shop, manage = Caller(client, make_key(here, "shop")), Caller(client, make_key(here, "manage"))
    nobody = Caller(client, None)
    manage.ok("POST", "/api/v1/experiments", experiment(sticky=True), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    payload = f"/api/features/{make_key(here, 'client')}"
    before = [shop.ok("POST", "/assign", {"user_id": f"u{n}"}) for n in range(10)]
    here.live.start()
    ready = nobody.ok("GET", "/health/ready")
    assert (ready["status"], ready["database"]) == ("ok", "ok")
    version = ready["plan"]["version"]

    server.stop()
    assert [shop.ok("POST", "/assign", {"user_id": f"u{n}"}) for n in range(10)] == before
    assert nobody.ok("GET", payload)["features"].keys() == {"home-recs"}
    wait_until(lambda: nobody.ok("GET", "/health/ready")["plan"]["age_seconds"] > 0.2, 10)
    away = nobody.ok("GET", "/health/ready")
    assert away["status"] == "degraded"
    assert away["database"].startswith("away: ")
    assert away["plan"]["version"] == version
    # New facts wait on disk, and come into the tables when it is back.
    assert shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": "u1"}]}, 202)["accepted"] == 1
    assert nobody.ok("GET", "/health/ready")["spool_bytes"] > 0

    server.start()
    wait_until(lambda: nobody.ok("GET", "/health/ready")["status"] == "ok", 20)
    wait_until(lambda: nobody.ok("GET", "/health/ready")["plan"]["age_seconds"] < 0.2, 20)
    wait_until(lambda: here.drain() == 1, 20)
