"""Real strategies through the real doors: what is set on arms and placements shows in lists, on record and on pages."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from reclift.cli import main
from reclift.flows import evaluations, report, rollup
from reclift.storage.tables import ImpressionRow, JobRun
from reclift.wiring import Runtime
from reclift.worker import run_job
from tests.platform_fixtures import Caller, experiment, run_jobs, stock, visit


def arm(key: str, strategy: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "strategy": strategy, "control": key == "control", **more}


def list_for(shop: Caller, **wish: Any) -> dict[str, Any]:
    found: dict[str, Any] = shop.ok("POST", "/recommend", {"placement": "home", "k": 5, **wish})
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in found["items"]]


def test_filters_by_category(runtime: Runtime, shop: Caller) -> None:
    stock(runtime, shop)
    found = list_for(shop, user_id="u1", k=10, filters={"category": ["c1", "c3"]})
    assert len(found["items"]) == 10
    assert {int(item[1:]) % 4 for item in ids(found)} == {1, 3}
    for filters, field in (
        ({"category": []}, "filters.category"),
        ({"category": "c1"}, "filters.category"),
        ({"category": [1]}, "filters.category"),
        ({"colour": ["red"]}, "filters.colour"),
        (["c1"], "filters"),
    ):
        body = {"user_id": "u1", "placement": "home", "filters": filters}
        refused = shop.refused("POST", "/recommend", body, status=422)
        assert refused["errors"][0]["field"] == field


def test_variety_and_exploration_are_set_by_api_and_shown(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    stock(runtime, shop)
    wanted = {"rerank": {"category_cap": 1}, "explore": 0.25, "seen": "shown"}
    view = manage.ok("PUT", "/api/v1/placements/home", wanted)
    assert {name: view[name] for name in wanted} == {**wanted, "rerank": {"balance": 0.0, "category_cap": 1}}
    assert manage.ok("GET", "/api/v1/placements/home")["explore"] == 0.25
    assert len({int(item[1:]) % 4 for item in ids(list_for(shop, user_id="u1", k=4))}) == 4
    refused = manage.refused("PUT", "/api/v1/placements/home", {"explore": 2}, status=422)
    assert refused["errors"][0]["field"] == "explore"
    arms = [arm("control", "popularity"), arm("varied", "popularity", rerank={"balance": 0.7, "category_cap": 3})]
    made = manage.ok("POST", "/api/v1/experiments", experiment(arms=arms), 201)
    assert [one["rerank"] for one in made["arms"]] == [None, {"balance": 0.7, "category_cap": 3}]
    arms[1]["rerank"] = {"balance": 7}
    refused = manage.refused("POST", "/api/v1/experiments", experiment("other", arms=arms), status=422)
    assert refused["errors"][0]["field"] == "arms.1.rerank.balance"


def test_chances_of_random_lists_reach_the_log_and_a_hybrid_says_who_it_is(
    runtime: Runtime, shop: Caller, manage: Caller
) -> None:
    stock(runtime, shop)
    arms = [arm("control", "random"), arm("blend", "hybrid", params={
        "components": [{"strategy": "item_cf"}, {"strategy": "popularity"}]})]  # fmt: skip
    manage.ok("POST", "/api/v1/experiments", experiment(arms=arms), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    run_jobs(runtime)
    answers = [list_for(shop, user_id=f"u{n}", exclude=["i0", "i1"]) for n in range(30)]
    with runtime.database.read() as session:
        kept = {row.recommendation_id: row for row in session.scalars(select(ImpressionRow))}
    for answer in answers:
        row = kept[answer["recommendation_id"]]
        assert row.model == answer["model"]
        assert row.model is not None
        if answer["arm"] == "control":
            assert [item["propensity"] for item in row.items] == [pytest.approx(1 / 28)] * 5
        else:
            assert {item["source"] for item in row.items} == {"hybrid"}
            assert not any("propensity" in item for item in row.items)
    assert {answer["arm"] for answer in answers} == {"control", "blend"}


def test_what_is_known_of_a_new_user_is_used_in_this_order(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    """The page's item, the session, then what is popular among people like them, then what is popular at all."""
    shop.ok("PUT", "/items", {"items": [{"item_id": f"{kind}{n}"} for kind in ("cn", "us", "niche") for n in range(4)]})
    events = []
    for country, users in (("us", 30), ("cn", 20)):
        for n in range(users):
            shop.ok("PUT", f"/users/{country}-{n}", {"attributes": {"country": country}})
            events += [{"type": "click", "user_id": f"{country}-{n}", "item_id": f"{country}{i}"} for i in range(4)]
    for n in range(5):
        events += [{"type": "click", "user_id": f"odd-{n}", "item_id": f"niche{i}"} for i in range(4)]
    for n, event in enumerate(events):
        event |= {"event_id": f"e{n}", "timestamp": f"2026-01-01T{n % 24:02d}:00:00Z"}
    assert shop.ok("POST", "/events", {"events": events}, 202)["rejected"] == []
    components = [
        {"strategy": "item_cf", "weight": 100.0},
        {"strategy": "popularity", "params": {"segment": "country"}},
    ]
    manage.ok("PUT", "/api/v1/placements/home", {"strategy": "hybrid", "params": {"components": components}})
    run_jobs(runtime)

    def first(**wish: Any) -> set[str]:
        found = list_for(shop, k=3, **wish)
        assert found["fallback"] is None
        return {item.rstrip("0123456789") for item in ids(found)}

    chinese = {"attributes": {"country": "cn"}}
    assert first(user_id="new1") == {"us"}  # nothing is known: what most people choose
    assert first(user_id="new2", **chinese) == {"cn"}  # what people of the same segment choose
    assert first(session_id="s1", **chinese, context={"item_id": "niche0"}) == {"niche"}
    click = {"type": "click", "session_id": "s2", "item_id": "niche1"}
    shop.ok("POST", "/events", {"events": [click]}, 202)
    assert first(session_id="s2", **chinese) == {"niche"}  # after the first click of a guest, without any training


