"""The contract, published: OpenAPI at /openapi.json, readable at /docs."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import orjson
from flask import Blueprint, Response, current_app, render_template, request

from reclift.web.api.openapi.document import document
from reclift.web.api.reference import code, inline, sections, types
from reclift.web.pages.assets import asset, icon
from reclift.web.problems import KINDS, type_of

docs = Blueprint("docs", __name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEPT = "reclift.openapi"


def published() -> dict[str, Any]:
    """This application's document, made once."""
    if _KEPT not in current_app.extensions:
        current_app.extensions[_KEPT] = document(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 (Flask's way to the application behind the proxy)
    return cast("dict[str, Any]", current_app.extensions[_KEPT])


@docs.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document; any site's tools may read it."""
    body = orjson.dumps(published())
    response = Response(body, content_type="application/json")
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(hashlib.sha256(body).hexdigest()[:32])
    response.make_conditional(request)
    return response


@docs.get("/docs")
def page() -> Response:
    """The document as a page, for everybody."""
    described = published()
    shown = sections(described, request.host_url.rstrip("/"))
    html = render_template(
        "docs/index.html",
        document=described,
        sections=shown,
        start=next(route.curl for part in shown for route in part.routes if route.anchor == "post_recommend"),
        types=types(described),
        problems=[
            {"title": title, "status": status, "about": about, "anchor": type_of(title).partition("#")[2]}
            for title, (status, about) in KINDS.items()
        ],
        asset=asset,
        icon=icon,
        inline=inline,
        code=code,
    )
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
