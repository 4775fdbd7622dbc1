"""Good requests with something wrong put in at a random place: the API never fails, and answers as it is published."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reclift.web.app import create_app
from tests.platform_fixtures import Caller, build_runtime, experiment, item, make_key, run_jobs, stock

EXPERIMENT = "/api/v1/experiments/home-recs"
SOURCE = {"event": "click", "value": "count", "attributed": True, "where": {"page": "home"}}
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/assign", {"user_id": "u1", "experiment": "home-recs", "attributes": {"a": 1}, "expose": True}),
    (
        "POST",
        "/recommend",
        {
            "user_id": "u1", "session_id": "s", "placement": "home", "k": 5, "attributes": {"country": "CN", "n": [1]},
            "context": {"item_id": "i9"}, "exclude": ["i3"], "candidates": ["i1", "i2"], "request_id": "r",
        },
    ),
    (
        "POST",
        "/events",
        {
            "events": [
                {"event_id": "e", "type": "click", "user_id": "u1", "item_id": "i1", "recommendation_id": "r",
                 "value": 1.5, "timestamp": "2026-05-01T12:00:00Z", "properties": {"a": {"b": [1]}}},
                {"type": "exposure", "user_id": "u1", "properties": {"experiment": "home-recs", "arm": "control"}},
            ]
        },
    ),
    ("PUT", "/items", {"items": [{**item(1), "description": "d", "image_url": "https://x/y", "available": True}]}),
    ("PUT", "/users/u1", {"attributes": {"country": "CN"}}),
    ("POST", "/users/u1/aliases", {"alias": "device"}),
    (
        "POST",
        "/api/v1/experiments",
        experiment(
            "other", audience={"$or": [{"country": {"$in": ["CN"]}}, {"age": {"$gt": 5}}]}, exclude={"bot": True},
            overrides={"u": "control"}, layer="page", traffic=0.5, sticky=True, kind="ab", name="N", note="x",
            planned_days=7,
        ),
    ),
    (
        "PATCH",
        EXPERIMENT,
        {"traffic": 1, "note": "n", "metrics": experiment()["metrics"], "overrides": {"u": "item-cf"}},
    ),
    ("POST", f"{EXPERIMENT}/phase", {"weights": {"control": 0.3, "item-cf": 0.7}, "traffic": 0.5, "note": "n"}),
    ("POST", f"{EXPERIMENT}/weights", {"weights": {"control": 0.3, "item-cf": 0.7}}),
    ("PUT", f"{EXPERIMENT}/ramp", {"steps": [{"traffic": 0.1, "after_hours": 0}, {"traffic": 0.5, "after_hours": 9}]}),
    ("POST", f"{EXPERIMENT}/preview", {"arm": "control"}),
    (
        "POST",
        "/api/v1/metrics",
        {"key": "m", "name": "M", "kind": "ratio", "numerator": SOURCE, "denominator": {"event": "impression"},
         "window_hours": 24, "cap": 5, "cap_percentile": 0.9, "minimum": 1, "margin": 0.1, "format": "percent"},
    ),
    (
        "PUT",
        "/api/v1/placements/cart",
        {"name": "Cart", "strategy": "item_cf", "params": {"k": 5}, "fallback": ["popularity"], "seen": "none"},
    ),
    ("POST", "/api/v1/models", {"strategy": "item_cf", "params": {"k": 5, "similarity": "cosine"}}),
    ("POST", "/api/v1/keys", {"name": "n", "scopes": ["read"]}),
    ("PUT", "/api/v1/groups/staff", {"name": "Staff", "values": ["u1"], "attribute": "id"}),
    ("PUT", "/api/v1/groups/asia", {"condition": {"country": {"$in": ["CN"]}}}),
    (
        "POST",
        "/api/v1/holdouts",
        {"key": "held", "share": 0.1, "placement": "home", "metrics": {"primary": "ctr", "secondary": ["conversion"]}},
    ),
]  # fmt: skip

ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1.5, 1e300, 2**31, 2**63, 2**64 - 1, "", " ", "\x00", "x" * 300, "😀", "%", "'", '"']
    ),
    st.sampled_from([[], {}, [[]], [{}], {"": None}, {"$in": []}, {"$regex": "(a+)+$"}, {"$not": 5}, {"\x00": 1}]),
    st.sampled_from(["home", "control", "ctr", "popularity", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
    st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something could be put in another thing's stead."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*here, name)
        yield from places(part, (*here, name))


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    method, path, good = draw(st.sampled_from(GOOD))
    body = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        there = list(places(body))
        if not there:
            break
        *way, last = draw(st.sampled_from(there))
        inner: Any = body
        for step in way:
            inner = inner[step]
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "remove":
            del inner[last]
        elif how == "add" and isinstance(inner, dict):
            inner[draw(st.text(max_size=6))] = copy.deepcopy(draw(ODD))
        else:
            inner[last] = copy.deepcopy(draw(ODD))
    return method, path, body


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    here = build_runtime(tmp_path_factory.mktemp("mutations"))
    here.set_up()
    client = create_app(here).test_client()
    one = Caller(client, make_key(here, "shop", "manage", "read", "replay"))
    stock(here, one)
    one.ok("POST", "/api/v1/experiments", experiment(), 201)
    one.ok("POST", f"{EXPERIMENT}/start")
    run_jobs(here)
    yield one
    here.close()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(spoilt())
def test_whatever_stands_in_a_body_the_answer_is_as_published(
    caller: Caller, request_: tuple[str, str, dict[str, Any]]
) -> None:
    method, path, body = request_
    response = caller(method, path, orjson.dumps(body))
    assert response.status_code < 500, response.text
    if response.status_code == 422:
        assert response.get_json(force=True)["errors"]
    # Nothing that was taken may break what reads it.
    assert caller("GET", EXPERIMENT).status_code == 200
    assert caller("GET", "/assign?user_id=u1").status_code == 200
