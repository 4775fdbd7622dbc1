"""OFREP 0.3: the protocol itself, and the published OpenFeature clients of Python and Node against a running server."""

from __future__ import annotations

from typing import Any

import pytest
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import ProviderStatus
from sqlalchemy import select

from reclift.domain.events import MAX_ID
from reclift.storage.tables import ExposureRow
from reclift.wiring import Runtime
from tests.integration.conftest import Running
from tests.platform_fixtures import Caller, experiment, make_key

ONE = "/ofrep/v1/evaluate/flags/home-recs"
ALL = "/ofrep/v1/evaluate/flags"


def asked(unit: Any = "u1", **attributes: Any) -> dict[str, Any]:
    return {"context": {"targetingKey": unit, **attributes}}


@pytest.fixture
def started(manage: Caller) -> None:
    manage.ok(
        "POST", "/api/v1/experiments", experiment(audience={"country": "CN"}, overrides={"tester": "item-cf"}), 201
    )
    manage.ok("POST", "/api/v1/experiments", experiment("a-draft"), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")


def test_one_flag_says_what_assign_says(started: None, shop: Caller) -> None:
    seen = set()
    for number in range(40):
        unit, country = f"u{number}", ("CN", "US")[number % 2]
        body = {"user_id": unit, "experiment": "home-recs", "attributes": {"country": country}}
        [assigned] = shop.ok("POST", "/assign", body)["assignments"]
        flag = shop.ok("POST", ONE, asked(unit, country=country))
        assert flag == {
            "key": "home-recs",
            "value": assigned["arm"],
            "variant": assigned["arm"],
            "reason": "SPLIT" if country == "CN" else "DEFAULT",
            "metadata": {"in_experiment": assigned["in_experiment"], "reason": assigned["reason"]},
        }
        seen.add((flag["value"], flag["reason"]))
    assert seen == {("control", "SPLIT"), ("item-cf", "SPLIT"), ("control", "DEFAULT")}


def test_reasons_for_testers_and_drafts(started: None, shop: Caller) -> None:
    forced = shop.ok("POST", ONE, asked("tester"))
    assert (forced["value"], forced["reason"]) == ("item-cf", "TARGETING_MATCH")
    draft = shop.ok("POST", "/ofrep/v1/evaluate/flags/a-draft", asked())
    assert (draft["value"], draft["reason"]) == ("control", "DISABLED")


def test_bulk_has_what_runs_and_an_etag(started: None, shop: Caller, manage: Caller) -> None:
    first = shop("POST", ALL, asked(country="CN"))
    assert [flag["key"] for flag in first.json["flags"]] == ["home-recs"]
    tag = first.headers["ETag"]
    again = shop("POST", ALL, asked(country="CN"), headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert shop("POST", ALL, asked(country="CN"), headers={"If-None-Match": f'W/{tag}, "x"'}).status_code == 304
    # Another user, other attributes, or another plan: another answer.
    assert shop("POST", ALL, asked(country="US"), headers={"If-None-Match": tag}).status_code == 200
    manage.ok("POST", "/api/v1/experiments/home-recs/pause")
    paused = shop("POST", ALL, asked(country="CN"), headers={"If-None-Match": tag})
    assert (paused.status_code, paused.json) == (200, {"flags": []})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        ({}, "INVALID_CONTEXT"),
        ({"context": "u1"}, "INVALID_CONTEXT"),
        ({"context": {}}, "TARGETING_KEY_MISSING"),
        (asked(""), "TARGETING_KEY_MISSING"),
        (asked(None), "TARGETING_KEY_MISSING"),
        (asked(["u1"]), "INVALID_CONTEXT"),
        (asked("x" * (MAX_ID + 1)), "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a\\u0000"}}', "PARSE_ERROR"),
        (b'{"context": ' + b"[" * 100 + b"]" * 100 + b"}", "PARSE_ERROR"),
    ],
)
def test_bad_requests_are_told_in_the_protocols_words(started: None, shop: Caller, body: Any, code: str) -> None:
    one, every = shop("POST", ONE, body), shop("POST", ALL, body)
    assert (one.status_code, every.status_code) == (400, 400)
    assert (one.json["key"], one.json["errorCode"], every.json["errorCode"]) == ("home-recs", code, code)
    assert one.json["errorDetails"]
    assert "key" not in every.json


