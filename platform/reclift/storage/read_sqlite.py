"""The short way to read from SQLite for who waits for a list: one row, without a session or a transaction around it.

Each row that SQLite gives is a step that gives the interpreter's lock away, and with many threads it takes longer to
get the lock back than to read. So whatever is asked for here is made one row by the statement itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from reclift.storage.database import own_connection
from reclift.storage.hurry import may_wait


class OneRow:
    """Answers statements that have one row. Keeps connections of its own, as many as are asked at once.

    Safe in many threads. They are made at the first use and closed with the engine's pool.
    """

    def __init__(self, engine: Engine) -> None:
        """`engine` is a SQLite database's, whose connections leave transactions alone (autocommit)."""
        self._engine = engine
        self._free: list[sqlite3.Connection] = []
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def ask(self, statement: str, parameters: Sequence[Any]) -> tuple[Any, ...]:
        """The row. Raises what SQLAlchemy raises for the same trouble."""
        may_wait()
        try:
            connection = self._free.pop()
        except IndexError:
            connection = own_connection(self._engine)
        try:
            row: tuple[Any, ...] = connection.execute(statement, parameters).fetchone()
        except sqlite3.Error as error:
            connection.close()
            raise DBAPIError.instance(
                statement, tuple(parameters), error, sqlite3.Error, dialect=self._engine.dialect
            ) from error
        self._free.append(connection)
        return row

    def close(self) -> None:
        """Close what is not in use."""
        while self._free:
            self._free.pop().close()
