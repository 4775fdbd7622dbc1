"""What users were shown lately at a placement: from memory, filled from the database, kept fresh by what is shown."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from reclift.domain.events import MICROS
from reclift.storage.database import Database
from reclift.storage.tables import ImpressionRow

log = structlog.get_logger(__name__)

LATELY_SECONDS = 86_400
MOST_LISTS = 20
"""Only the latest so many lists of a unit at a placement count."""


class _List(NamedTuple):
    recommendation_id: str
    at: int
    items: tuple[str, ...]


class _Entry(NamedTuple):
    lists: tuple[_List, ...]
    loaded: float


class ShownLately:
    """A bounded cache of the latest lists by unit and placement; asked only where a placement's rule needs it.

    An entry is trusted for `ttl` seconds, lists that this process shows are added at once. While the database is away,
    old entries are better than none, and of unknown users nothing was shown.
    """

    def __init__(self, database: Database, *, ttl: float, capacity: int = 20_000) -> None:
        """`capacity`: units and placements in memory."""
        self._database = database
        self._ttl = ttl
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._rest_until = 0.0

    def get(self, unit: str, placement: str, at: int, recommendation_id: str) -> frozenset[str]:
        """Items of the lists of the day before `at` (microseconds). Never raises.

        A retry is the same list again: what came with or after the list of its own id does not count.
        """
        lists = self._lists(unit, placement, at)
        own = next((shown.at for shown in lists if shown.recommendation_id == recommendation_id), None)
        since = at - LATELY_SECONDS * MICROS
        return frozenset(
            item
            for shown in lists
            if since <= shown.at <= at
            and shown.recommendation_id != recommendation_id
            and (own is None or shown.at < own)
            for item in shown.items
        )

    def _lists(self, unit: str, placement: str, at: int) -> tuple[_List, ...]:
        key = (unit, placement)
        entry = self._entries.get(key)
        now = time.monotonic()
        if entry is not None and (now - entry.loaded < self._ttl or now < self._rest_until):
            return entry.lists
        if now < self._rest_until:
            return ()
        try:
            lists = self._load(unit, placement, at)
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("shown_unavailable", reason=str(error).splitlines()[0])
            return entry.lists if entry is not None else ()
        with self._lock:
            self._entries[key] = _Entry(lists, now)
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return lists

    def _load(self, unit: str, placement: str, at: int) -> tuple[_List, ...]:
        query = (
            select(ImpressionRow.recommendation_id, ImpressionRow.at, ImpressionRow.items)
            .where(
                ImpressionRow.unit_id == unit,
                ImpressionRow.at.between(at - LATELY_SECONDS * MICROS, at),
                ImpressionRow.placement == placement,
            )
            .order_by(ImpressionRow.at.desc())
            .limit(MOST_LISTS)
        )
        with self._database.within() as connection:
            rows = connection.execute(query).all()
        return tuple(_List(known, when, tuple(str(row["item_id"]) for row in items)) for known, when, items in rows)

    def note(self, unit: str, placement: str, recommendation_id: str, at: int, items: tuple[str, ...]) -> None:
        """A list that was just shown: units in memory know of it at once."""
        key = (unit, placement)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or any(shown.recommendation_id == recommendation_id for shown in entry.lists):
                return
            newest = sorted((*entry.lists, _List(recommendation_id, at, items)), key=lambda shown: -shown.at)
            self._entries[key] = _Entry(tuple(newest[:MOST_LISTS]), entry.loaded)

    def forget(self, unit: str) -> None:
        """Drop what is in memory of a unit."""
        with self._lock:
            for key in [key for key in self._entries if key[0] == unit]:
                del self._entries[key]
