"""Offline evaluation: what would strategies, asked as they are served, have found of what people chose later?

Every strategy is fitted on the past of a `Split` and asked once per user with the user's history of then; all items
of the catalogue compete (no sampled negatives: Krichene & Rendle, KDD 2020), and short lists are filled from a
fallback, if one is given, as the platform does. Nothing here touches a database.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.domain import ranking
from reclift.domain.ranking_uncertainty import bootstrap_interval, holm, paired_randomization
from reclift.flows.offline_results import Band, Comparison, Estimate, Evaluation, StrategyResult
from reclift.flows.offline_split import Split
from reclift.strategy import Dataset, Progress, Query, Signal, Strategy, parse_parameters

__all__ = ["Candidate", "Settings", "Split", "evaluate"]

_WORD = re.compile(r"[^\W_]+")

BANDS = ((0, 0), (1, 4), (5, 19), (20, 99), (100, None))
"""Lengths of history (first, last) that are looked at apart."""


@dataclass(frozen=True)
class Candidate:
    """A strategy with its parameters under a name for the table."""

    name: str
    strategy: type[Strategy]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        ks: lengths of lists.
        primary: the metric that is compared and shown by length of history.
        primary_k: its length of list; the first of `ks` by default.
        level: of the intervals.
        draws: of the bootstrap; ten times as many sign patterns are tried in comparisons.
        max_users: where more users have something to find, so many are drawn at random.
        seed: of everything random, the strategies' queries included.
    """

    ks: tuple[int, ...] = (10,)
    primary: str = "ndcg"
    primary_k: int | None = None
    level: float = 0.95
    draws: int = 1000
    max_users: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f"ks={self.ks}: needs at least one length, each at least 1")
        if self.primary not in ranking.ACCURACY:
            raise ValueError(f"primary={self.primary!r}: must be one of {', '.join(ranking.ACCURACY)}")
        if self.primary_k is not None and self.primary_k not in self.ks:
            raise ValueError(f"primary_k={self.primary_k}: must be one of ks={self.ks}")

    @property
    def headline_k(self) -> int:
        """The length of list of the primary metric."""
        return self.ks[0] if self.primary_k is None else self.primary_k


@dataclass(frozen=True)
class _Asked:
    """One strategy's lists: item indices (U, K) with -1 at the end of short ones, and how they came about."""

    lists: NDArray[np.int64]
    fit_seconds: float
    answer_ms: float
    own_share: float


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
        results.append(_result(candidate, asked, per_user=per_user, lengths=lengths, split=split, settings=settings))
    return Evaluation(
        split=_describe(split, len(chosen)),
        primary=settings.primary,
        primary_k=settings.headline_k,
        level=settings.level,
        fallback=None if fallback is None else fallback.name,
        results=tuple(results),
        comparisons=_compare(names, measured, settings),
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
) -> _Asked:
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
    return _Asked(lists, fitted - started, 1000 * spent / len(queries), own / (k * len(queries)))


def _estimates(
    values: Mapping[tuple[str, int], NDArray[np.float64]], settings: Settings
) -> dict[tuple[str, int], Estimate]:
    """Means with intervals over the users that each metric is defined for."""
    found: dict[tuple[str, int], Estimate] = {}
    whole = {key: value for key, value in values.items() if not np.isnan(value).any()}
    for key, value in values.items():
        kept = value[~np.isnan(value)]
        if not len(kept):
            found[key] = Estimate(None, users=0, reason="no list has what this is computed from")
        elif len(kept) < 2:
            found[key] = Estimate(float(kept.mean()), users=len(kept), reason="an interval needs at least 2 users")
        elif key not in whole:
            low, high = _interval(kept[:, None], settings)
            found[key] = Estimate(float(kept.mean()), float(low[0]), float(high[0]), len(kept))
    together = [key for key in whole if key not in found]
    if together:
        table = np.column_stack([whole[key] for key in together])
        low, high = _interval(table, settings)
        for column, key in enumerate(together):
            mean = float(table[:, column].mean())
            found[key] = Estimate(mean, float(low[column]), float(high[column]), len(table))
    return found


