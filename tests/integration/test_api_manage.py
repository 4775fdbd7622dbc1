"""What people and automation call: experiments and their life, metrics, placements, models, jobs, keys, audit."""

from __future__ import annotations

import pytest

from reclift.flows import accounts
from reclift.storage.tables import ApiKey
from reclift.wiring import Runtime
from reclift.worker import run_job
from tests.platform_fixtures import Caller, experiment, run_jobs, stock

EXPERIMENTS = "/api/v1/experiments"


def test_an_experiment_is_made_and_read(manage: Caller, read: Caller) -> None:
    response = manage("POST", EXPERIMENTS, experiment(audience={"country": {"$in": ["CN", "US"]}}, traffic=0.5))
    assert response.status_code == 201
    assert response.headers["Location"] == f"{EXPERIMENTS}/home-recs"
    made = response.json
    assert made["warnings"] == []
    seen = read.ok("GET", f"{EXPERIMENTS}/home-recs")
    assert seen == made
    assert (seen["status"], seen["phase"], seen["version"], seen["traffic"]) == ("draft", 1, 1, 0.5)
    assert seen["audience"] == {"country": {"$in": ["CN", "US"]}}
    assert [arm["key"] for arm in seen["arms"]] == ["control", "item-cf"]
    assert seen["arms"][1] == {
        "key": "item-cf", "strategy": "item_cf", "params": {"k": 20}, "weight": 0.5, "control": False, "model": None,
        "rerank": None,
    }  # fmt: skip
    assert read.ok("GET", EXPERIMENTS)["experiments"] == [{k: v for k, v in seen.items() if k != "warnings"}]
    assert manage.refused("POST", EXPERIMENTS, experiment(), status=409)["title"] == "Conflict"


