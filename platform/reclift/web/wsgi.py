"""What a server process loads: the application over a started runtime, for threads and for an event loop."""

from __future__ import annotations

import atexit

from reclift import wiring
from reclift.settings import load_settings
from reclift.web.app import create_app
from reclift.web.application import Application
from reclift.web.rsgi import Rsgi
from reclift.wiring import Runtime


def make() -> Application:
    """A WSGI application: build everything for this process, after any fork."""
    return _make()[0]


def make_rsgi() -> Rsgi:
    """The same for an event loop (RSGI)."""
    return Rsgi(*_make())


def _make() -> tuple[Application, Runtime]:
    settings = load_settings()
    wiring.configure_logging(settings)
    runtime = wiring.build(settings)
    app = create_app(runtime)
    runtime.start()
    atexit.register(runtime.close)
    return app, runtime
