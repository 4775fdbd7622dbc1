"""How far an approximate search must look, found by asking as people will ask; what it misses is measured, and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from reclift.strategy import Dataset, Query, Scored, Signal, State

EXACT_UP_TO = 20_000
"""Up to so many items all are looked at, unless a parameter says otherwise; that takes about as long."""
EXACT_UP_TO_MEANS = (
    "Up to so many items all are looked at; above it only those that may be among the best, which is faster and may "
    "miss a few (how many, training measures)"
)
RECALL = 0.99
"""The share of the exact best items that must be found, unless a parameter says otherwise."""
RECALL_MEANS = "Of the best items at least so large a share shall be found where not all are looked at"
QUESTIONS = 400
FEWEST_QUESTIONS = 20
"""With fewer a measurement says nothing."""
LENGTHS = (10, 50)
"""Recall is measured for lists so long."""
MOST_LOOKED_AT = 0.3
"""A search that looks at more than this share of what the exact one looks at is no faster."""


class Index(Protocol):
    """What an approximate search asks."""

    effort: float
    """The more, the further it looks."""


class Searchable(Protocol):
    """A strategy that looks at all items, or at some where its state holds an index."""

    index: Any
    """An `Index`, or `None`: all items are looked at."""

    def __init__(self, state: State, params: Any) -> None:
        """Bring a fitted state into service."""
        ...

    def recommend(self, query: Query) -> list[Scored]:
        """The answer."""
        ...

    def looked_at(self, query: Query) -> float | None:
        """The share of an exact search's work that the answer takes; `None` where nothing is known of the user."""
        ...

    def state(self) -> State:
        """What it was made of."""
        ...


S = TypeVar("S", bound=Searchable)


def questions(data: Dataset, seed: int) -> list[Query]:
    """What some users would ask at some moment of their past; the half with even numbers has seen only a few items."""
    random = np.random.default_rng(seed)
    counts = np.bincount(data.users, minlength=data.shape[0])
    users = random.permutation(np.flatnonzero(counts))[:QUESTIONS]
    order = np.argsort(data.users, kind="stable")
    ends = np.cumsum(counts)
    asked = []
    for number, user in enumerate(users.tolist()):
        own = order[ends[user] - counts[user] : ends[user]]
        own = own[np.argsort(data.times[own], kind="stable")]
        own = own[: random.integers(1, 1 + min(5, len(own)))] if number % 2 == 0 else own[-500:]
        history = [
            Signal(
                str(data.item_ids[data.columns[row]]),
                float(data.weights[row]),
                float(data.times[row]),
                value=None if np.isnan(data.values[row]) else float(data.values[row]),
            )
            for row in own.tolist()
        ]
        exclude = frozenset(signal.item_id for signal in history)
        asked.append(Query(max(LENGTHS), history=history, exclude=exclude))
    return asked


def recall(found: Sequence[Scored], exact: Sequence[Scored], k: int) -> float:
    """The share of the k best that was found; an item that scores as high as the k-th best counts as one of them."""
    wanted = exact[:k]
    if not wanted:
        return 1.0
    last = wanted[-1].score
    last -= 1e-5 * max(abs(last), abs(wanted[0].score))  # the two add up in another order
    return min(1.0, sum(scored.score >= last for scored in found[:k]) / len(wanted))


def approximate_if_as_good(
    exact: S, indexed: State, params: Any, data: Dataset, efforts: Sequence[float], *, seed: int, goal: float
) -> S:
    """The model that serves: through an index where that finds enough for less work, else `exact`.

    Args:
        exact: the fitted model without an index.
        indexed: its state with the index' arrays.
        params: of the strategy.
        data: what it was fitted on; its users' pasts are the questions.
        efforts: what may be tried, ascending.
        seed: of the choice of questions.
        goal: see `tuned`.

    Returns:
        A model whose state tells under `meta["search"]` what `tuned` found.
    """
    model = type(exact)(State(indexed.arrays, {**indexed.meta, "search": {"effort": efforts[0]}}), params)
    found = tuned(exact, model, questions(data, seed), efforts, goal)
    kept = exact.state() if "exact" in found else indexed
    return type(exact)(State(kept.arrays, {**kept.meta, "search": found}), params)


def tuned(
    exact: Searchable, model: Searchable, asked: Sequence[Query], efforts: Sequence[float], goal: float
) -> dict[str, Any]:
    """Set the least effort that reaches the goal, and say what is found with it.

    The effort is chosen on one half of the questions, and measured on the other. It reaches the goal for people with
    short histories and for those with long ones: the latter are harder, and their misses would drown in a common mean.

    Args:
        exact: the model without an index.
        model: the same with one, whose effort is set.
        asked: questions, in turn with a short and a long history; those that `exact` does not answer are left out.
        efforts: what may be tried, ascending.
        goal: of `recall`, for each of `LENGTHS`.

    Returns:
        `effort`, `recall@10`, `recall@50`, `looked_at` (mean share of an exact search's work) and `questions` (how many
        were asked), all but the first from questions that the effort was not chosen on; or `exact`: why all items
        should be looked at instead.
    """
    answered = [(number, (query, answer)) for number, query in enumerate(asked) if (answer := exact.recommend(query))]
    if len(answered) < FEWEST_QUESTIONS:
        return {"exact": f"{len(answered)} users could be asked, and measuring needs {FEWEST_QUESTIONS}"}
    held_out = [pair for number, pair in answered if number // 2 % 2]  # short and long histories in both
    short, long = ([pair for number, pair in answered if not number // 2 % 2 and number % 2 == odd] for odd in (0, 1))
    for effort in efforts:
        model.index.effort = effort
        if all(found >= goal for asked_alike in (short, long) if asked_alike for found in _recalls(model, asked_alike)):
            break
    else:
        return {"exact": f"no effort up to {efforts[-1]:g} finds {goal:g} of the best items"}
    share = float(np.mean([work for query, _ in held_out if (work := model.looked_at(query)) is not None]))
    if share > MOST_LOOKED_AT:
        return {"exact": f"{share:.0%} of the work would have to be done to find {goal:g} of the best items"}
    return {
        "effort": effort,
        **{f"recall@{k}": round(found, 4) for k, found in zip(LENGTHS, _recalls(model, held_out), strict=True)},
        "looked_at": round(share, 4),
        "questions": len(held_out),
    }


def _recalls(model: Searchable, answers: Sequence[tuple[Query, list[Scored]]]) -> Iterator[float]:
    for k in LENGTHS:
        yield float(np.mean([recall(model.recommend(_of_length(query, k)), exact, k) for query, exact in answers]))


def _of_length(query: Query, k: int) -> Query:
    return query if query.k == k else Query(k, history=query.history, exclude=query.exclude)
