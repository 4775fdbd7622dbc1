"""Which items few have met: what placements that explore give slots to."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from reclift.storage.database import Database
from reclift.storage.tables import Configuration, EventRow, ImpressionRow, ItemRow, NewItem, Placement

FEW = 20
"""An item that was chosen, or lately shown, so often is not new any more."""
MOST = 1_000
"""Only so many take part at once, those that the fewest have met first: more would all stay unknown."""
IMPRESSIONS = 5_000
"""The latest lists that are looked through for what was shown; earlier showings do not count."""


def explores(session: Session) -> bool:
    """Whether any placement gives slots to new items."""
    return any(float(row.settings.get("explore") or 0.0) > 0 for row in session.scalars(select(Placement)))


def find(database: Database) -> int:
    """Find the new items anew, and let every process know if they are others; returns how many there are."""
    with database.read() as session:
        met = Counter[str]()
        chosen = select(EventRow.item_id, func.count()).where(EventRow.item_id.is_not(None)).group_by(EventRow.item_id)
        for item, times in session.execute(chosen):
            met[str(item)] = times
        latest = select(ImpressionRow.items).order_by(ImpressionRow.at.desc()).limit(IMPRESSIONS)
        for items in session.scalars(latest):
            met.update(str(row["item_id"]) for row in items)
        available = session.scalars(select(ItemRow.item_id).where(ItemRow.available))
        few = sorted((met[item], item) for item in available if met[item] < FEW)[:MOST]
        before = {row.item_id: row.met for row in session.scalars(select(NewItem))}
    found = {item: times for times, item in few}
    if found == before:
        return len(found)
    with database.write() as session:
        session.execute(delete(NewItem))
        if found:
            session.execute(insert(NewItem), [{"item_id": item, "met": times} for item, times in found.items()])
        if found.keys() != before.keys():
            session.execute(update(Configuration).values(catalogue_version=Configuration.catalogue_version + 1))
    return len(found)
