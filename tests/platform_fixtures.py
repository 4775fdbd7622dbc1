"""A whole platform for tests: real tables, real strategies, Flask's test client; jobs run at once, in the test."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from reclift import wiring
from reclift.flows import accounts, jobs, rollup
from reclift.settings import load_settings
from reclift.storage.tables import JobRun
from reclift.web.api.openapi.document import document
from reclift.web.app import create_app
from reclift.wiring import Runtime
from reclift.worker import run_job
from tests.openapi_check import Contract

SECRET = "only-for-tests-" + "x" * 32


def build_runtime(folder: Path, **settings: Any) -> Runtime:
    """A runtime over `folder` (SQLite, unless settings name another database) whose jobs wait for `run_jobs`."""
    # Tests share two busy cores: a strategy must not count as late because another test computes.
    given = {"data_dir": folder, "secret_key": SECRET, "strategy_timeout_ms": 5_000, **settings}
    return wiring.build(load_settings(**given), queue=jobs.NullQueue())


def make_key(runtime: Runtime, *scopes: str) -> str:
    """A new API key, known at once."""
    with runtime.database.write() as session:
        _, secret = accounts.create_key(session, "-".join(scopes), list(scopes), "tests")
    runtime.live.refresh()
    return secret


def run_jobs(runtime: Runtime) -> list[str]:
    """Do what is queued, oldest first; returns what was done. A job that fails fails the test."""
    with runtime.database.read() as session:
        queued = [(run.id, run.task) for run in session.query(JobRun).filter_by(state="queued").order_by(JobRun.id)]
    for job_id, task in queued:
        run_job(runtime, job_id)
        with runtime.database.read() as session:
            run = session.get_one(JobRun, job_id)
            assert run.state == "done", f"{task}: {run.error}"
    runtime.live.refresh()
    return [task for _, task in queued]


def contract(app: Flask) -> Contract:
    """The published document, read once for all tests: it does not depend on what is stored."""
    if not _contract:
        _contract.append(Contract(document(app)))
    return _contract[0]


_contract: list[Contract] = []


@dataclass
class Caller:
    """Calls the API with one key, and hands back what came. Every answer must be as /openapi.json describes it."""

    client: FlaskClient
    key: str | None

    def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """`body` is sent as JSON; bytes go out as they are."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
            more["data"] = body if isinstance(body, bytes) else orjson.dumps(body)
        response = self.client.open(path, method=method, headers={**sent, **(headers or {})}, **more)
        answered = response.get_json(force=True) if (response.mimetype or "").endswith("json") else None
        contract(self.client.application).check(method, path, response.status_code, response.mimetype, answered)
        return response

    def ok(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of an answer that must have this status."""
        response = self(method, path, body)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response.json if response.content_length else None

    def refused(self, method: str, path: str, body: Any = None, *, status: int, **more: Any) -> dict[str, Any]:
        """The problem document of an answer that must have this status."""
        response = self(method, path, body, **more)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        assert response.mimetype == "application/problem+json"
        document = response.get_json(force=True)
        assert document["status"] == status
        assert document.keys() >= {"type", "title", "status", "detail"}
        return document


def item(number: int) -> dict[str, Any]:
    """One item of the test shop."""
    return {
        "item_id": f"i{number}",
        "title": f"Item {number}",
        "category": f"c{number % 4}",
        "price": 10.0 + number,
        "attributes": {"colour": "red"},
    }


def experiment(key: str = "home-recs", **fields: Any) -> dict[str, Any]:
    """An experiment as API.md writes one: popularity against item_cf on the home page."""
    return {
        "key": key,
        "placement": "home",
        "hypothesis": "Neighbours are more relevant than what everybody likes.",
        "arms": [
            {"key": "control", "strategy": "popularity", "params": {}, "weight": 0.5, "control": True},
            {"key": "item-cf", "strategy": "item_cf", "params": {"k": 20}, "weight": 0.5},
        ],
        "metrics": {"primary": "ctr", "secondary": ["conversion", "revenue_per_user"], "guardrails": ["latency"]},
        **fields,
    }


def history(users: int = 40, items: int = 30, seed: int = 7) -> list[dict[str, Any]]:
    """Clicks of users who like items near each other, so that neighbours can be learnt."""
    draw = random.Random(seed)
    return [
        {
            "event_id": f"h-{user}-{step}",
            "type": "click",
            "user_id": f"past{user}",
            "item_id": f"i{(user * 3 + draw.randrange(6)) % items}",
            "timestamp": f"2026-01-{1 + step:02d}T12:00:00Z",
        }
        for user in range(users)
        for step in range(6)
    ]


def stock(runtime: Runtime, shop: Caller, *, items: int = 30) -> None:
    """Items, some history, and models of what the placements need."""
    shop.ok("PUT", "/items", {"items": [item(number) for number in range(items)]})
    assert shop.ok("POST", "/events", {"events": history(items=items)}, 202)["rejected"] == []
    with runtime.database.write() as session:
        for strategy in ("popularity",):
            jobs.request(session, runtime.queue, "train", {"strategy": strategy, "params": {}}, "tests")
    run_jobs(runtime)


def visit(shop: Caller, users: Sequence[str], *, clicks: Mapping[str, float], seed: int = 11) -> dict[str, int]:
    """Each user sees one list on the home page and clicks its first item with their arm's chance; clicks by arm."""
    draw = random.Random(seed)
    clicked = dict.fromkeys(clicks, 0)
    events = []
    for user in users:
        shown = shop.ok("POST", "/recommend", {"user_id": user, "placement": "home", "k": 5})
        if shown["arm"] is not None and draw.random() < clicks[shown["arm"]]:
            clicked[shown["arm"]] += 1
            events.append(
                {
                    "event_id": f"click-{user}",
                    "type": "click",
                    "user_id": user,
                    "item_id": shown["items"][0]["item_id"],
                    "recommendation_id": shown["recommendation_id"],
                }
            )
    assert shop.ok("POST", "/events", {"events": events}, 202)["accepted"] == len(events)
    rollup.roll_up(shop.client.application.extensions["reclift"].runtime.database)
    return clicked


@pytest.fixture(scope="session")
def _set_up_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a migrated, empty database: copied for each test, since migrating takes longer."""
    folder = tmp_path_factory.mktemp("platform") / "var"
    here = build_runtime(folder)
    here.set_up()
    here.close()
    return folder


@pytest.fixture
def runtime(tmp_path: Path, _set_up_folder: Path) -> Iterator[Runtime]:
    """A platform over a fresh SQLite database, without threads of its own."""
    folder = tmp_path / "var"
    shutil.copytree(_set_up_folder, folder)
    here = build_runtime(folder)
    yield here
    here.close()


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    """Flask's test client of the whole application."""
    return create_app(runtime, config={"TESTING": False, "PROPAGATE_EXCEPTIONS": False}).test_client()


@pytest.fixture
def shop_key(runtime: Runtime) -> str:
    """A key with scope `shop`."""
    return make_key(runtime, "shop")


@pytest.fixture
def manage_key(runtime: Runtime) -> str:
    """A key with scope `manage`."""
    return make_key(runtime, "manage")


@pytest.fixture
def read_key(runtime: Runtime) -> str:
    """A key with scope `read`."""
    return make_key(runtime, "read")


@pytest.fixture
def shop(client: FlaskClient, shop_key: str) -> Caller:
    """The shop's server."""
    return Caller(client, shop_key)


@pytest.fixture
def manage(client: FlaskClient, manage_key: str) -> Caller:
    """Somebody's automation that may change things."""
    return Caller(client, manage_key)


@pytest.fixture
def read(client: FlaskClient, read_key: str) -> Caller:
    """Somebody's automation that may look."""
    return Caller(client, read_key)


@pytest.fixture
def nobody(client: FlaskClient) -> Caller:
    """A caller without a key."""
    return Caller(client, None)
