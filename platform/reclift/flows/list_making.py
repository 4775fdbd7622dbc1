"""The list in the making: hard filters on whatever came, variety, and slots for new items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reclift.domain.exploration import explore
from reclift.domain.rerank import Diversity, rerank
from reclift.flows.serving_catalogue import Items
from reclift.strategy import Scored

EXPLORE = "explore"
"""The source of a new item that was put in to get known."""

_POOL = 500
"""Items among which variety is looked for, at most: its cost grows with their number."""


@dataclass(slots=True)
class ListInMaking:
    """Hard filters are applied here, after everything else, whatever a strategy returned."""

    k: int
    available: frozenset[str]
    banned: frozenset[str]
    candidates: frozenset[str] | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    @property
    def missing(self) -> int:
        """How many places are free."""
        return self.k - len(self.rows)

    def bar(self, banned: frozenset[str]) -> None:
        """From now on these may not be added."""
        self.banned = banned

    def allows(self, item: str) -> bool:
        """Whether the item may be added."""
        return (
            item not in self.taken
            and item not in self.banned
            and item in self.available
            and (self.candidates is None or item in self.candidates)
        )

    def allowed(self, items: Iterable[Scored]) -> list[Scored]:
        """What may be added, in order, each item once."""
        found: dict[str, Scored] = {}
        for scored in items:
            if scored.item_id not in found and self.allows(scored.item_id):
                found[scored.item_id] = scored
        return list(found.values())

    def take(self, items: Sequence[Scored], source: str, arm: str | None) -> None:
        """Add what is allowed, best first, until the list is full."""
        rows, taken, banned = self.rows, self.taken, self.banned
        available, candidates = self.available, self.candidates
        position, most = len(rows), self.k
        for item_id, score, propensity, reason in items:
            if position >= most:
                break
            # As `allows` says, without a call for each item.
            if (
                item_id in taken
                or item_id in banned
                or item_id not in available
                or (candidates is not None and item_id not in candidates)
            ):
                continue
            taken.add(item_id)
            position += 1
            row: dict[str, Any] = {"item_id": item_id, "position": position, "score": float(score), "source": source}
            if arm is not None:
                row["arm"] = arm
            if propensity is not None:
                row["propensity"] = float(propensity)
            if reason is not None:
                row["reason"] = reason
            rows.append(row)

    def explore(self, share: float, new: Sequence[str], seed: int) -> None:
        """Give a share of the places to new items, and note the chances of all of them.

        Where a strategy draws itself, chances of the whole are not known: then none is noted.
        """
        pool = [item for item in new if self.allows(item)]
        drawn = explore(len(self.rows), len(pool), share, seed)
        if not drawn.drawn:
            return
        exact = not any("propensity" in row for row in self.rows)
        for index, place in enumerate(drawn.places):
            row = self.rows[index]
            if place is not None:
                self.taken.add(pool[place])
                row = {
                    **{name: row[name] for name in ("position", "arm") if name in row},
                    "item_id": pool[place],
                    "score": 0.0,
                    "source": EXPLORE,
                }
                self.rows[index] = row
            if exact:
                row["propensity"] = drawn.kept if place is None else drawn.drawn
            else:
                row.pop("propensity", None)


def diversified(diversity: Diversity, items: Sequence[Scored], k: int, known: Items) -> list[Scored]:
    """The first k of the items after re-ranking. Propensities hold for the old order only, and go when it changes."""
    pool = items[:_POOL]
    features = known.features or {}
    order = rerank(
        diversity,
        [scored.score for scored in pool],
        [features.get(scored.item_id, frozenset()) for scored in pool],
        [known.categories.get(scored.item_id) for scored in pool],
        k,
    )
    chosen = [pool[place] for place in order]
    if order == list(range(len(order))):
        return chosen
    return [scored._replace(propensity=None) for scored in chosen]
