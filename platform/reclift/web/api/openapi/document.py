"""Puts the document together: the described routes, with who may call them read from the views."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask

from reclift import __version__
from reclift.web.api.openapi import (
    paths_experiments,
    paths_operations,
    paths_shop,
    schemas_comparison,
    schemas_experiments,
    schemas_health,
    schemas_operations,
    schemas_report,
    schemas_shop,
)
from reclift.web.api.openapi.parts import REFUSALS, Json, ref
from reclift.web.auth import Access
from reclift.web.problems import MEDIA_TYPE

BLUEPRINTS = frozenset({"shop", "manage", "traffic", "dead_letters", "reports", "planning", "sdks", "ofrep", "health"})
"""Whose routes the document describes."""

TAGS: tuple[tuple[str, str, dict[str, dict[str, Json]]], ...] = (
    ("Shop", "What the shop's server calls on each visit.", paths_shop.SHOP),
    ("SDKs", "What existing SDKs call.", paths_shop.SDKS),
    ("Experiments", "Setting experiments up and leading them through their life.", paths_experiments.EXPERIMENTS),
    ("Traffic", "Phases, ramps, groups, holdouts, layers and preview links.", paths_experiments.TRAFFIC),
    ("Reports", "The lifts, and whether to trust them.", paths_experiments.REPORTS),
    ("Configuration", "Metrics, placements and strategies.", paths_operations.CONFIGURATION),
    ("Operations", "Models, jobs, dead letters, keys and the audit log.", paths_operations.OPERATIONS),
    ("Health", "For load balancers and monitoring; no key needed.", paths_shop.HEALTH),
)
SCHEMAS: dict[str, Json] = {
    **schemas_shop.SCHEMAS,
    **schemas_experiments.SCHEMAS,
    **schemas_operations.SCHEMAS,
    **schemas_comparison.SCHEMAS,
    **schemas_report.SCHEMAS,
    **schemas_health.SCHEMAS,
}

_MEANINGS = {
    400: "The body is not JSON or nested too deeply, or the address holds a NUL character.",
    401: "No API key, or one that is unknown or revoked.",
    403: "The key, or the person, lacks the scope.",
    404: "There is no such thing.",
    409: "Not in the present state.",
    413: "The body, or the batch, is too large.",
    415: "The body is declared to be something else than JSON.",
    422: "Fields break rules; each is named.",
    503: "The database is away, or nothing is durable now: try again.",
}


class Route(NamedTuple):
    """One method of one path of the application, as OpenAPI writes paths."""

    method: str
    path: str
    access: Access | None


def routes(app: Flask) -> Iterator[Route]:
    """The routes of the described blueprints; a rule with a choice of words counts as one path a word."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] not in BLUEPRINTS:
            continue
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        for path in _spelled_out(rule.rule):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(method.lower(), path, access)


def _spelled_out(rule: str) -> list[str]:
    words = re.search(r"<any\(([^)]*)\):\w+>", rule)
    if words is None:
        return [re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)]
    return [
        path
        for word in words[1].split(",")
        for path in _spelled_out(rule[: words.start()] + word.strip() + rule[words.end() :])
    ]


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 document of what this application answers."""
    there = {(route.path, route.method): route for route in routes(app)}
    described: dict[str, dict[str, Json]] = {}
    for tag, _, table in TAGS:
        for path, methods in table.items():
            for method, operation in methods.items():
                route = there.get((path, method))
                if route is not None:
                    described.setdefault(path, {})[method] = _published(operation, route, tag)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Reclift",
            "version": __version__,
            "summary": "A/B experiments for recommenders: assign, recommend, log, report.",
            "description": "JSON in UTF-8, times in RFC 3339 with a zone, errors as RFC 9457 problem documents. Where "
            "a name stands twice in an object, the last one counts.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": tag, "description": about} for tag, about, _ in TAGS],
        "paths": described,
        "components": {
            "schemas": SCHEMAS,
            "responses": {name: _refusal(status) for status, name in REFUSALS.items()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `Authorization: Bearer KEY`. Made on the settings page, by "
                    "`reclift create-key`, or by `POST /api/v1/keys`. What it may do is its scopes.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "session",
                    "description": "A signed-in person. Changes need the form token in `X-CSRFToken`.",
                },
            },
        },
    }


def _published(operation: Json, route: Route, tag: str) -> Json:
    words = re.findall(r"\w+", route.path.removeprefix("/api/v1"))
    result = {
        "tags": [tag],
        "operationId": "_".join([route.method, *words]),
        **operation,
        "responses": dict(operation["responses"]),
    }
    if route.access is None:
        result["security"] = []
        return result
    result["security"] = [{"key": []}, *([{"session": []}] if route.access.people else [])]
    result["x-scopes"] = list(route.access.scopes)
    for status in (400, 401, 403):
        # OFREP words a 400 in its own way.
        result["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{REFUSALS[status]}"})
    result["responses"] = dict(sorted(result["responses"].items()))
    return result


def _refusal(status: int) -> Json:
    answer: Json = {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750's challenge."}}
    if status == 503:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return answer
