"""Threads in which an event loop has things done that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Job(NamedTuple):
    future: asyncio.Future[Any]
    action: Callable[[], Any]


class Threads:
    """Some threads, begun as they are needed. They are daemons: one that hangs does not keep the process from ending,
    as one of a `ThreadPoolExecutor` would.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """`run` is for the loop's own thread; `most` threads at once, what comes beyond waits for one."""
        self._loop = loop
        self._most = most
        self._begun = 0
        self._busy = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def run(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """What `action` returns or raises, done in one of the threads."""
        job = _Job(self._loop.create_future(), action)
        self._busy += 1
        if self._busy > self._begun and self._begun < self._most:
            self._begun += 1
            threading.Thread(target=self._work, name=f"reclift-request-{self._begun}", daemon=True).start()
        self._jobs.put(job)
        return job.future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                outcome, error = job.action(), None
            except BaseException as raised:  # noqa: BLE001 (handed to whoever waits; the thread goes on)
                outcome, error = None, raised
            try:
                self._loop.call_soon_threadsafe(self._settle, job.future, outcome, error)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            del job, outcome, error

    def _settle(self, future: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
        self._busy -= 1
        if future.done():
            return  # whose caller hung up
        if error is None:
            future.set_result(outcome)
        else:
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def close(self) -> None:
        """Let the threads end when they have done what waits."""
        for _ in range(self._begun):
            self._jobs.put(None)
