"""A strategy of another package is there after `pip install`, with no change here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile

from tests.shared_data import ROOT

MODULE = '''"""Recommends what was chosen last."""

from typing import Any, ClassVar, Self

from reclift.strategy import Dataset, NoParameters, Parameters, Progress, Query, Scored, State


class Latest:
    """The latest items first."""

    title: ClassVar[str] = "Latest"
    summary: ClassVar[str] = "What was chosen last."
    Parameters: ClassVar[type[Parameters]] = NoParameters
    needs_training: ClassVar[bool] = True

    def __init__(self, state: State) -> None:
        self._state = state

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        last = dict(sorted(zip(data.columns.tolist(), data.times.tolist())))
        order = sorted(last, key=lambda column: -last[column])
        return cls(State(arrays={"item_ids": data.item_ids[order]}))

    def recommend(self, query: Query) -> list[Scored]:
        allowed = [item_id for item_id in self._state.arrays["item_ids"].tolist() if query.allows(item_id)]
        return [Scored(item_id, -float(rank)) for rank, item_id in enumerate(allowed[: query.k])]

    def state(self) -> State:
        return self._state

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        return cls(state)
'''

USE = """
import json
from reclift.flows.offline import Candidate, Settings, Split, evaluate
from reclift.strategy import Dataset, Registry
registry = Registry.installed()
rows = [(f"u{n % 7}", f"i{n * n % 11}", 1.0, float(n)) for n in range(90)]
candidates = [Candidate(key, registry.get(key)) for key in ("latest", "popularity")]
split = Split.temporal(Dataset.from_rows(rows), 0.3, exclude_seen=False)
found = evaluate(split, candidates, Settings(ks=(3,), draws=50))
print(json.dumps({"keys": registry.keys(), "rows": [result.to_dict() for result in found.results]}))
"""


WEB = """
import json, sys
from pathlib import Path
from reclift.flows import accounts
from reclift.web.app import create_app
from tests.platform_fixtures import Caller, SECRET, build_runtime, make_key, run_jobs, stock
runtime = build_runtime(Path(sys.argv[1]))
runtime.set_up()
app = create_app(runtime)
shop = Caller(app.test_client(), make_key(runtime, "shop"))
manage = Caller(app.test_client(), make_key(runtime, "manage"))
stock(runtime, shop)
offered = {one["strategy"]: one for one in manage.ok("GET", "/api/v1/strategies")["strategies"]}
manage.ok("PUT", "/api/v1/placements/home", {"strategy": "latest"})
run_jobs(runtime)
shown = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "home", "k": 3})
manage.ok("POST", "/api/v1/evaluations", {"strategies": ["latest", "popularity"]}, 202)
run_jobs(runtime)
with runtime.database.write() as session:
    row, _ = accounts.create_account(session, "m@shop.example", "manager", "a long pass phrase", "M", "tests")
browser = app.test_client()
token = browser.get("/app/sign-in").text.split('name="csrf_token" value="')[1].split('"')[0]
browser.post("/app/sign-in", data={"email": "m@shop.example", "password": "a long pass phrase", "csrf_token": token})
(table,) = manage.ok("GET", "/api/v1/evaluations")["evaluations"]
print(json.dumps({
    "offered": offered["latest"], "shown": shown, "page": browser.get("/app/strategies").text,
    "offline": [row["strategy"] for row in table["results"]],
}))
runtime.close()
"""


def wheel(folder, name, files):
    """A wheel is a zip file with a list of what is in it."""
    info = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[reclift.strategies]\nlatest = latest_strategy:Latest\n",
    }
    record = []
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{file},sha256={digest},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]))
    return path


def with_the_package(tmp_path, code, *arguments):
    path = wheel(tmp_path, "latest_strategy", {"latest_strategy.py": MODULE})
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(path)], check=True, timeout=120)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(target), str(ROOT), os.environ.get("PYTHONPATH", "")])
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], timeout=240, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_installed_package_is_offered_and_evaluated(tmp_path):
    found = with_the_package(tmp_path, USE)
    assert "latest" in found["keys"]
    assert [row["name"] for row in found["rows"]] == ["latest", "popularity"]
    assert all(row["own_share"] == 1.0 for row in found["rows"])
    assert all(0 < row["metrics"]["3"]["ndcg"]["value"] <= 1 for row in found["rows"])


def test_it_is_in_the_api_on_the_page_in_lists_and_in_the_offline_table(tmp_path):
    found = with_the_package(tmp_path, WEB, str(tmp_path / "var"))
    assert found["offered"]["title"] == "Latest"
    assert found["offered"]["error"] is None
    assert (found["shown"]["model"], found["shown"]["fallback"]) == ("latest@1", None)
    assert [item["source"] for item in found["shown"]["items"]] == ["latest"] * 3
    assert found["offline"] == ["latest", "popularity"]
    assert 'id="latest"' in found["page"]
    assert "What was chosen last." in found["page"]
    assert "latest@1" in found["page"]
