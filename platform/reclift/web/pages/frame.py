"""What all pages share: who may come in, what a template knows, headers, and pages for what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask_login import LoginManager, UserMixin, current_user
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug import Response as BaseResponse
from werkzeug.exceptions import Forbidden, HTTPException
from werkzeug.exceptions import NotFound as UrlNotFound

from reclift.web import format as fmt

from . import analysis_form, assets, field_words, lists_form, present, splits, words_numbers
from .backend import NotFound, Person, Refused, backend

csrf = CSRFProtect()
login = LoginManager()

Answer = str | BaseResponse | tuple[str, int]
View = Callable[..., Answer]

PUBLIC = {"pages.sign_in", "pages.plotly_js"}

# Plotly writes its own style element; Bootstrap's drawings are data; items' pictures are the shop's.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

NAVIGATION = [
    ("home", "Home", "house"),
    ("experiments", "Experiments", "bezier2"),
    ("traffic", "Traffic", "signpost-split"),
    ("strategies", "Strategies", "cpu"),
    ("placements", "Placements", "window"),
    ("metrics", "Metrics", "rulers"),
    ("catalogue", "Catalogue", "box-seam"),
    ("events", "Events", "activity"),
    ("jobs", "Jobs", "list-task"),
    ("settings", "Settings", "gear"),
]
"""Endpoint, label, icon; the order of the left bar."""


class SignedIn(UserMixin):  # type: ignore[misc]  # flask-login is published without types
    """The person of this session, as Flask-Login wants to see them."""

    def __init__(self, person: Person) -> None:
        """Wrap `person`."""
        self.person = person
        self.id = person.id


@login.user_loader  # type: ignore[untyped-decorator]  # flask-login is published without types
def _load(person_id: str) -> SignedIn | None:
    person = backend().person(person_id)
    return SignedIn(person) if person else None


def actor() -> Person:
    """Who is signed in."""
    return cast("SignedIn", current_user).person


def manager_only(view: View) -> View:
    """Refuse a viewer: the page says why, with status 403."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Answer:
        if not actor().may_change:
            raise Forbidden("Your role is viewer: you can see everything and change nothing. Ask a manager.")
        return view(*args, **kwargs)

    return guarded


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a path of this site, else the home page."""
    if target and target.startswith("/") and not target.startswith(("//", "/\\")):
        parts = urlsplit(target)
        if not parts.scheme and not parts.netloc and "\\" not in target and target.isprintable():
            return target
    return url_for("pages.home")


def done(message: str) -> None:
    """Say on the next page what was done."""
    flash(message, "done")


def refused(message: str) -> None:
    """Say on the next page what was not done, and why."""
    flash(message, "refused")


def page_number() -> int:
    """The page asked for, from 1."""
    return max(1, request.args.get("page", default=1, type=int))


def error_page(status: int, title: str, text: str) -> tuple[str, int]:
    """A page for what went wrong, in the frame when somebody is signed in."""
    return render_template("pages/error.html", title=title, text=text, status=status), status


def script_json(data: Any) -> str:
    """JSON that is safe inside a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def make_blueprint() -> Blueprint:
    """The blueprint with its guards, filters and error pages, still without views."""
    blueprint = Blueprint("pages", __name__, url_prefix="/app")
    blueprint.before_request(_guard)
    blueprint.after_request(_headers)
    blueprint.context_processor(_context)
    blueprint.record_once(lambda state: _filters(state.app.jinja_env))
    blueprint.register_error_handler(Forbidden, _forbidden)
    blueprint.register_error_handler(CSRFError, _forged)
    blueprint.register_error_handler(NotFound, lambda e: error_page(404, "Not found", str(e)))
    blueprint.register_error_handler(UrlNotFound, _no_page)
    blueprint.register_error_handler(Refused, lambda e: error_page(409, "That is not possible now", str(e)))
    blueprint.register_error_handler(HTTPException, _other)
    blueprint.add_url_rule("/assets/plotly.js", "plotly_js", assets.plotly_js)
    return blueprint


def last_routes(blueprint: Blueprint) -> None:
    """What no other rule takes is a page that does not exist."""
    blueprint.add_url_rule("/<path:path>", "no_page", lambda path: abort(404))  # noqa: ARG005 (Flask passes it)


def _guard() -> BaseResponse | None:
    if request.endpoint not in PUBLIC and not current_user.is_authenticated:
        here = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("pages.sign_in", next=here))
    if current_app.config["WTF_CSRF_ENABLED"]:
        csrf.protect()
    return None


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _context() -> dict[str, Any]:
    signed_in = bool(current_user.is_authenticated)
    return {
        "person": actor() if signed_in else None,
        "may_change": signed_in and actor().may_change,
        "about": backend().about(),
        "navigation": NAVIGATION,
        "asset": assets.asset,
        "icon": assets.icon,
        "words": words_numbers.ALL_WORDS,
        "present": present,
        "field_words": field_words,
        "splits": splits,
        "analysis_said": analysis_form.said,
        "variety_said": lists_form.variety_said,
        "now": datetime.now(UTC),
    }


def keep_static(response: Response) -> Response:
    """Let browsers keep a static file whose address carries its digest (see `assets.asset`)."""
    if request.endpoint == "static" and "v" in request.args and response.status_code in {200, 304}:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def _filters(environment: Any) -> None:
    for name in (
        "lift", "interval", "percent", "share", "count", "number", "money", "milliseconds", "p_value", "p_equals",
        "measure", "size", "seconds", "score", "readable", "when", "day", "ago",
    ):  # fmt: skip
        environment.filters[name] = getattr(fmt, name)


def _forbidden(error: Forbidden) -> tuple[str, int]:
    return error_page(403, "You may not do this", str(error.description))


def _forged(error: CSRFError) -> tuple[str, int]:
    text = "The form was too old, or did not come from this site. Go back, load the page again and send it once more."
    return error_page(400, "This form could not be taken", f"{text} ({error.description})")


def _no_page(error: UrlNotFound) -> tuple[str, int]:  # noqa: ARG001 (Flask passes it)
    return error_page(404, "Not found", f"There is no page at {request.path}.")


def _other(error: HTTPException) -> BaseResponse | tuple[str, int]:
    if error.code is None or error.code < 400:
        return error.get_response()
    return error_page(error.code, error.name, str(error.description))
