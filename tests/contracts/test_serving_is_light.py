"""The web process restores and asks models without loading what only training needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reclift.strategy import Registry

HEAVY = ("implicit", "sklearn", "scipy", "threadpoolctl", "similaripy", "pandas")

TRAIN = """
import json, sys
import numpy as np
from reclift.strategy import Dataset, Item, Registry
key, folder = sys.argv[1:]
rows = [(f"u{n % 7}", f"i{n % 5}", 1.0, float(n), 1.0 + n % 5) for n in range(60)]
strategy = Registry.installed().get(key)
items = [Item(f"i{n}", title=f"thing {n}", category="ab"[n % 2], price=n + 1.0) for n in range(5)]
data = Dataset.from_rows(rows, items)
state = strategy.fit(data, strategy.Parameters(), lambda share, what: None).state()
for name, array in state.arrays.items():
    np.save(f"{folder}/{name}.npy", array, allow_pickle=False)
json.dump(dict(state.meta), open(f"{folder}/meta.json", "w"))
"""

SERVE = """
import json, pathlib, sys
import numpy as np
from reclift.strategy import Query, Registry, Signal, State
key, folder, heavy = sys.argv[1:]
strategy = Registry.installed().get(key)
folder = pathlib.Path(folder)
arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
model = strategy.restore(State(arrays, json.loads((folder / "meta.json").read_text())), strategy.Parameters())
answer = model.recommend(Query(3, "u1", (Signal("i1", 1.0, 0.0, "click", 4.0),), seed=1))
model.recommend(Query(3, None, context_items=("i2",), seed=1))
assert answer, "no answer"
loaded = sorted({name.split(".")[0] for name in sys.modules} & set(heavy.split(",")))
assert not loaded, f"{key} loads {loaded} to serve"
"""


@pytest.mark.parametrize("key", Registry.installed().keys())
def test_restoring_and_recommending_loads_no_training_library(key, tmp_path):
    subprocess.run([sys.executable, "-c", TRAIN, key, str(tmp_path)], check=True, timeout=120)
    subprocess.run([sys.executable, "-c", SERVE, key, str(tmp_path), ",".join(HEAVY)], check=True, timeout=120)
