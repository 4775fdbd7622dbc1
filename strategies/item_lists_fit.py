"""Puts alike items into lists, and finds how many lists must be looked at, by asking as people will ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Dataset, Query, Scored, Signal, State
from strategies.item_lists import HEAD, Best

SWEEPS = 8
PER_LIST = 64
"""Centres are learned from so many items for each; that is enough, and bounds the time with a million items."""
QUESTIONS = 400
LENGTHS = (10, 50)
"""Recall is measured for lists so long."""
SLACKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
MOST_LOOKED_AT = 0.3
"""Where lists must be looked through for more than this share of all items, the exact search is as fast."""
FEWEST_QUESTIONS = 20
"""With fewer a measurement says nothing."""
_BLOCK = 4096


class Searchable(Protocol):
    """A strategy that can answer by looking at all items, and through lists where its state has them."""

    lists: Any
    """What has a `slack`, the larger the further lists are looked through; `None` where all items are looked at."""

    def __init__(self, state: State, params: Any) -> None:
        """Bring a fitted state into service."""
        ...

    def recommend(self, query: Query) -> list[Scored]:
        """The answer."""
        ...

    def searched(self, query: Query) -> Best | None:
        """The same through lists, with what it took; `None` where nothing is known of the user."""
        ...

    def state(self) -> State:
        """What it was made of."""
        ...


S = TypeVar("S", bound=Searchable)


def list_count(items: int) -> int:
    """How many lists: a few times the square root, so that looking at centres and into lists cost about the same."""
    return max(1, min(4096, int(3 * items**0.5), items // 8))


def grouped(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int32]:
    """The list of each vector, shape (n,), by k-means (Lloyd 1982) from a random start; at most `count` lists."""
    random = np.random.default_rng(seed)
    most = count * PER_LIST
    sample = vectors if len(vectors) <= most else vectors[np.sort(random.permutation(len(vectors))[:most])]
    centres = sample[np.sort(random.permutation(len(sample))[:count])].copy()
    for _ in range(SWEEPS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        sizes = np.bincount(nearest, minlength=len(centres))
        taken = sizes > 0
        sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[taken], axis=0)
        centres[taken] = sums / sizes[taken, None]
    return _nearest(vectors, centres)


def _nearest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    found = np.empty(len(vectors), dtype=np.int32)
    half = np.einsum("ij,ij->i", centres, centres) / 2
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK] @ centres.T
        block -= half
        found[start : start + _BLOCK] = block.argmax(axis=1)
    return found


def in_lists(lists: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """An order in which the items of each list stand together, and where lists begin in it, and the end."""
    order = np.argsort(lists, kind="stable")
    sizes = np.bincount(lists)
    return order, np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)


def vector_lists(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.intp], dict[str, NDArray[Any]]]:
    """The order of items for `VectorLists`, and its arrays but for the vectors themselves.

    Args:
        vectors: shape (I, d), by falling length.
        seed: of k-means.
    """
    head = min(HEAD, len(vectors) // 2)
    rest = vectors[head:]
    order, starts = in_lists(grouped(rest, list_count(len(rest)), seed))
    rest, sizes = rest[order], np.diff(starts)
    centres = np.add.reduceat(rest, starts[:-1], axis=0, dtype=np.float64) / sizes[:, None]
    away = np.empty(len(rest))
    for start, stop, centre in zip(starts[:-1].tolist(), starts[1:].tolist(), centres, strict=True):
        away[start:stop] = ((rest[start:stop] - centre) ** 2).sum(axis=1)
    spreads = np.sqrt(np.add.reduceat(away, starts[:-1]) / sizes)
    return np.concatenate([np.arange(head), head + order]), {
        "list_starts": head + starts,
        "list_centres": centres.astype(np.float32),
        "list_spreads": spreads.astype(np.float32),
    }


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


def listed_if_as_good(exact: S, arranged: State, params: Any, data: Dataset, *, seed: int, goal: float) -> S:
    """The model that serves: through lists where they find enough for less work, else `exact`.

    Args:
        exact: the fitted model without lists.
        arranged: its state in the order of lists, with the lists' arrays.
        params: of the strategy.
        data: what it was fitted on; its users' pasts are the questions.
        seed: of the choice of questions.
        goal: see `tuned`.

    Returns:
        A model whose state tells under `meta["search"]` what `tuned` found.
    """
    listed = type(exact)(State(arranged.arrays, {**arranged.meta, "search": {"slack": SLACKS[0]}}), params)
    found = tuned(exact, listed, questions(data, seed), len(arranged.arrays["item_ids"]), goal)
    kept = exact.state() if "exact" in found else arranged
    return type(exact)(State(kept.arrays, {**kept.meta, "search": found}), params)


def tuned(exact: Searchable, listed: Searchable, asked: Sequence[Query], items: int, goal: float) -> dict[str, Any]:
    """Set the least `slack` of the lists that reaches the goal, and say what they find.

    The slack is chosen on one half of the questions, and measured on the other.

    Args:
        exact: the model without lists.
        listed: the same with lists, whose slack is set.
        asked: questions; those that `exact` does not answer are left out.
        items: how many there are to look at.
        goal: of `recall`, for each of `LENGTHS`.

    Returns:
        `slack`, `recall@10`, `recall@50`, `looked_at` (mean share of the items that were scored) and `questions` (how
        many were asked), all but the first from questions that the slack was not chosen on; or `exact`: why all items
        should be looked at instead.
    """
    answers = [(query, answer) for query in asked if (answer := exact.recommend(query))]
    if len(answers) < FEWEST_QUESTIONS:
        return {"exact": f"{len(answers)} users could be asked, and measuring needs {FEWEST_QUESTIONS}"}
    held_out = [pair for number, pair in enumerate(answers) if number // 2 % 2]  # short and long histories in both
    choosing = [pair for number, pair in enumerate(answers) if not number // 2 % 2]
    for slack in SLACKS:
        listed.lists.slack = slack
        if all(found >= goal for found in _recalls(listed, choosing)):
            break
    else:
        return {"exact": f"no slack up to {SLACKS[-1]:g} finds {goal:g} of the best items"}
    looked_at = [best.looked_at for query, _ in held_out if (best := listed.searched(query)) is not None]
    share = float(np.mean(looked_at)) / items
    if share > MOST_LOOKED_AT:
        return {"exact": f"{share:.0%} of the items would have to be looked at to find {goal:g} of the best"}
    return {
        "slack": slack,
        **{f"recall@{k}": round(found, 4) for k, found in zip(LENGTHS, _recalls(listed, held_out), strict=True)},
        "looked_at": round(share, 4),
        "questions": len(held_out),
    }


def _recalls(listed: Searchable, answers: Sequence[tuple[Query, list[Scored]]]) -> Iterator[float]:
    for k in LENGTHS:
        yield float(np.mean([recall(listed.recommend(_of_length(query, k)), exact, k) for query, exact in answers]))


def _of_length(query: Query, k: int) -> Query:
    return query if query.k == k else Query(k, history=query.history, exclude=query.exclude)