def test_offline_results_stand_beside_the_lifts_of_the_same_strategies(
    runtime: Runtime, shop: Caller, manage: Caller, read: Caller
) -> None:
    stock(runtime, shop)
    assert read.ok("GET", "/api/v1/evaluations") == {"evaluations": []}
    manage.ok("POST", "/api/v1/experiments", experiment(), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    run_jobs(runtime)
    visit(shop, [f"v{n}" for n in range(120)], clicks={"control": 0.2, "item-cf": 0.6})
    report.refresh(runtime.database, "home-recs")
    asked = manage.ok("POST", "/api/v1/evaluations", {"split": "leave-last-out"}, 202)
    assert (asked["task"], asked["state"]) == ("evaluate", "queued")
    assert "evaluate" in run_jobs(runtime)
    (found,) = read.ok("GET", "/api/v1/evaluations")["evaluations"]
    rows = {row["strategy"]: row for row in found["results"]}
    assert rows["popularity"]["online"] == []
    (online,) = rows["item_cf"]["online"]
    stored = manage.ok("GET", "/api/v1/experiments/home-recs/report")["metrics"][0]["comparisons"][0]
    assert {name: online[name] for name in ("experiment", "arm", "metric", "against", "lift", "lift_ci")} == {
        "experiment": "home-recs",
        "arm": "item-cf",
        "metric": "ctr",
        "against": "popularity",
        "lift": stored["lift"],
        "lift_ci": stored["lift_ci"],
    }
    k = str(found["primary_k"])
    own, base = (rows[key]["metrics"][k][found["primary"]]["value"] for key in ("item_cf", "popularity"))
    assert online["offline_lift"] == pytest.approx(own / base - 1)
    for body, field in (
        ({"strategies": ["nope"]}, "strategies"),
        ({"strategies": ["random", "random"]}, "strategies"),
        ({"split": "random"}, "split"),
        ({"fallback": "nope"}, "fallback"),
    ):
        assert manage.refused("POST", "/api/v1/evaluations", body, status=422)["errors"][0]["field"] == field


def test_an_evaluation_of_too_little_says_so(runtime: Runtime, manage: Caller) -> None:
    job = manage.ok("POST", "/api/v1/evaluations", {}, 202)
    run_job(runtime, job["id"])
    with runtime.database.read() as session:
        run = session.get_one(JobRun, job["id"])
    assert run.state == "failed"
    assert "at least 100 are needed" in str(run.error)


def test_the_command_prints_intervals_and_lengths_of_history(
    runtime: Runtime, shop: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    stock(runtime, shop)
    rollup.roll_up(runtime.database)
    monkeypatch.setenv("RECLIFT_DATA_DIR", str(runtime.settings.data_dir))
    monkeypatch.setenv("RECLIFT_DATABASE_URL", runtime.settings.database_url)
    done = CliRunner().invoke(main, ["evaluate", "popularity", "random", "--k", "5"])
    assert done.exit_code == 0, done.output
    with runtime.database.read() as session:
        body = evaluations.latest(session)
    assert body is not None
    by_name = {result["name"]: result for result in body["results"]}
    low, high = by_name["popularity"]["metrics"]["5"]["ndcg"]["interval"]
    assert f"[{low:.4f}, {high:.4f}]" in done.output
    assert "by signals in the history" in done.output
    (pair,) = body["comparisons"]
    assert f"random minus popularity: {pair['difference']['value']:+.4f}" in done.output


def test_a_strategy_that_fails_costs_no_answer_and_its_guardrail_stops_it(
    runtime: Runtime, shop: Caller, manage: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(runtime, shop)
    metrics = {"primary": "ctr", "secondary": [], "guardrails": ["fallback_rate"]}
    manage.ok("POST", "/api/v1/experiments", experiment(metrics=metrics), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    run_jobs(runtime)
    calls = iter(range(10_000))

    def failing(*_: Any) -> list[Any]:
        match next(calls) % 4:
            case 0:
                raise RuntimeError("a bug in somebody's strategy")
            case 1:
                return [("i1", float("nan"), None, None)]
            case 2:
                return [42]  # type: ignore[list-item]
        return []

    arm = runtime.live.current.arms["home-recs", "item-cf"]
    assert arm.model is not None
    monkeypatch.setattr(type(arm.model), "recommend", failing)
    users = [f"v{n}" for n in range(300)]
    visit(shop, users, clicks={"control": 0.1, "item-cf": 0.6})  # every user got a list, and `visit` looked at it
    report.refresh(runtime.database, "home-recs")
    found = manage.ok("GET", "/api/v1/experiments/home-recs/report")
    lists = {one["arm"]: one for one in found["lists"]}
    assert (lists["control"]["fallback_rate"], lists["item-cf"]["fallback_rate"]) == (0.0, 1.0)
    assert lists["item-cf"]["fallback_reasons"].keys() == {"error", "too_few"}
    said = "Guardrail Fallback rate is +1 with item-cf for every unit alike, where the control has 0."
    assert said in found["decision"]["because"]
    assert found["decision"]["call"] != "ship"
