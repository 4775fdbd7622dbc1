"""Signs of life: while work is done, a thread says so. Who has been silent for a lease is taken to be gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger(__name__)

BEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0
"""Six beats: one that a busy database delays must not cost a living worker its job."""


class Heartbeat:
    """Calls `beat` every few seconds, in a thread, for as long as the block lasts. A beat that fails is tried again."""

    def __init__(self, beat: Callable[[], None], seconds: float = BEAT_SECONDS) -> None:
        """`beat` is called from the thread: it makes its own session."""
        self._beat = beat
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reclift-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._beat()
            except SQLAlchemyError as error:
                log.warning("heartbeat_missed", reason=str(error).splitlines()[0])
