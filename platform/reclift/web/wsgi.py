"""What a server process loads: the application over a started runtime."""

from __future__ import annotations

import atexit

from flask import Flask

from reclift import wiring
from reclift.settings import load_settings
from reclift.web.app import create_app


def make() -> Flask:
    """Build everything for this process, after any fork."""
    settings = load_settings()
    wiring.configure_logging(settings)
    runtime = wiring.build(settings)
    app = create_app(runtime)
    runtime.start()
    atexit.register(runtime.close)
    return app
