"""A Redis stream as a sink: the fast road in. A batch is one entry; workers move entries into the tables in bulk.

Acknowledged means durable, so the stream takes nothing from a Redis that would forget it: the append-only file must be
on, with the fsync policy that the settings ask for, and memory pressure must not evict the stream. This is asked of
Redis before the first batch, after every failure and every few seconds; while it does not hold, the sink refuses and
the next one in the chain takes over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Literal, cast

import structlog
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError
from redis.retry import Retry

from reclift.domain.events import Facts
from reclift.storage.eventlog import GroupCommit, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.sinks.encoding import encode

log = structlog.get_logger(__name__)

Fsync = Literal["always", "everysec", "unchecked"]
"""The weakest that counts as durable. `unchecked`: the operator answers for it, where Redis may not be asked."""

STREAM = "{reclift:events}"
"""The braces put all keys of the stream into one slot of a Redis cluster."""
BYTES = f"{STREAM}:bytes"
GROUP = "tables"
FIELD = b"facts"

_REST_SECONDS = 1.0
_CHECK_SECONDS = 10.0

# Atomic: many processes append, and together they never go beyond the bound.
_APPEND = """
local waiting = tonumber(redis.call('GET', KEYS[2]) or '0')
local taken = {}
for place = 2, #ARGV do
  if waiting + #ARGV[place] > tonumber(ARGV[1]) then
    taken[place - 1] = 0
  else
    waiting = redis.call('INCRBY', KEYS[2], #ARGV[place])
    redis.call('XADD', KEYS[1], '*', 'facts', ARGV[place])
    taken[place - 1] = 1
  end
end
return taken
"""


def quick_client(url: str, *, text: bool = False) -> Redis:
    """A client for the roads that people wait on: it says at once that Redis is away, and tries nothing twice."""
    return Redis.from_url(
        url,
        decode_responses=text,
        socket_timeout=0.25 if text else 0.5,
        socket_connect_timeout=0.25,
        retry=Retry(NoBackoff(), 0),
    )


class RedisStreamSink:
    """Appends batches to the stream, those of all waiting threads in one round trip.

    Bounded: beyond `max_bytes` of waiting batches it refuses, so that an outage of the database fills neither Redis'
    memory nor the hosts'. After a failure it rests for a second: callers go on to the next sink at once.
    """

    name = "redis"

    def __init__(self, client: Redis, *, max_bytes: int, fsync: Fsync = "always") -> None:
        """`client` gives bytes, not text, and has short timeouts. Nothing connects before the first batch."""
        self._client = client
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._append = client.register_script(_APPEND)
        self._group: GroupCommit[Facts, Receipt] = GroupCommit(self._commit)
        self._checking = threading.Lock()
        self._checked = 0.0
        self._rest_until = 0.0
        self._problem: str | None = None

    def append(self, facts: Facts) -> Receipt:
        """Keep the batch. Whether its keys are known already is not known before it reaches the tables."""
        if time.monotonic() < self._rest_until:
            raise SinkUnavailable("Redis did not take a batch a moment ago")
        return self._group.run(facts)

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """Keep them in one round trip."""
        if time.monotonic() < self._rest_until:
            return [SinkUnavailable("Redis did not take a batch a moment ago")] * len(batches)
        return self._group.run_many(batches)

    def _commit(self, batches: list[Facts]) -> list[Receipt | Exception]:
        results: list[Receipt | Exception] = []
        sent: list[tuple[int, bytes]] = []
        for place, facts in enumerate(batches):
            try:
                sent.append((place, encode(facts)))
            except Exception as error:  # noqa: BLE001 (handed to the thread whose batch it is)
                results.append(error)
            else:
                results.append(Receipt(len(facts)))
        if not sent:
            return results
        try:
            problem = self.problem()
            taken = (
                cast("list[int]", self._append(keys=[STREAM, BYTES], args=[self._max_bytes, *(one for _, one in sent)]))
                if problem is None
                else []
            )
        except RedisError as error:
            # It may have been written all the same; then it comes twice, and the tables take it once.
            self._checked = 0.0
            problem, taken = f"{type(error).__name__}: {error}", []
        if problem is not None:
            self._rest_until = time.monotonic() + _REST_SECONDS
        full = f"the stream holds its {self._max_bytes} bytes already"
        for number, (place, _) in enumerate(sent):
            if problem is not None or not taken[number]:
                results[place] = SinkUnavailable(problem or full)
        return results

    def problem(self) -> str | None:
        """Why this Redis is not durable enough, or None. Raises what Redis raises."""
        if self._checked and time.monotonic() - self._checked < _CHECK_SECONDS:
            return self._problem
        with self._checking:
            problem = durability_problem(self._client, self._fsync)
            if problem is not None and problem != self._problem:
                log.error("redis_not_durable", reason=problem)
            self._problem, self._checked = problem, time.monotonic()
        return problem

    def state(self) -> dict[str, Any]:
        """For /health/ready: whether batches go to the stream, why not, and what waits. Never raises."""
        try:
            problem = self.problem()
            waiting = waiting_in(self._client)
        except RedisError as error:
            return {"status": f"away: {type(error).__name__}: {error}"}
        return {"status": "ok" if problem is None else f"not used: {problem}", **waiting}


def waiting_in(client: Redis) -> dict[str, Any]:
    """Batches, bytes and age of the oldest batch that waits. Raises what Redis raises."""
    batches = int(client.xlen(STREAM))
    size = int(cast("bytes | None", client.get(BYTES)) or 0)
    first = cast("list[tuple[bytes, Any]]", client.xrange(STREAM, count=1)) if batches else []
    age = max(0.0, time.time() - int(first[0][0].split(b"-")[0]) / 1_000) if first else 0.0
    return {"batches": batches, "bytes": size, "lag_seconds": round(age, 3)}


def durability_problem(client: Redis, fsync: Fsync) -> str | None:
    """What is wrong with Redis' configuration for a log of events, in words; None: nothing."""
    if fsync == "unchecked":
        return None
    try:
        found: dict[str, str] = {}
        for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy"):
            answer = cast("dict[Any, Any]", client.config_get(name))
            found |= {_text(key): _text(value) for key, value in answer.items()}
    except (NoPermissionError, ResponseError) as error:
        if _is_forbidden(error):
            return (
                f"Redis does not tell how durable it is ({error}): "
                "where you know that it is, set RECLIFT_STREAM_FSYNC=unchecked"
            )
        raise
    if found.get("appendonly") != "yes":
        return "appendonly is off: Redis would lose acknowledged events when it ends; set `appendonly yes`"
    allowed = {"always": ("always",), "everysec": ("always", "everysec")}[fsync]
    if found.get("appendfsync") not in allowed:
        return (
            f"appendfsync is {found.get('appendfsync')!r}, RECLIFT_STREAM_FSYNC asks for {fsync!r}: "
            "a power cut would lose acknowledged events"
        )
    policy = found.get("maxmemory-policy", "noeviction")
    if int(found.get("maxmemory") or 0) and policy.startswith("allkeys"):
        return f"maxmemory-policy is {policy!r}: Redis may drop the stream; set `maxmemory-policy noeviction`"
    return None


def _is_forbidden(error: ResponseError) -> bool:
    words = str(error).lower()
    return isinstance(error, NoPermissionError) or "unknown command" in words or "unknown subcommand" in words


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
