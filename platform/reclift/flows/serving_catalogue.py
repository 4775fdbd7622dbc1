"""What a serving process knows of the items: which can be shown, their categories, and what makes them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.storage.tables import ItemNovelty, ItemRow, NewItem


@dataclass(frozen=True)
class Items:
    """One snapshot of the catalogue.

    Attributes:
        available: items that can be shown.
        categories: item -> its category, of available items that have one.
        by_category: the other way round.
        features: item -> what describes it, as `domain.rerank` reads it; `None`: not read, since nothing asks for it.
        novelty: item -> bits; see `domain.list_quality`. Items that are not in it are as new as the newest.
        most_novel: the largest of them; None: nothing is known yet.
        new: items that few have met, those that the fewest have first; only where a placement explores.
    """

    available: frozenset[str]
    categories: Mapping[str, str] = field(default_factory=dict)
    by_category: Mapping[str, frozenset[str]] = field(default_factory=dict)
    features: Mapping[str, frozenset[str]] | None = None
    new: tuple[str, ...] = ()
    novelty: Mapping[str, float] = field(default_factory=dict)
    most_novel: float | None = None

    def within(self, categories: frozenset[str]) -> frozenset[str]:
        """The available items of any of these categories."""
        return frozenset().union(*(self.by_category.get(category, frozenset()) for category in categories))


def load_items(session: Session, *, described: bool, exploring: bool) -> Items:
    """Read the catalogue; descriptions and new items only where they are needed, since they are the large part."""
    columns = (ItemRow.item_id, ItemRow.category, ItemRow.attributes) if described else (
        ItemRow.item_id, ItemRow.category)  # fmt: skip
    available: list[str] = []
    categories: dict[str, str] = {}
    by_category: dict[str, list[str]] = {}
    features: dict[str, frozenset[str]] = {}
    for row in session.execute(select(*columns).where(ItemRow.available).execution_options(yield_per=5_000)):
        available.append(row.item_id)
        if row.category:
            categories[row.item_id] = row.category
            by_category.setdefault(row.category, []).append(row.item_id)
        if described:
            features[row.item_id] = _features(row.category, row.attributes)
    known = frozenset(available)
    fresh: tuple[str, ...] = ()
    if exploring:
        rows = session.scalars(select(NewItem.item_id).order_by(NewItem.met, NewItem.item_id))
        fresh = tuple(item for item in rows if item in known)
    novelty = {row.item_id: row.bits for row in session.execute(select(ItemNovelty.item_id, ItemNovelty.bits))}
    return Items(
        available=known,
        categories=categories,
        by_category={category: frozenset(items) for category, items in by_category.items()},
        features=features if described else None,
        new=fresh,
        novelty=novelty,
        most_novel=max(novelty.values(), default=None),
    )


def _features(category: str | None, attributes: Mapping[str, Any]) -> frozenset[str]:
    found = {f"category: {category}"} if category else set()
    for name, value in attributes.items():
        values = value if isinstance(value, list) else [value]
        found.update(f"{name}: {one}" for one in values if one is not None)
    return frozenset(found)
