"""The short way of /assign, /recommend and /events against Flask's own: same status, same headers, same answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from reclift.storage.eventlog import NullSink
from reclift.web import lanes
from reclift.web.app import create_app
from reclift.web.application import Application
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, item, make_key

OK: list[tuple[str, Any]] = [
    ("/assign", {"user_id": "u1"}),
    ("/assign", {"user_id": "ü/1", "attributes": {"country": "CN"}}),
    ("/recommend", {"user_id": "u1", "placement": "home", "k": 3, "request_id": "r1"}),
    ("/recommend", {"session_id": "s1", "placement": "home", "request_id": "r2", "context": {"item_id": "item-1"}}),
    ("/events", {"events": [{"event_id": "e1", "type": "click", "user_id": "u1", "item_id": "item-1"}]}),
    ("/events", {"events": [{"type": "click"}, {"type": "click", "user_id": "a\x00b"}]}),
]
REFUSED: list[tuple[str, Any]] = [
    ("/assign", {}),
    ("/assign", {"user_id": "u1", "experiment": "nowhere"}),
    ("/assign", {"user_id": "u1", "expose": "yes"}),
    ("/assign", {"user_id": "a\x00b"}),
    ("/recommend", {"user_id": "u1", "placement": "nowhere"}),
    ("/recommend", {"user_id": "u1", "placement": "home", "k": 0}),
    ("/recommend", {"user_id": "u1", "placement": "home", "kay": 3}),
    ("/recommend", {"user_id": "u1", "placement": "home", "timestamp": "2026-01-01T00:00:00Z"}),
    ("/recommend", {"user_id": "u1", "placement": "home", "preview": "rubbish"}),
    ("/recommend", [1, 2]),
    ("/events", {"events": 3}),
    ("/events", {"events": [{}] * 1_001}),
]


@pytest.fixture
def by_flask(runtime: Runtime, client: FlaskClient) -> FlaskClient:
    """The same runtime without lanes."""
    app = create_app(runtime)
    assert isinstance(app, Application)
    app.lanes = None
    return app.test_client()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that a lane answered, in order."""
    paths: list[str] = []
    original = lanes.headers

    def noting(answer: Any) -> Any:
        paths.append(str(answer.status))
        return original(answer)

    monkeypatch.setattr("reclift.web.application.headers", noting)
    return paths


def _send(client: FlaskClient, path: str, body: Any, key: str, **more: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"data": raw, "content_type": "application/json", "headers": {"Authorization": f"Bearer {key}"}, **more}
    return client.post(path, **given)


def _without_receipt(answer: Any) -> Any:
    """Writing the same event again makes it a duplicate, as it should."""
    if isinstance(answer, dict) and "duplicates" in answer:
        return {name: value for name, value in answer.items() if name not in {"accepted", "duplicates"}}
    return answer


@pytest.mark.parametrize(("path", "body"), OK)
def test_a_lane_answers_as_the_view_does(
    client: FlaskClient, by_flask: FlaskClient, shop: Caller, shop_key: str, taken: list[str], path: str, body: Any
) -> None:
    shop.ok("PUT", "/items", {"items": [item(number) for number in range(8)]})
    short, long = _send(client, path, body, shop_key), _send(by_flask, path, body, shop_key)
    assert taken == [str(short.status_code)]
    assert (short.status, dict(short.headers)) == (long.status, dict(long.headers)) or path == "/events"
    assert short.status_code < 300
    assert _without_receipt(short.get_json()) == _without_receipt(long.get_json())


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_what_a_lane_refuses_the_view_refuses_in_the_same_words(
    client: FlaskClient, by_flask: FlaskClient, shop_key: str, path: str, body: Any
) -> None:
    short, long = _send(client, path, body, shop_key), _send(by_flask, path, body, shop_key)
    assert short.status_code >= 400
    assert short.content_type == "application/problem+json"
    assert (short.status, dict(short.headers), short.data) == (long.status, dict(long.headers), long.data)


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {}},
        {"headers": {"Authorization": "Bearer wrong"}},
        {"headers": {"Authorization": "Basic abc"}},
        {"content_type": "text/plain"},
        {"data": b"{"},
        {"data": b"\xff"},
        {"data": b"[" * 70 + b"]" * 70},
        {"content_type": "application/x-www-form-urlencoded", "data": b"user_id=u1"},
    ],
)
def test_unusual_calls_are_left_to_flask(
    client: FlaskClient, by_flask: FlaskClient, shop_key: str, taken: list[str], more: dict[str, Any]
) -> None:
    short = _send(client, "/assign", {"user_id": "u1"}, shop_key, **more)
    long = _send(by_flask, "/assign", {"user_id": "u1"}, shop_key, **more)
    assert taken == []
    assert short.status_code in {400, 401, 415, 422}
    assert (short.status, dict(short.headers), short.data) == (long.status, dict(long.headers), long.data)


def test_a_key_of_another_scope_gets_nothing(client: FlaskClient, runtime: Runtime) -> None:
    answer = _send(client, "/assign", {"user_id": "u1"}, make_key(runtime, "read"))
    assert answer.status_code == 403


def test_an_outage_is_said_by_a_lane_as_everywhere(
    client: FlaskClient, shop_key: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.event_log, "_sinks", (NullSink(),))
    body = {"events": [{"type": "click", "user_id": "u1", "item_id": "i1"}]}
    answer = _send(client, "/events", body, shop_key)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.get_json()["title"] == "Not durable"


def test_each_lane_has_a_view_for_the_same_scope(client: FlaskClient) -> None:
    app = client.application
    matcher = app.url_map.bind("localhost")
    for method, path in lanes.LANES:
        endpoint, _ = matcher.match(path, method)
        access = app.view_functions[endpoint].access  # type: ignore[attr-defined]  # `scoped` puts it there
        assert access.scopes == ("shop",)
        assert not access.people
