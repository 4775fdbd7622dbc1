"""The event loop's answers against Flask's: the same, durable before they leave, and nobody waits in the loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from granian.rsgi import ProtocolClosed
from sqlalchemy import func, select

from reclift.domain.events import Facts
from reclift.storage.eventlog import EventLog, NullSink, Poison, SinkUnavailable
from reclift.storage.tables import ImpressionRow
from reclift.web.app import create_app
from reclift.web.rsgi import Rsgi
from reclift.wiring import Runtime
from tests.integration.test_lanes import OK, REFUSED, _without_receipt
from tests.platform_fixtures import Caller, item, make_key
from tests.rsgi_client import FakeProtocol, RsgiClient

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def loop(runtime: Runtime) -> Iterator[RsgiClient]:
    client = RsgiClient(Rsgi(create_app(runtime), runtime))
    yield client
    client.close()


@pytest.fixture
def threads(loop: RsgiClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were answered by a thread, in order."""
    paths: list[str] = []
    by_thread: Callable[..., Any] = loop.application._by_thread

    def noting(scope: Any, *rest: Any) -> Any:
        paths.append(scope.path)
        return by_thread(scope, *rest)

    monkeypatch.setattr(loop.application, "_by_thread", noting)
    return paths


def post(loop: RsgiClient, path: str, body: Any, key: str, **more: Any) -> FakeProtocol:
    raw = body if isinstance(body, bytes | list) and (not body or isinstance(body[0], bytes | int)) else None
    raw = json.dumps(body).encode() if raw is None else raw
    return loop.call("POST", path, raw, {**JSON, "Authorization": f"Bearer {key}", **more.pop("headers", {})}, **more)


def stock(shop: Caller) -> None:
    shop.ok("PUT", "/items", {"items": [item(number) for number in range(8)]})


@pytest.mark.parametrize(("path", "body"), [*OK, *REFUSED])
def test_it_answers_as_flask_does(
    client: FlaskClient, loop: RsgiClient, shop: Caller, shop_key: str, path: str, body: Any
) -> None:
    stock(shop)
    raw = json.dumps(body).encode()
    for _ in range(2):  # the second time all is in memory
        ours = loop.call("POST", path, raw, {**JSON, "Authorization": f"Bearer {shop_key}"})
        flask = client.post(path, data=raw, headers={**JSON, "Authorization": f"Bearer {shop_key}"})
        assert ours.status == flask.status_code
        assert {name.lower() for name, _ in ours.headers} == {name.lower() for name, _ in flask.headers}
        assert _without_receipt(json.loads(ours.body)) == _without_receipt(flask.get_json())


def test_a_user_who_is_known_is_answered_in_the_loop_and_durably(
    loop: RsgiClient, shop: Caller, shop_key: str, runtime: Runtime, threads: list[str]
) -> None:
    stock(shop)
    body = {"user_id": "u1", "placement": "home", "k": 3}
    for calls in range(1, 4):
        answer = post(loop, "/recommend", body, shop_key)
        assert answer.status == 200
        with runtime.database.read() as session:
            assert session.scalar(select(func.count()).select_from(ImpressionRow)) == calls
            assert session.get(ImpressionRow, json.loads(answer.body)["recommendation_id"]) is not None
    assert threads == ["/recommend"]  # the first time, when the history had to be read


def test_what_must_wait_is_answered_by_a_thread(
    loop: RsgiClient, shop: Caller, shop_key: str, threads: list[str]
) -> None:
    stock(shop)
    retried = {"user_id": "u1", "placement": "home", "request_id": "once"}
    first = post(loop, "/recommend", retried, shop_key)
    assert json.loads(post(loop, "/recommend", retried, shop_key).body) == json.loads(first.body)
    many = [{"type": "click", "user_id": "u1", "item_id": "item-1"}] * 51
    assert json.loads(post(loop, "/events", {"events": many}, shop_key).body)["accepted"] == 51
    assert threads == ["/recommend"] * 2 + ["/events"]
    assert post(loop, "/assign", {"user_id": "u1"}, shop_key).status == 200
    assert len(threads) == 3


