"""Reports, traffic, SDKs and health over a real database."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from reclift.flows import accounts
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, build_runtime, experiment, make_key, run_jobs, stock, visit

EXPERIMENTS = "/api/v1/experiments"
REPORT = f"{EXPERIMENTS}/home-recs/report"


@pytest.fixture
def clicked(runtime: Runtime, shop: Caller, manage: Caller) -> dict[str, int]:
    """An experiment that 120 users have met; clicks by arm."""
    stock(runtime, shop)
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    run_jobs(runtime)
    return visit(shop, [f"u{number}" for number in range(120)], clicks={"control": 0.1, "item-cf": 0.8})


def shape(value: Any) -> Any:
    """Names only."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def includes(whole: Any, part: Any) -> bool:
    """Whether every name of `part` stands in `whole`, too."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and includes(whole[name], part[name]) for name in part)
    return not isinstance(part, list) or (isinstance(whole, list) and includes(whole[0], part[0]))


API_MD = {
    "experiment": "home-recs", "computed_at": "…", "data_until": "…",
    "srm": {"observed": [100, 120], "expected": [110.0, 110.0], "p_value": 0.17, "ok": True},
    "arms": [{"arm": "control", "control": True, "units": 100, "impressions": 900}],
    "metrics": [{"metric": "ctr", "role": "primary", "kind": "ratio",
        "arms": [{"arm": "control", "units": 100, "mean": 0.031, "std_error": 0.002}],
        "comparisons": [{"arm": "item-cf", "control": "control", "lift": 0.12, "lift_ci": [0.01, 0.23],
            "difference": 0.004, "difference_ci": [0.0003, 0.007], "p_value": 0.03, "p_value_adjusted": 0.05,
            "ci_level": 0.95, "sequential": {"p_value": 0.08, "lift_ci": [-0.02, 0.26]},
            "bayesian": {"chance_to_win": 0.98, "expected_loss": 0.0002}, "variance_reduction": None,
            "warnings": []}]}],
    "decision": {"call": "ship", "because": ["…"]},
}  # fmt: skip


def test_the_report_is_as_the_contract_says(clicked: dict[str, int], read: Caller) -> None:
    report = read.ok("GET", REPORT)
    assert includes(shape(report), shape(API_MD))
    units = {arm["arm"]: arm["units"] for arm in report["arms"]}
    assert sum(units.values()) == 120
    assert report["srm"]["observed"] == [units["control"], units["item-cf"]]
    assert report["srm"]["ok"] is True
    ctr = report["metrics"][0]
    assert (ctr["metric"], ctr["role"], ctr["kind"]) == ("ctr", "primary", "ratio")
    means = {arm["arm"]: arm["mean"] for arm in ctr["arms"]}
    for arm, clicks in clicked.items():
        assert means[arm] == pytest.approx(clicks / units[arm])
    (compared,) = ctr["comparisons"]
    assert compared["lift"] == pytest.approx(means["item-cf"] / means["control"] - 1)
    assert compared["lift_ci"][0] < compared["lift"] < compared["lift_ci"][1]
    assert compared["p_value"] < 0.05
    assert report["decision"]["because"]
    assert [metric["role"] for metric in report["metrics"]] == ["primary", "secondary", "secondary", "guardrail"]


def test_the_report_is_kept_and_computed_anew_when_asked(
    clicked: dict[str, int], runtime: Runtime, shop: Caller, manage: Caller, read: Caller
) -> None:
    first = read.ok("GET", REPORT)
    visit(shop, ["late1", "late2"], clicks={"control": 1.0, "item-cf": 1.0})
    assert read.ok("GET", REPORT) == first
    job = manage.ok("POST", f"{REPORT}/refresh", status=202)
    assert (job["task"], job["arguments"]) == ("report", {"experiment": "home-recs"})
    assert run_jobs(runtime) == ["report"]
    assert read.ok("GET", f"/api/v1/jobs/{job['id']}")["message"].startswith("home-recs: ")
    assert sum(arm["units"] for arm in read.ok("GET", REPORT)["arms"]) == 122


def test_the_report_as_csv(clicked: dict[str, int], read: Caller) -> None:
    response = read("GET", f"{REPORT}?format=csv")
    assert response.content_type == "text/csv; charset=utf-8"
    assert 'filename="home-recs-report.csv"' in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.text)))
    report = read.ok("GET", REPORT)
    assert len(rows) == sum(len(metric["arms"]) for metric in report["metrics"])
    (row,) = [row for row in rows if (row["metric"], row["arm"]) == ("ctr", "item-cf")]
    assert float(row["lift"]) == report["metrics"][0]["comparisons"][0]["lift"]


def test_the_report_by_segment(runtime: Runtime, shop: Caller, manage: Caller, read: Caller) -> None:
    stock(runtime, shop)
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    for number in range(20):
        body = {"user_id": f"u{number}", "placement": "home", "attributes": {"country": "CN" if number % 4 else "US"}}
        shop.ok("POST", "/recommend", body)
    segments = read.ok("GET", f"{REPORT}?segment=country")["segments"]
    assert {one["value"]: one["units"] for one in segments} == {"CN": 15, "US": 5}
    assert segments[0]["metrics"][0]["metric"] == "ctr"
    assert read.ok("GET", f"{REPORT}?segment=unknown")["segments"] == []
    for odd in ("a.b", "$[0]", "it's", "%F0%9F%98%80", "[", "*"):
        assert read.ok("GET", f"{REPORT}?segment={odd}")["segments"] == []
    for wrong in ("", "x" * 65, '"', "a%0Ab", "%00"):
        assert read.refused("GET", f"{REPORT}?segment={wrong}", status=422)["errors"][0]["field"] == "segment"
    read.refused("GET", f"{REPORT}?format=pdf", status=422)


def test_a_draft_has_no_report(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.refused("GET", REPORT, status=409)
    manage.refused("POST", f"{EXPERIMENTS}/nope/report/refresh", status=404)


def test_an_experiment_without_data_has_a_report_with_reasons(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    report = manage.ok("GET", REPORT)
    assert report["srm"]["ok"] is None
    assert report["data_until"] is None
    compared = report["metrics"][0]["comparisons"][0]
    assert compared["lift"] is None
    assert compared["reasons"]["lift"]["text"]


def test_groups(shop: Caller, manage: Caller, read: Caller) -> None:
    made = manage.ok("PUT", "/api/v1/groups/staff", {"name": "Staff", "values": ["u1", "u2"]})
    assert (made["key"], made["size"]) == ("staff", 2)
    assert read.ok("GET", "/api/v1/groups/staff") == made
    assert read.ok("GET", "/api/v1/groups")["groups"] == [made]
    manage.ok("POST", EXPERIMENTS, experiment(exclude={"id": {"$inGroup": "staff"}}), 201)
    manage.refused("DELETE", "/api/v1/groups/staff", status=409)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/archive")
    manage.ok("DELETE", "/api/v1/groups/staff", status=204)
    read.refused("GET", "/api/v1/groups/staff", status=404)
    for field, body in (
        ("values", {}), ("values", {"values": [[]]}), ("values", {"values": ["a"], "condition": {}}),
        ("attribute", {"values": ["a"], "attribute": 5}), ("name", {"values": [], "name": 5}),
        ("colour", {"values": [], "colour": "red"}),
    ):  # fmt: skip
        errors = manage.refused("PUT", "/api/v1/groups/other", body, status=422)["errors"]
        assert field in {error["field"] for error in errors}


def test_a_holdout(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    stock(runtime, shop)
    response = manage("POST", "/api/v1/holdouts", {"key": "holdout", "share": 0.3, "placement": None})
    assert response.status_code == 201
    assert response.headers["Location"] == f"{EXPERIMENTS}/holdout"
    manage.ok("POST", f"{EXPERIMENTS}/holdout/start")
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    reasons = [
        one["reason"]
        for number in range(60)
        for one in shop.ok("GET", f"/assign?user_id=u{number}&experiment=home-recs")["assignments"]
    ]
    assert 8 <= reasons.count("holdout") <= 30
    assert set(reasons) == {"holdout", "bucketed"}
    for field, value in (
        ("share", 0), ("share", "x"), ("placement", "nowhere"), ("placement", []), ("colour", 1), ("key", "A"),
        ("metrics.primary", 5), ("metrics.secondary", {"primary": "ctr", "secondary": 5}),
        ("metrics.guardrails", {"primary": "ctr", "guardrails": [[]]}), ("metrics", {"primary": "vibes"}),
    ):  # fmt: skip
        body = {"key": "other", "share": 0.1, field.partition(".")[0]: value}
        errors = manage.refused("POST", "/api/v1/holdouts", body, status=422)["errors"]
        assert field in {error["field"] for error in errors}, field
    manage.refused("POST", "/api/v1/holdouts", {"key": "home-recs", "share": 0.1}, status=409)


def test_layers(manage: Caller, read: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(layer="page", traffic=0.4), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    (layer,) = read.ok("GET", "/api/v1/layers")["layers"]
    assert layer["layer"] == "page"
    assert layer["slots"] == [{"experiment": "home-recs", "start": 0.0, "end": 0.4}]
    assert layer["free_share"] == pytest.approx(0.6)
    manage.ok("POST", EXPERIMENTS, experiment("second", layer="page", traffic=0.7), 201)
    manage.refused("POST", f"{EXPERIMENTS}/second/start", status=409)


def test_phases_weights_ramps_and_previews(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    stock(runtime, shop)
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    path = f"{EXPERIMENTS}/home-recs"
    steps = [{"traffic": 0.1, "after_hours": 0}, {"traffic": 0.5, "after_hours": 24}]
    assert manage.ok("PUT", f"{path}/ramp", {"steps": steps})["traffic"] == 0.1
    assert manage.ok("PUT", f"{path}/ramp", {"steps": []})["ramp"] == []
    for wrong in (5, [5], [{}], [{"traffic": 2, "after_hours": 0}], [{"traffic": [], "after_hours": 0}], None):
        manage.refused("PUT", f"{path}/ramp", {"steps": wrong}, status=422)
    weights = {"weights": {"control": 0.2, "item-cf": 0.8}}
    manage.refused("POST", f"{path}/phase", weights, status=409)
    manage.ok("POST", f"{path}/start")
    manage.refused("POST", f"{path}/weights", weights, status=409)
    assert manage.ok("POST", f"{path}/phase", {**weights, "note": "more"})["phase"] == 2
    for body in ({}, {"weights": 5}, {"weights": {"control": 1}}, {"weights": {"control": "x", "item-cf": 1}}):
        manage.refused("POST", f"{path}/phase", body, status=422)
    manage.refused("POST", f"{path}/phase", {**weights, "colour": 1}, status=422)
    token = manage.ok("POST", f"{path}/preview", {"arm": "item-cf"}, 201)["token"]
    for user in ("u1", "u2", "u3", "u4"):
        shown = shop.ok("POST", "/recommend", {"user_id": user, "placement": "home", "preview": token})
        assert shown["arm"] == "item-cf"
        (one,) = shop.ok("GET", f"/assign?user_id={user}&experiment=home-recs&preview={token}")["assignments"]
        assert (one["arm"], one["reason"]) == ("item-cf", "override")
    for wrong in ("x", f"{token}x", "", 5, "ü.ü.ü"):
        body = {"user_id": "u", "placement": "home", "preview": wrong}
        assert shop.refused("POST", "/recommend", body, status=422)["errors"][0]["field"] == "preview"
    for wrong in ("nope", None, [], 5):
        manage.refused("POST", f"{path}/preview", {"arm": wrong}, status=422)


def test_growthbook_payload(runtime: Runtime, client: FlaskClient, nobody: Caller, manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    key = make_key(runtime, "client")
    response = nobody("GET", f"/api/features/{key}")
    assert response.json["features"].keys() == {"home-recs"}
    again = nobody("GET", f"/api/features/{key}", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    nobody.refused("GET", "/api/features/unknown", status=404)
    nobody.refused("GET", f"/api/features/{make_key(runtime, 'shop')}", status=404)


def test_health(runtime: Runtime, client: FlaskClient, nobody: Caller, shop: Caller) -> None:
    assert nobody.ok("GET", "/health/live") == {"status": "ok"}
    ready = nobody.ok("GET", "/health/ready")
    assert (ready["status"], ready["database"], ready["spool_bytes"]) == ("ok", "ok", 0)
    assert ready["plan"]["version"] >= 1
    shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": "u1", "item_id": "i"}]}, 202)
    text = nobody("GET", "/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["reclift_facts_taken_total", "database"] == 1
    assert samples["reclift_units_waiting",] == 1
    assert samples["reclift_spool_bytes",] == 0
    assert samples["reclift_plan_age_seconds",] < 60


def test_not_set_up_is_not_ready(tmp_path: Any) -> None:
    from reclift.web.app import create_app

    here = build_runtime(tmp_path / "empty")
    try:
        client = create_app(here).test_client()
        assert client.get("/health/live").status_code == 200
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json["status"] == "not ready"
        response = client.get("/assign?user_id=u", headers={"Authorization": "Bearer x"})
        assert response.status_code == 503
        assert response.mimetype == "application/problem+json"
    finally:
        here.close()


@pytest.fixture
def signed_in(runtime: Runtime, client: FlaskClient) -> Any:
    """Signs somebody of a role in; returns the form token."""

    def enter(role: str) -> str:
        email = f"{role}@shop.example"
        with runtime.database.write() as session:
            accounts.create_account(session, email, role, "a-long-password", "Somebody", "tests")
        page = client.get("/app/sign-in").text
        token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        form = {"csrf_token": token, "email": email, "password": "a-long-password"}
        assert client.post("/app/sign-in", data=form).status_code == 302
        page = client.get("/app/experiments/new").text if role == "manager" else client.get("/app/").text
        return page.partition('name="csrf_token" value="')[2].partition('"')[0]

    return enter


def test_people_may_call_with_their_session_and_the_form_token(
    client: FlaskClient, nobody: Caller, signed_in: Any
) -> None:
    nobody.refused("GET", EXPERIMENTS, status=401)
    token = signed_in("manager")
    assert nobody.ok("GET", EXPERIMENTS) == {"experiments": []}
    assert "X-CSRFToken" in nobody.refused("POST", EXPERIMENTS, experiment(), status=403)["detail"]
    response = nobody("POST", EXPERIMENTS, experiment(), headers={"X-CSRFToken": token})
    assert response.status_code == 201
    assert nobody.ok("GET", "/api/v1/audit?limit=1")["audit"][0]["actor"] == "manager@shop.example"
    nobody.refused("GET", "/assign?user_id=u", status=401)


def test_a_viewer_may_only_look(nobody: Caller, signed_in: Any) -> None:
    token = signed_in("viewer")
    nobody.ok("GET", EXPERIMENTS)
    document = nobody.refused("POST", EXPERIMENTS, experiment(), headers={"X-CSRFToken": token}, status=403)
    assert "viewer" in document["detail"]
    nobody.refused("GET", "/api/v1/keys", status=403)


def test_every_process_learns_of_a_change(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    other = build_runtime(runtime.settings.data_dir)
    try:
        before = other.live.current.version
        manage.ok("POST", EXPERIMENTS, experiment(), 201)
        manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
        other.live.start()
        deadline = time.monotonic() + 20
        while other.live.current.version == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [one.key for one in other.live.current.plan.running] == ["home-recs"]
    finally:
        other.close()
