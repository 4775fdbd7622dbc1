"""The other end of the Redis stream: a member of its consumer group reads entries in bulk and removes what is kept.

Each entry is handed to one consumer and stays pending until it is acknowledged. What a consumer took and did not
acknowledge within `idle_ms` (it died, or the database is away) is handed to another. So an entry may come twice; the
tables take each key once.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from reclift.storage.sinks.redis_stream import BYTES, FIELD, GROUP, STREAM

_TARGET_BYTES = 2_000_000
_MOST_ENTRIES = 2_000
_GONE_MS = 3_600_000

# Whoever really removes an entry takes its bytes off the count, once; an empty stream counts nothing.
_REMOVE = """
local removed = 0
for place = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  if redis.call('XDEL', KEYS[1], ARGV[place]) == 1 then
    removed = removed + 1
    redis.call('DECRBY', KEYS[2], ARGV[place + 1])
  end
end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('SET', KEYS[2], '0') end
return removed
"""


class Entry(NamedTuple):
    """One batch as it lies in the stream. `deliveries`: how often it has been handed out, this time included."""

    id: bytes
    data: bytes
    deliveries: int = 1


class StreamReader:
    """One consumer of the group. Every method raises what Redis raises."""

    def __init__(self, client: Redis, *, idle_ms: int = 30_000) -> None:
        """`client` gives bytes; its timeout must be longer than `read` may block."""
        self._client = client
        self._idle_ms = idle_ms
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._remove = client.register_script(_REMOVE)
        self._cursor: bytes = b"0-0"
        self._grouped = False

    def read(self, block_ms: int) -> list[Entry]:
        """New entries, about as many bytes as are worth a transaction; waits up to `block_ms` for the first."""
        try:
            self._join()
            # redis-py takes 0 as "for ever": what must not wait passes None.
            found = cast(
                "list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]",
                self._client.xreadgroup(
                    GROUP, self._name, {STREAM: ">"}, count=self._worth(), block=block_ms if block_ms > 0 else None
                ),
            )
        except ResponseError as error:
            self._left(error)
            return []
        return [Entry(entry, fields.get(FIELD, b"")) for _, entries in found or () for entry, fields in entries]

    def claim(self) -> list[Entry]:
        """Entries that another consumer took and did not finish."""
        try:
            self._join()
            answer = cast(
                "Sequence[Any]",
                self._client.xautoclaim(
                    STREAM, GROUP, self._name, self._idle_ms, start_id=self._cursor, count=self._worth()
                ),
            )
        except ResponseError as error:
            self._left(error)
            return []
        self._cursor = answer[0]
        entries = answer[1]
        if not entries:
            return []
        pending = cast(
            "list[dict[str, Any]]",
            self._client.xpending_range(
                STREAM, GROUP, min=entries[0][0], max=entries[-1][0], count=len(entries) * 2, consumername=self._name
            ),
        )
        times = {row["message_id"]: int(row["times_delivered"]) for row in pending}
        return [Entry(entry, fields.get(FIELD, b""), times.get(entry, 1)) for entry, fields in entries]

    def remove(self, entries: Sequence[Entry]) -> int:
        """Acknowledge and delete what is kept elsewhere now; returns how many were still there."""
        if not entries:
            return 0
        arguments: list[Any] = [GROUP]
        for entry in entries:
            arguments += [entry.id, len(entry.data)]
        return int(cast("int", self._remove(keys=[STREAM, BYTES], args=arguments)))

    def forget_the_dead(self) -> int:
        """Remove consumers that have been silent for an hour and hold nothing; returns how many."""
        self._join()
        gone = 0
        for row in self._client.xinfo_consumers(STREAM, GROUP):
            if row["pending"] == 0 and row["idle"] > _GONE_MS and row["name"] != self._name.encode():
                gone += self._client.xgroup_delconsumer(STREAM, GROUP, row["name"]) == 0
        return gone

    def last(self) -> bytes | None:
        """The id of the newest entry; None: nothing waits."""
        newest = cast("list[tuple[bytes, Any]]", self._client.xrevrange(STREAM, count=1))
        return newest[0][0] if newest else None

    def is_done(self, entry: bytes) -> bool:
        """Whether nothing up to this entry waits any more, handed out or not."""
        return not self._client.xrange(STREAM, max=entry, count=1)

    def _worth(self) -> int:
        batches, size = self._client.xlen(STREAM), self._client.get(BYTES)
        average = int(cast("bytes | None", size) or 0) / max(int(batches), 1)
        return max(1, min(_MOST_ENTRIES, int(_TARGET_BYTES / max(average, 1.0))))

    def _join(self) -> None:
        if self._grouped:
            return
        try:
            self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._grouped = True

    def _left(self, error: ResponseError) -> None:
        """Somebody emptied this Redis: the group is made anew at the next turn. Anything else is raised."""
        if not str(error).startswith("NOGROUP"):
            raise error
        self._grouped = False
