"""Makes durable what an event loop collected: in one thread, as much at once as has come."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence

import structlog

from reclift.domain.events import Facts
from reclift.storage.eventlog import EventLog, SinkUnavailable
from reclift.storage.facts import Receipt

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
_TOGETHER = 200

_Outcome = Receipt | Exception
_Waiting = tuple[Facts, "asyncio.Future[_Outcome]"]


class Keeper:
    """Hands batches to the event log, those of all answers that wait in one commit, and wakes the loop once for all.

    While one commit goes on the loop answers others, so the busier the server the more answers share a commit.
    """

    def __init__(self, event_log: EventLog, loop: asyncio.AbstractEventLoop) -> None:
        """Begins its thread. `keep` is for the loop's own thread."""
        self._log = event_log
        self._loop = loop
        self._waiting: deque[_Waiting] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="reclift-keeper", daemon=True)
        self._thread.start()

    def keep(self, batches: Sequence[Facts]) -> asyncio.Future[_Outcome]:
        """What became of these batches, as soon as they are durable; they are kept together or not at all.

        `SinkUnavailable` at once when too many wait.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise SinkUnavailable(f"{len(self._waiting)} batches are waiting already")
        facts = batches[0]
        for more in batches[1:]:
            facts.extend(more)
        future: asyncio.Future[_Outcome] = self._loop.create_future()
        self._waiting.append((facts, future))
        if not self._wake.is_set():
            self._wake.set()
        return future

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()  # before looking: what comes from now on wakes it again
            while together := self._next():
                self._keep(together)
            if self._closing:
                return

    def _next(self) -> list[_Waiting]:
        together: list[_Waiting] = []
        while self._waiting and len(together) < _TOGETHER:
            together.append(self._waiting.popleft())
        return together

    def _keep(self, together: Sequence[_Waiting]) -> None:
        outcomes: Sequence[_Outcome]
        try:
            outcomes = self._log.append_many([facts for facts, _ in together])
        except Exception as error:  # noqa: BLE001 (handed to whoever waits)
            outcomes = [error] * len(together)
        try:
            self._loop.call_soon_threadsafe(_settle, together, outcomes)
        except RuntimeError:  # the loop is closed: nobody waits any more, and what is durable stays so
            log.info("keeper_after_loop", batches=len(together))

    def close(self) -> None:
        """Keep what waits, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join(10)


def _settle(together: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    for (_, future), outcome in zip(together, outcomes, strict=True):
        if not future.done():  # whose caller hung up
            future.set_result(outcome)
