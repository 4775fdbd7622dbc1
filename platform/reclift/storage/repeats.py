"""Lists that were asked for with a request id: whoever asks again with it gets the list that was given first.

A retry most often comes to the process that answered, which finds the answer in memory. Elsewhere the impression tells:
it has the same id, so that a sink that writes into the tables finds it there already, and then, and only then, it is
read. A first call costs no reading. A stream cannot tell; so where there is Redis, a mark there tells for some minutes
whether anybody has answered before.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any, NamedTuple, Protocol

import orjson
import structlog
from redis import Redis, RedisError
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from reclift.storage.database import Database
from reclift.storage.hurry import may_wait
from reclift.storage.tables import ImpressionRow

log = structlog.get_logger(__name__)

CAPACITY = 10_000
"""Answers in memory: about a kilobyte each."""

_QUERY = select(
    ImpressionRow.experiment,
    ImpressionRow.arm,
    ImpressionRow.strategy,
    ImpressionRow.model,
    ImpressionRow.fallback,
    ImpressionRow.items,
).where(ImpressionRow.recommendation_id == bindparam("id"))


MARKED_SECONDS = 600
"""Retries come within seconds; a mark is some hundred bytes of Redis' memory."""


class Marks(Protocol):
    """Says of an id whether it was seen before."""

    def seen(self, recommendation_id: str) -> bool | None:
        """Whether anybody has asked this of the id; from now on somebody has. None: nobody knows."""
        ...


class NoMarks:
    """Where nothing is shared nobody knows."""

    def seen(self, recommendation_id: str) -> bool | None:  # noqa: ARG002 (the seam's signature)
        """Not known."""
        return None


class RedisMarks:
    """A key in Redis for each id, for ten minutes. It holds nothing but the id, which is a hash."""

    def __init__(self, client: Redis) -> None:
        """`client`: its timeouts are short."""
        self._client = client
        self._rest_until = 0.0

    def seen(self, recommendation_id: str) -> bool | None:
        """None while Redis is away, or full; that is logged once a second at most."""
        may_wait()
        if time.monotonic() < self._rest_until:
            return None
        try:
            return not self._client.set(f"reclift:asked:{recommendation_id}", "", nx=True, ex=MARKED_SECONDS)
        except RedisError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("repeats_redis_away", reason=str(error))
            return None


class _Given(NamedTuple):
    """`answer`: as JSON, which is small and nobody changes it."""

    unit: str
    answer: bytes


class Repeats:
    """A bounded memory of answers by recommendation id, with the impressions behind it. Safe in many threads."""

    def __init__(self, database: Database, marks: Marks, *, capacity: int = CAPACITY) -> None:
        """`marks` are asked where a sink does not know; `capacity`: answers in memory; the oldest go first."""
        self._database = database
        self._marks = marks
        self._capacity = capacity
        self._given: OrderedDict[str, _Given] = OrderedDict()
        self._lock = threading.Lock()
        self._rest_until = 0.0

    def get(self, recommendation_id: str) -> dict[str, Any] | None:
        """The answer that this process gave; None: it does not remember one."""
        given = self._given.get(recommendation_id)
        if given is None:
            return None
        answer: dict[str, Any] = orjson.loads(given.answer)
        return answer

    def first(self, unit: str, answer: dict[str, Any], *, was_there: bool | None) -> dict[str, Any]:
        """The answer that counts: `answer`, whose impression was just kept, or one that was given before.

        `was_there`: whether its impression was in the tables already; None: not known. Never raises: without a
        database `answer` is the first that is known of.
        """
        key = answer["recommendation_id"]
        if was_there is None:
            was_there = self._marks.seen(key)
        if was_there is not False:
            answer = self._as_stored(answer)
        given = _Given(unit, orjson.dumps(answer))
        with self._lock:
            before = self._given.setdefault(key, given)  # two threads may have been asked the same at once
            while len(self._given) > self._capacity:
                self._given.popitem(last=False)
        return answer if before is given else orjson.loads(before.answer)

    def _as_stored(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer with what its impression says, where there is one."""
        if time.monotonic() < self._rest_until:
            return answer
        try:
            with self._database.within() as connection:
                row = connection.execute(_QUERY, {"id": answer["recommendation_id"]}).one_or_none()
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("repeats_unavailable", reason=str(error).splitlines()[0])
            return answer
        if row is None:
            return answer
        experiment, arm = row.experiment, row.arm
        if experiment is None:
            # Of no experiment; or of one that does not count this person, and then its places say which arm it was.
            arm = next((place["arm"] for place in row.items if "arm" in place), None)
            experiment = answer["experiment"] if arm is not None else None
        return {
            **answer,
            "experiment": experiment,
            "arm": arm,
            "strategy": row.strategy,
            "model": row.model,
            "fallback": row.fallback,
            "items": row.items,
        }

    def forget(self, unit: str) -> None:
        """Drop what is in memory of a unit."""
        with self._lock:
            for key in [key for key, given in self._given.items() if given.unit == unit]:
                del self._given[key]

    def forget_all(self) -> None:
        """Drop everything: people were erased."""
        with self._lock:
            self._given.clear()
