"""Time and memory of fitting at 50,000 users x 20,000 items x 5,000,000 interactions, beside `implicit`'s in one run.

Each fit runs in a process of its own and starts from the same interactions; the peak is the whole process's,
interactions included. Fits alternate and the best of each counts; processor seconds are the steadier figure on a busy
machine. Ends with an error when ours needs more than 1.2 times as much time or memory.

    python -m bench.strategies_fit [repeats]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np

USERS, ITEMS, EVENTS = 50_000, 20_000, 5_000_000
FACTORS, SWEEPS, NEIGHBOURS = 64, 15, 200
BAR = 1.2


def interactions():
    """Popularity falls like a power of the rank, activity is lognormal; repeats happen, as in shops."""
    from reclift.strategy import Dataset, Item

    rng = np.random.default_rng(0)
    chance = np.arange(1, ITEMS + 1) ** -0.7
    active = rng.lognormal(0, 1, USERS)
    users = rng.choice(USERS, EVENTS, p=active / active.sum()).astype(np.int32)
    columns = rng.choice(ITEMS, EVENTS, p=chance / chance.sum()).astype(np.int32)
    return Dataset(
        user_ids=np.array([f"u{n}" for n in range(USERS)]),
        item_ids=np.array([f"i{n}" for n in range(ITEMS)]),
        items=tuple(Item(f"i{n}") for n in range(ITEMS)),
        users=users,
        columns=columns,
        weights=np.ones(EVENTS, dtype=np.float32),
        values=np.full(EVENTS, np.nan, dtype=np.float32),
        times=np.arange(EVENTS, dtype=np.float64),
    )


def fit_ours(key: str, data) -> None:
    from reclift.strategy import Registry, parse_parameters

    given = {"item_cf": {"k": NEIGHBOURS}, "matrix_factorization": {"factors": FACTORS, "iterations": SWEEPS}}
    strategy = Registry.installed().get(key)
    strategy.fit(data, parse_parameters(key, strategy, given[key]), lambda _share, _what: None)


def fit_theirs(key: str, data) -> None:
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    matrix = csr_matrix((data.weights, (data.users, data.columns)), shape=(USERS, ITEMS), dtype=np.float32)
    if key == "item_cf":
        from implicit.nearest_neighbours import BM25Recommender

        BM25Recommender(K=NEIGHBOURS).fit(matrix, show_progress=False)
        return
    from implicit.cpu.als import AlternatingLeastSquares

    matrix.data += 1
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=FACTORS, regularization=20.0, iterations=SWEEPS, random_state=1)
        model.fit(matrix, show_progress=False)


def one(who: str, key: str) -> None:
    """Runs in a process of its own; prints seconds, seconds of all cores and the peak in MB."""
    warnings.filterwarnings("ignore")
    import implicit  # noqa: F401 (loading libraries is not fitting)
    import scipy.sparse  # noqa: F401

    data = interactions()
    began, busy = time.perf_counter(), time.process_time()
    (fit_ours if who == "ours" else fit_theirs)(key, data)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(json.dumps([seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main(repeats: int) -> int:
    missed = []
    print(f"{'fit':24}{'ours':>12}{'implicit':>12}{'ratio':>8}   bar {BAR}")
    for key in ("item_cf", "matrix_factorization"):
        best = {who: np.full(3, np.inf) for who in ("ours", "implicit")}
        for _ in range(repeats):
            for who, found in best.items():
                command = [sys.executable, "-m", "bench.strategies_fit", "--one", who, key]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                best[who] = np.minimum(found, json.loads(done.stdout.splitlines()[-1]))
        for n, unit in enumerate(("s", "core s", "MB")):
            ours, theirs = best["ours"][n], best["implicit"][n]
            name = f"{key}, {unit}"
            verdict = "ok" if ours <= BAR * theirs else "MISSED"
            print(f"{name:24}{ours:12.1f}{theirs:12.1f}{ours / theirs:8.2f}   {verdict}")
            if ours > BAR * theirs:
                missed.append(name)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