def test_events_are_answered_in_the_loop_with_what_the_tables_knew(
    loop: RsgiClient, shop: Caller, shop_key: str, threads: list[str], runtime: Runtime
) -> None:
    stock(shop)
    runtime.histories.get("u1")  # in memory
    event = {"type": "click", "user_id": "u1", "item_id": "item-1", "event_id": "e"}

    def send(*events: Any) -> tuple[int, dict[str, Any]]:
        answer = post(loop, "/events", {"events": events}, shop_key)
        return answer.status, json.loads(answer.body)

    assert send(event, {"type": "click"})[1]["rejected"][0]["index"] == 1
    assert [signal.item_id for signal in runtime.histories.get("u1")] == ["item-1"]
    assert send(event, {**event, "event_id": "f"}) == (202, {"accepted": 1, "duplicates": 1, "rejected": []})
    assert send(event, event) == (202, {"accepted": 0, "duplicates": 2, "rejected": []})
    assert threads == []


def test_many_at_once_share_commits(
    loop: RsgiClient, shop: Caller, shop_key: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(shop)
    body = {"user_id": "u1", "placement": "home", "k": 3}
    post(loop, "/recommend", body, shop_key)
    groups: list[int] = []
    together = EventLog.append_many
    held = threading.Event()

    def counting(self: EventLog, batches: Any) -> Any:
        groups.append(len(batches))
        assert held.wait(10)
        return together(self, batches)

    monkeypatch.setattr(EventLog, "append_many", counting)
    answers: list[FakeProtocol] = []
    callers = [
        threading.Thread(target=lambda: answers.append(post(loop, "/recommend", body, shop_key))) for _ in range(20)
    ]
    for caller in callers:
        caller.start()
    while sum(groups) + len(loop.application._keeper._waiting) < 20:
        assert not answers, "answered before it was durable"
    held.set()
    for caller in callers:
        caller.join(20)
    assert [answer.status for answer in answers] == [200] * 20
    assert sum(groups) == 20
    assert len(groups) <= 3


@pytest.mark.parametrize("outcome", [SinkUnavailable("full"), Poison("odd"), RuntimeError("bug")])
def test_what_could_not_be_kept_is_tried_again_by_a_thread(
    loop: RsgiClient,
    shop: Caller,
    shop_key: str,
    threads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    outcome: Exception,
) -> None:
    stock(shop)
    body = {"user_id": "u1", "placement": "home", "k": 3}
    post(loop, "/recommend", body, shop_key)
    monkeypatch.setattr(EventLog, "append_many", lambda _self, batches: [outcome] * len(batches))
    assert post(loop, "/recommend", body, shop_key).status == 200
    assert threads == ["/recommend"] * 2


def test_an_outage_is_a_503_in_flasks_words(
    loop: RsgiClient, shop: Caller, shop_key: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(shop)
    body = {"user_id": "u1", "placement": "home", "k": 3}
    post(loop, "/recommend", body, shop_key)
    monkeypatch.setattr(runtime.event_log, "_sinks", (NullSink(),))
    answer = post(loop, "/recommend", body, shop_key)
    assert answer.status == 503
    assert ("Retry-After", "2") in answer.headers
    assert json.loads(answer.body)["title"] == "Not durable"


def test_too_many_waiting_answers_are_left_to_threads(
    loop: RsgiClient, shop: Caller, shop_key: str, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(shop)
    body = {"user_id": "u1", "placement": "home"}
    post(loop, "/recommend", body, shop_key)
    monkeypatch.setattr("reclift.web.keeper.MOST_WAITING", 0)
    assert post(loop, "/recommend", body, shop_key).status == 200
    assert threads == ["/recommend"] * 2


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"body": b"{"}, 400),
        ({"body": b"[1]"}, 422),
        ({"body": [b'{"user_id":', b' "u1"}']}, 200),
        ({"body": b'{"user_id": "u1", "attributes": {"long": "' + b"x" * 70_000 + b'"}}'}, 200),
    ],
)
def test_unusual_calls_are_left_to_flask(
    loop: RsgiClient, shop_key: str, threads: list[str], more: dict[str, Any], status: int
) -> None:
    answer = post(loop, "/assign", more.pop("body", b'{"user_id": "u1"}'), shop_key, **more)
    assert answer.status == status, answer.body
    assert threads == ["/assign"]


