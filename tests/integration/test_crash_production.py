"""Production mode, with everything breaking in turn under load: what was acknowledged is in the tables, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import select

from reclift.storage.sinks.redis_stream import waiting_in
from reclift.storage.tables import ImpressionRow
from tests.integration.crash import Shop, Worker, everything_once, prepare, spool_size
from tests.platform_fixtures import SECRET, build_runtime
from tests.reclift_server import RecliftServer
from tests.services import PostgresServer, RedisServer, wait_until


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    server = RedisServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_whatever_breaks_nothing_is_lost_or_doubled(
    own_postgres: PostgresServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    url = own_postgres.create_database("crash")
    folder = tmp_path / "var"
    here = build_runtime(folder, database_url=url)
    key = prepare(here)
    settings = {
        "DATA_DIR": str(folder),
        "SECRET_KEY": SECRET,
        "DATABASE_URL": url,
        "REDIS_URL": own_redis.url(),
        "STREAM_CLAIM_SECONDS": "2",
    }
    server, worker = RecliftServer(settings, options=("--workers", "2")), Worker(settings)
    client = Redis.from_url(own_redis.url())
    try:
        server.start()
        worker.start()
        with Shop(server.port, key) as shop:
            shop.goes_on()
            assert json.loads(server.get("/health/ready").body)["stream"]["status"] == "ok"
            worker.kill()  # and its drain: what it held is claimed by the next one
            shop.goes_on()
            worker.start()

            own_redis.kill()  # the database takes over
            shop.goes_on()
            own_postgres.stop()  # now there is only the disk
            shop.goes_on()
            assert spool_size(folder) > 0
            own_redis.start()  # and now the stream alone
            shop.goes_on(40)
            shown_without_database = set(shop.shown)
            assert json.loads(server.get("/health/ready").body)["database"] != "ok"
            own_postgres.start()
            shop.goes_on()

            server.kill()
            server.start()
            shop.goes_on()
            own_postgres.kill()
            shop.goes_on(10)
            own_postgres.start()
            shop.goes_on()
        wait_until(lambda: spool_size(folder) == 0 and waiting_in(client)["batches"] == 0, 30)
        assert waiting_in(client)["bytes"] == 0
        everything_once(here.database, shop)
        with here.database.read() as session:
            kept = set(session.scalars(select(ImpressionRow.recommendation_id)))
        assert shown_without_database <= kept
    finally:
        worker.close()
        server.close()
        client.close()
        here.close()
