"""Makes the web application out of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from reclift.resources import shipped
from reclift.web import problems
from reclift.web.api.dead_letters import dead_letters
from reclift.web.api.docs import docs
from reclift.web.api.health import health
from reclift.web.api.manage import manage
from reclift.web.api.ofrep import ofrep
from reclift.web.api.reports import planning, reports
from reclift.web.api.sdks import sdks
from reclift.web.api.shop import shop
from reclift.web.api.traffic import traffic
from reclift.web.application import Application, PeopleSessions
from reclift.web.auth import Extension
from reclift.web.backing import PlatformPages
from reclift.web.lanes import Lanes
from reclift.web.pages import init_pages
from reclift.wiring import Runtime


def create_app(runtime: Runtime, *, config: Mapping[str, Any] | None = None) -> Application:
    """The application over a runtime. The caller starts and closes the runtime; `config` is for tests."""
    app = Application(
        "reclift", template_folder=str(shipped("templates")), static_folder="web/static", static_url_path="/static"
    )
    settings = runtime.settings
    app.config.update(
        SECRET_KEY=settings.signing_key(),
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.session_hours),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        REMEMBER_COOKIE_HTTPONLY=True,
        WTF_CSRF_TIME_LIMIT=None,
        RATELIMIT_STORAGE_URI=settings.redis_url or "memory://",
    )
    app.config.update(config or {})
    app.session_interface = PeopleSessions()
    app.direct = frozenset({shop.name, health.name})
    app.lanes = Lanes(runtime)
    app.extensions["reclift"] = Extension(runtime, PlatformPages(runtime))
    problems.install(app)
    for blueprint in (shop, manage, traffic, dead_letters, reports, planning, sdks, ofrep, health, docs):
        app.register_blueprint(blueprint)
    init_pages(app)
    limiter = Limiter(get_remote_address, app=app, default_limits=[])
    limited: Any = limiter.limit(settings.sign_in_limit, methods=["POST"])(app.view_functions["pages.sign_in"])
    app.view_functions["pages.sign_in"] = limited
    return app
