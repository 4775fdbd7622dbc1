"""The Redis stream: what is taken is durable, comes out once or more, and goes when it is kept elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from reclift.domain.events import Facts
from reclift.storage.eventlog import EventLog, Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.sinks.encoding import decode, encode
from reclift.storage.sinks.redis_stream import (
    BYTES,
    STREAM,
    RedisStreamSink,
    durability_problem,
    quick_client,
    waiting_in,
)
from reclift.storage.stream import Entry, StreamReader
from tests.services import RedisServer, wait_until
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Redis]:
    server.flush()
    with Redis.from_url(server.url()) as client:
        yield client


def sink(client: Redis, **more: Any) -> RedisStreamSink:
    return RedisStreamSink(client, **{"max_bytes": 10_000_000, **more})


def ids(entries: list[Entry]) -> list[str]:
    return [row["event_id"] for entry in entries for row in decode(entry.data).events]


def test_a_batch_comes_out_as_it_went_in(client: Redis) -> None:
    facts = Facts([event("e1", properties={"ü": [1, None, 0.1]})], [impression("r1")], [exposure()])
    assert sink(client).append(facts) == Receipt(3, None)
    (entry,) = StreamReader(client).read(0)
    assert decode(entry.data) == facts


def test_threads_together_lose_nothing_and_the_count_of_bytes_is_exact(client: Redis) -> None:
    out = sink(client)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: out.append(Facts([event(f"e{number}")])), range(200)))
    reader = StreamReader(client)
    entries = [entry for _ in range(3) for entry in reader.read(0)]
    assert sorted(ids(entries)) == sorted(f"e{number}" for number in range(200))
    waiting = waiting_in(client)
    assert waiting["batches"] == 200
    assert waiting["bytes"] == sum(len(entry.data) for entry in entries)
    assert reader.remove(entries[:50]) == 50
    assert reader.remove(entries[:50]) == 0
    assert waiting_in(client)["bytes"] == sum(len(entry.data) for entry in entries[50:])
    reader.remove(entries)
    assert waiting_in(client) == {"batches": 0, "bytes": 0, "lag_seconds": 0.0}


def test_it_is_bounded_and_takes_again_when_there_is_room(client: Redis) -> None:
    one = Facts([event()])
    out = sink(client, max_bytes=len(encode(one)) * 3)
    for _ in range(3):
        out.append(one)
    with pytest.raises(SinkUnavailable, match="holds its"):
        out.append(one)
    reader = StreamReader(client)
    reader.remove(reader.read(0)[:1])
    assert out.append(one) == Receipt(1)


def test_of_batches_together_only_those_that_do_not_fit_are_refused(client: Redis) -> None:
    small, large = Facts([event()]), Facts([event(f"e{number}") for number in range(50)])
    results = sink(client, max_bytes=len(encode(small)) * 4)._commit([small, large, small])
    assert results[0] == results[2] == Receipt(1)
    assert isinstance(results[1], SinkUnavailable)


def test_what_cannot_be_json_fails_alone(client: Redis) -> None:
    results = sink(client)._commit([Facts([event("e1")]), Facts([event("bad", value=object())]), Facts([event("e2")])])
    assert isinstance(results[1], Poison)
    assert results[0] == results[2] == Receipt(1)
    assert ids(StreamReader(client).read(0)) == ["e1", "e2"]


def test_what_a_dead_consumer_held_is_handed_to_another_and_counted(client: Redis) -> None:
    sink(client).append(Facts([event("e1")]))
    dead, alive = StreamReader(client, idle_ms=1), StreamReader(client, idle_ms=1)
    (held,) = dead.read(0)
    assert alive.read(0) == []
    time.sleep(0.01)
    (claimed,) = alive.claim()
    assert (claimed.id, claimed.data, claimed.deliveries) == (held.id, held.data, 2)
    last = alive.last()
    assert last == held.id
    assert not alive.is_done(held.id)
    alive.remove([claimed])
    assert alive.is_done(held.id)
    assert dead.remove([held]) == 0


def test_what_a_living_consumer_holds_is_left_to_it(client: Redis) -> None:
    sink(client).append(Facts([event("e1")]))
    StreamReader(client).read(0)
    assert StreamReader(client).claim() == []


def test_a_redis_that_was_emptied_gets_its_group_again(client: Redis) -> None:
    out, reader = sink(client), StreamReader(client)
    assert reader.read(0) == []
    client.flushall()
    out.append(Facts([event("e1")]))
    assert ids([entry for _ in range(2) for entry in reader.read(0)]) == ["e1"]


def test_reading_waits_for_the_first_entry(client: Redis, server: RedisServer) -> None:
    reader = StreamReader(Redis.from_url(server.url()))
    timer = threading.Timer(0.1, sink(client).append, [Facts([event("e1")])])
    timer.start()
    assert ids(reader.read(5_000)) == ["e1"]
    timer.join()


@pytest.mark.parametrize(
    ("settings", "fsync", "words"),
    [
        ({}, "always", None),
        ({"appendfsync": "everysec"}, "everysec", None),
        ({"appendfsync": "everysec"}, "always", "a power cut would lose"),
        ({"appendfsync": "no"}, "everysec", "a power cut would lose"),
        ({"appendonly": "no"}, "everysec", "appendonly is off"),
        ({"appendonly": "no"}, "unchecked", None),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "always", "may drop the stream"),
        ({"maxmemory": "100mb", "maxmemory-policy": "volatile-lru"}, "always", None),
    ],
)
def test_a_redis_that_forgets_is_not_used(client: Redis, settings: dict[str, str], fsync: Any, words: str) -> None:
    before = {name: client.config_get(name)[name] for name in settings}
    try:
        for name, value in settings.items():
            client.config_set(name, value)
        problem = durability_problem(client, fsync)
        out = sink(client, fsync=fsync)
        assert (problem is None) if words is None else (problem is not None and words in problem)
        if words is None:
            assert out.append(Facts([event()])) == Receipt(1)
            assert out.state()["status"] == "ok"
        else:
            with pytest.raises(SinkUnavailable, match=words):
                out.append(Facts([event()]))
            assert words in out.state()["status"]
            assert client.xlen(STREAM) == 0
    finally:
        for name, value in before.items():
            client.config_set(name, value)
        wait_until(lambda: _keeps_its_log(client))


def _keeps_its_log(client: Redis) -> bool:
    """When it is switched on in a running Redis, the log is only kept once it has been written as a whole."""
    found = client.info("persistence")
    return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]


def test_a_redis_that_does_not_tell_is_not_trusted_unless_the_operator_answers_for_it(
    client: Redis, server: RedisServer
) -> None:
    client.execute_command("ACL", "SETUSER", "shop", "on", ">pw", "~*", "+@all", "-config")
    try:
        quiet = Redis(port=server.port, username="shop", password="pw")
        with pytest.raises(SinkUnavailable, match="RECLIFT_STREAM_FSYNC=unchecked"):
            sink(quiet).append(Facts([event()]))
        assert sink(quiet, fsync="unchecked").append(Facts([event()])) == Receipt(1)
    finally:
        client.execute_command("ACL", "DELUSER", "shop")


def test_a_redis_that_is_away_passes_on_and_is_not_asked_again_at_once(client: Redis) -> None:
    nobody = quick_client("redis://127.0.0.1:1")
    out = sink(nobody)
    with pytest.raises(SinkUnavailable, match="ConnectionError"):
        out.append(Facts([event()]))
    with pytest.raises(SinkUnavailable, match="a moment ago"):
        out.append(Facts([event()]))
    assert out.state()["status"].startswith("away")
    assert EventLog([out, sink(client)]).append(Facts([event()])) == Receipt(1)


def test_acknowledged_batches_survive_a_killed_redis(client: Redis, server: RedisServer) -> None:
    out = sink(client)
    for number in range(20):
        out.append(Facts([event(f"e{number}")]))
    reader = StreamReader(client)
    half = reader.read(0)[:10]
    reader.remove(half)
    server.kill()
    server.start()
    assert waiting_in(client)["batches"] == 10
    time.sleep(0.02)
    assert ids(StreamReader(client, idle_ms=1).claim()) == [f"e{number}" for number in range(10, 20)]
    assert int(client.get(BYTES)) == waiting_in(client)["bytes"] > 0


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"clicks": []}', b'{"events": 1}', b'{"events": [1]}', b""])
def test_what_is_no_batch_is_poison(data: bytes) -> None:
    with pytest.raises(Poison, match="not "):
        decode(data)
