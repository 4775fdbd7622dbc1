"""People who test, bots, and units that met several arms: what does not enter the data."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from reclift.storage.tables import EventRow, ExperimentUnit, ExposureRow, ImpressionRow
from reclift.wiring import Runtime
from tests.integration.traffic import EXPERIMENTS, arm_of, exposures, fresh_report, hold, start
from tests.platform_fixtures import Caller, experiment


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
