"""How strategies do where nothing is known yet: new users, new items, and what a share of slots for new items buys.

k = 10, all items ranked; on MovieLens-100k and, for new users, also on the purchases of a file (Online Retail, see
`bench/_online_retail.py`). The tables of docs/strategies.md. The last part is a simulated loop: users
come once a round, see ten films, and "choose" those shown that they have in fact rated; the strategy is then fitted
again on all that was chosen. A film they would have liked but never rated counts as not chosen, so the figures are low
for everybody, and good for comparing shares only. Ends with an error where content features do not help new items.

    python -m bench.cold_start [FILE]
"""

from __future__ import annotations

import os
import sys
from collections import Counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bench._online_retail import purchases
from bench.strategies_quality import REGISTRY, movielens
from reclift.domain.exploration import explore
from reclift.flows.new_items import FEW
from reclift.flows.offline import Candidate, Settings, Split, evaluate
from reclift.strategy import Dataset, Query, Signal, parse_parameters

K = 10
HISTORIES = (0, 1, 5, 20)
SHARES = (0.0, 0.05, 0.1, 0.2)
ROUNDS = 12


def candidate(name: str, key: str, **params) -> Candidate:
    return Candidate(name, REGISTRY.get(key), params)


def new_users(data: Dataset, what: str, segment: str | None) -> None:
    """A fifth of the users is unknown to training; they are asked for after their first 0, 1, 5 and 20 items."""
    popular = candidate("popularity", "popularity")
    start = {"strategy": "popularity", "params": {} if segment is None else {"segment": segment}}
    switch = {"method": "switch", "components": [start, {"strategy": "matrix_factorization", "min_history": 10}]}
    blend = {"components": [{**start, "weight": 2}, {"strategy": "ease"}]}
    candidates = [candidate("random", "random"), popular]
    if segment is not None:
        candidates.append(candidate(f"popularity by {segment}", "popularity", segment=segment))
    candidates += [candidate(key, key) for key in ("content", "user_cf", "item_cf", "matrix_factorization", "ease")]
    candidates += [candidate("popularity and ease, blended", "hybrid", **blend)]
    candidates += [candidate("popularity, from 10 on factors", "hybrid", **switch)]
    table: dict[str, list[float]] = {one.name: [] for one in candidates}
    asked = []
    for history in HISTORIES:
        split = Split.new_users(data, 0.2, history)
        asked.append(len(split.users))
        for result in evaluate(split, candidates, Settings(ks=(K,), draws=100), fallback=popular).results:
            table[result.name].append(result.metrics[K]["ndcg"].value)
    print(f"new users, {what}: nDCG@{K} after so many items ({', '.join(map(str, asked))} users)")
    print(f"{'':32}{''.join(f'{history:>8}' for history in HISTORIES)}")
    for name, values in table.items():
        print(f"{name:32}{''.join(f'{value:8.3f}' for value in values)}", flush=True)
    print()


def new_items(data: Dataset, missed: list[str]) -> None:
    """A fifth of the items is unknown to training, and only they are to be found."""
    split = Split.new_items(data, 0.2)
    candidates = [candidate(key, key) for key in ("random", "popularity", "item_cf", "content")]
    found = {result.name: result for result in evaluate(split, candidates, Settings(ks=(K,), draws=300)).results}
    print(f"new items: nDCG@{K} on items that training never saw")
    for name, result in found.items():
        metric = result.metrics[K]["ndcg"]
        print(f"{name:30}{metric.value:8.4f}  [{metric.low:.4f}, {metric.high:.4f}]", flush=True)
    if found["content"].metrics[K]["ndcg"].low <= max(
        found[key].metrics[K]["ndcg"].high for key in ("random", "item_cf")
    ):
        missed.append("content on new items")


def loop(data: Dataset, share: float, seed: int) -> tuple[list[float], list[float], int]:
    """By round, choices per list, and of them those of new films; and how many new films got known."""
    chance = np.random.default_rng(seed)
    users, items = data.shape
    held = set(chance.permutation(items)[: items // 5].tolist())
    likes = [set(row.indices.tolist()) for row in data.matrix]
    known = [sorted(chance.permutation(sorted(own - held))[: len(own - held) // 2].tolist()) for own in likes]
    ids = data.item_ids.tolist()
    place = {item: number for number, item in enumerate(ids)}
    met: Counter[int] = Counter(item for own in known for item in own)
    strategy = REGISTRY.get("item_cf")
    params = parse_parameters("item_cf", strategy, {})
    per_list, of_new = [], []
    for number in range(ROUNDS):
        rows = [(str(user), ids[item], 1.0, 0.0, None) for user, own in enumerate(known) for item in own]
        model = strategy.fit(Dataset.from_rows(rows, data.items, {}), params, lambda _share, _what: None)
        new = sorted(item for item in range(items) if met[item] < FEW)
        chosen = new_chosen = 0
        for user in range(users):
            own = set(known[user])
            history = tuple(Signal(ids[item], 1.0, 0.0) for item in known[user])
            query = Query(K, history=history, exclude=frozenset(signal.item_id for signal in history))
            shown = [place[scored.item_id] for scored in model.recommend(query)][:K]
            pool = [item for item in new if item not in own and item not in shown]
            drawn = explore(len(shown), len(pool), share, hash((seed, number, user)))
            shown = [shown[n] if at is None else pool[at] for n, at in enumerate(drawn.places)] or shown
            met.update(shown)
            hits = [item for item in shown if item in likes[user] and item not in own]
            known[user] += hits
            met.update(hits)
            chosen += len(hits)
            new_chosen += sum(item in held for item in hits)
        per_list.append(chosen / users)
        of_new.append(new_chosen / users)
    got_known = sum(any(item in own for own in known) for item in held)
    return per_list, of_new, got_known


def exploration(data: Dataset) -> None:
    """The loop with different shares; what it costs at first, and what it brings."""
    print(f"\nslots for new items: {ROUNDS} simulated rounds of item_cf, a fifth of the films new; means of 3 runs")
    print(f"{'':8}choices per list{'':20}of new  known")
    print(f"{'share':8}{'first':>12}{'all':>12}{'last':>12}{'films':>9}{'films':>7}")
    for share in SHARES:
        runs = [loop(data, share, seed) for seed in range(3)]
        per_list = np.mean([run[0] for run in runs], axis=0)
        of_new = np.mean([run[1] for run in runs])
        known = np.mean([run[2] for run in runs])
        print(
            f"{share:<8.2f}{per_list[0]:12.3f}{per_list.mean():12.3f}{per_list[-1]:12.3f}{of_new:9.3f}{known:7.0f}",
            flush=True,
        )


def main(file: str | None) -> int:
    data = movielens()
    missed: list[str] = []
    new_users(data, "MovieLens-100k", "occupation")
    if file is not None:
        new_users(purchases(file), "Online Retail", None)
    new_items(data, missed)
    exploration(data)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [None]))
