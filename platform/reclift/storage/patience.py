"""How long people wait for a database that hangs: it takes connections or holds them open, and says nothing.

A server that is down refuses at once. One that hangs (a host that is frozen, a network that swallows packets, a disk
that does not answer) lets every caller wait, and neither the server's own timeouts nor TCP's end that. So two things
happen here, by the clock of this process: a connection that works for longer than it may is cut, and once that has
happened the circuit is open, and nobody is sent to the database before it has answered a question in the background.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

log = structlog.get_logger(__name__)

_TICK_SECONDS = 0.05
_PROBE_SECONDS = 0.5


class DatabaseAway(OperationalError):  # noqa: N818 (a state, not a mistake)
    """The database does not answer; nobody waited for it, or only as long as they may."""

    def __init__(self, reason: str) -> None:
        """`reason` in words."""
        super().__init__("", None, TimeoutError(reason))


class _Armed:
    __slots__ = ("connection", "is_cut", "until")

    def __init__(self, connection: Any, until: float) -> None:
        self.connection = connection
        self.until = until
        self.is_cut = False


class Deadlines:
    """Cuts connections whose work takes too long, with one thread for all of them."""

    def __init__(self) -> None:
        """Nothing runs before the first use."""
        self._armed: set[_Armed] = set()
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def cut(self, connection: Any, seconds: float) -> Iterator[Callable[[], bool]]:
        """Close the driver's `connection` if the block takes longer; gives a function that says whether it did.

        Whoever waits on it gets the driver's error for a lost connection.
        """
        armed = _Armed(connection, time.monotonic() + seconds)
        with self._lock:
            self._armed.add(armed)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="reclift-deadlines", daemon=True)
                self._thread.start()
        self._something.set()
        try:
            yield lambda: armed.is_cut
        finally:
            with self._lock:
                self._armed.discard(armed)

    def _watch(self) -> None:
        while True:
            self._something.wait()
            time.sleep(_TICK_SECONDS)
            with self._lock:
                now = time.monotonic()
                for armed in self._armed:
                    if now > armed.until and not armed.is_cut:
                        armed.is_cut = True
                        _shut(armed.connection)
                if not self._armed:
                    self._something.clear()


def _shut(connection: Any) -> None:
    """Both directions of its socket, at once; the connection itself stays its owner's."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    except Exception as error:  # noqa: BLE001 (the driver's own kinds too: it is closed already, and nobody waits on it)
        log.info("connection_already_closed", reason=f"{type(error).__name__}: {error}")


class Circuit:
    """Open: the database hung, and has not answered since. A thread asks it until it does."""

    def __init__(self, probe: Callable[[], None]) -> None:
        """`probe` asks the database something; it raises, within a few seconds, where there is no answer."""
        self._probe = probe
        self._lock = threading.Lock()
        self._reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody is sent to the database now."""
        return self._reason is not None

    def check(self) -> None:
        """Raise `DatabaseAway` while it is open."""
        reason = self._reason
        if reason is not None:
            raise DatabaseAway(reason)

    def trip(self, reason: str) -> None:
        """Open it; it closes by itself."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
        log.error("database_hangs", reason=reason)
        threading.Thread(target=self._ask, name="reclift-circuit", daemon=True).start()

    def _ask(self) -> None:
        began = time.monotonic()
        while True:
            time.sleep(_PROBE_SECONDS)
            try:
                self._probe()
            except SQLAlchemyError:
                continue  # said when it was tripped
            self._reason = None
            log.info("database_answers_again", after_seconds=round(time.monotonic() - began, 1))
            return
