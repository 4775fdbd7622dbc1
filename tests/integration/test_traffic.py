"""Groups, holdouts, layers, phases, ramps, overrides and preview links over the API, down to the report."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from reclift.flows import experiments as experiment_flow
from reclift.flows import ramps, report, rollup
from reclift.flows.clock import now
from reclift.storage.tables import EventRow, ExperimentUnit, ExposureRow, ImpressionRow
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment

EXPERIMENTS = "/api/v1/experiments"


def start(manage: Caller, key: str = "home-recs", **fields: Any) -> str:
    manage.ok("POST", EXPERIMENTS, experiment(key, **fields), 201)
    manage.ok("POST", f"{EXPERIMENTS}/{key}/start")
    return key


def arm_of(shop: Caller, unit: str, key: str = "home-recs", **body: Any) -> dict[str, Any]:
    [one] = shop.ok("POST", "/assign", {"user_id": unit, "experiment": key, **body})["assignments"]
    return one


def exposures(runtime: Runtime, key: str) -> list[ExposureRow]:
    with runtime.database.read() as session:
        return list(session.scalars(select(ExposureRow).where(ExposureRow.experiment == key)))


def fresh_report(runtime: Runtime, manage: Caller, key: str) -> dict[str, Any]:
    rollup.roll_up(runtime.database)
    report.refresh(runtime.database, key)
    return manage.ok("GET", f"{EXPERIMENTS}/{key}/report")


# groups


def test_a_group_is_made_used_changed_and_removed(manage: Caller, shop: Caller) -> None:
    made = manage.ok("PUT", "/api/v1/groups/beta", {"name": "Beta users", "values": ["u1", "u2"]})
    assert (made["size"], made["condition"]) == (2, None)
    start(manage, audience={"id": {"$inGroup": "beta"}})
    assert arm_of(shop, "u1")["in_experiment"]
    assert arm_of(shop, "u3")["reason"] == "not_targeted"
    manage.ok("PUT", "/api/v1/groups/beta", {"values": ["u3"]})
    assert arm_of(shop, "u1")["reason"] == "not_targeted"
    assert arm_of(shop, "u3")["in_experiment"]
    assert [group["key"] for group in manage.ok("GET", "/api/v1/groups")["groups"]] == ["beta"]
    assert "home-recs" in manage.refused("DELETE", "/api/v1/groups/beta", status=409)["detail"]
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/stop")
    manage.ok("DELETE", "/api/v1/groups/beta", status=204)
    manage.refused("GET", "/api/v1/groups/beta", status=404)


def test_a_group_of_an_attributes_values_and_one_of_a_condition(manage: Caller, shop: Caller) -> None:
    manage.ok("PUT", "/api/v1/groups/asia", {"values": ["CN", "JP"], "attribute": "country"})
    manage.ok(
        "PUT", "/api/v1/groups/grown-up-asia", {"condition": {"age": {"$gte": 18}, "$savedGroup": {"id": "asia"}}}
    )
    start(manage, audience={"$savedGroup": {"id": "grown-up-asia"}})
    inside = [
        arm_of(shop, "u1", attributes=attributes)["in_experiment"]
        for attributes in ({"country": "CN", "age": 20}, {"country": "CN", "age": 10}, {"country": "US", "age": 20}, {})
    ]
    assert inside == [True, False, False, False]
    assert "grown-up-asia" in manage.refused("DELETE", "/api/v1/groups/asia", status=409)["detail"]


@pytest.mark.parametrize(
    ("key", "body", "field"),
    [
        ("g", {}, "values"),
        ("g", {"values": ["a"], "condition": {"a": 1}}, "values"),
        ("g", {"values": "a"}, "values"),
        ("g", {"values": [True]}, "values"),
        ("g", {"values": ["a"], "attribute": ""}, "attribute"),
        ("g", {"values": ["a"], "colour": "red"}, "colour"),
        ("g", {"values": ["a"], "name": 1}, "name"),
        ("Not A Key", {"values": ["a"]}, "key"),
        ("g", {"values": ["a"], "key": "other"}, "key"),
        ("g", {"condition": {"a": {"$whatever": 1}}}, "condition.a.$whatever"),
        ("g", {"condition": {"$savedGroup": {"id": "g"}}}, "condition"),
        ("g", {"condition": {"id": {"$inGroup": "nobody"}}}, "condition.id.$inGroup"),
    ],
)
def test_bad_groups_are_refused_by_name(manage: Caller, key: str, body: Any, field: str) -> None:
    errors = manage.refused("PUT", f"/api/v1/groups/{key}", body, status=422)["errors"]
    assert any(error["field"].startswith(field) for error in errors), errors
    assert manage.ok("GET", "/api/v1/groups")["groups"] == []


def test_a_change_must_not_break_who_uses_the_group(manage: Caller) -> None:
    manage.ok("PUT", "/api/v1/groups/a", {"values": ["u1"]})
    manage.ok("PUT", "/api/v1/groups/b", {"condition": {"$savedGroup": {"id": "a"}}})
    start(manage, audience={"$savedGroup": {"id": "b"}})
    circle = {"condition": {"$savedGroup": {"id": "b"}}}
    assert manage.refused("PUT", "/api/v1/groups/a", circle, status=422)["errors"]
    manage.ok("PUT", "/api/v1/groups/c", {"values": ["u1"]})
    manage.ok("PUT", "/api/v1/groups/d", {"condition": {"id": {"$inGroup": "c"}}})
    errors = manage.refused("PUT", "/api/v1/groups/c", {"condition": {"age": 3}}, status=422)["errors"]
    assert "used by group d" in errors[0]["field"]
    assert manage.ok("GET", "/api/v1/groups/a")["values"] == ["u1"]


# holdouts


def hold(manage: Caller, key: str = "all", **fields: Any) -> str:
    made = manage.ok("POST", "/api/v1/holdouts", {"key": key, "share": 0.4, **fields}, 201)
    assert (made["kind"], made["status"]) == ("holdout", "draft")
    manage.ok("POST", f"{EXPERIMENTS}/{key}/start")
    return key


def test_a_holdout_is_measured_like_an_experiment(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    hold(manage)
    start(manage)
    sides: dict[str, str] = {}
    for number in range(60):
        unit = f"u{number}"
        shown = shop.ok("POST", "/recommend", {"user_id": unit, "placement": "home"})
        side = arm_of(shop, unit, "all")["arm"]
        sides[unit] = side
        # Who is held out sees the default strategy only, and is in no experiment.
        assert (shown["experiment"] is None) == (side == "held-out")
        assert (arm_of(shop, unit)["reason"] == "holdout") == (side == "held-out")
        event = {"type": "purchase", "user_id": unit, "value": 5 if side == "open" else 3}
        shop.ok("POST", "/events", {"events": [event]}, 202)
    met = {row.unit_id: row.arm for row in exposures(runtime, "all")}
    assert met == sides
    assert set(sides.values()) == {"held-out", "open"}
    assert {row.unit_id for row in exposures(runtime, "home-recs")} == {
        u for u, side in sides.items() if side == "open"
    }

    body = fresh_report(runtime, manage, "all")
    assert {arm["arm"]: arm["units"] for arm in body["arms"]} == Counter(sides.values())
    # The lists of all who are in it count, whatever decided them.
    assert sum(arm["impressions"] for arm in body["arms"]) == 60
    assert [arm["arm"] for arm in body["arms"] if arm["control"]] == ["held-out"]
    assert body["srm"]["ok"]
    primary = next(metric for metric in body["metrics"] if metric["role"] == "primary")
    assert primary["comparisons"][0]["arm"] == "open"
    revenue = next(metric for metric in body["metrics"] if metric["metric"] == "revenue_per_user")
    assert [arm["mean"] for arm in revenue["arms"]] == [3, 5]


def test_a_holdout_of_one_placement_holds_there_only(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    hold(manage, "cart-only", placement="cart", share=0.5)
    start(manage, "home-recs")
    start(manage, "cart-recs", placement="cart")
    units = [f"u{number}" for number in range(30)]
    for unit in units:
        shop.ok("POST", "/recommend", {"user_id": unit, "placement": "home"})
    assert exposures(runtime, "cart-only") == []
    assert all(arm_of(shop, unit, "home-recs")["in_experiment"] for unit in units)
    for unit in units:
        shop.ok("POST", "/recommend", {"user_id": unit, "placement": "cart"})
    held = {row.unit_id for row in exposures(runtime, "cart-only") if row.arm == "held-out"}
    assert 5 < len(held) < 25
    assert {row.unit_id for row in exposures(runtime, "cart-recs")} == set(units) - held


def test_who_is_exposed_by_assign_has_met_the_holdout_too(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    hold(manage)
    hold(manage, "cart-only", placement="cart")
    start(manage, overrides={"tester": "item-cf"})
    units = [f"u{number}" for number in range(30)]
    for unit in [*units, "tester"]:
        arm_of(shop, unit, expose=True)
        arm_of(shop, f"only asked {unit}")
    assert {row.unit_id: row.arm for row in exposures(runtime, "all")} == {
        unit: arm_of(shop, unit, "all")["arm"] for unit in units
    }
    assert exposures(runtime, "cart-only") == []


def test_a_stopped_holdout_lets_everybody_in(manage: Caller, shop: Caller) -> None:
    hold(manage)
    start(manage)
    held = next(f"u{n}" for n in range(50) if arm_of(shop, f"u{n}")["reason"] == "holdout")
    manage.ok("POST", f"{EXPERIMENTS}/all/stop")
    assert arm_of(shop, held)["in_experiment"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "key"),
        ({"share": 0}, "share"),
        ({"share": 0.6}, "share"),
        ({"share": True}, "share"),
        ({"placement": "nowhere"}, "placement"),
        ({"metrics": {"primary": "nothing"}}, "metrics"),
        ({"metrics": {}}, "metrics.primary"),
        ({"metrics": ""}, "metrics.primary"),
        ({"metrics": {"primary": "ctr", "secondary": "ctr"}}, "metrics.secondary"),
        ({"metrics": {"primary": "ctr", "tertiary": []}}, "metrics.tertiary"),
        ({"arms": []}, "arms"),
    ],
)
def test_bad_holdouts_are_refused_by_name(manage: Caller, body: dict[str, Any], field: str) -> None:
    sent = {"key": "h", "share": 0.1, **body} if body else {"share": 0.1}
    errors = manage.refused("POST", "/api/v1/holdouts", sent, status=422)["errors"]
    assert field in {error["field"] for error in errors}


def test_roles_of_a_holdouts_metrics_may_be_left_out(runtime: Runtime, manage: Caller) -> None:
    hold(manage, metrics={"primary": "ctr", "guardrails": None})
    made = manage.ok("GET", f"{EXPERIMENTS}/all")
    assert made["metrics"] == {"primary": "ctr", "secondary": [], "guardrails": []}
    rollup.roll_up(runtime.database)


def test_a_holdouts_share_cannot_change(manage: Caller) -> None:
    hold(manage)
    weights = {"weights": {"held-out": 0.1, "open": 0.9}}
    assert "holdout" in manage.refused("POST", f"{EXPERIMENTS}/all/phase", weights, status=409)["detail"]
    assert manage.refused("POST", f"{EXPERIMENTS}/all/weights", weights, status=409)
    assert manage.refused("PUT", f"{EXPERIMENTS}/all/ramp", {"steps": []}, status=409)
    assert manage.refused("POST", f"{EXPERIMENTS}/all/preview", {"arm": "open"}, status=409)
    manage.refused("POST", "/api/v1/holdouts", {"key": "all", "share": 0.1}, status=409)


# layers


def test_layers_exclude_and_show_what_is_free(manage: Caller, shop: Caller) -> None:
    start(manage, "first", layer="ranking", traffic=0.3)
    start(manage, "second", layer="ranking", traffic=0.5)
    [layer] = manage.ok("GET", "/api/v1/layers")["layers"]
    assert [slot["experiment"] for slot in layer["slots"]] == ["first", "second"]
    assert layer["free"] == [[pytest.approx(0.8), 1.0]]
    assert layer["free_share"] == pytest.approx(0.2)
    inside = Counter()
    for number in range(200):
        answers = shop.ok("POST", "/assign", {"user_id": f"u{number}"})["assignments"]
        taken = [one["experiment"] for one in answers if one["in_experiment"]]
        assert len(taken) <= 1
        inside[taken[0] if taken else None] += 1
        assert {one["reason"] for one in answers if not one["in_experiment"]} <= {"layer", "not_in_traffic"}
    assert set(inside) == {"first", "second", None}

    manage.ok("POST", EXPERIMENTS, experiment("third", layer="ranking", traffic=0.4), 201)
    assert "0.2" in manage.refused("POST", f"{EXPERIMENTS}/third/start", status=409)["detail"]
    assert manage.ok("GET", f"{EXPERIMENTS}/third")["status"] == "draft"
    manage.ok("POST", f"{EXPERIMENTS}/second/stop")
    assert manage.ok("POST", f"{EXPERIMENTS}/third/start")["layer_range"] == [pytest.approx(0.3), pytest.approx(0.7)]


def test_traffic_in_a_layer_grows_into_free_room_and_no_further(manage: Caller, shop: Caller) -> None:
    start(manage, "first", layer="ranking", traffic=0.2)
    before = {f"u{n}": arm_of(shop, f"u{n}", "first") for n in range(150)}
    manage.ok("PATCH", f"{EXPERIMENTS}/first", {"traffic": 0.5})
    for unit, one in before.items():
        if one["in_experiment"]:
            assert arm_of(shop, unit, "first")["arm"] == one["arm"]
    start(manage, "second", layer="ranking", traffic=0.5)
    refused = manage.refused("PATCH", f"{EXPERIMENTS}/first", {"traffic": 0.6}, status=409)["detail"]
    assert "'second'" in refused
    assert manage.ok("GET", f"{EXPERIMENTS}/first")["traffic"] == 0.5


# phases


def test_the_data_of_two_phases_never_mix(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage)
    units = [f"u{number}" for number in range(40)]
    for unit in units:
        shop.ok("POST", "/recommend", {"user_id": unit, "placement": "home"})
    first = {row.unit_id: row.arm for row in exposures(runtime, "home-recs")}
    body = {"weights": {"control": 0.2, "item-cf": 0.8}, "note": "it looks good"}
    changed = manage.ok("POST", f"{EXPERIMENTS}/home-recs/phase", body)
    assert (changed["phase"], changed["phases"][0]["weights"]) == (2, {"control": 0.5, "item-cf": 0.5})
    for unit in units[:30]:
        shop.ok("POST", "/recommend", {"user_id": unit, "placement": "home"})
    rows = exposures(runtime, "home-recs")
    assert {row.unit_id: row.arm for row in rows if row.phase == 1} == first
    second = {row.unit_id: row.arm for row in rows if row.phase == 2}
    assert second.keys() == set(units[:30])
    assert any(first[unit] != second[unit] for unit in second), "users are hashed anew"
    report_now = fresh_report(runtime, manage, "home-recs")
    assert report_now["phase"] == 2
    assert {arm["arm"]: arm["units"] for arm in report_now["arms"]} == Counter(second.values())
    assert report_now["multi_arm_units"] == 0, "another arm in another phase is not a mixture"
    with runtime.database.read() as session:
        lists = Counter(session.scalars(select(ImpressionRow.phase)))
    assert lists == {1: 40, 2: 30}


def test_an_sdk_with_the_plan_of_the_phase_before_says_so(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/phase", {"weights": {"control": 0.2, "item-cf": 0.8}})

    def send(**more: Any) -> list[Any]:
        properties = {"experiment": "home-recs", "arm": "control", **more}
        event = {"type": "exposure", "user_id": "u1", "properties": properties}
        return shop.ok("POST", "/events", {"events": [event]}, 202)["rejected"]

    assert send(phase="1", attributes={"country": "CN"}) == []
    assert send(phase=2) == []
    for wrong in (0, 3, "x", True, 1.5):
        assert "properties.phase" in send(phase=wrong)[0]["error"]
    assert "properties.attributes" in send(attributes="CN")[0]["error"]
    stored = {row.phase: row.attributes for row in exposures(runtime, "home-recs")}
    assert stored == {1: {"country": "CN"}, 2: {}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "weights"),
        ({"weights": {"control": 1}}, "weights"),
        ({"weights": {"control": 1, "item-cf": 1, "more": 1}}, "weights"),
        ({"weights": {"control": 1, "item-cf": -1}}, "arms.1.weight"),
        ({"weights": {"control": 1, "item-cf": 1}, "traffic": 2}, "traffic"),
        ({"weights": {"control": 1, "item-cf": 1}, "audience": {}}, "audience"),
    ],
)
def test_bad_phases_are_refused_by_name(manage: Caller, body: dict[str, Any], field: str) -> None:
    start(manage)
    errors = manage.refused("POST", f"{EXPERIMENTS}/home-recs/phase", body, status=422)["errors"]
    assert field in {error["field"] for error in errors}
    assert manage.ok("GET", f"{EXPERIMENTS}/home-recs")["phase"] == 1


def test_phases_are_of_running_experiments(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    body = {"weights": {"control": 1, "item-cf": 2}}
    assert "draft" in manage.refused("POST", f"{EXPERIMENTS}/home-recs/phase", body, status=409)["detail"]


def test_weights_of_a_running_experiment_change_only_where_nobody_moves(manage: Caller) -> None:
    start(manage)
    weights = {"weights": {"control": 0.1, "item-cf": 0.9}}
    detail = manage.refused("POST", f"{EXPERIMENTS}/home-recs/weights", weights, status=409)["detail"]
    assert "not sticky" in detail
    assert "new phase" in detail
    arms = manage.ok("GET", f"{EXPERIMENTS}/home-recs")["arms"]
    arms[0]["weight"] = 0.1
    assert "new phase" in manage.refused("PATCH", f"{EXPERIMENTS}/home-recs", {"arms": arms}, status=422)["detail"]


# people who test


def test_bots_and_staff_are_kept_out_by_a_condition(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    manage.ok("PUT", "/api/v1/groups/staff", {"values": ["anna"]})
    start(manage, exclude={"$or": [{"user_agent": {"$regexi": "bot|crawler"}}, {"id": {"$inGroup": "staff"}}]})
    bot = {"user_agent": "Googlebot/2.1"}
    assert arm_of(shop, "b1", attributes=bot, expose=True)["reason"] == "not_targeted"
    assert arm_of(shop, "anna", expose=True)["reason"] == "not_targeted"
    shown = shop.ok("POST", "/recommend", {"user_id": "b1", "placement": "home", "attributes": bot})
    assert shown["experiment"] is None
    assert arm_of(shop, "u1", attributes={"user_agent": "Firefox"}, expose=True)["in_experiment"]
    assert [row.unit_id for row in exposures(runtime, "home-recs")] == ["u1"]


@pytest.mark.parametrize(
    ("audience", "place"),
    [
        ({"country": {"$isIn": ["CN"]}}, "audience.country.$isIn"),
        ({"country": {"$in": "CN"}}, "audience.country.$in"),
        ({"country": {"$in": [str(n) for n in range(10_000)]}}, "audience.country.$in"),
        ({"$or": [{"a": 1}, {"name": {"$regex": "^(a+)+$"}}]}, "audience.$or.1.name.$regex"),
        ({"name": {"$regex": "("}}, "audience.name.$regex"),
        ({"id": {"$inGroup": "nobody"}}, "audience.id.$inGroup"),
    ],
)
def test_bad_conditions_are_refused_when_saved_with_their_place(manage: Caller, audience: Any, place: str) -> None:
    errors = manage.refused("POST", EXPERIMENTS, experiment(audience=audience), status=422)["errors"]
    assert [error["field"] for error in errors] == [place]


def test_overrides_see_their_arm_and_are_not_counted(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage, overrides={"tester": "item-cf"}, audience={"country": "nowhere"})
    assert arm_of(shop, "tester", expose=True)["reason"] == "override"
    shown = shop.ok("POST", "/recommend", {"user_id": "tester", "placement": "home"})
    assert (shown["experiment"], shown["arm"]) == ("home-recs", "item-cf")
    assert exposures(runtime, "home-recs") == []
    with runtime.database.read() as session:
        assert session.scalar(select(ImpressionRow.experiment)) is None
    body = fresh_report(runtime, manage, "home-recs")
    assert [arm["units"] for arm in body["arms"]] == [0, 0]


def test_a_preview_shows_the_arm_and_nothing_enters_the_data(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    hold(manage)
    start(manage, audience={"country": "nowhere"})
    start(manage, "cart-recs", placement="cart")
    made = manage.ok("POST", f"{EXPERIMENTS}/home-recs/preview", {"arm": "item-cf"}, 201)
    assert (made["arm"], made["parameter"]) == ("item-cf", "preview")
    token = made["token"]
    assert arm_of(shop, "u1", preview=token, expose=True) == {
        "experiment": "home-recs", "arm": "item-cf", "in_experiment": True, "reason": "override",
        "strategy": "item_cf", "params": {"k": 20},
    }  # fmt: skip
    home = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "home", "preview": token})
    assert (home["experiment"], home["arm"]) == ("home-recs", "item-cf")
    cart = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "cart", "preview": token})
    assert cart["experiment"] in {None, "cart-recs"}, "elsewhere people see what they always see"
    everything = shop.ok("POST", "/assign", {"user_id": "u1", "preview": token, "expose": True})["assignments"]
    assert {one["experiment"]: one["reason"] for one in everything}["home-recs"] == "override"
    with runtime.database.read() as session:
        for table in (ExposureRow, ImpressionRow, EventRow):
            assert session.scalars(select(table)).all() == []
    assert arm_of(shop, "u1")["reason"] == "not_targeted", "without the link nothing is different"


def test_a_draft_can_be_previewed_and_an_experiment_that_is_over_cannot(manage: Caller, shop: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    token = manage.ok("POST", f"{EXPERIMENTS}/home-recs/preview", {"arm": "item-cf"}, 201)["token"]
    assert arm_of(shop, "u1", preview=token)["arm"] == "item-cf"
    [one] = shop.ok("POST", "/assign", {"user_id": "u1", "preview": token})["assignments"]
    assert (one["experiment"], one["reason"]) == ("home-recs", "override")
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/stop")
    body = {"user_id": "u1", "experiment": "home-recs", "preview": token}
    assert "is over" in shop.refused("POST", "/assign", body, status=422)["detail"]
    shop.refused("POST", "/recommend", {"user_id": "u1", "placement": "home", "preview": token}, status=422)
    manage.refused("POST", f"{EXPERIMENTS}/home-recs/preview", {"arm": "item-cf"}, status=409)


def test_a_forged_or_foreign_token_is_refused(manage: Caller, shop: Caller) -> None:
    start(manage)
    token = manage.ok("POST", f"{EXPERIMENTS}/home-recs/preview", {"arm": "item-cf"}, 201)["token"]
    for wrong in (token[:-2] + "xx", "WyJob21lLXJlY3MiLCJpdGVtLWNmIl0", "", "日本", 7):
        body = {"user_id": "u1", "experiment": "home-recs", "preview": wrong}
        assert shop.refused("POST", "/assign", body, status=422)["errors"][0]["field"] == "preview"
    manage.refused("POST", f"{EXPERIMENTS}/home-recs/preview", {"arm": "nothing"}, status=422)


# ramps

STEPS = [{"traffic": 0.01, "after_hours": 0}, {"traffic": 0.1, "after_hours": 24}, {"traffic": 0.5, "after_hours": 48}]


def ramp(manage: Caller, key: str, steps: list[dict[str, float]]) -> dict[str, Any]:
    return manage.ok("PUT", f"{EXPERIMENTS}/{key}/ramp", {"steps": steps})


def hours_ago(runtime: Runtime, key: str, hours: float) -> None:
    """As if the experiment had been started so long ago."""
    with runtime.database.write() as session:
        experiment_flow.find(session, key).started_at = now() - timedelta(hours=hours)


def a_round(runtime: Runtime) -> int:
    with runtime.database.write() as session:
        done = ramps.advance(session, runtime.registry, runtime.queue)
    runtime.live.refresh()
    return done


def test_a_ramp_raises_the_traffic_when_it_is_due(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    assert ramp(manage, "home-recs", STEPS)["traffic"] == 0.01
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    assert a_round(runtime) == 0
    inside: dict[str, str] = {}
    for hours, traffic in ((25, 0.1), (47, 0.1), (49, 0.5)):
        hours_ago(runtime, "home-recs", hours)
        a_round(runtime)
        assert manage.ok("GET", f"{EXPERIMENTS}/home-recs")["traffic"] == traffic
        answers = {f"u{n}": arm_of(shop, f"u{n}") for n in range(120)}
        here = {unit: one["arm"] for unit, one in answers.items() if one["in_experiment"]}
        assert inside.items() <= here.items(), "nobody who is in moves"
        inside = here
    assert a_round(runtime) == 0
    actors = [entry["actor"] for entry in manage.ok("GET", "/api/v1/audit?kind=experiment")["audit"]]
    assert actors.count("ramp") == 2


def test_an_alarm_stops_the_ramp_and_pauses(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage)
    ramp(manage, "home-recs", STEPS)
    # A client that loses one arm's exposures: the sample ratio is far from what is planned.
    events = [
        {"type": "exposure", "user_id": f"u{n}", "properties": {"experiment": "home-recs", "arm": "item-cf"}}
        for n in range(120)
    ]
    shop.ok("POST", "/events", {"events": events}, 202)
    assert fresh_report(runtime, manage, "home-recs")["srm"]["ok"] is False
    assert a_round(runtime) == 1
    seen = manage.ok("GET", f"{EXPERIMENTS}/home-recs")
    assert seen["status"] == "paused"
    assert "sample ratio" in seen["ramp_stopped"]["reason"]
    assert a_round(runtime) == 0
    # In a new phase the old report says nothing, and the ramp begins anew.
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/phase", {"weights": {"control": 1, "item-cf": 1}, "traffic": 0.01})
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/resume")
    hours_ago(runtime, "home-recs", 100)
    assert a_round(runtime) == 0
    seen = manage.ok("GET", f"{EXPERIMENTS}/home-recs")
    assert (seen["status"], seen["traffic"], seen["ramp_stopped"]) == ("running", 0.01, None)


def test_a_ramp_that_a_neighbour_blocks_says_so_and_changes_nothing(runtime: Runtime, manage: Caller) -> None:
    start(manage, "first", layer="ranking", traffic=0.01)
    start(manage, "second", layer="ranking", traffic=0.6)
    before = manage.ok("GET", f"{EXPERIMENTS}/first")
    ramp(manage, "first", STEPS)
    hours_ago(runtime, "first", 50)
    assert a_round(runtime) == 0
    seen = manage.ok("GET", f"{EXPERIMENTS}/first")
    assert (seen["traffic"], seen["layer_range"], seen["status"]) == (0.01, before["layer_range"], "running")
    assert "'second'" in seen["ramp_stopped"]["reason"]
    a_round(runtime)
    blocked = [one for one in manage.ok("GET", "/api/v1/audit?kind=experiment")["audit"] if one["action"] == "blocked"]
    assert len(blocked) == 1, "it is told once, not every round"
    manage.ok("POST", f"{EXPERIMENTS}/second/stop")
    assert a_round(runtime) == 1
    seen = manage.ok("GET", f"{EXPERIMENTS}/first")
    assert (seen["traffic"], seen["ramp_stopped"]) == (0.5, None)


def test_one_blocked_ramp_does_not_hold_up_the_others(runtime: Runtime, manage: Caller) -> None:
    start(manage, "first", layer="ranking", traffic=0.01)
    start(manage, "second", layer="ranking", traffic=0.6)
    start(manage, "third", traffic=0.01)
    for key in ("first", "third"):
        ramp(manage, key, STEPS)
        hours_ago(runtime, key, 30)
    assert a_round(runtime) == 1
    traffic = {key: manage.ok("GET", f"{EXPERIMENTS}/{key}")["traffic"] for key in ("first", "third")}
    assert traffic == {"first": 0.01, "third": 0.1}


def test_a_ramp_reserves_its_place_in_the_layer(manage: Caller) -> None:
    manage.ok("POST", EXPERIMENTS, experiment("first", layer="ranking", traffic=0.01), 201)
    ramp(manage, "first", STEPS)
    assert manage.ok("POST", f"{EXPERIMENTS}/first/start")["layer_range"] == [0, 0.5]


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ("soon", "ramp"),
        (None, "ramp"),
        ([1], "ramp.0"),
        ([{"traffic": 0.1}], "ramp.0"),
        ([{"traffic": 0.1, "after_hours": 1}], "ramp.0.after_hours"),
        ([{"traffic": 0.1, "after_hours": 0}, {"traffic": 0.1, "after_hours": 1}], "ramp.1.traffic"),
        ([{"traffic": 0.1, "after_hours": 0}, {"traffic": 0.2, "after_hours": 0}], "ramp.1.after_hours"),
        ([{"traffic": 1.5, "after_hours": 0}], "ramp.0.traffic"),
        ([{"traffic": True, "after_hours": 0}], "ramp.0.traffic"),
    ],
)
def test_bad_ramps_are_refused_by_name(manage: Caller, steps: Any, field: str) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(), 201)
    errors = manage.refused("PUT", f"{EXPERIMENTS}/home-recs/ramp", {"steps": steps}, status=422)["errors"]
    assert field in {error["field"] for error in errors}
    assert manage.ok("GET", f"{EXPERIMENTS}/home-recs")["ramp"] == []


# trust


def test_more_than_one_percent_in_several_arms_is_a_warning(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage)

    def meet(units: range, arm: str) -> None:
        events = [
            {"type": "exposure", "user_id": f"u{n}", "properties": {"experiment": "home-recs", "arm": arm}}
            for n in units
        ]
        assert shop.ok("POST", "/events", {"events": events}, 202)["rejected"] == []

    def check() -> tuple[bool, int]:
        body = fresh_report(runtime, manage, "home-recs")
        [one] = [one for one in body["trust"] if one["check"] == "one_arm"]
        return one["ok"], body["multi_arm_units"]

    meet(range(100), "control")
    meet(range(100, 200), "item-cf")
    assert check() == (True, 0)
    meet(range(2), "item-cf")
    assert check() == (True, 2)
    meet(range(2, 3), "item-cf")
    assert check() == (False, 3)
    with runtime.database.read() as session:
        several = session.scalars(select(ExperimentUnit).where(ExperimentUnit.arms_seen > 1)).all()
    assert len(several) == 3
