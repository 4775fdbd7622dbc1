"""A share of a list's slots given to new items, with the exact chance of everything that is shown."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explored:
    """Where new items go.

    Attributes:
        places: per slot, which of the new items goes there; `None`: the slot stays as it is.
        kept: the chance that a slot stays as it is.
        drawn: the chance of one certain new item at one certain slot.
    """

    places: tuple[int | None, ...]
    kept: float
    drawn: float


def explore(slots: int, new: int, share: float, seed: int) -> Explored:
    """Give each slot to a new item with chance `share`; no new item comes twice.

    Every slot gets a candidate of its own, drawn without repetition from the new items (and, where these are fewer than
    the slots, from blanks that fill them up); then each slot takes its candidate with chance `share`, independently.
    So a certain new item has the chance share / max(slots, new) at each slot, and all chances of a slot add up to 1.

    Args:
        slots: length of the list.
        new: how many new items there are that are not in the list.
        share: 0 to 1.
        seed: the same seed gives the same answer.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: must be between 0 and 1")
    if slots < 1 or new < 1 or share == 0:
        return Explored((None,) * max(0, slots), 1.0, 0.0)
    wide = max(slots, new)
    chance = random.Random(seed)  # noqa: S311 (not for secrets: it must be the same again for the same request)
    candidates = chance.sample(range(wide), slots)
    places = tuple(place if chance.random() < share and place < new else None for place in candidates)
    return Explored(places, 1.0 - share * new / wide, share / wide)
