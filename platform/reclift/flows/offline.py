"""Offline evaluation: what would strategies, asked as they are served, have found of what people chose later?

Every strategy is fitted on the past of a `Split` and asked once per user with the user's history of then; all items
of the catalogue compete (no sampled negatives: Krichene & Rendle, KDD 2020), and short lists are filled from a
fallback, if one is given, as the platform does. Nothing here touches a database.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.domain import ranking
from reclift.flows.offline_measure import compare, result_of
from reclift.flows.offline_results import Evaluation
from reclift.flows.offline_settings import Asked, Candidate, Settings
from reclift.flows.offline_split import Split
from reclift.strategy import Dataset, Progress, Query, Signal, Strategy, parse_parameters

__all__ = ["Candidate", "Settings", "Split", "evaluate"]


def evaluate(
    split: Split,
    candidates: Sequence[Candidate],
    settings: Settings | None = None,
    fallback: Candidate | None = None,
    progress: Progress = lambda _share, _what: None,
) -> Evaluation:
    """Fit, ask, measure and compare.

    Args:
        split: the past to learn from and the future to find.
        candidates: the strategies, each under a name of its own.
        settings: see `Settings`.
        fallback: fills short lists, as a placement's fallback chain does; `None` leaves them short.
        progress: told as work goes on.

    Raises:
        ValueError: no candidates, two of one name, or nobody has anything to find.
        StrategyError: a strategy cannot be fitted; nothing is hidden by leaving it out.
    """
    settings = settings or Settings()
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"candidates={names}: needs at least one, and each name once")
    if not len(split.users):
        raise ValueError(f"{split.kind} split: no user has anything to find; {dict(split.left_out) or 'it is empty'}")
    chosen = np.arange(len(split.users))
    if len(chosen) > settings.max_users:
        chosen = np.sort(np.random.default_rng(settings.seed).permutation(len(chosen))[: settings.max_users])
    histories = split.histories()
    queries = [_query(split, settings, user, histories[user]) for user in chosen.tolist()]
    wanted = [split.wanted[user] for user in chosen.tolist()]
    lengths = np.array([len(query.history) for query in queries])
    filler = None if fallback is None else _fit(fallback, split.train, lambda _share, _what: None)

    measured: dict[str, dict[tuple[str, int], NDArray[np.float64]]] = {}
    results = []
    for number, candidate in enumerate(candidates):

        def told(share: float, what: str, number: int = number, name: str = candidate.name) -> None:
            progress((number + share) / len(candidates), f"{name}: {what}")

        asked = _ask(candidate, split, queries, k=max(settings.ks), filler=filler, progress=told)
        hits, relevant = ranking.hit_table(asked.lists, wanted)
        per_user = {
            (metric, k): compute(hits, relevant, k) for metric, compute in ranking.ACCURACY.items() for k in settings.ks
        }
        measured[candidate.name] = per_user
        results.append(result_of(candidate, asked, per_user=per_user, lengths=lengths, split=split, settings=settings))
    return Evaluation(
        split=_describe(split, len(chosen)),
        primary=settings.primary,
        primary_k=settings.headline_k,
        level=settings.level,
        fallback=None if fallback is None else fallback.name,
        results=tuple(results),
        comparisons=compare(names, measured, settings),
    )


def _query(split: Split, settings: Settings, user: int, history: tuple[Signal, ...]) -> Query:
    user_id = str(split.train.user_ids[split.users[user]])
    return Query(
        k=max(settings.ks),
        user_id=user_id,
        history=history,
        attributes=split.train.user_attributes.get(user_id, {}),
        exclude=frozenset(signal.item_id for signal in history) if split.exclude_seen else frozenset(),
        seed=settings.seed * 1_000_003 + user,
        now=split.train.until,
    )


def _fit(candidate: Candidate, train: Dataset, progress: Progress) -> Strategy:
    return candidate.strategy.fit(
        train, parse_parameters(candidate.name, candidate.strategy, candidate.params), progress
    )


def _ask(
    candidate: Candidate, split: Split, queries: Sequence[Query], *, k: int, filler: Strategy | None, progress: Progress
) -> Asked:
    started = time.perf_counter()
    model = _fit(candidate, split.train, lambda share, what: progress(0.7 * share, what))
    fitted = time.perf_counter()
    place = {item_id: number for number, item_id in enumerate(split.train.item_ids.tolist())}
    lists = np.full((len(queries), k), -1, dtype=np.int64)
    own, spent = 0, 0.0
    for row, query in enumerate(queries):
        before = time.perf_counter()
        answer = model.recommend(query)
        spent += time.perf_counter() - before
        # as the platform does: rules are enforced on whatever came, repeats are dropped
        found = list(dict.fromkeys(scored.item_id for scored in answer if query.allows(scored.item_id)))[:k]
        own += len(found)
        if len(found) < k and filler is not None:
            more = (scored.item_id for scored in filler.recommend(query) if query.allows(scored.item_id))
            found = list(dict.fromkeys([*found, *more]))[:k]
        lists[row, : len(found)] = [place.get(item_id, -1) for item_id in found]
        if row % 500 == 0:
            progress(0.7 + 0.3 * row / len(queries), "asking")
    progress(1.0, "measured")
    return Asked(lists, fitted - started, 1000 * spent / len(queries), own / (k * len(queries)))


def _describe(split: Split, users: int) -> dict[str, Any]:
    return {
        "kind": split.kind,
        **split.details,
        "exclude_seen": split.exclude_seen,
        "train_interactions": len(split.train),
        "users": users,
        "users_with_something_to_find": len(split.users),
        "items": split.train.shape[1],
        "items_to_find": sum(len(wanted) for wanted in split.wanted),
        "left_out": dict(split.left_out),
    }
