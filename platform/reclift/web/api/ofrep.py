"""OpenFeature's remote evaluation protocol (OFREP 0.3): existing OpenFeature clients ask here.

A flag is an experiment; value and variant are the arm's key. Keys with scope `shop` (servers) or `client` (browsers, so
other sites' pages may call it) are taken as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. Evaluating is not
exposing: a client that shows what it evaluates, one flag at a time, says so with the header `Reclift-Expose: true`,
which needs scope `shop`, because anybody can read a client key.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from flask import Blueprint, Response, request

from reclift.domain.events import EventError, checked_id
from reclift.domain.ofrep import ErrorCode, OfrepError, bulk, evaluation, failure, not_found, read_context
from reclift.flows import assign as assign_flow
from reclift.flows.errors import NotFound
from reclift.web.api.body import answer, json_object
from reclift.web.auth import bearer, runtime, scoped
from reclift.web.problems import NotAllowed, Refused

ofrep = Blueprint("ofrep", __name__, url_prefix="/ofrep/v1")

EXPOSE = "Reclift-Expose"


@ofrep.post("/evaluate/flags/<path:key>")
@scoped("shop", "client")
def evaluate(key: str) -> Response:
    """The arm of one experiment."""
    try:
        exposing = _exposing()
        unit, attributes = _context()
    except OfrepError as error:
        return answer(failure(error, key), 400)
    here = runtime()
    serving = here.live.current
    try:
        decisions = assign_flow.assign(serving, here.sticky, unit, key, attributes)
    except NotFound:
        return answer(not_found(key), 404)
    if exposing:
        assign_flow.expose(serving, here.sticky, here.event_log, unit, decisions, attributes)
    return answer(evaluation(decisions[0]))


@ofrep.post("/evaluate/flags")
@scoped("shop", "client")
def evaluate_all() -> Response:
    """The arms of all running experiments; 304 when they are those of the ETag that was sent."""
    try:
        unit, attributes = _context()
    except OfrepError as error:
        return answer(failure(error), 400)
    here = runtime()
    body = orjson.dumps(bulk(assign_flow.assign(here.live.current, here.sticky, unit, None, attributes)))
    tag = hashlib.sha256(body).hexdigest()[:32]
    # Werkzeug answers 304 by itself to GET only; here it is POST, by the protocol.
    unchanged = request.if_none_match.contains_weak(tag)
    response = Response(status=304) if unchanged else Response(body, content_type="application/json")
    response.set_etag(tag)
    return response


@ofrep.after_request
def _for_other_sites(response: Response) -> Response:
    """A browser lets a page of the shop read the answer; no cookie is ever looked at here."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "ETag"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-None-Match, X-API-Key"
        response.headers["Access-Control-Max-Age"] = "86400"
    return response


def _context() -> tuple[str, dict[str, Any]]:
    """Unit and attributes; `OfrepError` for everything that is wrong with the body."""
    try:
        body = json_object()
    except Refused as refused:
        raise OfrepError(ErrorCode.PARSE_ERROR, refused.response[2]) from None
    unit, attributes = read_context(body)
    try:
        return checked_id("context.targetingKey", unit), attributes
    except EventError as error:
        raise OfrepError(ErrorCode.INVALID_CONTEXT, str(error)) from None


def _exposing() -> bool:
    given = request.headers.get(EXPOSE, "false")
    if given not in {"true", "false"}:
        raise OfrepError(ErrorCode.GENERAL, f"the header {EXPOSE} is {given!r}: must be true or false")
    key = bearer()
    if given == "true" and (key is None or "shop" not in key.scopes):
        raise NotAllowed(
            403, f"{EXPOSE} writes data: it needs a key with scope shop", ', error="insufficient_scope", scope="shop"'
        )
    return given == "true"
