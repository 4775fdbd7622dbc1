"""Saved groups, and conditions that cannot be right, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.traffic import EXPERIMENTS, arm_of, start
from tests.platform_fixtures import Caller


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
