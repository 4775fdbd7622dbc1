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
DAYS = 365
"""What was chosen longer ago says nothing of what people know."""
EVERY = timedelta(days=1)
EVERY_WHILE_SMALL = timedelta(hours=1)
SMALL = 100_000
"""With fewer events, counting costs nothing, and tomorrow much may have changed."""


def due(session: Session) -> bool:
    """Whether it has not been counted for a day (an hour, in a small shop), and there is something to count."""
    if session.scalar(select(ItemRow.item_id).limit(1)) is None:
        return False
    last = session.scalar(select(func.max(JobRun.finished_at)).where(JobRun.task == TASK, JobRun.state == "done"))
    if last is None:
        return True
    age = now() - last
    if age < EVERY_WHILE_SMALL:
        return False
    some = select(EventRow.event_id).where(EventRow.at >= _since()).limit(SMALL).subquery()
    return age >= EVERY or (session.scalar(select(func.count()).select_from(some)) or 0) < SMALL


def _since() -> int:
    return now_micros() - DAYS * 24 * 3600 * MICROS


def count(database: Database, kinds: Collection[str]) -> int:
    """Count anew and let every process know; returns how many items there are. Where nobody chose anything: none.

    `kinds`: event types that say that a user chose an item.
    """
    chosen = EventRow.at >= _since(), EventRow.item_id.is_not(None), EventRow.type.in_(list(kinds))
    users = func.count(EventRow.unit_id.distinct())
    with database.read() as session:
        everybody = session.scalar(select(users).where(*chosen)) or 0
        counted = session.execute(
            select(EventRow.item_id, users.label("users")).where(*chosen).group_by(EventRow.item_id)
        )
        by_item = {row.item_id: row.users for row in counted}
        items = session.scalars(select(ItemRow.item_id)).all() if everybody else []
    rows = [{"item_id": item, "bits": bits(by_item.get(item, 0), everybody)} for item in items]
    with database.write() as session:
        session.execute(delete(ItemNovelty))
        if rows:
            session.execute(insert(ItemNovelty), rows)
        session.execute(update(Configuration).values(catalogue_version=Configuration.catalogue_version + 1))
    return len(rows)
