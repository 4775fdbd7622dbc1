"""Serves web and API with granian; embedded, it also starts the worker as its child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import click
import structlog
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from reclift import wiring
from reclift.cli.common import console
from reclift.settings import Settings, load_settings

log = structlog.get_logger(__name__)

_RESTART_SECONDS = 5.0


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, help="Server processes.")
def serve(host: str, port: int, workers: int) -> None:
    """Web and API. On SQLite it migrates first; without Redis it starts the worker as its child."""
    settings = load_settings()
    wiring.configure_logging(settings)
    prepare(settings)
    child = EmbeddedWorker() if settings.embedded else None
    if child is not None:
        child.start()
    console.print(f"Reclift serves http://{host}:{port}")
    try:
        run_server(settings, host, port, workers)
    finally:
        if child is not None:
            child.stop()


def prepare(settings: Settings) -> None:
    """Migrate an embedded database, and make what all processes must share before they start."""
    settings.signing_key()
    here = wiring.build(settings)
    try:
        if here.database.is_sqlite:
            here.set_up()
    finally:
        here.close()


def run_server(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until the process is told to end."""
    # Requests are answered in many threads; a BLAS that starts more for each small product only gets in their way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    server = Server(
        "reclift.web.wsgi:make",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=settings.threads,
        backpressure=max(settings.threads * 8, 128),
        respawn_failed_workers=True,
        log_access=False,
        log_level=LogLevels(settings.log_level.lower()),
    )
    server.serve()


class EmbeddedWorker:
    """The worker as a child process, started again when it dies."""

    def __init__(self) -> None:
        """Nothing starts before `start`."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._environment = {**os.environ, "RECLIFT_PARENT": str(os.getpid())}  # it ends when this process is gone

    def start(self) -> None:
        """Start the child and watch it."""
        self._spawn()
        threading.Thread(target=self._watch, name="reclift-worker-watch", daemon=True).start()

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reclift", "worker", "--beat", "--concurrency", "2"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
        )

    def _watch(self) -> None:
        while not self._ending.is_set():
            process = self._process
            if process is None:
                return
            code = process.wait()
            if self._ending.is_set():
                return
            log.error("worker_ended", code=code)
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
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
