"""Moves batches from the Redis stream into the tables, many at a time, and removes them only after the commit.

Any number of drains may run. One that dies leaves its entries pending; another claims them. One that finds the
database away keeps what it has (never more than one portion) and tries again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from redis import RedisError

from reclift.domain.events import Facts
from reclift.flows.dead_letters import Burying
from reclift.storage.eventlog import Poison, SinkUnavailable
from reclift.storage.sinks.encoding import decode
from reclift.storage.stream import Entry, StreamReader

log = structlog.get_logger(__name__)

MOST_DELIVERIES = 20
"""An entry that was handed out this often and never came to an end is buried: it may be what kills the drains."""

_CLAIM_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_TIDY_SECONDS = 600.0


class StreamDrain:
    """One consumer of the stream."""

    def __init__(self, reader: StreamReader, tables: Burying) -> None:
        """`tables` writes, and buries what cannot be written."""
        self._reader = reader
        self._tables = tables
        self._held: list[Entry] = []
        self._claimed = 0.0
        self._tidied = time.monotonic()

    def step(self, block_ms: int = 0) -> int:
        """Move one portion; returns how many facts it held.

        `SinkUnavailable` when the tables cannot be written now (the portion is kept for the next step), and what Redis
        raises: then the entries stay pending and are claimed later, by this drain or another.
        """
        if not self._held:
            self._held = self._next(block_ms)
        moved = 0
        while self._held:
            # One that was handed out before goes alone: it may be what brought its reader down.
            alone = self._held[0].deliveries > 2
            now = self._held[:1] if alone else [entry for entry in self._held if entry.deliveries <= 2]
            moved += self._move(now)
            self._held = [entry for entry in self._held if entry not in now]
        return moved

    def _next(self, block_ms: int) -> list[Entry]:
        if time.monotonic() - self._claimed >= _CLAIM_SECONDS:
            claimed = self._reader.claim()
            if claimed:
                log.info("stream_entries_claimed", entries=len(claimed))
                return claimed  # and look again at once: there may be more
            self._claimed = time.monotonic()
        return self._reader.read(block_ms)

    def _move(self, entries: Sequence[Entry]) -> int:
        together = Facts()
        bad: list[tuple[Entry, str]] = []
        for entry in entries:
            if entry.deliveries > MOST_DELIVERIES:
                bad.append((entry, f"handed out {entry.deliveries} times, and its reader never finished"))
                continue
            try:
                together.extend(decode(entry.data))
            except Poison as error:
                bad.append((entry, str(error)))
        if len(together):
            self._tables.append(together)
        for entry, reason in bad:
            self._tables.bury(entry.data, reason)
        self._reader.remove(entries)
        return len(together)

    def run(self, stopping: threading.Event) -> None:
        """Until told to stop. What goes wrong is logged and tried again: nobody else moves what waits here."""
        while not stopping.is_set():
            try:
                self.step(block_ms=1_000)
                if time.monotonic() - self._tidied > _TIDY_SECONDS:
                    self._tidied = time.monotonic()
                    self._reader.forget_the_dead()
            except SinkUnavailable as error:
                log.warning("stream_waits_for_the_database", reason=str(error))
                stopping.wait(_RETRY_SECONDS)
            except RedisError as error:
                log.warning("stream_not_read", reason=f"{type(error).__name__}: {error}")
                self._held = []
                stopping.wait(_RETRY_SECONDS)
            except Exception:
                log.exception("stream_not_drained")
                self._held = []
                stopping.wait(_RETRY_SECONDS)

    def until_done(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Return when everything that waits now is in the tables, whoever moves it.

        `SinkUnavailable` when that takes longer than `seconds`, or when Redis or the database is away.
        """
        try:
            last = self._reader.last()
            deadline = clock() + seconds
            while last is not None and not self._reader.is_done(last):
                if clock() > deadline:
                    raise SinkUnavailable(f"the stream was not drained within {seconds:g} seconds")
                if not self.step():
                    time.sleep(0.02)
        except RedisError as error:
            raise SinkUnavailable(f"the stream cannot be read: {type(error).__name__}: {error}") from error
