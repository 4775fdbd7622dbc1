"""Errors as RFC 9457 problem documents, with the offending field named."""

from __future__ import annotations

from typing import Any

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from reclift.flows.errors import Conflict, FlowError, Invalid, NotFound
from reclift.storage.eventlog import Poison, SinkUnavailable

log = structlog.get_logger(__name__)

API_PREFIXES = (
    "/api/",
    "/assign",
    "/recommend",
    "/events",
    "/items",
    "/users",
    "/ofrep/",
    "/health/",
    "/metrics",
    "/openapi",
)
TYPE = "https://www.rfc-editor.org/rfc/rfc9110#name-{}"


def problem(status: int, title: str, detail: str, **extra: Any) -> Response:
    """A problem document. `errors` lists fields as `{field, value, rule}`."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return Response(
        orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        mimetype="application/problem+json",
    )


class Refused(Exception):  # noqa: N818 (reads as a state)
    """The request itself is not acceptable; carries the answer."""

    def __init__(self, status: int, title: str, detail: str, **extra: Any) -> None:
        """As of `problem`."""
        super().__init__(detail)
        self.response = (status, title, detail, extra)


def bad_field(field: str, value: object, rule: str) -> Refused:
    """A field of the request that breaks a rule."""
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    return Refused(
        422, "Invalid request", f"{field}={shown}: {rule}", errors=[{"field": field, "value": shown, "rule": rule}]
    )


def wants_problem() -> bool:
    """Whether the caller is a program: API paths always, others when they do not ask for HTML."""
    return request.path.startswith(API_PREFIXES)


def install(app: Flask) -> None:
    """Turn what flows raise into problem documents (on API paths; pages have their own handlers)."""

    @app.errorhandler(Refused)
    def _refused(error: Refused) -> Response:
        status, title, detail, extra = error.response
        response = problem(status, title, detail, **extra)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="reclift"'
        return response

    @app.errorhandler(FlowError)
    def _flow(error: FlowError) -> Response:
        return of_flow(error)

    @app.errorhandler(SinkUnavailable)
    def _unavailable(error: SinkUnavailable) -> Response:
        log.error("nothing_takes_events", reason=str(error))
        response = problem(503, "Not durable", f"nothing was stored: {error}; send it again")
        response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(Poison)
    def _poison(error: Poison) -> Response:
        return problem(422, "Cannot be stored", str(error))

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response | HTTPException:
        return of_http(error) if wants_problem() else error

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response | tuple[str, int]:
        # The last resort: the caller learns that it is our fault, the log has the trace.
        log.error("request_failed", path=request.path, exc_info=error)
        if wants_problem():
            return problem(500, "Internal error", "something went wrong here; the log has the details")
        return "Something went wrong here; the log has the details.", 500


def of_http(error: HTTPException) -> Response:
    """Werkzeug's errors as problem documents."""
    response = problem(error.code or 500, error.name, str(error.description or error.name))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def of_flow(error: FlowError) -> Response:
    """What a flow refuses, as a problem document."""
    if isinstance(error, NotFound):
        return problem(404, "Not found", str(error))
    if isinstance(error, Invalid):
        errors = [{"field": p.field, "value": _short(p.value), "rule": p.rule} for p in error.problems]
        return problem(422, "Invalid", str(error), errors=errors)
    if isinstance(error, Conflict):
        return problem(409, "Conflict", str(error))
    return problem(503, "Not ready", str(error))


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
