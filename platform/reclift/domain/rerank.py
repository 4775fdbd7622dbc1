"""Making a ranked list more varied: an option of any arm, applied to whatever its strategy returned.

Give it more items than the list is to have, so that there is something to choose from. It returns positions in what it
was given. Order changes, so a stochastic strategy's propensities no longer hold for the new list, unless nothing moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.domain.jsvalue import is_number
from reclift.domain.problem import Problem


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much variety an arm wants.

    Attributes:
        balance: 0 leaves the order, 1 looks at nothing but variety; 0.2 to 0.4 is a good start.
        category_cap: at most so many items of one category in the list, where enough others are there; `None`: no cap.
    """

    balance: float = 0.0
    category_cap: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance={self.balance}: must be between 0 and 1")
        if self.category_cap is not None and self.category_cap < 1:
            raise ValueError(f"category_cap={self.category_cap}: must be at least 1, or None for no cap")

    @property
    def changes_nothing(self) -> bool:
        """Whether applying it can be left out."""
        return self.balance == 0 and self.category_cap is None


def check_rerank(value: Any, place: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The JSON of an arm's or placement's `rerank`, in one shape, and what is wrong with it.

    The shape has `balance` and `category_cap`; `None` where nothing is wanted.
    """
    if value is None:
        return None, []
    if not isinstance(value, Mapping):
        return None, [Problem(place, value, "must be an object of balance and category_cap, or null")]
    problems = [
        Problem(f"{place}.{name}", value[name], "is no field of rerank; fields: balance, category_cap")
        for name in value
        if name not in {"balance", "category_cap"}
    ]
    balance, cap = value.get("balance", 0.0), value.get("category_cap")
    if not is_number(balance) or not 0 <= balance <= 1:
        problems.append(Problem(f"{place}.balance", balance, "must be a number from 0 (the strategy's order) to 1"))
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or not 1 <= cap <= 1_000):
        problems.append(Problem(f"{place}.category_cap", cap, "must be a whole number from 1 to 1000, or null"))
    if problems:
        return None, problems
    shape = {"balance": float(balance), "category_cap": cap}
    return (None if to_diversity(shape) is None else shape), []


def to_diversity(shape: Mapping[str, Any] | None) -> Diversity | None:
    """What a checked `rerank` means; `None` where it changes nothing."""
    if shape is None:
        return None
    diversity = Diversity(shape.get("balance", 0.0), shape.get("category_cap"))
    return None if diversity.changes_nothing else diversity


def rerank(
    diversity: Diversity,
    scores: Sequence[float],
    features: Sequence[frozenset[str]],
    categories: Sequence[str | None],
    k: int,
) -> list[int]:
    """The positions of the list's items, best first.

    Args:
        diversity: what is wanted.
        scores: shape (n,), falling, in any scale.
        features: what describes each item ("category: shoes", "maker: north"); an item without any is like no other.
        categories: each item's category; `None` is never capped.
        k: length of the list.

    Returns:
        min(k, n) positions, each once.
    """
    if not len(scores) == len(features) == len(categories):
        raise ValueError(f"{len(scores)} scores, {len(features)} features, {len(categories)} categories: must be alike")
    order = list(range(len(scores)))
    if diversity.balance > 0:
        # the cap may skip items, so the whole order is needed where there is one
        length = len(scores) if diversity.category_cap is not None else k
        order = maximal_marginal_relevance(scores, features, length, diversity.balance)
    if diversity.category_cap is not None:
        capped = cap_categories([categories[place] for place in order], k, diversity.category_cap)
        order = [order[place] for place in capped]
    return order[: max(0, k)]


def maximal_marginal_relevance(
    scores: Sequence[float], features: Sequence[frozenset[str]], k: int, balance: float
) -> list[int]:
    """Greedily the item with the largest (1 - balance) relevance - balance max similarity to those already taken.

    Carbonell & Goldstein, "The Use of MMR, Diversity-Based Reranking" (SIGIR 1998). Relevance is the score scaled to
    0..1 over the given items; similarity is the cosine of the feature sets. Ties go to the item that came first.

    Args:
        scores: shape (n,), any scale.
        features: per item.
        k: how many are taken.
        balance: between 0 and 1.
    """
    count = len(scores)
    if not count or k < 1:
        return []
    relevance = np.asarray(scores, dtype=np.float64)
    low, high = relevance.min(), relevance.max()
    relevance = (relevance - low) / (high - low) if high > low else np.zeros(count)
    similar = _similarities(features)
    nearest = np.zeros(count)
    free = np.ones(count, dtype=bool)
    taken: list[int] = []
    for _ in range(min(k, count)):
        worth = np.where(free, (1 - balance) * relevance - balance * nearest, -np.inf)
        best = int(np.argmax(worth))
        taken.append(best)
        free[best] = False
        nearest = np.maximum(nearest, similar[best])
    return taken


def cap_categories(categories: Sequence[str | None], k: int, cap: int) -> list[int]:
    """The first k positions in order, with at most `cap` of one category.

    A full list is worth more than the cap: where too few others are there, skipped items come back at the end.
    """
    taken: list[int] = []
    skipped: list[int] = []
    used: dict[str, int] = {}
    for place, category in enumerate(categories):
        if len(taken) >= k:
            break
        if category is not None and used.get(category, 0) >= cap:
            skipped.append(place)
            continue
        if category is not None:
            used[category] = used.get(category, 0) + 1
        taken.append(place)
    return [*taken, *skipped][: max(0, k)]


def _similarities(features: Sequence[frozenset[str]]) -> NDArray[np.float64]:
    """Cosine of every two sets, shape (n, n); 0 for empty ones."""
    number: dict[str, int] = {}
    for own in features:
        for feature in own:
            number.setdefault(feature, len(number))
    table = np.zeros((len(features), len(number)))
    for place, own in enumerate(features):
        for feature in own:
            table[place, number[feature]] = len(own) ** -0.5
    return np.asarray(table @ table.T)
