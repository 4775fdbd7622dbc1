"""A really running server with experiments of every kind, and published SDKs to ask it with."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reclift.flows import experiments, groups, holdouts, jobs
from reclift.wiring import Runtime
from tests.platform_fixtures import SECRET, build_runtime, make_key
from tests.reclift_server import RecliftServer
from tests.unit.domain.scenarios import GROUPS, a_plan

SDK = Path(__file__).parent.parent / "sdk"


class _ServerOnly(RecliftServer):
    """Without its worker: these tests compute no reports, and two cores are few."""

    def command(self) -> list[str]:
        port = str(self.port)
        serve = (
            "from reclift import wiring; from reclift.cli.serve import run_server; "
            "from reclift.settings import load_settings; "
            "settings = load_settings(); wiring.configure_logging(settings); "
            f"run_server(settings, '127.0.0.1', {port}, 1)"
        )
        return [self.python, "-c", serve]


@dataclass
class Running:
    """The server, a runtime of this process over the same database, and keys."""

    server: RecliftServer
    runtime: Runtime
    shop_key: str
    client_key: str

    @property
    def url(self) -> str:
        return self.server.url

    def write(self, change: Any) -> Any:
        """Do `change(session)` in a transaction, as another process would."""
        with self.runtime.database.write() as session:
            return change(session)

    def start(self, payload: dict[str, Any]) -> str:
        """Make an experiment and start it."""
        registry, queue = self.runtime.registry, jobs.NullQueue()
        with self.runtime.database.write() as session:
            experiments.create(session, registry, payload, "tests")
            experiments.act(session, registry, queue, payload["key"], "start", "tests")
        return payload["key"]


def store_random_experiments(runtime: Runtime, seed: int) -> list[str]:
    """20 random experiments (weights, traffic, audiences, layers, testers) under two holdouts, stored and running."""
    plan = a_plan(random.Random(seed))
    registry, queue = runtime.registry, jobs.NullQueue()
    keys = []
    with runtime.database.write() as session:
        for group in GROUPS:
            body: dict[str, Any] = {"attribute": group.attribute} if group.attribute != "id" else {}
            body |= {"values": list(group.values)} if group.values is not None else {"condition": group.condition}
            groups.put(session, group.key, body, "tests")
        for holdout in (one for one in plan.holdouts.values() if one.status == "running"):
            body = {"key": f"hold-{holdout.key}", "share": holdout.share, "placement": holdout.placement}
            holdouts.create(session, body, "tests")
            experiments.act(session, registry, queue, f"hold-{holdout.key}", "start", "tests")
        for one in plan.experiments.values():
            keys.append(one.key)
            arms = [
                {"key": arm.key, "strategy": "popularity", "weight": arm.weight, "control": arm.control}
                for arm in one.arms
            ]
            known = {arm.key for arm in one.arms}
            payload = {
                "key": one.key, "placement": one.placement, "arms": arms, "traffic": one.traffic,
                "audience": one.audience, "exclude": one.exclude,
                "overrides": {unit: arm for unit, arm in one.overrides.items() if arm in known},
            }  # fmt: skip
            row = experiments.create(session, registry, payload, "tests")
            row.phase = one.phase
            experiments.act(session, registry, queue, one.key, "start", "tests")
            if one.slot is not None:
                row.layer, row.slot_start, row.slot_end = one.slot.layer, one.slot.start, one.slot.end
                row.traffic = min(one.traffic, one.slot.end - one.slot.start)
    runtime.live.refresh()
    return keys


@pytest.fixture(scope="session")
def running(_set_up_folder: Path) -> Iterator[Running]:
    """A server with 20 random experiments; tests add their own, with keys of their own."""
    server = _ServerOnly({"SECRET_KEY": SECRET, "LOG_LEVEL": "WARNING"})
    folder = server.folder / "var"
    shutil.copytree(_set_up_folder, folder)
    runtime = build_runtime(folder)
    try:
        store_random_experiments(runtime, seed=3)
        shop_key, client_key = make_key(runtime, "shop"), make_key(runtime, "client")
        server.start()
        yield Running(server, runtime, shop_key, client_key)
    finally:
        server.stop()
        server.close()
        runtime.close()


@pytest.fixture(scope="session")
def node_sdks(pytestconfig: pytest.Config) -> Path:
    """A folder with the npm packages of tests/sdk/package.json and our scripts beside them; kept between runs."""
    package = (SDK / "package.json").read_bytes()
    cache = pytestconfig.cache
    assert cache is not None
    all_of_them = cache.mkdir("node-sdks")
    folder = all_of_them / hashlib.sha256(package).hexdigest()[:16]
    with (all_of_them / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "package.json").write_bytes(package)
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
            assert done.returncode == 0, f"npm install failed:\n{done.stdout}\n{done.stderr}"
            (folder / "installed").write_text(datetime.now(UTC).isoformat())
        for script in SDK.glob("*.mjs"):
            if not (folder / script.name).exists() or (folder / script.name).read_bytes() != script.read_bytes():
                shutil.copy(script, folder / script.name)
    return folder


@pytest.fixture(scope="session")
def node(node_sdks: Path) -> Any:
    """Runs one of tests/sdk's scripts: JSON in, JSON out."""

    def run(script: str, asked: Any, timeout: float = 60) -> Any:
        done = subprocess.run(
            ["node", script],
            cwd=node_sdks,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
        assert done.returncode == 0, f"{script} failed:\n{done.stderr[-3000:]}"
        return json.loads(done.stdout)

    return run