def _interval(table: NDArray[np.float64], settings: Settings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return bootstrap_interval(table, level=settings.level, draws=settings.draws, seed=settings.seed)


def _result(
    candidate: Candidate,
    asked: _Asked,
    *,
    per_user: Mapping[tuple[str, int], NDArray[np.float64]],
    lengths: NDArray[np.int64],
    split: Split,
    settings: Settings,
) -> StrategyResult:
    train, items = split.train, split.train.shape[1]
    chosen_by = np.diff(train.matrix.tocsc().indptr)
    features = _features(train)
    beyond: dict[tuple[str, int], NDArray[np.float64]] = {}
    of_all: dict[tuple[str, int], Estimate] = {}
    whole = "a property of all lists together: there is no interval over users"
    for k in settings.ks:
        lists = asked.lists[:, :k]
        beyond["novelty", k] = ranking.novelty(lists, chosen_by, train.shape[0])
        beyond["diversity", k] = ranking.intra_list_diversity(lists, features)
        of_all["coverage", k] = Estimate(ranking.coverage(lists, items), users=len(lists), reason=whole)
        unevenness = ranking.gini(lists, items)
        reason = whole if unevenness is not None else "nothing was recommended"
        of_all["gini", k] = Estimate(unevenness, users=len(lists), reason=reason)
    estimates = {**_estimates({**per_user, **beyond}, settings), **of_all}
    headline = per_user[settings.primary, settings.headline_k]
    bands = []
    for first, last in BANDS:
        inside = (lengths >= first) & (lengths <= (np.inf if last is None else last))
        if inside.any():
            key = (settings.primary, settings.headline_k)
            bands.append(Band(first, last, _estimates({key: headline[inside]}, settings)[key]))
    return StrategyResult(
        name=candidate.name,
        params=dict(candidate.params),
        metrics={k: {metric: estimate for (metric, at), estimate in estimates.items() if at == k} for k in settings.ks},
        by_history=tuple(bands),
        fit_seconds=asked.fit_seconds,
        answer_ms=asked.answer_ms,
        own_share=asked.own_share,
    )


def _features(train: Dataset) -> list[tuple[int, ...]]:
    """What describes each item: its category and attributes, or, where no item has any, the words of its title."""
    numbers: dict[tuple[str, str], int] = {}
    described: list[set[tuple[str, str]]] = []
    for item in train.items:
        own: set[tuple[str, str]] = set()
        if item.category:
            own.add(("category", item.category))
        for name, value in item.attributes.items():
            values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            own.update((name, str(one)) for one in values if one is not None)
        described.append(own)
    if not any(described):
        described = [{("title", word) for word in _WORD.findall(item.title.casefold())} for item in train.items]
    return [tuple(sorted(numbers.setdefault(feature, len(numbers)) for feature in own)) for own in described]


def _compare(
    names: Sequence[str],
    measured: Mapping[str, Mapping[tuple[str, int], NDArray[np.float64]]],
    settings: Settings,
) -> tuple[Comparison, ...]:
    """Every pair, on the same users; p-values are adjusted for their number."""
    key = (settings.primary, settings.headline_k)
    pairs = list(combinations(names, 2))
    differences = [measured[second][key] - measured[first][key] for first, second in pairs]
    p_values = [
        paired_randomization(difference, draws=10 * settings.draws - 1, seed=settings.seed)
        for difference in differences
    ]
    found = []
    for (first, second), difference, p_value, adjusted in zip(
        pairs, differences, p_values, holm(p_values), strict=True
    ):
        estimate = _estimates({key: difference}, settings)[key]
        found.append(Comparison(first, second, estimate, p_value, adjusted))
    return tuple(found)


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
