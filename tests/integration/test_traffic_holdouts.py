"""Holdouts over the API, down to the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from reclift.flows import rollup
from reclift.wiring import Runtime
from tests.integration.traffic import EXPERIMENTS, arm_of, exposures, fresh_report, hold, start
from tests.platform_fixtures import Caller


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
        ({"metrics": {"primary": "coverage"}}, "metrics.primary"),
        ({"metrics": {"primary": "latency_p95"}}, "metrics.primary"),
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
