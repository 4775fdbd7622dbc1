"""From the stream into the tables: once, whoever dies; what cannot be written is buried with its reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from redis import Redis
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.flows import catalogue, dead_letters
from reclift.flows.dead_letters import Burying
from reclift.flows.drain_stream import MOST_DELIVERIES, StreamDrain
from reclift.flows.errors import Conflict, NotFound
from reclift.storage.eventlog import SinkUnavailable
from reclift.storage.sinks.redis_stream import FIELD, STREAM, RedisStreamSink, waiting_in
from reclift.storage.stream import StreamReader
from reclift.storage.tables import DeadLetter, EventRow, ExposureRow
from reclift.wiring import Runtime
from tests.services import RedisServer
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    redis_server.flush()
    with Redis.from_url(redis_server.url()) as client:
        yield client


def sink(client: Redis) -> RedisStreamSink:
    return RedisStreamSink(client, max_bytes=10_000_000, fsync="unchecked")


def drain(runtime: Runtime, client: Redis, idle_ms: int = 30_000) -> StreamDrain:
    return StreamDrain(StreamReader(client, idle_ms=idle_ms), Burying(runtime.database, runtime.direct, "stream"))


def ids(runtime: Runtime) -> list[str]:
    with runtime.database.read() as session:
        return list(session.scalars(select(EventRow.event_id).order_by(EventRow.event_id)))


def letters(runtime: Runtime) -> list[dict[str, Any]]:
    with runtime.database.read() as session:
        return dead_letters.latest(session, 100)


def test_batches_reach_the_tables_and_leave_the_stream(runtime: Runtime, client: Redis) -> None:
    for number in range(30):
        sink(client).append(Facts([event(f"e{number:02}")], [impression(f"r{number}")], [exposure(f"u{number}")]))
    assert drain(runtime, client).step() == 90
    assert ids(runtime) == [f"e{number:02}" for number in range(30)]
    assert waiting_in(client)["batches"] == 0
    assert drain(runtime, client).step() == 0


def test_a_crash_between_commit_and_acknowledgement_doubles_nothing(runtime: Runtime, client: Redis) -> None:
    sink(client).append(Facts([event("e1")], exposures=[exposure()]))
    dying = drain(runtime, client, idle_ms=1)
    dying._reader.remove = lambda entries: 0  # type: ignore[method-assign]  # it was killed before
    assert dying.step() == 2
    assert waiting_in(client)["batches"] == 1
    time.sleep(0.01)
    assert drain(runtime, client, idle_ms=1).step() == 2
    assert ids(runtime) == ["e1"]
    assert waiting_in(client)["batches"] == 0


def test_while_the_tables_are_away_the_portion_is_kept(
    runtime: Runtime, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Facts) -> None:
        raise SinkUnavailable("gone fishing")

    sink(client).append(Facts([event("e1")]))
    one = drain(runtime, client)
    with monkeypatch.context() as patch:
        patch.setattr(runtime.direct, "append", away)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                one.step()
    assert waiting_in(client)["batches"] == 1
    assert one.step() == 1
    assert ids(runtime) == ["e1"]


def test_one_bad_fact_is_buried_and_its_batch_is_not(runtime: Runtime, client: Redis) -> None:
    sink(client).append(Facts([event("e1"), event("bad", at=2**63, unit="u9"), event("e2")], [impression("r1")]))
    sink(client).append(Facts([event("e3")]))
    drain(runtime, client).step()
    assert ids(runtime) == ["e1", "e2", "e3"]
    (letter,) = letters(runtime)
    assert letter["source"] == "stream"
    assert "large" in letter["reason"]
    assert [row["event_id"] for row in orjson.loads(letter["payload"])["events"]] == ["bad"]
    with runtime.database.read() as session:
        assert session.scalars(select(DeadLetter.unit_id)).all() == ["u9"]
    assert waiting_in(client)["batches"] == 0


def test_what_nobody_can_read_is_buried_as_it_came(runtime: Runtime, client: Redis) -> None:
    client.xadd(STREAM, {FIELD: b"\xff\x00 not json"})
    client.xadd(STREAM, {b"other": b"field"})
    sink(client).append(Facts([event("e1")]))
    drain(runtime, client).step()
    assert ids(runtime) == ["e1"]
    assert [letter["bytes"] for letter in letters(runtime)] == [0, 11]


def test_what_kills_its_readers_is_buried_in_the_end(runtime: Runtime, client: Redis) -> None:
    sink(client).append(Facts([event("killer")]))
    StreamReader(client).read(0)
    pending = client.xpending_range(STREAM, "tables", min="-", max="+", count=1)[0]
    client.xclaim(STREAM, "tables", "dead", 0, [pending["message_id"]], retrycount=MOST_DELIVERIES)
    time.sleep(0.01)
    drain(runtime, client, idle_ms=1).step()
    assert ids(runtime) == []
    (letter,) = letters(runtime)
    assert "handed out 21 times" in letter["reason"]
    assert dead_letters.replay(runtime.database, runtime.direct, letter["id"], actor="you") == 1
    assert ids(runtime) == ["killer"]


def test_an_alias_that_became_known_while_a_batch_waited_is_resolved(runtime: Runtime, client: Redis) -> None:
    sink(client).append(Facts([event("e1", "device")], [impression("r1", "device")], [exposure("device")]))
    with runtime.database.write() as session:
        catalogue.add_alias(session, "anna", "device")
    drain(runtime, client).step()
    with runtime.database.read() as session:
        assert session.scalars(select(EventRow.unit_id)).all() == ["anna"]
        assert session.scalars(select(ExposureRow.unit_id)).all() == ["anna"]


def test_until_done_waits_for_what_others_hold(runtime: Runtime, client: Redis) -> None:
    sink(client).append(Facts([event("e1")]))
    StreamReader(client).read(0)  # somebody else has it, and is slow
    with pytest.raises(SinkUnavailable, match="not drained within"):
        drain(runtime, client).until_done(0.1)
    drain(runtime, client, idle_ms=1).until_done(5)
    assert ids(runtime) == ["e1"]


def test_replaying_says_why_it_is_still_refused_and_keeps_it(runtime: Runtime, client: Redis) -> None:
    Burying(runtime.database, runtime.direct, "spool").append(Facts([event("bad", at=2**63)]))
    (letter,) = letters(runtime)
    with pytest.raises(Conflict, match="large"):
        dead_letters.replay(runtime.database, runtime.direct, letter["id"], actor="you")
    assert letters(runtime) == [letter]
    dead_letters.discard(runtime.database, letter["id"], actor="you")
    with pytest.raises(NotFound):
        dead_letters.replay(runtime.database, runtime.direct, letter["id"], actor="you")


def test_poison_in_the_spool_is_buried_too(runtime: Runtime) -> None:
    runtime.spool.append(Facts([event("e1"), event("bad", at=2**63)]))
    runtime.drain()
    assert ids(runtime) == ["e1"]
    assert [letter["source"] for letter in letters(runtime)] == ["spool"]
    assert runtime.spool.size() == 0
