"""The HTML side: what product managers and analysts look at.

`init_pages(app)` hangs everything into an application that has `app.extensions["reclift"].pages` (see `backend.Pages`).
"""

from __future__ import annotations

from flask import Flask, redirect, url_for
from flask_bootstrap import Bootstrap5
from werkzeug import Response

from . import (
    experiments,
    frame,
    home,
    library,
    metrics,
    offline,
    operations,
    placements,
    plan,
    report,
    session,
    settings,
    split,
    strategies,
    traffic,
)

_PARTS = (
    session, home, experiments, plan, report, split, traffic, strategies, offline, placements, library, metrics,
    operations, settings,
)  # fmt: skip


def init_pages(app: Flask) -> None:
    """Register the pages under `/app`, sign-in, protection against forged forms, and Bootstrap's local files."""
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    app.config.setdefault("WTF_CSRF_CHECK_DEFAULT", False)  # the JSON API has its own rule; pages check each form
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)  # as long as the session: a form may stay open over lunch
    app.config.setdefault("SESSION_COOKIE_HTTPONLY", True)
    app.config.setdefault("SESSION_COOKIE_SAMESITE", "Lax")
    Bootstrap5(app)
    frame.csrf.init_app(app)
    frame.login.init_app(app)
    blueprint = frame.make_blueprint()
    for part in _PARTS:
        part.routes(blueprint)
    frame.last_routes(blueprint)
    app.register_blueprint(blueprint)
    app.after_request(frame.keep_static)
    app.add_url_rule("/", "root", _to_home)


def _to_home() -> Response:
    return redirect(url_for("pages.home"))
