"""Sticky assignment: who has met an arm keeps it, in every process, with or without Redis; reports know the mixture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy.exc import OperationalError

from reclift.flows import report, rollup
from reclift.storage.sticky import NothingShared, RedisShared, Sticky
from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, build_runtime, experiment, make_key
from tests.services import RedisServer

EXPERIMENTS = "/api/v1/experiments"
PHASES = {"home-recs": 1}


def start(manage: Caller, **fields: Any) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(sticky=True, **fields), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")


def arm_of(shop: Caller, unit: str, **body: Any) -> dict[str, Any]:
    [one] = shop.ok("POST", "/assign", {"user_id": unit, "experiment": "home-recs", **body})["assignments"]
    return one


def test_who_is_in_stays_when_audience_traffic_and_attributes_change(shop: Caller, manage: Caller) -> None:
    start(manage, audience={"country": "CN"})
    met = {f"u{n}": arm_of(shop, f"u{n}", attributes={"country": "CN"}, expose=True)["arm"] for n in range(20)}
    manage.ok("PATCH", f"{EXPERIMENTS}/home-recs", {"traffic": 0.01})
    for unit, arm in met.items():
        moved_away = arm_of(shop, unit, attributes={"country": "US"})
        assert (moved_away["arm"], moved_away["reason"], moved_away["in_experiment"]) == (arm, "sticky", True)
    assert arm_of(shop, "other", attributes={"country": "US"})["reason"] == "not_targeted"
    shown = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "home", "attributes": {"country": "US"}})
    assert shown["arm"] == met["u1"]


def test_assigning_alone_holds_nobody(shop: Caller, manage: Caller) -> None:
    start(manage, audience={"country": "CN"})
    assert arm_of(shop, "u1", attributes={"country": "CN"})["in_experiment"]
    assert arm_of(shop, "u1", attributes={"country": "US"})["reason"] == "not_targeted"


def test_an_exposure_that_a_client_reports_holds_as_well(shop: Caller, manage: Caller) -> None:
    start(manage)
    hashed = arm_of(shop, "u1")["arm"]
    other = "control" if hashed == "item-cf" else "item-cf"
    event = {"type": "exposure", "user_id": "u1", "properties": {"experiment": "home-recs", "arm": other}}
    shop.ok("POST", "/events", {"events": [event]}, 202)
    assert (arm_of(shop, "u1")["arm"], arm_of(shop, "u1")["reason"]) == (other, "sticky")


def test_the_sample_ratio_is_tested_against_the_mixture_of_weights(
    runtime: Runtime, shop: Caller, manage: Caller
) -> None:
    start(manage)
    arms: Counter[str] = Counter()
    first = {f"u{n}": arm_of(shop, f"u{n}", expose=True)["arm"] for n in range(40)}
    body = {"weights": {"control": 0.05, "item-cf": 0.95}}
    changed = manage.ok("POST", f"{EXPERIMENTS}/home-recs/weights", body)
    assert (changed["phase"], len(changed["weight_changes"])) == (1, 1)
    for n in range(80):
        arms[arm_of(shop, f"u{n}", expose=True)["arm"]] += 1
    assert all(arm_of(shop, unit)["arm"] == arm for unit, arm in first.items())
    rollup.roll_up(runtime.database)
    ratio = report.refresh(runtime.database, "home-recs")["srm"]
    assert ratio["observed"] == [arms["control"], arms["item-cf"]]
    # 40 came at 1 : 1, and 40 at 1 : 19.
    assert ratio["expected"] == [pytest.approx(22), pytest.approx(58)]
    assert ratio["ok"]


def test_a_new_phase_frees_everybody(shop: Caller, manage: Caller) -> None:
    start(manage)
    for n in range(20):
        arm_of(shop, f"u{n}", expose=True)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/phase", {"weights": {"control": 0.5, "item-cf": 0.5}})
    assert {arm_of(shop, f"u{n}")["reason"] for n in range(20)} == {"bucketed"}


# beneath the API: several processes


def exposure(unit: str, arm: str, at: int = 1_000) -> dict[str, Any]:
    return {
        "experiment": "home-recs", "phase": 1, "unit_id": unit, "arm": arm, "at": at, "source": "assign",
        "attributes": {},
    }  # fmt: skip


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True, socket_timeout=1, socket_connect_timeout=1)
    yield client
    client.close()


def write(runtime: Runtime, *rows: dict[str, Any]) -> None:
    from reclift.domain.events import Facts

    runtime.direct.append(Facts(exposures=list(rows)))


class Broken:
    """A database that does not answer."""

    def within(self) -> Any:
        raise OperationalError("SELECT", {}, Exception("the database is away"))


def test_another_process_reads_it_from_the_database_within_its_ttl(runtime: Runtime) -> None:
    here, there = (Sticky(runtime.database, NothingShared(), ttl=0) for _ in range(2))
    assert here.get("u1", PHASES) == there.get("u1", PHASES) == {}
    write(runtime, exposure("u1", "control"), exposure("u1", "item-cf", at=2_000))
    assert there.get("u1", PHASES) == {"home-recs": "control"}, "the first one met"
    assert there.get("u1", {"home-recs": 2}) == {}
    assert there.get("u1", {"other": 1}) == {}


def test_what_this_process_exposes_it_knows_at_once(runtime: Runtime) -> None:
    here = Sticky(runtime.database, NothingShared(), ttl=3600)
    assert here.get("u1", PHASES) == {}
    here.note([exposure("u1", "control"), {**exposure("u1", "item-cf"), "phase": 2}], PHASES)
    here.note([exposure("u1", "item-cf")], PHASES)
    assert here.get("u1", PHASES) == {"home-recs": "control"}


def test_a_note_of_a_unit_never_read_does_not_hide_what_the_database_knows(runtime: Runtime) -> None:
    write(runtime, {**exposure("u1", "item-cf"), "experiment": "other"}, exposure("u1", "control"))
    here = Sticky(runtime.database, NothingShared(), ttl=3600)
    here.note([exposure("u1", "control")], PHASES)
    assert here.get("u1", {**PHASES, "other": 1}) == {"home-recs": "control", "other": "item-cf"}


def test_memory_is_bounded(runtime: Runtime) -> None:
    here = Sticky(runtime.database, NothingShared(), ttl=3600, capacity=3)
    for n in range(10):
        here.get(f"u{n}", PHASES)
    assert len(here._entries) == 3


def test_redis_answers_before_the_database(runtime: Runtime, redis: Redis) -> None:
    write(runtime, exposure("u1", "control"))
    here = Sticky(runtime.database, RedisShared(redis), ttl=0)
    assert here.get("u1", PHASES) == {"home-recs": "control"}
    there = Sticky(Broken(), RedisShared(redis), ttl=0)  # type: ignore[arg-type]
    assert there.get("u1", PHASES) == {"home-recs": "control"}
    assert 0 < redis.ttl("reclift:sticky:u1") <= 30 * 24 * 3600


def test_a_unit_that_met_nothing_is_known_as_such(runtime: Runtime, redis: Redis) -> None:
    assert Sticky(runtime.database, RedisShared(redis), ttl=0).get("u1", PHASES) == {}
    assert redis.hgetall("reclift:sticky:u1") == {":": ""}
    there = Sticky(Broken(), RedisShared(redis), ttl=0)  # type: ignore[arg-type]
    assert there.get("u1", PHASES) == {}


def test_through_redis_the_first_of_two_processes_wins(runtime: Runtime, redis: Redis) -> None:
    here, there = (Sticky(runtime.database, RedisShared(redis), ttl=3600) for _ in range(2))
    assert here.get("u1", PHASES) == there.get("u1", PHASES) == {}
    here.note([exposure("u1", "control")], PHASES)
    there.note([exposure("u1", "item-cf")], PHASES)
    assert redis.hget("reclift:sticky:u1", "home-recs:1") == "control"
    assert Sticky(runtime.database, RedisShared(redis), ttl=0).get("u1", PHASES) == {"home-recs": "control"}


def test_without_the_database_nothing_partial_gets_into_redis(redis: Redis) -> None:
    here = Sticky(Broken(), RedisShared(redis), ttl=3600)  # type: ignore[arg-type]
    assert here.get("u1", PHASES) == {}
    here.note([exposure("u1", "control")], PHASES)
    assert here.get("u1", PHASES) == {"home-recs": "control"}, "this process holds to it"
    assert redis.keys() == []


def test_without_redis_the_database_answers_and_redis_is_asked_again_later(runtime: Runtime) -> None:
    write(runtime, exposure("u1", "control"))
    server = RedisServer()
    try:
        server.start()
        client = Redis.from_url(server.url(), decode_responses=True, socket_timeout=1, socket_connect_timeout=1)
        shared = RedisShared(client)
        here = Sticky(runtime.database, shared, ttl=0)
        server.stop()
        assert here.get("u1", PHASES) == {"home-recs": "control"}
        assert shared._rest_until > 0, "it does not try, and wait, for every user"
        here.renew("u1")
        server.start()
        shared._rest_until = 0.0
        assert here.get("u1", PHASES) == {"home-recs": "control"}
        assert client.hget("reclift:sticky:u1", "home-recs:1") == "control"
        here.forget("u1")
        assert client.keys() == []
        client.close()
    finally:
        server.stop()
        server.close()


def test_a_whole_runtime_with_redis(tmp_path: Path, redis_url: str, redis: Redis) -> None:
    here = build_runtime(tmp_path / "var", redis_url=redis_url)
    here.set_up()
    try:
        client = create_app(here).test_client()
        shop, manage = Caller(client, make_key(here, "shop")), Caller(client, make_key(here, "manage"))
        start(manage)
        arm = arm_of(shop, "u1", expose=True)["arm"]
        assert redis.hgetall("reclift:sticky:u1") == {":": "", "home-recs:1": arm}
        shop.ok("DELETE", "/users/u1")
        assert redis.keys("reclift:sticky:*") == []
    finally:
        here.close()
