"""Drops events and impressions that are old, by setting; what was computed from them stays.

Units' totals are recomputed whole from the raw facts, so facts may only go when no total needs them any more:
- an experiment that runs, or ended not long ago, holds everything from before its first exposure on;
- one that ended longer ago than facts are kept is *settled*: its totals and reports are final, the rollup neither
  recomputes nor removes them, and late events of its units no longer count there.
Exposures stay: they are few, and say who was in what.

On PostgreSQL events go by whole partitions, so up to a month later than the setting says. An event that was dropped and
is sent once more is new again, since its id went with it. It counts for nothing: it is older than all that a running
experiment looks at, and goes again with the next round.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.events import MICROS
from reclift.domain.totals import EARLY
from reclift.flows import metrics as metric_flow
from reclift.flows.clock import now, to_datetime
from reclift.storage import partitions
from reclift.storage.database import Database, rows_changed
from reclift.storage.tables import EventRow, ExperimentRow, ExposureRow, ImpressionRow

log = structlog.get_logger(__name__)

_HOUR = 3_600 * MICROS
_SHORTEST_WINDOW_HOURS = 7 * 24.0
PORTION = 5_000
"""Rows that one transaction looks at: others write in between."""


class Dropped(NamedTuple):
    """What went."""

    events: int
    impressions: int
    settled: list[str]


def drop_old(database: Database, keep_days: int, *, portion: int = PORTION) -> Dropped:
    """Settle what ended long ago, then drop facts older than `keep_days` that nobody needs.

    All marks must have been rolled up. Safe to interrupt and to run again: an experiment is settled, in a
    transaction of its own, before any fact goes.
    """
    with database.write() as session:
        edge, settled = _settle(session, now_micros_before(keep_days))
    if database.is_sqlite:
        # Clicks on lists that are not old, of clients whose clock was, count at their list's time: they stay.
        lately = or_(EventRow.recommendation_id.is_(None), EventRow.received_at < edge - EARLY)
        events = _drop(database, EventRow, EventRow.event_id, and_(EventRow.at < edge, lately), portion)
    else:
        events = partitions.drop_before(database, edge) + partitions.drop_rest(database, edge, portion)
    impressions = _drop(database, ImpressionRow, ImpressionRow.recommendation_id, ImpressionRow.at < edge, portion)
    if events or impressions or settled:
        log.info("old_facts_dropped", events=events, impressions=impressions, settled=settled)
    return Dropped(events, impressions, settled)


def now_micros_before(days: int) -> int:
    """So many days ago, microseconds."""
    return round((now() - timedelta(days=days)).timestamp() * MICROS)


def _settle(session: Session, edge: int) -> tuple[int, list[str]]:
    windows = [metric.window_hours or 0.0 for metric in metric_flow.all_metrics(session).values()]
    window = round(max([_SHORTEST_WINDOW_HOURS, *windows]) * _HOUR)
    settled = []
    needed = edge
    started = select(ExperimentRow).where(ExperimentRow.started_at.is_not(None), ExperimentRow.settled_at.is_(None))
    for row in session.scalars(started):
        over = row.status in {"stopped", "archived"} and row.stopped_at is not None
        if over and row.stopped_at is not None and row.stopped_at + timedelta(microseconds=window) < to_datetime(edge):
            row.settled_at = now()
            settled.append(row.key)
            continue
        first = session.scalar(select(func.min(ExposureRow.at)).where(ExposureRow.experiment == row.key))
        began = round(row.started_at.timestamp() * MICROS) if row.started_at is not None else edge
        past = (Analysis.from_dict(row.data.get("analysis")).cuped_days or 0) * 24 * _HOUR
        needed = min(needed, min(began, first if first is not None else began) - max(window, past))
    return needed, settled


def _drop(database: Database, table: Any, key: Any, is_old: ColumnElement[bool], portion: int) -> int:
    """In the order of the primary key, a portion a transaction: no index on the time is needed for it."""
    dropped = 0
    last = ""
    while True:
        with database.read() as session:
            rows = session.execute(select(key, is_old).where(key > last).order_by(key).limit(portion)).all()
        old = [name for name, goes in rows if goes]
        if old:
            with database.write() as session:
                dropped += rows_changed(session.execute(delete(table).where(key.in_(old), is_old)))
        if len(rows) < portion:
            return dropped
        last = rows[-1][0]


def settled(session: Session) -> list[str]:
    """Keys of experiments whose totals are final."""
    return list(session.scalars(select(ExperimentRow.key).where(ExperimentRow.settled_at.is_not(None))))
