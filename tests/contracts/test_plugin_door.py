"""A strategy of another package is there after `pip install`, with no change here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile

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


def test_an_installed_package_is_offered_and_evaluated(tmp_path):
    path = wheel(tmp_path, "latest_strategy", {"latest_strategy.py": MODULE})
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(path)], check=True, timeout=120)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", USE], check=True, timeout=120, env=environment, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert "latest" in found["keys"]
    assert [row["name"] for row in found["rows"]] == ["latest", "popularity"]
    assert all(row["own_share"] == 1.0 for row in found["rows"])
    assert all(0 < row["metrics"]["3"]["ndcg"]["value"] <= 1 for row in found["rows"])
