"""Events on their way: queued at once, sent in batches by a thread of its own. The shop never waits and never fails."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from reclift.client.errors import ApiError, Unreachable
from reclift.client.fork import renew_after_fork
from reclift.client.http import BUSY, Transport

log = logging.getLogger("reclift.client")

_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What became of events since the client was made.

    Attributes:
        accepted: durable on the server.
        duplicates: it had them already.
        rejected: it refused them, each for what is wrong with it; the log has the reasons.
        dropped: not sent: the queue was full, they could not be written as JSON, or the client ended first.
        waiting: in the queue now.
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0


class EventQueue:
    """A bounded queue and its thread, which starts with the first event and again in a forked process."""

    def __init__(self, transport: Transport, *, most: int, batch: int, every: float) -> None:
        """`most` events wait at most; `batch` are sent at once at most: every `every` seconds, or when so many wait."""
        self._transport = transport
        self._most = most
        self._batch = batch
        self._every = every
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """An empty queue without a thread: at the start, and in a forked child (the parent sends what is its own)."""
        self._queue: deque[bytes] = deque()
        self._sending: list[bytes] = []
        self._counts = EventCounts()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._given_up = False

    @property
    def counts(self) -> EventCounts:
        """The counters now."""
        with self._lock:
            return replace(self._counts, waiting=len(self._queue) + len(self._sending))

    def put(self, event: Mapping[str, Any]) -> bool:
        """Queue an event; False when it was dropped. Never raises, never waits for the network."""
        complete = {
            "event_id": uuid.uuid4().hex,  # makes sending it twice harmless
            "timestamp": datetime.now(UTC).isoformat(),
            **{name: value for name, value in event.items() if value is not None},
        }
        try:
            line = orjson.dumps(complete)
        except (TypeError, ValueError) as error:  # what the shop gave is no JSON
            log.warning("event dropped: %s", error)
            return self._drop(1)
        with self._lock:
            full = self._closed or len(self._queue) + len(self._sending) >= self._most
            if not full:
                self._queue.append(line)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="reclift-events", daemon=True)
                    self._thread.start()
            waiting = len(self._queue)
        if full:
            return self._drop(1)
        if waiting >= self._batch:
            self._wake.set()
        return True

    def _drop(self, count: int) -> bool:
        self._add(dropped=count)
        return False

    def _add(self, **more: int) -> None:
        with self._lock:
            self._counts = replace(
                self._counts, **{name: getattr(self._counts, name) + count for name, count in more.items()}
            )

    def flush(self, timeout: float) -> bool:
        """Send what waits now; True when all of it is off within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._idle:
            self._wake.set()
            while self._queue or self._sending:
                left = deadline - time.monotonic()
                if left <= 0 or not self._idle.wait(left):
                    return not (self._queue or self._sending)
            return True

    def close(self, timeout: float) -> None:
        """Send what waits, then end the thread; what is not off within `timeout` seconds is dropped and counted."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        if thread is not None:
            self.flush(timeout)
        with self._lock:
            self._given_up = True
            left = len(self._queue) + len(self._sending)
            self._queue.clear()
            self._wake.set()
        if left:
            self._add(dropped=left)
            log.warning("%d events were not sent before the end", left)

    def _run(self) -> None:
        failures = 0
        while True:
            pause = self._every if failures == 0 else _pause(failures, self._every)
            self._wake.wait(pause)
            self._wake.clear()
            while True:
                with self._lock:
                    if not self._sending:
                        self._sending = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                    batch = self._sending
                if not batch:
                    failures = 0
                    break
                if not self._send(batch):
                    failures += 1
                    break
                failures = 0
                with self._idle:
                    self._sending = []
                    self._idle.notify_all()
            with self._idle:
                self._idle.notify_all()
                if self._given_up or (self._closed and not self._queue and not self._sending):
                    return

    def _send(self, batch: list[bytes]) -> bool:
        """True when the batch is done with, for good or ill; False: keep it and try again later."""
        try:
            answer = self._transport.call("POST", "/events", b'{"events":[' + b",".join(batch) + b"]}", safe=False)
        except Unreachable as error:
            log.warning("%d events wait: %s", len(batch), error)
            return False
        except ApiError as error:
            if error.status in BUSY or error.status >= 500:
                log.warning("%d events wait: %s", len(batch), error)
                return False
            if error.status == 413 and len(batch) > 1:
                half = len(batch) // 2  # sent twice by chance, an event still counts once
                return self._send(batch[:half]) and self._send(batch[half:])
            log.error("%d events refused: %s", len(batch), error)
            self._add(rejected=len(batch))
            return True
        except Exception:
            # The last resort: the thread must live on, or nothing is ever sent again.
            log.exception("%d events could not be sent", len(batch))
            self._add(dropped=len(batch))
            return True
        body = answer.body if isinstance(answer.body, dict) else {}
        rejected = body.get("rejected") or []
        if rejected:
            log.error("%d events rejected, the first: %s", len(rejected), rejected[0].get("error"))
        self._add(
            accepted=int(body.get("accepted", 0)), duplicates=int(body.get("duplicates", 0)), rejected=len(rejected)
        )
        return True


def _pause(failures: int, every: float) -> float:
    """Grows with each failure, and differs from client to client, so that they do not all come back at once."""
    longest = min(max(every, 0.1) * 2.0 ** min(failures, 10), _LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (nothing secret)
