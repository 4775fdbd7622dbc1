"""Layers and phases over the API, down to the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from reclift.storage.tables import ImpressionRow
from reclift.wiring import Runtime
from tests.integration.traffic import EXPERIMENTS, arm_of, exposures, fresh_report, start
from tests.platform_fixtures import Caller, experiment


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
