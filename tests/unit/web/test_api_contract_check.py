"""The check that tests hold answers against: it must find what is not as described."""

from __future__ import annotations

import pytest

from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.openapi_check import Contract
from tests.platform_fixtures import contract


@pytest.fixture
def published(runtime: Runtime) -> Contract:
    return contract(create_app(runtime))


ASSIGNMENTS = {"user_id": "u", "assignments": []}


def test_what_is_described_passes(published: Contract) -> None:
    published.check("GET", "/assign?user_id=u", 200, "application/json", ASSIGNMENTS)
    problem = {"type": "about:blank", "title": "x", "status": 404, "detail": "y"}
    published.check("POST", "/assign", 404, "application/problem+json", problem)
    published.check("DELETE", "/items/a/b", 204, "text/html", None)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "body"),
    [
        ("GET", "/assign", 200, "application/json", {**ASSIGNMENTS, "secret": 1}),
        ("GET", "/assign", 200, "application/json", {"user_id": "u"}),
        ("GET", "/assign", 200, "application/json", {"user_id": "u", "assignments": [{"arm": "a"}]}),
        ("GET", "/assign", 200, "text/plain", ASSIGNMENTS),
        ("GET", "/assign", 418, "application/json", ASSIGNMENTS),
        ("GET", "/assign", 401, "application/problem+json", {"title": "x"}),
        ("GET", "/api/v1/experiments/x/report", 200, "application/json", {"experiment": "x"}),
        ("POST", "/api/v1/experiments/x/start", 200, "application/json", {"key": "x"}),
        ("DELETE", "/items/i", 204, "text/html", {}),
    ],
)
def test_what_is_not_described_fails(
    published: Contract, method: str, path: str, status: int, kind: str, body: object
) -> None:
    with pytest.raises(AssertionError):
        published.check(method, path, status, kind, body)
