"""What the API does not take: each gets the right status and a problem document, and nothing is ever our fault."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment, make_key

EXPERIMENTS = "/api/v1/experiments"

SCOPES = [
    ("GET", "/assign?user_id=u", "shop"),
    ("POST", "/assign", "shop"),
    ("POST", "/recommend", "shop"),
    ("POST", "/events", "shop"),
    ("PUT", "/items", "shop manage"),
    ("DELETE", "/items/i1", "shop manage"),
    ("PUT", "/users/u1", "shop manage"),
    ("POST", "/users/u1/aliases", "shop manage"),
    ("DELETE", "/users/u1", "shop manage"),
    ("GET", EXPERIMENTS, "read manage"),
    ("POST", EXPERIMENTS, "manage"),
    ("GET", f"{EXPERIMENTS}/x", "read manage"),
    ("PATCH", f"{EXPERIMENTS}/x", "manage"),
    ("POST", f"{EXPERIMENTS}/x/start", "manage"),
    ("GET", f"{EXPERIMENTS}/x/report", "read manage"),
    ("POST", f"{EXPERIMENTS}/x/report/refresh", "manage"),
    ("GET", "/api/v1/metrics", "read manage"),
    ("POST", "/api/v1/metrics", "manage"),
    ("GET", "/api/v1/placements", "read manage"),
    ("GET", "/api/v1/placements/home", "read manage"),
    ("PUT", "/api/v1/placements/home", "manage"),
    ("GET", "/api/v1/strategies", "read manage"),
    ("GET", "/api/v1/models", "read manage"),
    ("POST", "/api/v1/models", "manage"),
    ("POST", "/api/v1/models/1/activate", "manage"),
    ("GET", "/api/v1/jobs", "read manage"),
    ("GET", "/api/v1/jobs/1", "read manage"),
    ("POST", "/api/v1/jobs/1/again", "manage"),
    ("GET", "/api/v1/keys", "manage"),
    ("POST", "/api/v1/keys", "manage"),
    ("DELETE", "/api/v1/keys/99", "manage"),
    ("GET", "/api/v1/audit", "read manage"),
]


def test_every_route_needs_a_key_of_the_right_scope(runtime: Runtime, client: FlaskClient, nobody: Caller) -> None:
    callers = {scope: Caller(client, make_key(runtime, scope)) for scope in ("shop", "read", "manage", "client")}
    for method, path, scopes in SCOPES:
        response = nobody(method, path)
        assert response.status_code == 401, path
        assert response.mimetype == "application/problem+json"
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="reclift"'
        for scope, caller in callers.items():
            answer = caller(method, path)
            if scope in scopes.split():
                assert answer.status_code not in {401, 403}, (path, scope)
            else:
                assert answer.status_code == 403, (path, scope)
                assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
                assert scope in answer.get_json(force=True)["detail"]


@pytest.mark.parametrize(
    "sent", ["Bearer", "Bearer ", "Basic dTpw", "rl_x", "Bearer rl_unknown", "Bearer ü", "Bearer a b"]
)
def test_an_unknown_key(client: FlaskClient, sent: str) -> None:
    response = client.get("/assign?user_id=u", headers={"Authorization": sent})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="reclift", error="invalid_')


def test_unknown_experiment_and_placement(shop: Caller, read: Caller) -> None:
    assert "'nope'" in shop.refused("GET", "/assign?user_id=u&experiment=nope", status=404)["detail"]
    assert "'nope'" in shop.refused("POST", "/recommend", {"user_id": "u", "placement": "nope"}, status=404)["detail"]
    for path in ("", "/report"):
        assert "'nope'" in read.refused("GET", f"{EXPERIMENTS}/nope{path}", status=404)["detail"]


MALFORMED = [
    b"", b"{", b"nonsense", b"{'user_id': 'u'}", b'{"user_id": "u",}', b'{"user_id": NaN}', b'{"user_id": 1e999}',
    b"\xff\xfe", b'{"user_id": "\xff"}', b'{"user_id": "\\ud800"}', b'{"user_id": "\xed\xa0\x80"}', b"[" * 100_000,
    b'{"attributes": ' * 100 + b"1" + b"}" * 100, b"\xef\xbb\xbf{}", "{}".encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:20]))
def test_malformed_json_is_400(shop: Caller, manage: Caller, body: bytes) -> None:
    for caller, method, path in (
        (shop, "POST", "/assign"), (shop, "POST", "/recommend"), (shop, "POST", "/events"), (shop, "PUT", "/items"),
        (shop, "PUT", "/users/u"), (shop, "POST", "/users/u/aliases"), (manage, "POST", EXPERIMENTS),
        (manage, "PATCH", f"{EXPERIMENTS}/x"), (manage, "POST", "/api/v1/metrics"), (manage, "POST", "/api/v1/models"),
        (manage, "PUT", "/api/v1/placements/home"), (manage, "POST", "/api/v1/keys"),
    ):  # fmt: skip
        document = caller.refused(method, path, body, status=400)
        assert document["type"] == "/docs#problem-malformed-request"


@pytest.mark.parametrize("body", [[], [1], 5, "x", None, True])
def test_json_of_another_kind_is_422(shop: Caller, body: object) -> None:
    import orjson

    document = shop.refused("POST", "/assign", orjson.dumps(body), status=422)
    assert document["errors"][0]["field"] == "body"


def test_another_content_type_is_415(shop: Caller) -> None:
    body = b'{"user_id": "u"}'
    for kind in ("text/plain", "text/xml", "multipart/form-data; boundary=x"):
        shop.refused("POST", "/assign", body, headers={"Content-Type": kind}, status=415)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "application/json" in shop.refused("POST", "/assign", b"user_id=u", headers=form, status=415)["detail"]
    shop.refused("POST", "/assign", b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}, status=415)
    for kind in (
        "application/json; charset=utf-8",
        "application/vnd.shop+json",
        "application/x-www-form-urlencoded",
        "",
    ):
        assert shop("POST", "/assign", body, headers={"Content-Type": kind}).status_code == 200


def test_a_huge_body_is_413(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    huge = b'{"user_id": "' + b"x" * runtime.settings.max_body_bytes + b'"}'
    for caller, method, path in ((shop, "POST", "/assign"), (shop, "POST", "/events"), (manage, "POST", EXPERIMENTS)):
        assert "5,000,000" in caller.refused(method, path, huge, status=413)["detail"]
        in_chunks = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        caller.refused(method, path, huge, status=413, environ_overrides=in_chunks)


def test_an_unknown_path_is_404_and_a_wrong_method_405(shop: Caller) -> None:
    for path in ("/api/v1/nothing", "/api/v2/experiments", "/assign/x", "/events/", "/users", "/health/", "/metrics/x"):
        shop.refused("GET", path, status=404)
    for method, path, allowed in (
        ("PUT", "/assign", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("GET", "/recommend", {"OPTIONS", "POST"}),
        ("DELETE", "/events", {"OPTIONS", "POST"}),
        ("GET", "/items", {"OPTIONS", "PUT"}),
        ("PUT", EXPERIMENTS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/health/live", {"GET", "HEAD", "OPTIONS"}),
    ):
        response = shop(method, path)
        assert response.status_code == 405
        assert response.mimetype == "application/problem+json"
        assert set(response.headers["Allow"].split(", ")) == allowed


def test_other_paths_answer_programs_with_problems_too(client: FlaskClient) -> None:
    response = client.get("/nothing", headers={"Accept": "application/json"})
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")


WRONG_FIELDS = [
    ("/assign", {}, "user_id"),
    ("/assign", {"user_id": None}, "user_id"),
    ("/assign", {"user_id": ""}, "user_id"),
    ("/assign", {"user_id": "x" * 201}, "user_id"),
    ("/assign", {"user_id": 5}, "user_id"),
    ("/assign", {"user_id": ["u"]}, "user_id"),
    ("/assign", {"user_id": "a\x00b"}, "user_id"),
    ("/assign", {"user_id": "u", "experiment": 5}, "experiment"),
    ("/assign", {"user_id": "u", "attributes": []}, "attributes"),
    ("/assign", {"user_id": "u", "attributes": {"a": ["\x00"]}}, "attributes"),
    ("/assign", {"user_id": "u", "attributes": {"\x00": 1}}, "attributes"),
    ("/assign", {"user_id": "u", "expose": "yes"}, "expose"),
    ("/assign", {"user_id": "u", "usr": 1}, "usr"),
    ("/recommend", {}, "user_id"),
    ("/recommend", {"user_id": "u"}, "placement"),
    ("/recommend", {"user_id": "u", "placement": 5}, "placement"),
    ("/recommend", {"session_id": [], "placement": "home"}, "session_id"),
    ("/recommend", {"user_id": "u", "placement": "home", "k": 0}, "k"),
    ("/recommend", {"user_id": "u", "placement": "home", "k": 201}, "k"),
    ("/recommend", {"user_id": "u", "placement": "home", "k": True}, "k"),
    ("/recommend", {"user_id": "u", "placement": "home", "k": 2.5}, "k"),
    ("/recommend", {"user_id": "u", "placement": "home", "k": 2**64 - 1}, "k"),
    ("/recommend", {"user_id": "u", "placement": "home", "context": "i1"}, "context"),
    ("/recommend", {"user_id": "u", "placement": "home", "context": {"item_id": 5}}, "context.item_id"),
    ("/recommend", {"user_id": "u", "placement": "home", "exclude": "i1"}, "exclude"),
    ("/recommend", {"user_id": "u", "placement": "home", "exclude": [5]}, "exclude"),
    ("/recommend", {"user_id": "u", "placement": "home", "candidates": [""]}, "candidates"),
    ("/recommend", {"user_id": "u", "placement": "home", "candidates": ["x"] * 10_001}, "candidates"),
    ("/recommend", {"user_id": "u", "placement": "home", "attributes": 1}, "attributes"),
    ("/recommend", {"user_id": "u", "placement": "home", "request_id": 1}, "request_id"),
    ("/events", {}, "events"),
    ("/events", {"events": {}}, "events"),
    ("/events", {"event": []}, "event"),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG_FIELDS, ids=str)
def test_a_wrong_field_is_named(shop: Caller, path: str, body: object, field: str) -> None:
    document = shop.refused("POST", path, body, status=422)
    (error,) = document["errors"]
    assert error["field"] == field
    assert error["rule"]
    assert document["detail"].startswith(f"{field}=")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "user_id"), ("user_id=", "user_id"), ("user_id=%00", "user_id"), ("user_id=u&x=1", "x"),
        ("user_id=u&attributes=[]", "attributes"), ("user_id=u&attributes={", "attributes"),
        ("user_id=u&attributes=%7B%22a%22:%22%5Cu0000%22%7D", "attributes"), ("user_id=u&expose=1", "expose"),
    ],
)  # fmt: skip
def test_a_wrong_query_is_named(shop: Caller, query: str, field: str) -> None:
    assert shop.refused("GET", f"/assign?{query}", status=422)["errors"][0]["field"] == field


def test_nul_and_broken_utf8_in_addresses(shop: Caller, manage: Caller) -> None:
    for method, path, body in (
        ("DELETE", "/items/%00", None), ("PUT", "/users/a%00b", {"attributes": {}}), ("DELETE", "/users/%00", None),
    ):  # fmt: skip
        shop.refused(method, path, body, status=400)
    for path in ("/%00", "/%00/report", "/a%00/start"):
        manage.refused("POST" if path.endswith("start") else "GET", EXPERIMENTS + path, status=400)
    for query in ("models?strategy=%00", "audit?kind=%00", "audit?subject=a%00", "experiments?status=%00"):
        manage.refused("GET", f"/api/v1/{query}", status=422)
    for path in ("/%ED%A0%80", "/%FF"):
        manage.refused("GET", EXPERIMENTS + path, status=404)
        shop.refused("DELETE", f"/items{path}", status=404)
    assert shop("GET", "/assign?user_id=%ED%A0%80").status_code == 200


def test_integers_that_no_column_holds(manage: Caller) -> None:
    manage.refused("POST", "/api/v1/models/99999999999999999999/activate", status=404)
    manage.refused("DELETE", f"/api/v1/keys/{'9' * 5_000}", status=404)
    arms = experiment()["arms"]
    for number in (2**31, 2**63 - 1, 2**64 - 1):
        arms[1]["model"] = number
        document = manage.refused("POST", EXPERIMENTS, experiment(arms=arms), status=422)
        assert document["errors"][0]["field"] == "arms.1.model"


def test_the_last_of_two_equal_keys_counts(shop: Caller) -> None:
    answer = shop("POST", "/assign", b'{"user_id": "first", "user_id": "last"}')
    assert answer.json["user_id"] == "last"


def test_without_a_database_changes_are_503_and_decisions_go_on(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    with runtime.database.connection() as connection:
        for table in ("events", "experiments", "audit", "impressions"):
            connection.execute(text(f"ALTER TABLE {table} RENAME TO gone_{table}"))
    response = manage("GET", EXPERIMENTS)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert "gone" not in response.text
    assert shop.ok("GET", "/assign?user_id=u1")["assignments"][0]["in_experiment"] is True
    event = {"type": "click", "user_id": "u1"}
    assert shop.ok("POST", "/events", {"events": [event]}, 202)["accepted"] == 1
    assert runtime.spool.size() > 0


def test_nothing_durable_is_503(runtime: Runtime, shop: Caller) -> None:
    runtime.event_log._sinks = ()
    response = shop("POST", "/events", {"events": [{"type": "click", "user_id": "u"}]})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert response.get_json(force=True)["title"] == "Not durable"
