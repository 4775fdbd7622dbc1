"""How surprising each item is, counted once a day: what the lists' novelty is made of."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from reclift.domain.events import MICROS
from reclift.domain.list_quality import bits
from reclift.flows.clock import now, now_micros
from reclift.storage.database import Database
from reclift.storage.tables import Configuration, EventRow, ItemNovelty, ItemRow, JobRun

TASK = "item_novelty"
DAYS = 90
"""What was chosen longer ago says nothing of what people know."""
EVERY = timedelta(days=1)


def due(session: Session) -> bool:
    """Whether it has not been counted for a day, and there is something to count."""
    last = session.scalar(select(func.max(JobRun.finished_at)).where(JobRun.task == TASK, JobRun.state == "done"))
    if last is not None and now() - last < EVERY:
        return False
    return session.scalar(select(ItemRow.item_id).limit(1)) is not None and (
        session.scalar(select(EventRow.event_id).limit(1)) is not None
    )


def count(database: Database, kinds: Collection[str]) -> int:
    """Count anew and let every process know; returns how many items there are.

    `kinds`: event types that say that a user chose an item.
    """
    since = now_micros() - DAYS * 24 * 3600 * MICROS
    chosen = EventRow.at >= since, EventRow.item_id.is_not(None), EventRow.type.in_(list(kinds))
    users = func.count(EventRow.unit_id.distinct())
    with database.read() as session:
        everybody = session.scalar(select(users).where(*chosen)) or 0
        counted = session.execute(
            select(EventRow.item_id, users.label("users")).where(*chosen).group_by(EventRow.item_id)
        )
        by_item = {row.item_id: row.users for row in counted}
        items = session.scalars(select(ItemRow.item_id)).all()
    rows = [{"item_id": item, "bits": bits(by_item.get(item, 0), everybody)} for item in items]
    with database.write() as session:
        session.execute(delete(ItemNovelty))
        if rows:
            session.execute(insert(ItemNovelty), rows)
        session.execute(update(Configuration).values(catalogue_version=Configuration.catalogue_version + 1))
    return len(rows)
