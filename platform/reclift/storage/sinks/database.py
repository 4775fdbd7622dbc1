"""The database as a sink: one commit for all threads that wait."""

from __future__ import annotations

import time

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.eventlog import GroupCommit, Poison, SinkUnavailable
from reclift.storage.facts import Receipt, write_facts

_AWAY = (OperationalError, InterfaceError, PoolTimeout)
_REST_SECONDS = 1.0


class DatabaseSink:
    """Writes straight into the tables. After a failure it rests for a second: callers go on to the next sink."""

    name = "database"

    def __init__(self, database: Database) -> None:
        """Nothing connects before the first batch."""
        self._database = database
        self._group: GroupCommit[Facts, Receipt] = GroupCommit(self._commit)
        self._rest_until = 0.0

    def append(self, facts: Facts) -> Receipt:
        """Commit together with whoever else is waiting."""
        if time.monotonic() < self._rest_until:
            raise SinkUnavailable("the database did not answer a moment ago")
        return self._group.run(facts)

    def _commit(self, batches: list[Facts]) -> list[Receipt | Exception]:
        try:
            with self._database.connection() as connection:
                return [write_facts(connection, facts) for facts in batches]
        except _AWAY as error:
            return [self._away(error)] * len(batches)
        except DBAPIError:
            # One batch cannot be written: each for itself, so that only the guilty one fails.
            return [self._alone(facts) for facts in batches]

    def _alone(self, facts: Facts) -> Receipt | Exception:
        try:
            with self._database.connection() as connection:
                return write_facts(connection, facts)
        except _AWAY as error:
            return self._away(error)
        except DBAPIError as error:
            return Poison(f"the database refuses the batch: {error.orig}")

    def _away(self, error: Exception) -> SinkUnavailable:
        self._rest_until = time.monotonic() + _REST_SECONDS
        return SinkUnavailable(str(error).splitlines()[0])
