"""What the server says of its Redis stream: lag and size while it is used, the reason while it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, build_runtime, make_key

EVENTS = {"events": [{"event_id": f"e{number}", "type": "click", "user_id": "u1"} for number in range(3)]}


@pytest.fixture
def serving(redis_url: str, tmp_path: Path) -> Iterator[Callable[[str], Runtime]]:
    """Makes a runtime with a Redis whose durability is judged so strictly. The tests' Redis keeps nothing on disk."""
    made: list[Runtime] = []

    def make(fsync: str) -> Runtime:
        here = build_runtime(tmp_path / "var", redis_url=redis_url, stream_fsync=fsync)
        here.set_up()
        made.append(here)
        return here

    yield make
    for here in made:
        here.close()


def gauges(shop: Caller) -> dict[str, float]:
    text = shop("GET", "/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(reclift_\S+) (\S+)$", text, re.MULTILINE)}


def test_what_waits_is_visible_and_goes(serving: Callable[[str], Runtime]) -> None:
    here = serving("unchecked")
    shop = Caller(create_app(here).test_client(), make_key(here, "shop"))
    assert shop.ok("GET", "/health/ready")["stream"] == {"status": "ok", "batches": 0, "bytes": 0, "lag_seconds": 0.0}
    assert shop.ok("POST", "/events", EVENTS, 202) == {"accepted": 3, "duplicates": 0, "rejected": []}
    found = gauges(shop)
    assert found["reclift_stream_used"] == found["reclift_stream_batches"] == 1
    assert found["reclift_stream_bytes"] > 100
    assert found["reclift_stream_lag_seconds"] >= 0
    assert found['reclift_facts_taken_total{sink="redis"}'] == 3
    drain = here.stream_drain()
    assert drain is not None
    assert drain.step() == 3
    assert gauges(shop)["reclift_stream_batches"] == gauges(shop)["reclift_stream_bytes"] == 0


def test_a_redis_that_is_not_durable_is_named_and_the_database_takes_over(serving: Callable[[str], Runtime]) -> None:
    here = serving("always")
    shop = Caller(create_app(here).test_client(), make_key(here, "shop"))
    ready = shop.ok("GET", "/health/ready")
    assert ready["status"] == "degraded"
    assert "appendonly is off" in ready["stream"]["status"]
    assert shop.ok("POST", "/events", EVENTS, 202)["accepted"] == 3
    assert shop.ok("POST", "/events", EVENTS, 202)["duplicates"] == 3
    found = gauges(shop)
    assert found["reclift_stream_used"] == found["reclift_stream_batches"] == 0
    assert found['reclift_facts_taken_total{sink="database"}'] == 6
