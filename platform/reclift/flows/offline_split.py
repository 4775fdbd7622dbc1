"""Past and future out of one data set: what strategies may learn from, and what they are to find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Dataset, Signal


@dataclass(frozen=True)
class Split:
    """A data set in two.

    Attributes:
        train: what is learned from; it knows the whole catalogue and all users.
        users: shape (U,), indices of the users who have something to find, ascending.
        wanted: per such user, the item indices to find.
        kind: "temporal", "leave_last_out", "random", "new_items" or "new_users".
        details: how it was made: the share, the cut, the seed.
        exclude_seen: whether items of a user's history are neither recommended nor to be found.
        given: what the users' histories are taken from: `train`, or more where users are new.
        left_out: reason -> how many test interactions it took away.
    """

    train: Dataset
    users: NDArray[np.intp]
    wanted: tuple[frozenset[int], ...]
    kind: str
    details: Mapping[str, Any]
    exclude_seen: bool
    given: Dataset
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def temporal(cls, data: Dataset, share: float = 0.2, **options: Any) -> Self:
        """Learn from the earlier 1 - `share` of all interactions, find the later ones: the honest split.

        Interactions at the very second of the cut are in the future, so that nothing of it is learned.
        """
        _check_share(share)
        cut = float(np.quantile(data.times, 1 - share, method="higher")) if len(data) else 0.0
        return cls._of(data, data.times >= cut, "temporal", {"share": share, "cut": cut}, **options)

    @classmethod
    def leave_last_out(cls, data: Dataset, last: int = 1, **options: Any) -> Self:
        """Find each user's `last` interactions; users with no more than that are only learned from."""
        if last < 1:
            raise ValueError(f"last={last}: must be at least 1")
        order = np.lexsort((np.arange(len(data)), data.times, data.users))
        users = data.users[order]
        count = np.bincount(users, minlength=data.shape[0])
        from_end = np.cumsum(count)[users] - np.arange(len(data))
        future = np.zeros(len(data), dtype=bool)
        future[order] = (from_end <= last) & (count[users] > last)
        return cls._of(data, future, "leave_last_out", {"last": last}, **options)

    @classmethod
    def random(cls, data: Dataset, share: float = 0.25, seed: int = 0, **options: Any) -> Self:
        """Find a random `share` of the interactions. For comparison with the literature: it lets the future leak."""
        _check_share(share)
        future = np.zeros(len(data), dtype=bool)
        order = np.random.default_rng(seed).permutation(len(data))
        future[order[: round(share * len(data))]] = True
        return cls._of(data, future, "random", {"share": share, "seed": seed}, **options)

    @classmethod
    def new_items(cls, data: Dataset, share: float = 0.2, seed: int = 0, **options: Any) -> Self:
        """Learn nothing of a random `share` of the items, and find those: who recommends what nobody has chosen yet?"""
        _check_share(share)
        items = data.shape[1]
        held = np.random.default_rng(seed).permutation(items)[: round(share * items)]
        return cls._of(data, np.isin(data.columns, held), "new_items", {"share": share, "seed": seed}, **options)

    @classmethod
    def new_users(cls, data: Dataset, share: float = 0.2, history: int = 5, seed: int = 0, **options: Any) -> Self:
        """Learn nothing of a random `share` of the users; given their first `history` interactions, find the rest."""
        _check_share(share)
        if history < 0:
            raise ValueError(f"history={history}: must be at least 0")
        users = data.shape[0]
        held = np.isin(data.users, np.random.default_rng(seed).permutation(users)[: round(share * users)])
        order = np.lexsort((np.arange(len(data)), data.times, data.users))
        count = np.bincount(data.users, minlength=users)
        rank = np.empty(len(data), dtype=np.int64)
        rank[order] = np.arange(len(data)) - np.repeat(np.cumsum(count) - count, count)
        details = {"share": share, "history": history, "seed": seed}
        return cls._of(data, held & (rank >= history), "new_users", details, unlearned=held, **options)

    @classmethod
    def _of(
        cls,
        data: Dataset,
        future: NDArray[np.bool_],
        kind: str,
        details: Mapping[str, Any],
        *,
        exclude_seen: bool = True,
        min_value: float | None = None,
        min_weight: float | None = None,
        unlearned: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Options of every split.

        Args:
            data: what is split.
            future: shape (N,), which interactions are to be found.
            kind: see the class.
            details: see the class.
            exclude_seen: see the class; False where people choose the same again, as in a grocery.
            min_value: only interactions with at least this value (a rating of 4, say) are worth finding.
            min_weight: likewise for weights.
            unlearned: interactions that are known when recommending, but were not when learning.
        """
        left_out: dict[str, int] = {}
        wanted = future.copy()
        if min_value is not None:
            low = wanted & ~(data.values >= min_value)
            left_out[f"value below {min_value:g}, or none"] = int(low.sum())
            wanted &= ~low
        if min_weight is not None:
            low = wanted & (data.weights < min_weight)
            left_out[f"weight below {min_weight:g}"] = int(low.sum())
            wanted &= ~low
        pairs = data.users.astype(np.int64) * max(1, data.shape[1]) + data.columns
        if exclude_seen:
            known = wanted & np.isin(pairs, pairs[~future])
            left_out["item already in the user's history"] = int(known.sum())
            wanted &= ~known
        found: dict[int, set[int]] = {}
        for user, column in zip(data.users[wanted].tolist(), data.columns[wanted].tolist(), strict=True):
            found.setdefault(user, set()).add(column)
        users = sorted(found)
        return cls(
            train=data.where(~future if unlearned is None else ~(future | unlearned)),
            users=np.array(users, dtype=np.intp),
            wanted=tuple(frozenset(found[user]) for user in users),
            kind=kind,
            details={**details, "min_value": min_value, "min_weight": min_weight},
            exclude_seen=exclude_seen,
            given=data.where(~future),
            left_out={reason: count for reason, count in left_out.items() if count},
        )

    def histories(self) -> list[tuple[Signal, ...]]:
        """What each of `users` had done by then, oldest first."""
        given = self.given
        order = np.lexsort((np.arange(len(given)), given.times, given.users))
        starts = np.searchsorted(given.users[order], np.arange(given.shape[0] + 1))
        ids, weights = given.item_ids.tolist(), given.weights.tolist()
        times, values = given.times.tolist(), given.values.tolist()
        columns = given.columns.tolist()
        return [
            tuple(
                Signal(ids[columns[n]], weights[n], times[n], "", None if math.isnan(values[n]) else values[n])
                for n in order[starts[user] : starts[user + 1]].tolist()
            )
            for user in self.users.tolist()
        ]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share={share}: must be between 0 and 1")
