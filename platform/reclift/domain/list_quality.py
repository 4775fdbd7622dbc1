"""What a list is like, whoever likes it: how novel its items are, and how different from each other.

Both are worked out when the list is made and kept with its impression: popularity and catalogue move on, and a report
must not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def bits(chosen_by: int, users: int) -> float:
    """Self-information of an item: -log2 of the share of users who chose it.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (PNAS 2010). One more user is
    assumed for every item, as in offline evaluations, so that an item that nobody chose is very novel, not infinitely.
    """
    return -math.log2((chosen_by + 1) / (users + 1))


def novelty(items: Sequence[str], known: Mapping[str, float], otherwise: float | None) -> float | None:
    """Mean bits of a list's items; None for an empty list, or when nothing is known of popularity.

    Args:
        items: ids.
        known: item -> bits.
        otherwise: of items that are not in `known`.
    """
    if not items or otherwise is None:
        return None
    return sum(known.get(item, otherwise) for item in items) / len(items)


def diversity(items: Sequence[str], categories: Mapping[str, str]) -> float | None:
    """The share of pairs of a list's items that are of different categories, 0 to 1.

    Intra-list distance (Ziegler et al., WWW 2005; Smyth & McClave, ICCBR 2001) with the category as what describes an
    item. Items without one are left out; None with fewer than two others.
    """
    counts: dict[str, int] = {}
    count = alike = 0
    for item in items:
        category = categories.get(item)
        if category is not None:
            before = counts.get(category, 0)
            counts[category] = before + 1
            alike += before  # with each that is alike and stands before it
            count += 1
    return None if count < 2 else 1 - 2 * alike / (count * (count - 1))