def test_a_body_that_is_too_long_is_refused_unread(loop: RsgiClient, shop_key: str, runtime: Runtime) -> None:
    most = runtime.settings.max_body_bytes
    answer = post(loop, "/events", b"{}", shop_key, headers={"Content-Length": str(most + 1)})
    assert answer.status == 413
    assert not answer.asked
    chunked = post(loop, "/events", [b'{"events": "', *[b"x" * 1_000_000] * (most // 1_000_000 + 2), b'"}'], shop_key)
    assert chunked.status == 413


def test_other_pages_and_methods_are_flasks(loop: RsgiClient, runtime: Runtime, client: FlaskClient) -> None:
    key = make_key(runtime, "read")
    assert loop.call("GET", "/health/live").status == 200
    assert loop.call("DELETE", "/health/live").status == client.delete("/health/live").status_code == 405
    assert loop.call("GET", "/nowhere/ü").status == 404
    listed = loop.call("GET", "/api/v1/experiments", headers={"Authorization": f"Bearer {key}"}, query_string="limit=1")
    assert (
        json.loads(listed.body)
        == client.get("/api/v1/experiments?limit=1", headers={"Authorization": f"Bearer {key}"}).get_json()
    )
    static = loop.call("GET", "/static/reclift.css")
    assert static.status == 200
    assert static.body == client.get("/static/reclift.css").data


def test_pieces_are_sent_as_they_are_made_and_closed_whatever_happens(runtime: Runtime) -> None:
    closed: list[str] = []

    def pieces(broken: bool, *, at_once: bool = False) -> Iterator[bytes]:
        try:
            if at_once:
                raise RuntimeError("nothing")
            yield b"a"
            yield b""
            yield b"b" * 10
            if broken:
                raise RuntimeError("torn")
            yield b"c"
        finally:
            closed.append("yes")

    app = create_app(runtime)
    app.add_url_rule("/pieces", view_func=lambda: Response(pieces(broken=False)), endpoint="pieces")
    app.add_url_rule("/torn", view_func=lambda: Response(pieces(broken=True)), endpoint="torn")
    nothing = Response(pieces(broken=True, at_once=True))
    nothing.call_on_close(lambda: closed.append("nothing"))
    app.add_url_rule("/nothing", view_func=lambda: nothing, endpoint="nothing")
    loop = RsgiClient(Rsgi(app, runtime))
    try:
        assert loop.call("GET", "/nothing").status == 500
        assert closed == ["yes", "nothing"]
        closed.clear()
        answer = loop.call("GET", "/pieces")
        assert (answer.status, answer.sent) == (200, [b"a", b"b" * 10, b"c"])
        with pytest.raises(RuntimeError, match="torn"):
            loop.call("GET", "/torn")
        assert closed == ["yes", "yes"]
    finally:
        loop.close()


def test_nobody_is_answered_who_hung_up(loop: RsgiClient, shop_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(_self: FakeProtocol) -> bytes:
        raise ProtocolClosed

    def closed(*_: Any) -> None:
        raise ProtocolClosed

    monkeypatch.setattr(FakeProtocol, "response_bytes", closed)
    assert loop.call("GET", "/health/live").status == 0
    monkeypatch.setattr(FakeProtocol, "__call__", gone)
    assert post(loop, "/assign", {"user_id": "u1"}, shop_key).status == 0
    monkeypatch.undo()
    assert post(loop, "/assign", {"user_id": "u1"}, shop_key).status == 200


def test_what_is_raised_beyond_flask_is_a_500(runtime: Runtime, loop: RsgiClient) -> None:
    def broken(_environ: Any, _start_response: Any) -> list[bytes]:
        raise RuntimeError("bug")

    loop.application._application = broken
    answer = loop.call("GET", "/health/live")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


def test_what_waits_is_kept_when_the_server_stops(
    runtime: Runtime, shop: Caller, shop_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(shop)
    loop = RsgiClient(Rsgi(create_app(runtime), runtime))
    assert loop.call("GET", "/health/live").status == 200
    kept: list[Facts] = []
    monkeypatch.setattr(EventLog, "append_many", lambda _self, batches: kept.extend(batches) or [None] * len(batches))
    batches = [Facts(exposures=[{"unit_id": f"u{n}", "at": n}]) for n in range(5)]
    for facts in batches:
        loop.loop.call_soon_threadsafe(loop.application._keeper.keep, [facts])
    loop.close()
    assert kept == batches
