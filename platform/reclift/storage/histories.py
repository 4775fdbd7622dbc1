"""What users did lately and what the shop told of them: from memory, filled from the database, kept fresh by news."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
import structlog
from sqlalchemy import bindparam, null, select, type_coerce, union_all
from sqlalchemy.exc import SQLAlchemyError

from reclift.domain.events import MICROS
from reclift.storage.database import Database
from reclift.storage.read_sqlite import OneRow
from reclift.storage.tables import EventRow, Profile
from reclift.strategy import Signal

log = structlog.get_logger(__name__)

KEPT_SECONDS = 300.0
"""An entry is read anew after so long, whatever the news say."""

UNSETTLED_SECONDS = 60.0
"""A signal that this process took is added to what the database says for so long: it may wait in a buffer."""

_MOST_CHANGED = 20_000


_NOTHING_TOLD: Mapping[str, Any] = MappingProxyType({})


class _Known(NamedTuple):
    signals: tuple[Signal, ...] = ()
    attributes: Mapping[str, Any] = _NOTHING_TOLD


class Known(_Known):
    """What is known of a unit: signals, oldest first, and the attributes that the shop stored. Not to be changed."""

    @cached_property
    def interacted(self) -> frozenset[str]:
        """Items of all signals."""
        return frozenset(signal.item_id for signal in self.signals)

    @cached_property
    def bought(self) -> frozenset[str]:
        """Items of purchases."""
        return frozenset(signal.item_id for signal in self.signals if signal.type == "purchase")


_NOBODY = Known()


class _Entry(NamedTuple):
    """`loaded`: when it was read from the database; `own`: what this process took, and when."""

    known: Known
    loaded: float
    own: tuple[tuple[Signal, float], ...] = ()


class Histories:
    """A bounded cache of users' latest signals and stored attributes.

    Events that this process takes are added at once, so a click changes the very next answer. What others write is
    told by `changed`, by whoever follows the news (`storage.news`): an entry is trusted while the news are known until
    less than `ttl` seconds ago and do not name its unit, for some minutes at most. Without news an entry is trusted for
    `ttl` seconds. Either way, what another process has written counts after `ttl` at the latest, and a known user costs
    no reading. While the database is away, old entries are better than none, and nothing is known of others.
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
        self._told_until = float("-inf")
        self._distrusted_at = float("-inf")
        # What changed lately: a reading that began before must not pass for a newer one.
        self._changed: OrderedDict[str, float] = OrderedDict()
        # Made once: making it takes longer than running it.
        self._query = _query(list(self._weights), length)
        self._one_row = OneRow(database.engine) if database.is_sqlite else None
        self._statement = _statement(len(self._weights), length)

    def known(self, unit: str) -> Known:
        """What is known of the unit. Never raises: without a database there is less to know."""
        entry = self._entries.get(unit)
        now = time.monotonic()
        if entry is not None and entry.loaded > self._distrusted_at:
            age = now - entry.loaded
            if age < self._ttl or (age < KEPT_SECONDS and now - self._told_until < self._ttl):
                return entry.known
        if now < self._rest_until:
            return entry.known if entry is not None else _NOBODY
        try:
            known = self._load(unit)
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + 1.0
            log.warning("history_unavailable", reason=str(error).splitlines()[0])
            return entry.known if entry is not None else _NOBODY
        return self._keep(unit, known, now)

    def get(self, unit: str) -> tuple[Signal, ...]:
        """The unit's signals alone, oldest first."""
        return self.known(unit).signals

    def _load(self, unit: str) -> Known:
        if self._one_row is not None:
            return self._load_quickly(unit, self._one_row)
        with self._database.within() as connection:
            rows = connection.execute(self._query, {"unit": unit}).all()
        attributes = _NOTHING_TOLD
        signals = []
        for item, kind, value, at, told in reversed(rows):
            if kind is None:
                attributes = told
            else:
                signals.append(Signal(str(item), self._weights[kind], at / MICROS, kind, value))
        return Known(tuple(signals), attributes)

    def _load_quickly(self, unit: str, one_row: OneRow) -> Known:
        told, attributes = one_row.ask(self._statement, (unit, *self._weights, unit))
        rows = () if told is None else reversed(orjson.loads(f"[{told}]"))
        signals = tuple(Signal(item, self._weights[kind], at / MICROS, kind, value) for item, kind, value, at in rows)
        return Known(signals, _NOTHING_TOLD if attributes is None else orjson.loads(attributes))

    def _keep(self, unit: str, known: Known, began: float) -> Known:
        """Remember what was read from the database since `began`, with what this process took and it may not have."""
        with self._lock:
            before = self._entries.get(unit)
            own = tuple(
                (signal, at)
                for signal, at in (before.own if before is not None else ())
                if began - at < UNSETTLED_SECONDS and signal not in known.signals
            )
            if own:
                known = known._replace(signals=self._newest((*known.signals, *(signal for signal, _ in own))))
            if max(self._changed.get(unit, began - 1), self._distrusted_at) >= began:
                # Somebody changed it while it was being read: good for this answer, not for the next.
                began = float("-inf")
            self._entries[unit] = _Entry(known, began, own)
            self._entries.move_to_end(unit)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return known

    def _newest(self, signals: Iterable[Signal]) -> tuple[Signal, ...]:
        return tuple(sorted(signals, key=lambda known: known.at)[-self._length :])

    def note(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Events that this process just took: its next answer knows them, wherever they still wait."""
        now = time.monotonic()
        for row in events:
            unit, weight = row["unit_id"], self._weights.get(row["type"])
            if weight is None or row["item_id"] is None:
                continue
            signal = Signal(row["item_id"], weight, row["at"] / MICROS, row["type"], row["value"])
            with self._lock:
                self._mark(unit, now)
                entry = self._entries.get(unit)
                if entry is None:
                    # Nothing is known, and so it is read when it is asked for; this must not be missing then.
                    entry = _Entry(_NOBODY, float("-inf"))
                if signal not in entry.known.signals:
                    own = [*(one for one in entry.own if now - one[1] < UNSETTLED_SECONDS), (signal, now)]
                    own.sort(key=lambda one: one[0].at)
                    known = entry.known._replace(signals=self._newest((*entry.known.signals, signal)))
                    self._entries[unit] = _Entry(known, entry.loaded, tuple(own[-self._length :]))
                    while len(self._entries) > self._capacity:
                        self._entries.popitem(last=False)

    def changed(self, units: Iterable[str], until: float) -> None:
        """Others wrote of these units, and of no more until the moment `until` of the monotonic clock.

        What is in memory of them is read again when it is asked for.
        """
        now = time.monotonic()
        with self._lock:
            for unit in units:
                self._mark(unit, now)
                known = self._entries.get(unit)
                if known is not None:
                    self._entries[unit] = known._replace(loaded=float("-inf"))
            self._told_until = max(until, self._told_until)

    def distrust(self) -> None:
        """Nobody knows whom others wrote of: everything in memory is read again when it is asked for."""
        self._distrusted_at = time.monotonic()

    def persons_changed(self, units: Collection[str] | None) -> None:
        """Ids were merged; None: people may have been erased, and nothing of anybody stays in memory."""
        if units is not None:
            self.changed(units, float("-inf"))
            return
        with self._lock:
            self._entries.clear()
            self._distrusted_at = time.monotonic()

    def _mark(self, unit: str, now: float) -> None:
        """The lock is held."""
        self._changed[unit] = now
        self._changed.move_to_end(unit)
        while len(self._changed) > _MOST_CHANGED:
            # Who was marked before is forgotten: a reading that began before then is not to be trusted.
            _, marked = self._changed.popitem(last=False)
            self._distrusted_at = max(self._distrusted_at, marked)

    def forget(self, unit: str) -> None:
        """Drop what is in memory of a unit."""
        with self._lock:
            self._mark(unit, time.monotonic())
            self._entries.pop(unit, None)


def _query(kinds: Sequence[str], length: int) -> Any:
    """A unit's latest signals, newest first, and its profile, the one row without a type: one question for both."""
    latest = (
        select(EventRow.item_id, EventRow.type, EventRow.value, EventRow.at, EventRow.event_id)
        .where(EventRow.unit_id == bindparam("unit"), EventRow.item_id.is_not(None), EventRow.type.in_(kinds))
        .order_by(EventRow.at.desc(), EventRow.event_id.desc())
        .limit(length)
        .subquery()
    )
    nothing = null()
    signals = select(latest, type_coerce(nothing, Profile.attributes.type).label("attributes"))
    profile = select(nothing, nothing, nothing, nothing, nothing, Profile.attributes)
    both = union_all(signals, profile.where(Profile.unit_id == bindparam("unit"))).subquery().c
    rows = select(both.item_id, both.type, both.value, both.at, both.attributes)
    return rows.order_by(both.at.desc(), both.event_id.desc())


def _statement(kinds: int, length: int) -> str:
    """The same for SQLite, as one row: the signals as JSON, newest first, and the profile's attributes.

    The JSON is put together by hand, because SQLite's own writes only 15 digits of a number; 17 give it back exactly
    (beyond all prices and ratings, from about 1e20 on, to within the last bit).
    """
    signal = (
        "'[' || json_quote(item_id) || ',' || json_quote(type) || ',' || "
        "CASE WHEN value ISNULL THEN 'null' ELSE printf('%!.17g', value) END || ',' || at || ']'"
    )
    return (
        f"SELECT (SELECT group_concat({signal}) FROM (SELECT item_id, type, value, at FROM events "  # noqa: S608 (marks and a whole number)
        f"WHERE unit_id = ? AND item_id NOTNULL AND type IN ({', '.join('?' * kinds)}) "
        f"ORDER BY at DESC, event_id DESC LIMIT {length:d})), "
        "(SELECT attributes FROM profiles WHERE unit_id = ?)"
    )
