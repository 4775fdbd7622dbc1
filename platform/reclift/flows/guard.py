"""Asks strategies without waiting for ever: one that is late or fails costs its list, never the shop's answer."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import structlog

from reclift.flows.serving import Served
from reclift.storage.hurry import may_wait
from reclift.strategy import Query, Scored, Strategy

log = structlog.get_logger(__name__)

MOST_STUCK = 4
"""Calls of a model that are late and still running; with so many it is not asked until some come back."""
FIRST_REST_SECONDS = 0.5
REST_SECONDS = 15.0
"""A model whose calls are late rests: shortly at first, since a pause of the whole process makes all calls late at
once; twice as long each time that it happens again within a minute, up to this.
"""
FORGIVEN_SECONDS = 60.0
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
        scored = given if type(given) is Scored else Scored(*given)
        item_id, score, propensity, _ = scored
        # What nearly all are, at once: x - x is 0 for every finite x, and for no other.
        if type(item_id) is str and type(score) is float and score - score == 0 and propensity is None:
            items.append(scored)
            continue
        if not isinstance(item_id, str):
            raise TypeError(f"item {place}: item_id={item_id!r} is no string")
        if not math.isfinite(score):
            raise ValueError(f"item {place} ({item_id}): score={score!r} is not finite")
        if propensity is not None and not math.isfinite(propensity):
            raise ValueError(f"item {place} ({item_id}): propensity={propensity!r} is not finite")
        items.append(scored)
    return items


class _Call:
    """One question to a model, handed from the thread that asks to one that works.

    A bare lock tells that it is done: this happens for every list, and costs half of what a `Future` does.
    """

    __slots__ = ("_done", "error", "model", "query", "result", "taken")

    def __init__(self, model: Strategy, query: Query) -> None:
        self.model, self.query = model, query
        self.result: list[Scored] | None = None
        self.error: BaseException | None = None
        self.taken = threading.Lock()
        """Held by whoever decides whether it is worked on (the worker) or given up (the asker)."""
        self._done = threading.Lock()
        self._done.acquire()

    def work(self) -> None:
        """Ask the model, unless the asker has given up already."""
        if not self.taken.acquire(blocking=False):
            return
        try:
            self.result = checked(self.model.recommend(self.query))
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits; the working thread goes on)
            self.error = error
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Whether it is done within the time."""
        return self._done.acquire(timeout=seconds)

    @property
    def done(self) -> bool:
        return self.result is not None or self.error is not None


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
        self._work: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._late: set[_Call] = set()
        self._rest = FIRST_REST_SECONDS
        self.rest_until = 0.0

    def submit(self, model: Strategy, query: Query) -> _Call:
        call = _Call(model, query)
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=f"strategy-{self._name}", daemon=True).start()
        self._work.put(call)
        return call

    def _run(self) -> None:
        while (call := self._work.get()) is not None:
            call.work()
            with self._lock:
                self._idle += 1
                self._late.discard(call)
            del call

    def note_late(self, call: _Call) -> None:
        if call.taken.acquire(blocking=False):
            return  # it never began: all threads were busy
        with self._lock:
            if call.done:
                return
            self._late.add(call)
            now = time.monotonic()
            if len(self._late) < MOST_STUCK or self.rest_until > now:
                return
            if now - self.rest_until > FORGIVEN_SECONDS:
                self._rest = FIRST_REST_SECONDS
            self.rest_until = now + self._rest
            self._rest = min(2 * self._rest, REST_SECONDS)

    @property
    def stuck(self) -> int:
        """Calls that are late and still running."""
        return len(self._late)

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
        may_wait()
        name = served.label or served.strategy
        lane = self._lanes.get(name) or self._open(name)
        if lane.resting:
            return Asked((), "timeout")
        call = lane.submit(model, query)
        if not call.wait(self._timeout) and not call.done:
            log.warning("strategy_late", strategy=name, seconds=self._timeout)
            lane.note_late(call)
            return Asked((), "timeout")
        if call.error is not None:
            # Foreign code: whatever it raises, the fallback fills the list, and the log has the trace.
            log.error("strategy_failed", strategy=name, exc_info=call.error)
            return Asked((), "error")
        return Asked(call.result if call.result is not None else ())

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
