"""A command that runs as the child of another, started again when it dies; and how a child notices that it is alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import structlog

log = structlog.get_logger(__name__)

PARENT = "RECLIFT_PARENT"
"""The variable by which a process tells its child who it is (the worker reads it too, see `reclift.worker`)."""

_RESTART_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_END_SECONDS = 10.0


class ChildProcess:
    """`reclift ARGUMENTS` as a child process."""

    def __init__(self, *arguments: str) -> None:
        """Nothing starts before `start`."""
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._environment = {**os.environ, PARENT: str(os.getpid())}  # it ends when this process is gone

    def start(self) -> None:
        """Start the child and watch it."""
        self._spawn()
        threading.Thread(target=self._watch, name=f"reclift-{self._arguments[0]}-watch", daemon=True).start()

    def _spawn(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (our own command, with words of the code)
            [sys.executable, "-m", "reclift", *self._arguments], env=self._environment, stdin=subprocess.DEVNULL
        )

    def _watch(self) -> None:
        while not self._ending.is_set():
            process = self._process
            if process is None:
                return
            code = process.wait()
            if self._ending.is_set():
                return
            log.error("child_ended", command=self._arguments[0], code=code)
            self._ending.wait(_RESTART_SECONDS)
            with self._lock:
                if not self._ending.is_set():
                    self._spawn()

    def stop(self) -> None:
        """End the child, firmly if it does not listen."""
        with self._lock:  # the watcher may be about to start another
            self._ending.set()
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """In a child: end in good order when the parent is gone. A parent that was killed cannot say so itself."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_LOOK_SECONDS)
        log.warning("parent_gone", parent=int(parent))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="reclift-parent-watch", daemon=True).start()
