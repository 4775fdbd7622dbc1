"""Numbers out of lists: each strategy's row of the offline table, and which strategies really differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from reclift.domain import ranking
from reclift.domain.ranking_uncertainty import bootstrap_interval, holm, paired_randomization
from reclift.flows.offline_results import Band, Comparison, Estimate, StrategyResult
from reclift.flows.offline_settings import Asked, Candidate, Settings
from reclift.flows.offline_split import Split
from reclift.strategy import Dataset

_WORD = re.compile(r"[^\W_]+")

BANDS = ((0, 0), (1, 4), (5, 19), (20, 99), (100, None))
"""Lengths of history (first, last) that are looked at apart."""


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


def result_of(
    candidate: Candidate,
    asked: Asked,
    *,
    per_user: Mapping[tuple[str, int], NDArray[np.float64]],
    lengths: NDArray[np.int64],
    split: Split,
    settings: Settings,
) -> StrategyResult:
    """One strategy's row.

    Args:
        candidate: what was asked.
        asked: its lists, and what they cost.
        per_user: (metric, k) -> shape (U,), the accuracy metrics.
        lengths: shape (U,), how many signals each user's history has.
        split: its training part says how novel and how alike items are.
        settings: see `Settings`.
    """
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


def compare(
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
