"""The database as a sink: one commit for all threads that wait."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.eventlog import GroupCommit, Poison, SinkUnavailable
from reclift.storage.facts import Receipt, write_batches, write_facts
from reclift.storage.persons import resolve
from reclift.storage.quick_sqlite import QuickSqlite

log = structlog.get_logger(__name__)

_REST_SECONDS = 1.0
_TOGETHER = frozenset({"40P01", "40001"})
"""PostgreSQL's codes for a deadlock and a serialisation failure: nothing is wrong, it only has to be tried again."""


class DatabaseSink:
    """Writes straight into the tables. After a failure it rests for a second: callers go on to the next sink."""

    name = "database"

    def __init__(self, database: Database, *, patience: float = 60.0) -> None:
        """Nothing connects before the first batch. `patience`: seconds after which a commit is given up as hanging."""
        self._database = database
        self._patience = patience
        self._group: GroupCommit[Facts, Receipt] = GroupCommit(self._commit)
        self._quick = QuickSqlite(database.engine) if database.is_sqlite else None
        self._rest_until = 0.0

    def append(self, facts: Facts) -> Receipt:
        """Commit together with whoever else is waiting."""
        if time.monotonic() < self._rest_until:
            raise SinkUnavailable("the database did not answer a moment ago")
        return self._group.run(facts)

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """Commit them together."""
        if time.monotonic() < self._rest_until:
            return [SinkUnavailable("the database did not answer a moment ago")] * len(batches)
        return self._group.run_many(batches)

    def _commit(self, batches: list[Facts]) -> list[Receipt | Exception]:
        if self._quick is not None and self._quick.write(batches):
            return [Receipt(len(facts), 0) for facts in batches]
        try:
            with self._database.within(self._patience, writing=True) as connection:
                resolve(connection, batches)
                return list(write_batches(connection, batches))
        except Exception as error:  # noqa: BLE001 (told apart by _is_away; the others are found one by one)
            if _is_away(error):
                return [self._away(error)] * len(batches)
            # One batch cannot be written: each for itself, so that only the guilty one fails.
            return [self._alone(facts) for facts in batches]

    def _alone(self, facts: Facts) -> Receipt | Exception:
        try:
            with self._database.within(self._patience, writing=True) as connection:
                resolve(connection, [facts])
                return write_facts(connection, facts)
        except Exception as error:  # noqa: BLE001 (what is not the database's fault is the batch's)
            if _is_away(error) or _is_conflict(error):
                return self._away(error)
            log.warning("batch_poisonous", facts=len(facts), reason=_reason(error))
            return Poison(f"the database refuses the batch: {_reason(error)}")

    def _away(self, error: Exception) -> SinkUnavailable:
        self._rest_until = time.monotonic() + _REST_SECONDS
        return SinkUnavailable(_reason(error))


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _TOGETHER


def _is_away(error: Exception) -> bool:
    """Whether the database is at fault and not what was to be written.

    Only values it cannot hold are the batch's fault. A database that is down, full, read-only, not migrated or that
    lacks a permission is away: the facts are good and wait elsewhere.
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError) or isinstance(error, DataError | IntegrityError):
        return False
    if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) is None:
        return False  # the driver's own: a type that it cannot send
    return not _is_conflict(error)


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
