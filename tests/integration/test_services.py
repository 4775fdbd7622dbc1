"""The services that tests start themselves do what tests rely on."""

from __future__ import annotations

import psycopg
import redis

from tests.services import PostgresServer, RedisServer


def test_postgres_keeps_what_it_acknowledged_when_it_is_killed() -> None:
    server = PostgresServer()
    try:
        server.start()
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1), (2)")
        server.kill()
        assert not server.is_up()
        server.start()
        with psycopg.connect(server.dsn("postgres")) as connection:
            assert connection.execute("SELECT sum(n) FROM kept").fetchone() == (3,)
    finally:
        server.close()
    assert not server.folder.exists()


def test_a_durable_redis_keeps_what_it_acknowledged_when_it_is_killed() -> None:
    server = RedisServer(durable=True)
    try:
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            client.set("kept", "yes")
        server.kill()
        assert not server.is_up()
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            assert client.get("kept") == b"yes"
    finally:
        server.close()


def test_a_module_has_a_database_of_its_own(postgres_server: PostgresServer, postgres_database: str) -> None:
    name = postgres_database.rpartition("/")[2]
    assert postgres_database == postgres_server.url(name)
    with psycopg.connect(postgres_server.dsn(name)) as connection:
        tables = connection.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        assert tables.fetchone() == (0,)


def test_a_test_has_an_empty_redis(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:
        client.set("left", "over")
        redis_server.flush()
        assert client.dbsize() == 0