def test_what_the_server_shows_can_be_sent_back(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    seen = manage.ok("GET", f"{EXPERIMENTS}/home-recs")
    again = manage.ok("PATCH", f"{EXPERIMENTS}/home-recs", seen)
    changing = {"version", "updated_at", "warnings"}
    assert {k: v for k, v in again.items() if k not in changing} == {k: v for k, v in seen.items() if k not in changing}


def test_a_life(runtime: Runtime, manage: Caller, read: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    path = f"{EXPERIMENTS}/home-recs"
    for action, status in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
        ("archive", "archived"),
    ):
        assert manage.ok("POST", f"{path}/{action}")["status"] == status
        assert read.ok("GET", path)["status"] == status
    seen = read.ok("GET", path)
    assert seen["created_at"] <= seen["started_at"] <= seen["stopped_at"]
    assert read.ok("GET", EXPERIMENTS)["experiments"] == []
    assert [one["key"] for one in read.ok("GET", f"{EXPERIMENTS}?status=archived")["experiments"]] == ["home-recs"]
    actions = [line["action"] for line in read.ok("GET", "/api/v1/audit?kind=experiment&subject=home-recs")["audit"]]
    assert actions == ["archive", "stop", "resume", "pause", "start", "create"]


def test_a_step_that_the_state_does_not_allow(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    detail = manage.refused("POST", f"{EXPERIMENTS}/home-recs/stop", status=409)["detail"]
    assert "draft" in detail
    assert "start" in detail
    for action in ("start", "pause", "resume", "stop", "archive"):
        manage.refused("POST", f"{EXPERIMENTS}/unknown/{action}", status=404)
    manage.refused("POST", f"{EXPERIMENTS}/home-recs/explode", status=404)


def test_every_problem_of_an_experiment_is_named(manage: Caller) -> None:
    wrong = experiment(
        "Bad Key",
        placement="nowhere",
        traffic=1.5,
        colour="red",
        audience={"country": {"$near": 1}},
        arms=[
            {"key": "a", "strategy": "magic", "control": True},
            {"key": "a", "strategy": "item_cf", "params": {"k": 0}, "weight": -1},
        ],
        metrics={"primary": "happiness", "secondary": ["ctr", "ctr"]},
    )
    document = manage.refused("POST", EXPERIMENTS, wrong, status=422)
    assert {error["field"] for error in document["errors"]} >= {
        "key", "placement", "traffic", "colour", "arms.0.strategy", "arms.1.key", "arms.1.weight", "arms.1.params.k",
        "metrics.primary", "metrics.secondary.1",
    }  # fmt: skip
    assert any(error["field"].startswith("audience.country") for error in document["errors"])
    assert all(error["rule"] for error in document["errors"])


def test_while_it_runs_only_what_moves_nobody_may_change(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(traffic=0.5), 201)
    path = f"{EXPERIMENTS}/home-recs"
    assert manage.ok("PATCH", path, {"placement": "cart"})["placement"] == "cart"
    manage.ok("POST", f"{path}/start")
    assert manage.ok("PATCH", path, {"traffic": 0.9, "hypothesis": "New words."})["traffic"] == 0.9
    document = manage.refused("PATCH", path, {"arms": experiment()["arms"][::-1], "placement": "home"}, status=422)
    assert {error["field"] for error in document["errors"]} == {"arms", "placement"}
    manage.refused("PATCH", path, {"key": "other"}, status=422)
    manage.ok("POST", f"{path}/stop")
    manage.refused("PATCH", path, {"traffic": 1.0}, status=409)
    assert manage.ok("PATCH", path, {"note": "We learnt much."})["note"] == "We learnt much."
    manage.refused("PATCH", f"{EXPERIMENTS}/unknown", {"note": "x"}, status=404)


def test_raising_the_traffic_moves_nobody_who_is_in(shop: Caller, manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(traffic=0.3), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")

    def arms() -> dict[str, str]:
        decisions = {f"u{n}": shop.ok("GET", f"/assign?user_id=u{n}")["assignments"][0] for n in range(100)}
        return {user: one["arm"] for user, one in decisions.items() if one["in_experiment"]}

    before = arms()
    manage.ok("PATCH", f"{EXPERIMENTS}/home-recs", {"traffic": 0.8})
    after = arms()
    assert 10 <= len(before) < len(after)
    assert {user: after[user] for user in before} == before


def test_two_experiments_on_a_placement_are_warned_about(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment("first"), 201)
    manage.ok("POST", f"{EXPERIMENTS}/first/start")
    assert "first" in manage.ok("POST", EXPERIMENTS, experiment("second"), 201)["warnings"][0]


def test_metrics(manage: Caller, read: Caller) -> None:
    built_in = {metric["key"] for metric in read.ok("GET", "/api/v1/metrics")["metrics"]}
    assert built_in >= {"ctr", "conversion", "revenue_per_user", "latency", "fallback_rate"}
    body = {
        "key": "wishes",
        "name": "Wishes",
        "kind": "proportion",
        "numerator": {"event": "wish", "where": {"list": "main"}},
        "window_hours": 24,
        "format": "percent",
    }
    made = manage.ok("POST", "/api/v1/metrics", body, 201)
    assert made in read.ok("GET", "/api/v1/metrics")["metrics"]
    assert made["numerator"] == {
        "event": "wish",
        "value": "count",
        "attributed": False,
        "position": None,
        "where": {"list": "main"},
    }
    manage.refused("POST", "/api/v1/metrics", body, status=409)
    for field, value in (
        ("kind", "vibes"), ("numerator", 5), ("window_hours", -1), ("direction", "up"), ("minimum", 1.5),
        ("description", 5), ("colour", "red"), ("key", "A B"), ("cap_percentile", 7), ("denominator", {"event": "x"}),
    ):  # fmt: skip
        document = manage.refused("POST", "/api/v1/metrics", {**body, "key": "other", field: value}, status=422)
        assert document["errors"][0]["field"] == field


def test_placements(runtime: Runtime, manage: Caller, read: Caller) -> None:
    keys = [place["key"] for place in read.ok("GET", "/api/v1/placements")["placements"]]
    assert keys == ["cart", "home", "product-page"]
    body = {"name": "Search", "strategy": "item_cf", "params": {"k": 7}, "fallback": ["popularity"], "seen": "none"}
    made = manage.ok("PUT", "/api/v1/placements/search", body)
    assert made == {**read.ok("GET", "/api/v1/placements/search")}
    assert made.items() >= {**body, "key": "search"}.items()
    assert manage.ok("PUT", "/api/v1/placements/search", {"seen": "bought"})["params"] == {"k": 7}
    asked = [job["arguments"] for job in read.ok("GET", "/api/v1/jobs")["jobs"] if job["task"] == "train"]
    assert {(one["strategy"], one["params"].get("k")) for one in asked} == {("item_cf", 7), ("popularity", None)}
    read.refused("GET", "/api/v1/placements/nowhere", status=404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "magic"), ("strategy", []), ("params", "x"), ("fallback", "popularity"),
        ("seen", []), ("seen", "twice"), ("name", 5), ("colour", "red"),
    ],
)  # fmt: skip
def test_a_placement_is_checked_field_by_field(manage: Caller, field: str, value: object) -> None:
    document = manage.refused("PUT", "/api/v1/placements/home", {field: value}, status=422)
    assert document["errors"][0]["field"] == field


def test_every_wrong_parameter_of_a_placement_is_named(manage: Caller) -> None:
    body = {"strategy": "item_cf", "params": {"k": -1, "shrinkage": "much", "depth": 3}}
    document = manage.refused("PUT", "/api/v1/placements/home", body, status=422)
    assert {(error["field"], error["rule"]) for error in document["errors"]} == {
        ("params.k", "must be greater than or equal to 1"), ("params.depth", "is not one of its parameters"),
        ("params.shrinkage", "must be a valid number, unable to parse string as a number"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ([], "strategy"), ("magic", "strategy"), ({"params": {}}, "strategy"), ({"strategy": "magic"}, "strategy"),
        ({"strategy": "item_cf", "params": {"k": -1}}, "params.k"), ({"strategy": "item_cf", "params": []}, "params"),
        ({"strategy": "item_cf", "weight": 2}, "weight"),
    ],
)  # fmt: skip
def test_an_entry_of_a_fallback_chain_is_checked(manage: Caller, entry: object, field: str) -> None:
    document = manage.refused("PUT", "/api/v1/placements/home", {"fallback": ["popularity", entry]}, status=422)
    assert [problem["field"] for problem in document["errors"]] == [f"fallback.1.{field}"]


def test_an_entry_of_a_fallback_chain_may_have_parameters(manage: Caller, read: Caller) -> None:
    chain = [{"strategy": "popularity", "params": {"segment": "country"}}, "popularity"]
    assert manage.ok("PUT", "/api/v1/placements/home", {"fallback": chain})["fallback"] == chain
    asked = [job["arguments"] for job in read.ok("GET", "/api/v1/jobs")["jobs"] if job["task"] == "train"]
    assert {"country", None} <= {one["params"].get("segment") for one in asked if one["strategy"] == "popularity"}


def test_a_placement_has_a_plain_key(manage: Caller) -> None:
    document = manage.refused("PUT", "/api/v1/placements/Home Page", {"strategy": "popularity"}, status=422)
    assert document["errors"][0]["field"] == "key"


def test_strategies_say_what_can_be_set(read: Caller) -> None:
    listed = {one["strategy"]: one for one in read.ok("GET", "/api/v1/strategies")["strategies"]}
    assert listed.keys() >= {"popularity", "item_cf", "matrix_factorization"}
    assert listed["item_cf"]["params"]["properties"]["k"]["minimum"] == 1
    assert all(one["error"] is None and one["title"] and one["summary"] for one in listed.values())


def test_models_are_trained_listed_and_activated(runtime: Runtime, shop: Caller, manage: Caller, read: Caller) -> None:
    stock(runtime, shop)
    body = {"strategy": "popularity", "params": {}}
    job = manage.ok("POST", "/api/v1/models", body, 202)
    assert (job["task"], job["state"], job["actor"]) == ("train", "queued", "key:manage")
    assert manage.ok("POST", "/api/v1/models", body, 202)["id"] == job["id"]
    run_jobs(runtime)
    done = read.ok("GET", f"/api/v1/jobs/{job['id']}")
    assert (done["state"], done["message"], done["progress"]) == ("done", "popularity@2 is active", 1.0)
    newer, older = read.ok("GET", "/api/v1/models?strategy=popularity")["models"]
    assert [newer["active"], older["active"]] == [True, False]
    assert shop.ok("POST", "/recommend", {"user_id": "u", "placement": "home"})["model"] == "popularity@2"
    assert manage.ok("POST", f"/api/v1/models/{older['id']}/activate")["active"] is True
    assert shop.ok("POST", "/recommend", {"user_id": "u", "placement": "home"})["model"] == "popularity@1"
    assert read.ok("GET", "/api/v1/models?strategy=item_cf") == {"models": []}
    assert read.ok("GET", "/api/v1/audit?kind=model")["audit"][0]["action"] == "activate"


def test_a_model_that_cannot_be_trained(manage: Caller, read: Caller) -> None:
    for body, field in (
        ({"strategy": "magic"}, "strategy"),
        ({"strategy": ["item_cf"]}, "strategy"),
        ({}, "strategy"),
        ({"strategy": "item_cf", "params": {"k": "many"}}, "params.k"),
        ({"strategy": "item_cf", "params": []}, "params"),
        ({"strategy": "item_cf", "version": 3}, "version"),
    ):
        document = manage.refused("POST", "/api/v1/models", body, status=422)
        assert document["errors"][0]["field"] == field
    manage.refused("POST", "/api/v1/models/77/activate", status=404)
    assert read.ok("GET", "/api/v1/jobs") == {"jobs": []}


def test_jobs(manage: Caller, read: Caller) -> None:
    for k in range(3):
        manage.ok("POST", "/api/v1/models", {"strategy": "item_cf", "params": {"k": k + 1}}, 202)
    assert len(read.ok("GET", "/api/v1/jobs?limit=2")["jobs"]) == 2
    for wrong in ("0", "1001", "-1", "x", "9" * 5_000, "1.5", "²"):
        assert read.refused("GET", f"/api/v1/jobs?limit={wrong}", status=422)["errors"][0]["field"] == "limit"
    for wrong in ("0", "77", "x", "9" * 5_000, "99999999999999999999", "²"):
        read.refused("GET", f"/api/v1/jobs/{wrong}", status=404)


def test_keys_are_shown_once_and_kept_as_a_digest(runtime: Runtime, client: object, manage: Caller) -> None:
    made = manage.ok("POST", "/api/v1/keys", {"name": "Shop server", "scopes": ["shop", "read"]}, 201)
    assert made["scopes"] == ["read", "shop"]
    with runtime.database.read() as session:
        row = session.get_one(ApiKey, made["id"])
        assert row.digest == accounts.digest(made["key"])
        assert made["key"] not in str(vars(row))
    listed = manage.ok("GET", "/api/v1/keys")["keys"]
    assert listed[0]["name"] == "Shop server"
    assert made["key"] not in str(listed)
    caller = Caller(manage.client, made["key"])
    caller.ok("GET", EXPERIMENTS)
    manage.ok("DELETE", f"/api/v1/keys/{made['id']}", status=204)
    assert caller.refused("GET", EXPERIMENTS, status=401)["title"] == "Unauthorized"
    manage.ok("DELETE", f"/api/v1/keys/{made['id']}", status=204)
    manage.refused("DELETE", "/api/v1/keys/4711", status=404)
    assert [line["action"] for line in manage.ok("GET", "/api/v1/audit?kind=key&limit=2")["audit"]] == [
        "revoke",
        "create",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "x"}, {"name": 5, "scopes": ["shop"]}, {"name": "x", "scopes": "shop"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]}, {"name": " ", "scopes": ["shop"]}, {"name": "x" * 201, "scopes": ["shop"]},
        {"name": "x", "scopes": [["shop"]]}, {"name": "x", "scopes": ["shop"], "admin": True},
    ],
)  # fmt: skip
def test_a_key_needs_a_name_and_scopes(manage: Caller, body: dict[str, object]) -> None:
    assert manage.refused("POST", "/api/v1/keys", body, status=422)["errors"]