def test_an_unknown_flag_is_404_in_the_protocols_words(shop: Caller) -> None:
    answer = shop("POST", ONE, asked())
    assert (answer.status_code, answer.json["errorCode"]) == (404, "FLAG_NOT_FOUND")
    assert answer.json["key"] == "home-recs"


def test_keys_of_servers_and_of_browsers_may_ask_in_both_ways(
    started: None, runtime: Runtime, shop: Caller, nobody: Caller
) -> None:
    client_key, read_key = make_key(runtime, "client"), make_key(runtime, "read")
    for key in (shop.key, client_key):
        assert Caller(nobody.client, key)("POST", ONE, asked()).status_code == 200
        assert nobody("POST", ONE, asked(), headers={"X-API-Key": str(key)}).status_code == 200
    assert nobody("POST", ONE, asked()).status_code == 401
    assert nobody("POST", ONE, asked(), headers={"X-API-Key": "rl_wrong"}).status_code == 401
    assert nobody("POST", ONE, asked(), headers={"X-API-Key": read_key}).status_code == 403
    # A client key is public: it must open nothing else.
    assert Caller(nobody.client, client_key)("POST", "/assign", {"user_id": "u"}).status_code == 403


def test_a_page_of_another_site_may_ask(started: None, nobody: Caller, shop: Caller) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    before = nobody.client.options(ALL, headers=asks)
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Origin"] == "*"
    assert {"Authorization", "X-API-Key", "Content-Type", "If-None-Match"} <= set(
        before.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert shop("POST", ALL, asked()).headers["Access-Control-Expose-Headers"] == "ETag"
    refused = nobody("POST", ALL, asked())
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")


def test_evaluating_is_not_exposing_unless_said(started: None, runtime: Runtime, shop: Caller) -> None:
    def exposed() -> list[tuple[str, str]]:
        with runtime.database.read() as session:
            return [(row.unit_id, row.source) for row in session.scalars(select(ExposureRow))]

    shop.ok("POST", ALL, asked(country="CN"))
    shop.ok("POST", ONE, asked(country="CN"))
    assert exposed() == []
    say = {"Reclift-Expose": "true"}
    assert shop("POST", ONE, asked(country="CN"), headers=say).status_code == 200
    assert shop("POST", ONE, asked("u2", country="US"), headers=say).status_code == 200  # not in it: nothing to log
    assert shop("POST", ONE, asked("tester"), headers=say).status_code == 200  # people who test do not count
    assert exposed() == [("u1", "assign")]
    public = Caller(shop.client, make_key(runtime, "client"))
    assert public("POST", ONE, asked("u3", country="CN"), headers=say).status_code == 403
    assert shop("POST", ONE, asked(), headers={"Reclift-Expose": "yes"}).status_code == 400
    assert exposed() == [("u1", "assign")]


def test_an_alias_gets_the_persons_arm(started: None, shop: Caller) -> None:
    arms = {unit: shop.ok("POST", ONE, asked(unit, country="CN"))["value"] for unit in map(str, range(20))}
    control = next(unit for unit, arm in arms.items() if arm == "control")
    other = next(unit for unit, arm in arms.items() if arm == "item-cf")
    shop.ok("POST", f"/users/{control}/aliases", {"alias": other}, 201)
    assert shop.ok("POST", ONE, asked(other, country="CN"))["value"] == "control"


def test_who_has_met_an_arm_of_a_sticky_experiment_keeps_it(shop: Caller, manage: Caller) -> None:
    manage.ok("POST", "/api/v1/experiments", experiment(sticky=True), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    met = {unit: shop.ok("POST", ONE, asked(unit))["value"] for unit in map(str, range(20))}
    for unit in met:
        shop.ok("POST", "/assign", {"user_id": unit, "experiment": "home-recs", "expose": True})
    manage.ok("POST", "/api/v1/experiments/home-recs/weights", {"weights": {"control": 0.01, "item-cf": 0.99}})
    for unit, arm in met.items():
        flag = shop.ok("POST", ONE, asked(unit))
        assert (flag["value"], flag["reason"], flag["metadata"]["reason"]) == (arm, "SPLIT", "sticky")
    fresh = [shop.ok("POST", ONE, asked(f"new-{number}"))["value"] for number in range(20)]
    assert fresh.count("item-cf") >= 18


def provided(running: Running, key: str) -> OpenFeatureClient:
    from openfeature import api

    headers = {"Authorization": f"Bearer {key}"}
    api.set_provider(OFREPProvider(running.url, headers_factory=lambda: headers), domain=key)
    client = api.get_client(domain=key)
    assert client.get_provider_status() is ProviderStatus.READY
    return client


def details(client: OpenFeatureClient, flag: str, context: EvaluationContext) -> FlagEvaluationDetails[str]:
    return client.get_string_details(flag, "the default", context)


def test_the_published_clients_of_python_and_node_agree_with_us(running: Running, node: Any) -> None:
    key = running.start(experiment("ofrep-recs", audience={"country": "CN"}))
    questions: list[dict[str, Any]] = [
        {"flag": key, "context": {"targetingKey": f"u{number}", "country": ("CN", "US")[number % 3 == 0]}}
        for number in range(15)
    ]
    questions.append({"flag": "nothing", "context": {"targetingKey": "u1"}})
    questions.append({"flag": key, "context": {}})
    running.runtime.live.refresh()
    plan = running.runtime.live.current.plan
    wait_for(running, key)

    headers = {"X-API-Key": running.client_key}
    by_node = node("ofrep.mjs", {"url": running.url, "headers": headers, "questions": questions})
    client = provided(running, running.shop_key)
    for question, there in zip(questions, by_node, strict=True):
        context = dict(question["context"])
        here = details(client, question["flag"], EvaluationContext(context.pop("targetingKey", None), context))
        unit = question["context"].get("targetingKey")
        if question["flag"] == "nothing":
            assert (here.value, here.error_code) == ("the default", ErrorCode.FLAG_NOT_FOUND)
            assert (there["value"], there["errorCode"]) == ("the default", "FLAG_NOT_FOUND")
        elif unit is None:
            assert here.value == there["value"] == "the default"
            assert there["errorCode"] == "TARGETING_KEY_MISSING"
            assert here.error_code in {ErrorCode.TARGETING_KEY_MISSING, ErrorCode.INVALID_CONTEXT}
        else:
            ours = plan.decide(key, unit, context)
            assert (here.value, here.variant) == (there["value"], there["variant"]) == (ours.arm, ours.arm)
            assert here.reason == there["reason"] == (Reason.SPLIT if ours.in_experiment else Reason.DEFAULT)
            assert here.flag_metadata == there["metadata"]
            assert there["metadata"] == {"in_experiment": ours.in_experiment, "reason": ours.reason.value}


def test_the_published_client_shows_the_default_without_a_key(running: Running) -> None:
    found = details(provided(running, "rl_wrong"), "exp-0", EvaluationContext("u1"))
    assert (found.value, found.error_code, found.error_message) == ("the default", ErrorCode.GENERAL, "unauthorized")


def wait_for(running: Running, key: str) -> None:
    """Until the server knows an experiment that another process has started."""
    from tests.services import wait_until

    headers = {"Authorization": f"Bearer {running.shop_key}"}
    wait_until(
        lambda: running.server.get(f"/assign?user_id=u&experiment={key}", headers).status == 200, 5, lambda: None
    )
