"""Ramps: traffic that grows by schedule and stops by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reclift.flows import experiments as experiment_flow
from reclift.flows import ramps
from reclift.flows.clock import now
from reclift.wiring import Runtime
from tests.integration.traffic import EXPERIMENTS, arm_of, fresh_report, start
from tests.platform_fixtures import Caller, experiment

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
