"""Serves web and API with granian; embedded, it also starts the worker as its child."""

from __future__ import annotations

import os

import click
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from reclift import wiring
from reclift.cli.child import ChildProcess
from reclift.cli.common import console
from reclift.settings import Settings, load_settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, help="Server processes.")
def serve(host: str, port: int, workers: int) -> None:
    """Web and API. On SQLite it migrates first; without Redis it starts the worker as its child."""
    settings = load_settings()
    wiring.configure_logging(settings)
    prepare(settings)
    child = ChildProcess("worker", "--beat", "--concurrency", "2") if settings.embedded else None
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
        "reclift.web.wsgi:make_rsgi",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=workers,
        websockets=False,
        backpressure=max(settings.threads * 8, 512),
        respawn_failed_workers=True,
        log_access=False,
        log_level=LogLevels(settings.log_level.lower()),
    )
    server.serve()
