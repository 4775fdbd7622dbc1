"""Asks strategies without waiting for ever: one that is late or fails costs its list, never the shop's answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Literal, NamedTuple

import structlog

from reclift.flows.serving import Served
from reclift.strategy import Query, Scored

log = structlog.get_logger(__name__)

_MOST_LATE = 4
_REST_SECONDS = 15.0

Failure = Literal["no_model", "error", "timeout"]


class Asked(NamedTuple):
    """What a strategy answered, or why it did not."""

    items: Sequence[Scored]
    failure: Failure | None = None


class Guard:
    """Runs strategies in threads with a deadline.

    A thread that hangs cannot be stopped, so a strategy with several late calls is not asked again for a while: its
    stuck threads must not use up the pool.
    """

    def __init__(self, *, threads: int, timeout_seconds: float) -> None:
        """`threads` answer at once; `timeout_seconds` is what one call may take."""
        self._pool = ThreadPoolExecutor(threads + 2 * _MOST_LATE, thread_name_prefix="strategy")
        self._timeout = timeout_seconds
        self._late: dict[str, int] = {}
        self._rest: dict[str, float] = {}
        self._lock = threading.Lock()

    def ask(self, served: Served, query: Query) -> Asked:
        """The strategy's answer within the time, or the reason why there is none. Never raises."""
        model = served.model
        if model is None:
            return Asked((), "no_model")
        name = served.label or served.strategy
        if self._rest.get(name, 0.0) > time.monotonic():
            return Asked((), "timeout")
        future = self._pool.submit(model.recommend, query)
        try:
            return Asked(future.result(self._timeout))
        except Late:
            self._note_late(name, future)
            return Asked((), "timeout")
        except Exception:
            # Foreign code: whatever it raises, the fallback fills the list, and the log has the trace.
            log.exception("strategy_failed", strategy=name)
            return Asked((), "error")

    def _note_late(self, name: str, future: Future[Sequence[Scored]]) -> None:
        log.warning("strategy_late", strategy=name, seconds=self._timeout)
        if future.cancel():
            return
        with self._lock:
            self._late[name] = self._late.get(name, 0) + 1
            if self._late[name] >= _MOST_LATE:
                self._rest[name] = time.monotonic() + _REST_SECONDS

        def back(_future: Future[Sequence[Scored]]) -> None:
            with self._lock:
                self._late[name] -= 1

        future.add_done_callback(back)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
