"""What one answer costs: `recommend` on a restored, memory-mapped model, beside `implicit`'s own `recommend`.

Histories of 50 items, 50 excluded, k = 20, catalogues of 10,000 and 100,000 items, one thread. `implicit` is asked the
same way, for a user whose factors or neighbours must be computed from the history of now. The reference of strategies
that it does not have is its item neighbours.

Then answers from a catalogue of 100,000 items beside the same strategy's from 10,000, in a shop with departments
(`_clustered`), and where a strategy searches approximately the exact search of the same model beside it; with
`--million` (half an hour, 4 GB) these also at 1,000,000. Ends with an error unless .97 of the exact 10 and 50 best are
found, and a catalogue of 100,000 gets at least 0.8 of the answers that one of 10,000 gets (`item_cf`: 0.5, see there).

    python -m bench.strategies_serving [--million] [--search] [strategy ...]
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from scipy.sparse import csr_matrix

from bench._search import search
from reclift.strategy import Dataset, Item, Query, Registry, Signal, State, parse_parameters

USERS, PER_USER, QUERIES, K = 20_000, 40, 300, 20
CATALOGUES = (10_000, 100_000)
BIG_ONLY_TO = {"ease": 20_000}
COLOURS = ("red", "blue", "green", "white", "black")


def shop(items: int) -> Dataset:
    """Groups of users and items, popularity that falls like a power, so that the models have something to learn."""
    rng = np.random.default_rng(0)
    count = USERS * PER_USER
    users = np.repeat(np.arange(USERS, dtype=np.int32), PER_USER)
    rank = np.floor(items ** rng.random(count)).astype(np.int64) - 1
    group = users % 50
    own = rng.random(count) < 0.7
    columns = np.where(own, (rank * 50 + group) % items, rank).astype(np.int32)
    return Dataset(
        user_ids=np.array([f"u{n}" for n in range(USERS)]),
        item_ids=np.array([f"i{n}" for n in range(items)]),
        items=tuple(
            Item(f"i{n}", title=f"{COLOURS[n % 5]} thing {n % 997}", category=f"c{n % 50}", price=float(n % 300))
            for n in range(items)
        ),
        users=users,
        columns=columns,
        weights=np.ones(count, dtype=np.float32),
        values=np.full(count, np.nan, dtype=np.float32),
        times=np.arange(count, dtype=np.float64),
    )


def restored(key: str, data: Dataset, folder: Path, given: dict):
    strategy = Registry.installed().get(key)
    params = parse_parameters(key, strategy, given)
    state = strategy.fit(data, params, lambda _share, _what: None).state()
    for name, array in state.arrays.items():
        np.save(folder / f"{name}.npy", array)
    meta = json.loads(json.dumps(dict(state.meta)))
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r" if array.size else None)
        for name, array in state.arrays.items()
    }
    began = time.perf_counter()
    model = strategy.restore(State(arrays, meta), params)
    return model, size, time.perf_counter() - began


def median_ms(answer, questions) -> float:
    for question in questions[:20]:
        answer(question)
    spent = []
    for question in questions:
        began = time.perf_counter()
        answer(question)
        spent.append(time.perf_counter() - began)
    return 1000 * float(np.median(spent))


def beside_implicit(keys: list[str]) -> None:
    print(
        f"{'median of one answer':24}{'items':>9}{'ours ms':>9}{'implicit':>9}{'ratio':>7}{'restored s':>11}{'MB':>8}"
    )
    for items in CATALOGUES:
        data = shop(items)
        rng = np.random.default_rng(1)
        rows = [data.columns[data.users == user] for user in range(QUERIES)]
        histories = [np.concatenate([row, rng.choice(data.columns, 10)]) for row in rows]
        queries = [
            Query(
                K, f"u{n}", [Signal(f"i{c}", 1.0, float(at)) for at, c in enumerate(history)],
                exclude=frozenset(f"i{c}" for c in history), seed=n,
            )
            for n, history in enumerate(histories)
        ]  # fmt: skip
        ones = [csr_matrix((np.ones(len(h), np.float32), (np.zeros(len(h), int), h)), (1, items)) for h in histories]
        neighbours = BM25Recommender(K=400)
        neighbours.fit(data.matrix, show_progress=False)
        als = AlternatingLeastSquares(factors=64, regularization=20, iterations=3, random_state=1)
        als.fit(data.matrix, show_progress=False)
        theirs = {
            "item_cf": median_ms(lambda row: neighbours.recommend(0, row, N=K), ones),  # noqa: B023 (called at once)
            "matrix_factorization": median_ms(lambda row: als.recommend(0, row, N=K, recalculate_user=True), ones),  # noqa: B023 (called at once)
        }
        for key in keys:
            if items > BIG_ONLY_TO.get(key, items):
                continue
            with tempfile.TemporaryDirectory() as folder:
                model, size, seconds = restored(key, data, Path(folder), {})
                ours = median_ms(model.recommend, queries)
            to = theirs.get(key, theirs["item_cf"])
            print(f"{key:24}{items:9,}{ours:9.3f}{to:9.3f}{ours / to:7.2f}{seconds:11.3f}{size:9.1f}", flush=True)


def main(arguments: list[str]) -> int:
    """`--search`: only the second table."""
    warnings.filterwarnings("ignore")
    keys = [key for key in arguments if not key.startswith("--")] or Registry.installed().keys()
    if "--search" not in arguments:
        beside_implicit(keys)
    missed = search(restored, keys, (*CATALOGUES, 1_000_000) if "--million" in arguments else CATALOGUES)
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
