"""How good lists are: the metrics of offline evaluation, per user, so that they can be averaged, split and compared.

Everywhere, U users got lists of up to K items. `hits[u, r]` says whether the item at rank r (from 0) of user u's list
is relevant; beyond the end of a short list it is False. `relevant[u]` counts the relevant items of user u, found or
not, and must be at least 1: a user with nothing to find says nothing about a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.integer]
PerUser = NDArray[np.float64]


def hit_table(lists: NDArray[np.integer], relevant: Sequence[frozenset[int]]) -> tuple[Hits, NDArray[np.int64]]:
    """Hits, shape (U, K), and counts, shape (U,), out of lists of item indices.

    Args:
        lists: shape (U, K), item indices, best first; -1 after the end of a short list.
        relevant: per user, the indices of the items to be found.
    """
    if len(lists) != len(relevant):
        raise ValueError(f"lists has {len(lists)} rows, relevant {len(relevant)}: one per user each")
    hits = np.zeros(lists.shape, dtype=bool)
    for user, wanted in enumerate(relevant):
        hits[user] = [item in wanted for item in lists[user].tolist()]
    return hits, np.array([len(wanted) for wanted in relevant], dtype=np.int64)


def _checked(hits: Hits, relevant: Counts, k: int) -> Hits:
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    if k > hits.shape[1]:
        raise ValueError(f"k={k}: the lists have {hits.shape[1]} ranks, so nothing is known of rank {k}")
    if len(relevant) != len(hits):
        raise ValueError(f"relevant has {len(relevant)} users, hits {len(hits)}")
    if len(relevant) and relevant.min() < 1:
        raise ValueError("relevant must be at least 1 for every user: leave out users with nothing to find")
    return hits[:, :k]


def precision(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """Share of k ranks that are relevant. A short list is not excused: its empty ranks count as misses."""
    return np.asarray(_checked(hits, relevant, k).mean(axis=1), dtype=np.float64)


def recall(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """Share of the relevant items that are among the first k."""
    return np.asarray(_checked(hits, relevant, k).sum(axis=1) / relevant, dtype=np.float64)


def hit_rate(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """1 where at least one of the first k is relevant, else 0."""
    return np.asarray(_checked(hits, relevant, k).any(axis=1), dtype=np.float64)


def reciprocal_rank(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """1 / rank (from 1) of the first relevant item among the first k, 0 where there is none; its mean is MRR.

    Voorhees, "The TREC-8 Question Answering Track Report" (1999).
    """
    top = _checked(hits, relevant, k)
    return np.where(top.any(axis=1), 1.0 / (top.argmax(axis=1) + 1), 0.0)


def average_precision(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """Mean, over the relevant items that could be among the first k, of the precision at their ranks; its mean is MAP.

    The divisor is min(relevant, k), so that a perfect list has 1 at every k.
    """
    top = _checked(hits, relevant, k)
    at_rank = np.cumsum(top, axis=1) / np.arange(1, k + 1)
    return np.asarray((at_rank * top).sum(axis=1) / np.minimum(relevant, k), dtype=np.float64)


def ndcg(hits: Hits, relevant: Counts, k: int) -> PerUser:
    """Discounted gain, sum of hit / log2(rank + 1), over the best possible with this many relevant items.

    Jarvelin & Kekalainen, "Cumulated Gain-based Evaluation of IR Techniques" (TOIS 2002), with gains of 0 and 1.
    """
    top = _checked(hits, relevant, k)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    return np.asarray((top * discount).sum(axis=1) / ideal, dtype=np.float64)


ACCURACY: Mapping[str, Callable[[Hits, Counts, int], PerUser]] = {
    "precision": precision,
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
}
"""Name -> per-user metric."""


def coverage(lists: NDArray[np.integer], catalogue: int) -> float:
    """Share of the catalogue's items that are in at least one list.

    Args:
        lists: shape (U, K), item indices below `catalogue`; -1 is no item.
        catalogue: how many items there are, at least 1.
    """
    if catalogue < 1:
        raise ValueError(f"catalogue={catalogue}: must have at least 1 item")
    return len(np.unique(lists[lists >= 0])) / catalogue


def gini(lists: NDArray[np.integer], catalogue: int) -> float | None:
    """How unevenly the lists' slots fall on the catalogue's items: 0 evenly, towards 1 all on a few.

    Fleder & Hosanagar, "Blockbuster Culture's Next Rise or Fall" (Management Science 2009). `None` where nothing was
    recommended: then there is nothing to be uneven.
    """
    if catalogue < 1:
        raise ValueError(f"catalogue={catalogue}: must have at least 1 item")
    slots = np.sort(np.bincount(lists[lists >= 0], minlength=catalogue)).astype(np.float64)
    if not slots.sum():
        return None
    rank = np.arange(1, catalogue + 1)
    return float((2 * rank - catalogue - 1) @ slots / (catalogue * slots.sum()))


def novelty(lists: NDArray[np.integer], chosen_by: NDArray[np.integer], users: int) -> PerUser:
    """Mean self-information of a list's items, in bits: -log2 of the share of users who chose the item before.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (PNAS 2010). One more user is
    assumed for every item, so that an item that nobody chose is very novel and not infinitely so.

    Args:
        lists: shape (U, K), item indices; -1 is no item.
        chosen_by: shape (I,), how many users chose each item.
        users: how many users there are.

    Returns:
        Shape (U,), NaN for empty lists.
    """
    bits = -np.log2((chosen_by + 1.0) / (users + 1.0))
    there = lists >= 0
    total = np.where(there, bits[np.where(there, lists, 0)], 0).sum(axis=1) if len(bits) else np.zeros(len(lists))
    count = there.sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(lists), np.nan), where=count > 0), dtype=np.float64)


def intra_list_diversity(lists: NDArray[np.integer], features: Sequence[Sequence[int]]) -> PerUser:
    """Mean distance, 1 - cosine, between the items of a list, by what describes them.

    Smyth & McClave, "Similarity vs. Diversity" (ICCBR 2001); Ziegler et al. (WWW 2005). 0: all alike, 1: nothing in
    common. Items without features are left out.

    Args:
        lists: shape (U, K), item indices; -1 is no item.
        features: per item, the numbers of its features (its category, its genres), each once.

    Returns:
        Shape (U,), NaN where a list has fewer than two described items.
    """
    found = np.full(len(lists), np.nan)
    for user, items in enumerate(lists.tolist()):
        described = [features[item] for item in items if item >= 0 and features[item]]
        count = len(described)
        if count < 2:
            continue
        # the sum of all pairs' cosines is the squared length of the unit vectors' sum, less the items with themselves
        summed: dict[int, float] = {}
        for own in described:
            part = len(own) ** -0.5
            for feature in own:
                summed[feature] = summed.get(feature, 0.0) + part
        pairs = sum(value * value for value in summed.values()) - count
        found[user] = 1 - max(0.0, pairs) / (count * (count - 1))
    return found
