"""Real processes of the platform for tests: servers with a slow strategy installed, workers, beat, and their API."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.reclift_server import RecliftServer
from tests.services import Service, wait_until

ITEMS = [{"item_id": f"i{number}", "title": f"Item {number}", "category": "ab"[number % 2]} for number in range(12)]

SLOW = '''
import os, time
from pathlib import Path
import numpy as np
from reclift.strategy import NoParameters, Scored, State

class Slow:
    """Fits until it is told to go on, so that tests can kill its worker in the middle."""
    title, summary, Parameters, needs_training = "Slow", "For tests.", NoParameters, True

    def __init__(self, items):
        self.items = items

    @classmethod
    def fit(cls, data, params, progress):
        folder = Path(os.environ["SLOW_FOLDER"])
        (folder / f"started-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        return cls(data.item_ids)

    def recommend(self, query):
        return [Scored(str(item), 1.0) for item in self.items[: query.k]]

    def state(self):
        return State(arrays={"items": self.items})

    @classmethod
    def restore(cls, state, params):
        return cls(state.arrays["items"])
'''


class Slow:
    """The slow strategy, installed in a folder like any plug-in; `go` lets it end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "slow_strategy-1.0.dist-info"
        package.mkdir(parents=True)
        (folder / "slow_strategy.py").write_text(SLOW)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-strategy\nVersion: 1.0\n")
        (package / "entry_points.txt").write_text("[reclift.strategies]\nslow = slow_strategy:Slow\n")

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder), "SLOW_FOLDER": str(self.folder)}

    def workers(self) -> list[int]:
        """Processes that began to fit."""
        return sorted(int(path.name.partition("-")[2]) for path in self.folder.glob("started-*"))

    def go(self) -> None:
        (self.folder / "go").touch()


class Server(RecliftServer):
    """`reclift serve` with more in its environment."""

    def __init__(self, extra: Mapping[str, str], settings: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(settings, **more)
        self.extra = dict(extra)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**super().environment, **self.extra}

    def run(self, *arguments: str) -> str:
        """A command of the same installation; what it printed."""
        command = [sys.executable, "-m", "reclift", *arguments]
        done = subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_key(self, *scopes: str) -> str:
        """An API key that all of the server's processes know: each looks for new ones once a second."""
        key = self.run("create-key", "-".join(scopes), *(word for scope in scopes for word in ("--scope", scope)))
        for _ in range(5):  # whichever process answers
            wait_until(lambda: self.call("GET", "/assign?user_id=u", key)[0] != 401, 20)
        return key

    def call(self, method: str, path: str, key: str, body: Any = None) -> tuple[int, Any]:
        """A request with JSON; errors are answers too."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def ok(self, method: str, path: str, key: str, body: Any = None) -> Any:
        """The same; anything but success fails the test."""
        status, answer = self.call(method, path, key, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def wait_for_job(self, key: str, job_id: int, seconds: float = 60) -> dict[str, Any]:
        """The job when it has ended."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(next(job for job in self.ok("GET", "/api/v1/jobs", key)["jobs"] if job["id"] == job_id))
            return found["state"] in {"done", "failed"}

        try:
            wait_until(ended, seconds)
        except Exception as error:
            raise AssertionError(f"{found}\n{self.log.read_text()[-6000:]}") from error
        return found


class Process(Service):
    """`reclift worker` or `reclift beat` of the same installation as a server."""

    name = "process"

    def __init__(self, server: Server, *arguments: str) -> None:
        super().__init__()
        self.server = server
        self.arguments = arguments

    @property
    def environment(self) -> Mapping[str, str]:
        return self.server.environment

    def command(self) -> list[str]:
        return [sys.executable, "-m", "reclift", *self.arguments]

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None


def parent(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if parent(int(path.name)) == pid:
                found.append(int(path.name))
    return sorted(found)


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def the_main_road(server: Server, shop: str, manage: str, strategies: tuple[str, str]) -> None:
    """Items, an experiment, models by the worker, lists, reactions, and a report by the worker; all numbers right."""
    server.ok("PUT", "/items", shop, {"items": ITEMS})
    known = [
        {
            "type": "click",
            "user_id": f"past{number // 4}",
            "item_id": f"i{number * 5 % 12}",
            "event_id": f"past{number}",
        }
        for number in range(60)
    ]
    assert server.ok("POST", "/events", shop, {"events": known})["accepted"] == 60
    arms = [
        {"key": "control", "strategy": strategies[0], "control": True},
        {"key": "new", "strategy": strategies[1]},
    ]
    server.ok("POST", "/api/v1/experiments", manage, {"key": "exp", "placement": "home", "arms": arms})
    server.ok("POST", "/api/v1/experiments/exp/start", manage)
    wait_until(lambda: len(_trained(server, manage) & set(strategies)) == len(set(strategies)), 90)
    time.sleep(1.5)  # every server process looks for the new models once a second
    clicks: dict[str, int] = {"control": 0, "new": 0}
    lists: dict[str, int] = {"control": 0, "new": 0}
    for number in range(40):
        answer = server.ok("POST", "/recommend", shop, {"user_id": f"u{number}", "placement": "home", "k": 5})
        assert answer["experiment"] == "exp"
        assert answer["model"] is not None, answer
        assert len(answer["items"]) == 5
        lists[answer["arm"]] += 1
        if number % 3 == 0:
            clicks[answer["arm"]] += 1
            event = {
                "event_id": f"e{number}",
                "type": "click",
                "user_id": f"u{number}",
                "item_id": answer["items"][0]["item_id"],
                "recommendation_id": answer["recommendation_id"],
            }
            taken = server.ok("POST", "/events", shop, {"events": [event, event]})
            assert (taken["accepted"], taken["duplicates"]) == (1, 1)
    job = server.ok("POST", "/api/v1/experiments/exp/report/refresh", manage)
    assert server.wait_for_job(manage, job["id"])["state"] == "done"
    report = server.ok("GET", "/api/v1/experiments/exp/report", manage)
    assert {arm["arm"]: (arm["units"], arm["impressions"]) for arm in report["arms"]} == {
        arm: (lists[arm], lists[arm]) for arm in lists
    }
    ctr = next(metric for metric in report["metrics"] if metric["metric"] == "ctr")
    assert {arm["arm"]: arm["total"] for arm in ctr["arms"]} == clicks
    assert report["series"]["ctr"]


def _trained(server: Server, key: str) -> set[str]:
    models = server.ok("GET", "/api/v1/models", key)["models"]
    return {model["strategy"] for model in models if model["active"]}


def kill_in_the_middle(
    server: Server, manage: str, slow: Slow, pass_time: Callable[[], None], killed: Callable[[int], None]
) -> None:
    """Ask for a model, `killed` its worker's process in the middle, let the lease pass; another worker does it."""
    job = server.ok("POST", "/api/v1/models", manage, {"strategy": "slow", "params": {}})
    wait_until(lambda: bool(slow.workers()), 60)
    (pid,) = slow.workers()
    killed(pid)
    wait_until(lambda: not lives(pid), 20)
    pass_time()
    wait_until(lambda: len(slow.workers()) == 2, 60)
    slow.go()
    ended = server.wait_for_job(manage, job["id"])
    assert (ended["state"], ended["message"]) == ("done", "slow@2 is active"), ended
    models = server.ok("GET", "/api/v1/models?strategy=slow", manage)["models"]
    assert [(model["model"], model["state"], model["error"]) for model in models] == [
        ("slow@2", "ready", None),
        ("slow@1", "failed", "the worker went away"),
    ]
