"""The same main road on PostgreSQL: items, models, an experiment, lists, reactions, lifts; and what it cannot keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, build_runtime, experiment, make_key, run_jobs, stock, visit

EXPERIMENTS = "/api/v1/experiments"


@pytest.fixture(scope="module")
def grown_up(postgres_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder: Path = tmp_path_factory.mktemp("postgres")
    here = build_runtime(folder, database_url=postgres_database)
    here.set_up()
    yield here
    here.close()


def test_the_main_road(grown_up: Runtime) -> None:
    client = create_app(grown_up).test_client()
    shop, manage = Caller(client, make_key(grown_up, "shop")), Caller(client, make_key(grown_up, "manage"))
    stock(grown_up, shop)
    manage.ok("POST", EXPERIMENTS, experiment(audience={"country": {"$ne": "XX"}}), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")
    assert run_jobs(grown_up) == ["train"]
    clicked = visit(shop, [f"u{number}" for number in range(80)], clicks={"control": 0.2, "item-cf": 0.6})
    shop.ok("POST", "/users/u1/aliases", {"alias": "device"}, 201)
    event = {"event_id": "p", "type": "purchase", "user_id": "device", "value": 9.5, "properties": {"deep": [{"a": 1}]}}
    assert shop.ok("POST", "/events", {"events": [event, event]}, 202)["duplicates"] == 1
    assert shop.ok("POST", "/events", {"events": [event]}, 202) == {"accepted": 0, "duplicates": 1, "rejected": []}
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/report/refresh", status=202)
    assert run_jobs(grown_up) == ["report"]
    report = manage.ok("GET", f"{EXPERIMENTS}/home-recs/report?segment=country")
    units = {arm["arm"]: arm["units"] for arm in report["arms"]}
    assert sum(units.values()) == 80
    by_metric = {metric["metric"]: metric for metric in report["metrics"]}
    for arm in by_metric["ctr"]["arms"]:
        assert arm["mean"] == pytest.approx(clicked[arm["arm"]] / units[arm["arm"]])
    assert sum(arm["total"] for arm in by_metric["revenue_per_user"]["arms"]) == pytest.approx(9.5)
    manage.ok("PATCH", f"{EXPERIMENTS}/home-recs", {"note": "Going well."})
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/stop")
    assert shop.ok("DELETE", "/users/u1")["removed"]["events"] >= 1
    shop.ok("DELETE", "/items/i3", status=204)
    assert manage("GET", f"{EXPERIMENTS}/home-recs/report?format=csv").status_code == 200
    assert manage.ok("GET", "/api/v1/audit")["audit"]
    assert client.get("/health/ready").json["database"] == "ok"


def test_what_postgresql_cannot_keep_is_refused_before(grown_up: Runtime) -> None:
    client = create_app(grown_up).test_client()
    shop, manage = Caller(client, make_key(grown_up, "shop")), Caller(client, make_key(grown_up, "manage"))
    batch = [
        {"type": "click", "user_id": "u", "properties": {"a": "\x00"}},
        {"type": "click", "user_id": "u\x00"},
        {
            "event_id": "good",
            "type": "click",
            "user_id": "u",
            "value": 1e9,
            "properties": {"😀": 2**64 - 1},
        },
    ]
    answer = shop.ok("POST", "/events", {"events": batch}, 202)
    assert answer["accepted"] == 1
    assert [one["index"] for one in answer["rejected"]] == [0, 1]
    shop.refused("PUT", "/users/u", {"attributes": {"a": "\x00"}}, status=422)
    shop.refused("PUT", "/items", {"items": [{"item_id": "i", "attributes": {"\x00": 1}}]}, status=422)
    shop.refused("DELETE", "/items/%00", status=400)
    manage.refused("POST", EXPERIMENTS, experiment("nul", note="\x00"), status=422)
    manage.refused("GET", f"{EXPERIMENTS}/%00", status=400)
    manage.refused("GET", "/api/v1/models?strategy=%00", status=422)
    manage.refused("POST", "/api/v1/models/9999999999/activate", status=404)
    for odd in ("it's", "%25", "$.a", "a.b"):
        assert manage.ok("GET", f"/api/v1/audit?subject={odd}") == {"audit": []}
