"""What users did lately, as strategies see it: from memory, filled from the database, kept fresh by what passes by."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from reclift.domain.events import MICROS
from reclift.storage.database import Database
from reclift.storage.tables import EventRow
from reclift.strategy import Signal

log = structlog.get_logger(__name__)


class _Entry(NamedTuple):
    signals: tuple[Signal, ...]
    loaded: float


class Histories:
    """A bounded cache of users' latest signals.

    An entry is trusted for `ttl` seconds; events that this process takes are added at once, so with one process a
    click changes the very next answer, and with many it does after `ttl` at the latest. While the database is away,
    old entries are better than none, and unknown users have no history.
    """

    def __init__(
        self, database: Database, weights: Mapping[str, float], *, length: int, ttl: float, capacity: int = 50_000
    ) -> None:
        """`weights`: event type -> weight; other types are no signals. `length`: how many of the latest are kept."""
        self._database = database
        self._weights = {kind: weight for kind, weight in weights.items() if weight > 0}
        self._length = length
        self._ttl = ttl
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._rest_until = 0.0
        # Made once: making it takes longer than running it.
        self._query = (
            select(EventRow.item_id, EventRow.type, EventRow.value, EventRow.at)
            .where(
                EventRow.unit_id == bindparam("unit"),
                EventRow.item_id.is_not(None),
                EventRow.type.in_(list(self._weights)),
            )
            .order_by(EventRow.at.desc(), EventRow.event_id.desc())
            .limit(self._length)
        )

    def get(self, unit: str) -> tuple[Signal, ...]:
        """The unit's signals, oldest first. Never raises: without a database there is less to know."""
        entry = self._entries.get(unit)
        now = time.monotonic()
        if entry is not None and now - entry.loaded < self._ttl:
            return entry.signals
        if now < self._rest_until:
            return entry.signals if entry is not None else ()
        try:
            signals = self._load(unit)
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("history_unavailable", reason=str(error).splitlines()[0])
            return entry.signals if entry is not None else ()
        self._keep(unit, _Entry(signals, now))
        return signals

    def _load(self, unit: str) -> tuple[Signal, ...]:
        with self._database.within() as connection:
            rows = connection.execute(self._query, {"unit": unit}).all()
        return tuple(
            Signal(str(item), self._weights[kind], at / MICROS, kind, value) for item, kind, value, at in reversed(rows)
        )

    def _keep(self, unit: str, entry: _Entry) -> None:
        with self._lock:
            self._entries[unit] = entry
            self._entries.move_to_end(unit)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def note(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Events that were just taken: users in memory learn of them at once."""
        for row in events:
            unit, weight = row["unit_id"], self._weights.get(row["type"])
            if weight is None or row["item_id"] is None:
                continue
            signal = Signal(row["item_id"], weight, row["at"] / MICROS, row["type"], row["value"])
            with self._lock:
                entry = self._entries.get(unit)
                if entry is not None and signal not in entry.signals:
                    signals = sorted((*entry.signals, signal), key=lambda known: known.at)[-self._length :]
                    self._entries[unit] = _Entry(tuple(signals), entry.loaded)

    def forget(self, unit: str) -> None:
        """Drop what is in memory of a unit."""
        with self._lock:
            self._entries.pop(unit, None)
