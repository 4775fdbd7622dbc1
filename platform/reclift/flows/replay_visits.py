"""Histories to be replayed, cut into visits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LIKED = 4.0
"""From this rating on, an item counts as liked."""


class Rating(NamedTuple):
    """What a person thought of an item, and when (seconds since 1970)."""

    item_id: str
    value: float
    at: float


@dataclass(frozen=True)
class Person:
    """One person's history to be replayed, oldest first, and what the shop knows of them."""

    user_id: str
    ratings: Sequence[Rating]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def opinions_from(self, start: int) -> dict[str, float]:
        """Item -> rating, of everything from the rating number `start` on."""
        return {rating.item_id: rating.value for rating in self.ratings[start:]}


@dataclass(frozen=True, slots=True)
class Visit:
    """One look of a person at one placement.

    Attributes:
        visit_id: stays the same whenever the replay is planned; retries and restarts are recognised by it.
        at: seconds since 1970.
        start: the person's ratings from this number on lie in the future of this visit.
        ratings: what is reported once the visit is over.
        context_item: the item that the page is about, if any.
    """

    visit_id: str
    person: Person
    at: float
    placement: str
    start: int
    ratings: Sequence[Rating] = ()
    context_item: str | None = None


def people_of(
    user_ids: Iterable[str],
    item_ids: Iterable[str],
    values: Iterable[float],
    times: Iterable[float],
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Person]:
    """Histories out of aligned columns that are in the order of time; people by their first rating."""
    ratings: dict[str, list[Rating]] = defaultdict(list)
    for user, item, value, at in zip(user_ids, item_ids, values, times, strict=True):
        ratings[str(user)].append(Rating(str(item), float(value), float(at)))
    known = attributes or {}
    return [Person(user, tuple(history), known.get(user, {})) for user, history in ratings.items()]


def plan_visits(
    people: Iterable[Person],
    *,
    size: int = 8,
    gap_seconds: float = 3_600,
    placement: str = "home",
    item_placement: str | None = None,
) -> list[Visit]:
    """Cut histories into visits, in the order of time.

    Args:
        people: whose histories are replayed.
        size: after how many ratings a new visit begins,
        gap_seconds: or after how long a pause.
        placement: where each visit begins; nothing of the visit's own ratings is known to the server there.
        item_placement: if given, the page of the visit's best-liked film is looked at too, after its ratings are in:
            only where a film of the visit was rated 4 or more.

    Raises:
        ValueError: `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"size={size!r}: must be at least 1")
    visits = []
    for person in people:
        for number, (start, ratings) in enumerate(_sittings(person.ratings, size, gap_seconds)):
            name = f"{person.user_id}-{number:04d}"
            visits.append(Visit(f"{name}-{placement}", person, ratings[0].at, placement, start, ratings))
            best = max(ratings, key=lambda rating: (rating.value, rating.at, rating.item_id))
            if item_placement is not None and best.value >= LIKED:
                after = start + len(ratings)
                visits.append(
                    Visit(
                        f"{name}-{item_placement}",
                        person,
                        ratings[-1].at,
                        item_placement,
                        after,
                        context_item=best.item_id,
                    )
                )
    visits.sort(key=lambda visit: visit.at)  # stable: visits of one second keep each person's own order
    return visits


def _sittings(ratings: Sequence[Rating], size: int, gap_seconds: float) -> Iterator[tuple[int, Sequence[Rating]]]:
    """Number of the first rating, and the ratings, of each run without a pause."""
    start = 0
    for number in range(1, len(ratings) + 1):
        over = number == len(ratings) or ratings[number].at - ratings[number - 1].at > gap_seconds
        if over or number - start == size:
            yield start, ratings[start:number]
            start = number
