"""Errors as RFC 9457 problem documents, with the offending field named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from flask import Flask, Response, current_app, request
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

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
MEDIA_TYPE = "application/problem+json"

KINDS: Mapping[str, tuple[int, str]] = {
    "Malformed request": (400, "The body is not JSON, is nested too deeply, or the address holds a NUL character."),
    "Unauthorized": (401, "There is no API key, or it is unknown or revoked."),
    "Forbidden": (403, "The key, or the person, does not have the scope that this needs."),
    "Not found": (404, "There is no such thing, or no such path."),
    "Conflict": (409, "Right in itself, but not in the present state; the detail says what is possible."),
    "Body too large": (413, "The body has more bytes than the server takes."),
    "Too many events": (413, "The batch has more events than one call may have; send several."),
    "Unsupported content": (415, "The body must be JSON, sent as it is: `Content-Type: application/json`."),
    "Invalid request": (422, "Fields break rules; `errors` names each with its value and the rule."),
    "Cannot be stored": (422, "The database refuses what was sent; sending it again will not help."),
    "Internal error": (500, "Our fault; the server's log has the details."),
    "Not ready": (503, "The server has not been set up yet, or the database is away; try again shortly."),
    "Not durable": (503, "Nothing was stored, so nothing is acknowledged; send it again."),
}
"""Title of each kind of problem -> its status and what it means; `type` points to it at /docs."""


def type_of(title: str) -> str:
    """The address that explains a kind of problem; `about:blank` where the status says it all."""
    return f"/docs#problem-{title.lower().replace(' ', '-')}" if title in KINDS else "about:blank"


def problem(status: int, title: str, detail: str, **extra: Any) -> Response:
    """A problem document. `errors` lists fields as `{field, value, rule}`."""
    body = {"type": type_of(title), "title": title, "status": status, "detail": detail, **extra}
    return Response(
        orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        mimetype=MEDIA_TYPE,
    )


class Refused(Exception):  # noqa: N818 (reads as a state)
    """The request itself is not acceptable; carries the answer."""

    def __init__(self, status: int, title: str, detail: str, **extra: Any) -> None:
        """As of `problem`."""
        super().__init__(detail)
        self.response = (status, title, detail, extra)


class NotAllowed(Refused):
    """The caller is not known (401) or may not do this (403), with RFC 6750's challenge."""

    def __init__(self, status: int, detail: str, challenge: str = "") -> None:
        """`challenge`: what follows the realm in `WWW-Authenticate`."""
        super().__init__(status, "Unauthorized" if status == 401 else "Forbidden", detail)
        self.challenge = f'Bearer realm="reclift"{challenge}'


def bad_field(field: str, value: object, rule: str) -> Refused:
    """A field of the request that breaks a rule."""
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    return Refused(
        422, "Invalid request", f"{field}={shown}: {rule}", errors=[{"field": field, "value": shown, "rule": rule}]
    )


def wants_problem() -> bool:
    """Whether the caller is a program: API paths always, others when they do not ask for HTML."""
    return request.path.startswith(API_PREFIXES) or "text/html" not in request.headers.get("Accept", "text/html")


def install(app: Flask) -> None:
    """Turn what flows raise into problem documents (on API paths; pages have their own handlers)."""

    @app.errorhandler(Refused)
    def _refused(error: Refused) -> Response:
        status, title, detail, extra = error.response
        return problem(status, title, detail, **extra)

    @app.errorhandler(NotAllowed)
    def _not_allowed(error: NotAllowed) -> Response:
        response = _refused(error)
        response.headers["WWW-Authenticate"] = error.challenge
        return response

    @app.errorhandler(FlowError)
    def _flow(error: FlowError) -> Response:
        return of_flow(error)

    @app.errorhandler(SinkUnavailable)
    def _unavailable(error: SinkUnavailable) -> Response:
        log.error("nothing_takes_events", reason=str(error))
        return _later(problem(503, "Not durable", f"nothing was stored: {error}; send it again"))

    @app.errorhandler(Poison)
    @app.errorhandler(DataError)
    def _poison(error: Poison | DataError) -> Response:
        return problem(422, "Cannot be stored", _first_line(error))

    @app.errorhandler(IntegrityError)
    def _race(error: IntegrityError) -> Response:
        log.warning("conflict_in_database", path=request.path, reason=_first_line(error))
        return problem(409, "Conflict", "somebody else changed the same thing at this moment: look, and try again")

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(PoolTimeout)
    def _away(error: Exception) -> Response:
        log.error("database_away", path=request.path, reason=_first_line(error))
        return _later(problem(503, "Not ready", "the database does not answer now: try again"))

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
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        most = current_app.config["MAX_CONTENT_LENGTH"]
        return problem(413, "Body too large", f"the body has more than the {most:,} bytes that are taken at once")
    title = {400: "Malformed request", 404: "Not found"}.get(status, error.name)
    detail = f"there is nothing at {request.path}" if status == 404 else str(error.description or error.name)
    response = problem(status, title, detail)
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
        return problem(422, "Invalid request", str(error), errors=errors)
    if isinstance(error, Conflict):
        return problem(409, "Conflict", str(error))
    return _later(problem(503, "Not ready", str(error)))


def _later(response: Response) -> Response:
    response.headers["Retry-After"] = "2"
    return response


def _first_line(error: Exception) -> str:
    """What the driver says, without the statement and its parameters."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