def test_the_audit_log_says_who_changed_what(manage: Caller, read: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("PATCH", f"{EXPERIMENTS}/home-recs", {"traffic": 0.25})
    newest = read.ok("GET", "/api/v1/audit?limit=1")["audit"][0]
    assert (newest["actor"], newest["action"], newest["kind"], newest["subject"]) == (
        "key:manage",
        "change",
        "experiment",
        "home-recs",
    )
    assert newest["before"]["traffic"] == 1.0
    assert newest["after"]["traffic"] == 0.25
    assert "arms" not in newest["after"]


def test_a_strategy_that_cannot_be_imported_hides_nothing(runtime: Runtime, manage: Caller, read: Caller) -> None:
    from importlib.metadata import EntryPoint

    broken = EntryPoint("broken", "no_such_module:Thing", "reclift.strategies")
    runtime.registry._found["broken"] = broken
    listed = {one["strategy"]: one for one in read.ok("GET", "/api/v1/strategies")["strategies"]}
    assert "no_such_module" in listed["broken"]["error"]
    assert listed["popularity"]["error"] is None
    document = manage.refused("PUT", "/api/v1/placements/home", {"strategy": "broken"}, status=422)
    assert "no_such_module" in document["detail"]
    manage.refused("POST", "/api/v1/models", {"strategy": "broken"}, status=422)


def test_a_job_is_run_again_when_it_has_ended(runtime: Runtime, manage: Caller, read: Caller, shop: Caller) -> None:
    job = manage.ok("POST", "/api/v1/models", {"strategy": "item_cf", "params": {"k": 5}}, 202)
    path = f"/api/v1/jobs/{job['id']}/again"
    assert "is queued" in manage.refused("POST", path, status=409)["detail"]
    run_job(runtime, job["id"])  # there is nothing to train from
    failed = read.ok("GET", f"/api/v1/jobs/{job['id']}")
    assert failed["state"] == "failed"
    for caller in (read, shop):
        caller.refused("POST", path, status=403)
    asked = manage.ok("POST", path, status=202)
    assert asked["id"] != job["id"]
    assert (asked["task"], asked["arguments"], asked["state"]) == ("train", failed["arguments"], "queued")
    assert manage.ok("POST", path, status=202)["id"] == asked["id"]
    for wrong in ("0", "77", "x"):
        manage.refused("POST", f"/api/v1/jobs/{wrong}/again", status=404)
