"""Asks strategies without waiting for ever: one that is late or fails costs its list, never the shop's answer."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from itertools import islice
from typing import Any, Literal, NamedTuple

import structlog

from reclift.flows.serving import Served
from reclift.strategy import Query, Scored, Strategy

log = structlog.get_logger(__name__)

MOST_STUCK = 4
"""Calls of a model that are late and still running; with so many it is not asked until some come back."""
REST_SECONDS = 15.0
MOST_ITEMS = 10_000
MOST_LANES = 100

Failure = Literal["no_model", "error", "timeout"]


class Asked(NamedTuple):
    """What a strategy answered, or why it did not."""

    items: Sequence[Scored]
    failure: Failure | None = None


def checked(answer: Iterable[Any]) -> list[Scored]:
    """A strategy's answer as a list of sound items; `TypeError` or `ValueError` names what is wrong with it."""
    items = []
    for place, given in enumerate(islice(answer, MOST_ITEMS)):
        scored = Scored(*given)
        if not isinstance(scored.item_id, str):
            raise TypeError(f"item {place}: item_id={scored.item_id!r} is no string")
        for name in ("score", "propensity"):
            number = getattr(scored, name)
            if (number is not None or name == "score") and not math.isfinite(number):
                raise ValueError(f"item {place} ({scored.item_id}): {name}={number!r} is not finite")
        items.append(scored)
    return items


class _Lane:
    """The threads of one model. They are its own, so that one that hangs takes nothing from the others; and daemons,
    so that it does not keep the process from ending (as threads of a `ThreadPoolExecutor` would).
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[tuple[Future[list[Scored]], Strategy, Query] | None] = queue.SimpleQueue()
        self.stuck = 0
        self.rest_until = 0.0

    def submit(self, model: Strategy, query: Query) -> Future[list[Scored]]:
        future: Future[list[Scored]] = Future()
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=f"strategy-{self._name}", daemon=True).start()
        self._work.put((future, model, query))
        return future

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            future, model, query = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(checked(model.recommend(query)))
                except BaseException as error:  # noqa: BLE001 (handed to whoever waits; this thread goes on)
                    future.set_exception(error)
            del job, future, model, query
            with self._lock:
                self._idle += 1

    def note_late(self, future: Future[list[Scored]]) -> None:
        if future.cancel():
            return  # it never began: all threads were busy
        with self._lock:
            self.stuck += 1
            if self.stuck >= MOST_STUCK:
                self.rest_until = time.monotonic() + REST_SECONDS

        def back(_future: Future[list[Scored]]) -> None:
            with self._lock:
                self.stuck -= 1

        future.add_done_callback(back)

    @property
    def resting(self) -> bool:
        return self.stuck >= MOST_STUCK or self.rest_until > time.monotonic()

    def close(self) -> None:
        for _ in range(self._most):
            self._work.put(None)


class Guard:
    """Runs strategies in threads with a deadline.

    A thread that hangs cannot be stopped, so a model with several late calls is not asked again for a while, and not
    at all as long as they hang.
    """

    def __init__(self, *, threads: int, timeout_seconds: float) -> None:
        """`threads` calls of a model run at once; `timeout_seconds` is what one may take."""
        self._threads = threads + MOST_STUCK
        self._timeout = timeout_seconds
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, served: Served, query: Query) -> Asked:
        """The strategy's answer within the time, or the reason why there is none. Never raises."""
        model = served.model
        if model is None:
            return Asked((), "no_model")
        name = served.label or served.strategy
        lane = self._lanes.get(name) or self._open(name)
        if lane.resting:
            return Asked((), "timeout")
        future = lane.submit(model, query)
        try:
            return Asked(future.result(self._timeout))
        except Late:
            if future.done() and not future.cancelled():
                # It came this very moment, or it raised a timeout of its own.
                return Asked((), "error") if future.exception() else Asked(future.result())
            log.warning("strategy_late", strategy=name, seconds=self._timeout)
            lane.note_late(future)
            return Asked((), "timeout")
        except BaseException as error:
            if not future.done() or future.exception() is not error:
                raise  # this thread's own, not the strategy's
            # Foreign code: whatever it raises, the fallback fills the list, and the log has the trace.
            log.exception("strategy_failed", strategy=name)
            return Asked((), "error")

    def _open(self, name: str) -> _Lane:
        with self._lock:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane(name, self._threads)
                if len(self._lanes) > MOST_LANES:
                    self._lanes.popitem(last=False)[1].close()  # of a version that was replaced long ago
            return lane

    def close(self) -> None:
        """Let the threads go."""
        with self._lock:
            for lane in self._lanes.values():
                lane.close()
