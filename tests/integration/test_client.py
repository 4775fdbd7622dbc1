"""`reclift.client` against a really running server."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from reclift.client import ApiError, Reclift
from reclift.flows import experiments, jobs
from reclift.storage.tables import EventRow, ExposureRow
from tests.integration.conftest import Running
from tests.platform_fixtures import Caller, experiment, item, make_key
from tests.services import wait_until
from tests.unit.domain.scenarios import a_user


@pytest.fixture
def reclift(running: Running) -> Iterator[Reclift]:
    with Reclift(running.url, running.shop_key, timeout=10, flush_seconds=0.05, refresh_seconds=0.1) as client:
        yield client


def stored(running: Running, table: Any, *where: Any) -> list[Any]:
    with running.runtime.database.read() as session:
        return list(session.scalars(select(table).where(*where)))


def test_deciding_here_is_deciding_there(running: Running, reclift: Reclift) -> None:
    assert reclift.wait_until_ready(10)
    chance = random.Random(9)
    for number in range(60):
        unit, attributes = a_user(chance, number)
        there = {one.experiment: one for one in reclift.assign_all(unit, attributes)}
        here = {one.experiment: one for one in reclift.decide_all(unit, attributes)}
        assert here.keys() == there.keys()
        for key, one in here.items():
            assert (one.arm, one.in_experiment, one.reason, one.strategy, one.params) == (
                there[key].arm, there[key].in_experiment, there[key].reason, there[key].strategy, there[key].params,
            )  # fmt: skip
    assert len(here) >= 18


def test_the_plan_here_follows_the_servers(running: Running, reclift: Reclift) -> None:
    key = running.start(experiment("client-follows"))
    assert reclift.wait_until_ready(10)
    wait_until(lambda: key in {one.experiment for one in reclift.decide_all("u1")}, 10)
    before = reclift.decide("u1", key)
    assert before == reclift.decide("u1", key)
    with running.runtime.database.write() as session:
        experiments.act(session, running.runtime.registry, jobs.NullQueue(), key, "stop", "tests")
    wait_until(lambda: reclift.decide("u1", key).reason == "not_running", 10)
    with pytest.raises(ApiError, match="does not exist"):
        reclift.decide("u1", "nothing")
    assert reclift.plan_age_seconds is not None


def test_what_is_told_is_stored(running: Running, reclift: Reclift) -> None:
    key = running.start(experiment("client-tells", audience={"country": "CN"}))
    assert reclift.wait_until_ready(10)
    wait_until(lambda: key in {one.experiment for one in reclift.decide_all("u1")}, 10)
    one = reclift.decide("client-user", key, {"country": "CN"})
    assert reclift.expose("client-user", one, {"country": "CN"})
    assert not reclift.expose("client-user", reclift.decide("client-user", key, {"country": "US"}))
    assert reclift.track("purchase", user_id="client-user", item_id="i1", value=9.5, properties={"page": "home"})
    assert reclift.track("nonsense " * 20, user_id="client-user")
    assert reclift.flush(10)
    counts = reclift.events
    assert (counts.accepted, counts.rejected, counts.dropped) == (2, 1, 0)
    [event] = stored(running, EventRow, EventRow.unit_id == "client-user")
    assert (event.type, event.value, event.properties) == ("purchase", 9.5, {"page": "home"})
    [met] = stored(running, ExposureRow, ExposureRow.unit_id == "client-user")
    assert (met.experiment, met.arm, met.phase, met.source) == (key, one.arm, 1, "client")
    assert met.attributes == {"country": "CN"}


def test_the_rest_of_the_shops_calls(running: Running, reclift: Reclift) -> None:
    assert reclift.put_items([item(number) for number in range(3)]) == 3
    reclift.put_user("client/person", {"country": "CN"})
    reclift.add_alias("client/person", "client-device")
    shown = reclift.recommend("home", user_id="client-device", k=2)
    assert shown.recommendation_id
    with pytest.raises(ApiError) as caught:
        reclift.recommend("nowhere", user_id="u1")
    assert caught.value.status == 404
    assert reclift.erase_user("client/person")


def test_a_key_without_the_scope_is_told_so(running: Running) -> None:
    with Reclift(running.url, running.client_key) as client, pytest.raises(ApiError) as caught:
        client.assign("u1", "exp-0")
    assert caught.value.status == 403


def test_the_plan_is_for_servers_and_cached_by_etag(runtime: Any, shop: Caller, nobody: Caller) -> None:
    first = shop("GET", "/api/v1/plan")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "Access-Control-Allow-Origin" not in first.headers
    again = shop("GET", "/api/v1/plan", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    for key in (None, make_key(runtime, "client"), make_key(runtime, "read")):
        assert Caller(nobody.client, key)("GET", "/api/v1/plan").status_code in {401, 403}
    assert json.loads(first.data)["experiments"] == []
