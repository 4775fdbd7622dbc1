"""Which arm a unit has met in experiments that keep people where they are: memory, then Redis, then the database."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import structlog
from redis import Redis, RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from reclift.storage.database import Database
from reclift.storage.hurry import may_wait
from reclift.storage.tables import ExposureRow

log = structlog.get_logger(__name__)

Phases = Mapping[str, int]
"""Sticky experiment -> its present phase."""

_REDIS_SECONDS = 30 * 24 * 3600


class Shared(Protocol):
    """A memory that processes share."""

    def get(self, unit: str) -> dict[str, str] | None:
        """`experiment:phase` -> arm; None: nothing known of this unit."""
        ...

    def put(self, unit: str, met: Mapping[str, str]) -> None:
        """Remember."""
        ...

    def forget(self, unit: str) -> None:
        """Drop a unit."""
        ...


class NothingShared:
    """No shared memory: each process asks the database."""

    def get(self, unit: str) -> dict[str, str] | None:  # noqa: ARG002 (the seam's signature)
        """Nothing known."""
        return None

    def put(self, unit: str, met: Mapping[str, str]) -> None:
        """Nothing to remember it in."""

    def forget(self, unit: str) -> None:
        """Nothing to drop."""


class RedisShared:
    """A Redis hash for each unit. Without Redis the database answers; that is logged once a second at most."""

    def __init__(self, client: Redis) -> None:
        """`client` decodes responses; its timeouts are short."""
        self._client = client
        self._rest_until = 0.0

    def _away(self, error: RedisError) -> None:
        self._rest_until = time.monotonic() + 1.0
        log.warning("sticky_redis_away", reason=str(error))

    def get(self, unit: str) -> dict[str, str] | None:
        """What Redis knows; the marker field `:` tells an empty answer from an unknown unit."""
        may_wait()
        if time.monotonic() < self._rest_until:
            return None
        try:
            found: Any = self._client.hgetall(f"reclift:sticky:{unit}")
        except RedisError as error:
            self._away(error)
            return None
        return {name: arm for name, arm in found.items() if name != ":"} if found else None

    def put(self, unit: str, met: Mapping[str, str]) -> None:
        """Remember for a month after the last change."""
        if time.monotonic() < self._rest_until:
            return
        try:
            pipe = self._client.pipeline(transaction=False)
            for name, arm in {":": "", **met}.items():
                # What another process noted first stays.
                pipe.hsetnx(f"reclift:sticky:{unit}", name, arm)
            pipe.expire(f"reclift:sticky:{unit}", _REDIS_SECONDS)
            pipe.execute()
        except RedisError as error:
            self._away(error)

    def forget(self, unit: str) -> None:
        """Drop a unit; raises when Redis is away, since an erased person must not stay."""
        self._client.delete(f"reclift:sticky:{unit}")


class _Entry(NamedTuple):
    """`complete`: it holds all that the database knew; if not, it must not pass for that elsewhere."""

    met: dict[str, str]
    loaded: float
    complete: bool


class Sticky:
    """The arms that units have met first, in the present phases of sticky experiments.

    The exposures in the database are the truth; this reads them through memory. What this process exposes is known at
    once; what another does, within `ttl` seconds, from Redis where there is one.
    """

    def __init__(self, database: Database, shared: Shared, *, ttl: float, capacity: int = 100_000) -> None:
        """`ttl`: seconds for which an entry of this process' memory is trusted."""
        self._database = database
        self._shared = shared
        self._ttl = ttl
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._rest_until = 0.0

    def get(self, unit: str, phases: Phases) -> dict[str, str]:
        """Experiment -> arm met. Never raises: without a database the unit is bucketed as if it were new."""
        if not phases:
            return {}
        entry = self._entries.get(unit)
        if entry is None or time.monotonic() - entry.loaded > self._ttl:
            known = self._shared.get(unit)
            complete = True
            if known is None:
                known = self._from_database(unit)
                if known is None:
                    known, complete = (entry.met, entry.complete) if entry is not None else ({}, False)
                else:
                    self._shared.put(unit, known)
            entry = self._keep(unit, known, complete)
        return {key: entry.met[mark] for key, phase in phases.items() if (mark := f"{key}:{phase}") in entry.met}

    def _from_database(self, unit: str) -> dict[str, str] | None:
        """None: the database is away. Then nobody waits for it again before a second has passed."""
        if time.monotonic() < self._rest_until:
            return None
        try:
            return self._load(unit)
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("sticky_unavailable", reason=str(error).splitlines()[0])
            return None

    def _load(self, unit: str) -> dict[str, str]:
        query = (
            select(ExposureRow.experiment, ExposureRow.phase, ExposureRow.arm)
            .where(ExposureRow.unit_id == unit)
            .order_by(ExposureRow.at.desc(), ExposureRow.arm.desc())
        )
        with self._database.within() as connection:
            # Earlier exposures come later and so overwrite: the first one met stays.
            return {f"{experiment}:{phase}": arm for experiment, phase, arm in connection.execute(query)}

    def _keep(self, unit: str, met: dict[str, str], complete: bool) -> _Entry:
        entry = _Entry(met, time.monotonic(), complete)
        with self._lock:
            self._entries[unit] = entry
            self._entries.move_to_end(unit)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return entry

    def note(self, exposures: Iterable[Mapping[str, Any]], phases: Phases) -> None:
        """Exposures that were just taken; of a unit of which nothing is remembered the database will tell."""
        for row in exposures:
            if phases.get(row["experiment"]) != row["phase"]:
                continue
            unit, mark = row["unit_id"], f"{row['experiment']}:{row['phase']}"
            entry = self._entries.get(unit)
            shared = self._shared.get(unit) if entry is None or not entry.complete else None
            met = shared if shared is not None else entry.met if entry is not None else None
            if met is None or mark in met:
                continue
            complete = shared is not None or (entry is not None and entry.complete)
            met = {**met, mark: row["arm"]}
            self._keep(unit, met, complete)
            if complete:
                self._shared.put(unit, met)

    def renew(self, unit: str) -> None:
        """Read a unit anew, as the database has changed under it."""
        try:
            self.forget(unit)
        except RedisError as error:
            log.warning("sticky_not_renewed", reason=str(error))

    def forget(self, unit: str) -> None:
        """Drop a unit everywhere; raises when Redis is away."""
        with self._lock:
            self._entries.pop(unit, None)
        self._shared.forget(unit)
