"""Brings interactions in from files: millions of rows, each taken or skipped with a reason, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.domain.events import MAX_ID, MAX_TYPE, UNKEEPABLE, EventError, checked_id
from reclift.domain.metric import MAX_AMOUNT
from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import cells
from reclift.flows.clock import now_micros
from reclift.flows.errors import Invalid
from reclift.flows.importing import Count, Told, columns_for
from reclift.flows.tables_in import Torn, batches
from reclift.storage import partitions
from reclift.storage.database import Database
from reclift.storage.imported import Imported, add_imported, mark_exposed

INTERACTION_COLUMNS = ("user_id", "item_id", "type", "value", "timestamp", "event_id")
ERASED = "user_id: was erased after this happened"
PORTION = 50_000
"""Events of one transaction: more is faster, but a shop that is open waits for its turn to write."""

Cells = list[Any]
"""Values of one column as they are kept, or the `EventError` that says why one cannot be."""


def import_interactions(
    database: Database,
    path: Path,
    mapping: Mapping[str, str],
    *,
    kind: str = "rating",
    pseudonyms: Pseudonyms | None = None,
    told: Told = lambda _: None,
) -> Count:
    """Add events of a file. Importing it again changes nothing: an event's id is made from its content.

    The same line twice in one file is two events.

    Args:
        database: where they go.
        path: the file.
        mapping: our column -> the file's.
        kind: event type of rows without a `type`.
        pseudonyms: hides user ids, where the settings ask for it.
        told: for a progress bar.
    """
    try:
        _type(kind)
    except EventError as error:
        raise Invalid.of("type", kind, str(error).split(": ", 1)[1]) from None
    columns = columns_for(path, INTERACTION_COLUMNS, ("user_id", "item_id"), mapping)
    torn = Torn()
    reading = _Reading(kind, pseudonyms or Pseudonyms())
    writing = _Writing(database, reading.now, Count(), torn)
    number = 0
    nothing = set(columns.values()) - {columns.get("type", "")}
    for batch in batches(path, list(dict.fromkeys(columns.values())), torn=torn, nothing=nothing):
        given = {ours: batch[theirs] for ours, theirs in columns.items()}
        size = len(given["user_id"])
        rows, bad = reading.rows(given, number + 1)
        for whole, wrong in bad:
            writing.count.skip(cells.reason(wrong), torn.row(whole))
        number += size
        del batch, given  # while events are written, the cells are not needed any more
        writing.add(rows)
        told(size)
    writing.flush()
    writing.count.skip_torn(torn)
    return writing.count


class _Reading:
    """Makes events of cells, a column at a time: most batches have no bad cell, and need no look at each."""

    def __init__(self, kind: str, hide: Pseudonyms) -> None:
        self.now = now_micros()
        self._kind = kind
        self._hide = hide
        self._seen = Seen()

    def rows(
        self, given: Mapping[str, Sequence[Any]], start: int
    ) -> tuple[list[Imported], list[tuple[int, EventError]]]:
        """Events of a batch, and what is wrong with the others, each with its number; `start` is the first one's."""
        size = len(given["user_id"])
        units = _ids("user_id", given["user_id"])
        if self._hide:
            units = [unit if isinstance(unit, EventError) else self._hide(unit) for unit in units]
        items = _ids("item_id", given["item_id"])
        nobody: list[None] = [None] * size
        types = _types(given.get("type", nobody), self._kind)
        values = _each(_value, given["value"]) if "value" in given else nobody
        raw_times = given.get("timestamp", nobody)
        times = _each(self._time, raw_times) if "timestamp" in given else [self.now] * size
        own = _each(_own_id, given["event_id"]) if "event_id" in given else nobody
        whole = range(size)
        bad = []
        columns = (units, items, types, values, times, own)
        if any(EventError in set(map(type, column)) for column in columns):
            first = [
                next((cell for cell in row if type(cell) is EventError), None) for row in zip(*columns, strict=True)
            ]
            bad = [(start + place, error) for place, error in enumerate(first) if error is not None]
            whole = [place for place, error in enumerate(first) if error is None]  # type: ignore[assignment]
        ids = self._event_ids(whole, own, units, items, types, values, raw_times)
        return [
            (event_id, types[place], units[place], items[place], values[place], times[place], start + place)
            for event_id, place in zip(ids, whole, strict=True)
        ], bad

    def _time(self, value: object) -> int:
        if value is None:
            return self.now
        at = cells.time(value)
        if at > self.now:
            raise EventError(f"timestamp={value!r}: must not be in the future")
        if at < 0:
            raise EventError(f"timestamp={value!r}: must not be before 1970")
        return at

    def _event_ids(self, whole: Sequence[int], own: Cells, *columns: Sequence[Any]) -> list[str]:
        """The file's own ids; else made from what a line says, and from how often it has been said before."""
        units, items, types, values, times = columns
        lines = [
            f"{units[n]}\x1f{items[n]}\x1f{types[n]}\x1f{values[n]!r}\x1f{times[n]}" for n in whole if own[n] is None
        ]
        digests = [hashlib.blake2b(f"{line}\x1f1".encode(), digest_size=16).digest() for line in lines]
        marks = np.frombuffer(b"".join(digests), dtype=">u8")[::2].astype(np.uint64)
        for place, times_seen in self._seen.again(marks).items():
            digests[place] = hashlib.blake2b(f"{lines[place]}\x1f{times_seen}".encode(), digest_size=16).digest()
        made = iter(digests)
        return [f"i-{next(made).hex()}" if own[n] is None else own[n] for n in whole]


class _Writing:
    """Writes events a portion at a time; afterwards marks those units that are in an experiment.

    The marks come in a second transaction: an exposure that is committed before is seen by it, and one that comes later
    marks its unit itself.
    """

    def __init__(self, database: Database, now: int, count: Count, torn: Torn) -> None:
        self.count = count
        self._database = database
        self._now = now
        self._torn = torn
        self._waiting: list[Imported] = []

    def add(self, rows: list[Imported]) -> None:
        """Some more."""
        self._waiting += rows
        if len(self._waiting) >= PORTION:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        self.count.types.update(row[1] for row in rows)
        partitions.ensure_for(self._database, (row[5] for row in rows))
        with self._database.connection() as connection:
            written = add_imported(connection, rows, self._now)
        for whole in written.refused:
            self.count.skip(ERASED, self._torn.row(whole))
        self.count.taken += written.new
        self.count.duplicates += len(rows) - written.new - len(written.refused)
        with self._database.connection() as connection:
            mark_exposed(connection, written.units)


class Seen:
    """How often a line came, eight bytes for each of millions: sorted runs of 64-bit numbers, merged as they grow."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._runs: list[NDArray[np.uint64]] = []
        self._more: Counter[int] = Counter()

    def again(self, marks: NDArray[np.uint64]) -> dict[int, int]:
        """Places of marks that came before, here or in an earlier call: 2 the second time, 3 the third, and so on."""
        order = np.argsort(marks, kind="stable")
        ranked = marks[order]
        first = np.ones(len(ranked), dtype=bool)
        first[1:] = ranked[1:] != ranked[:-1]
        known = np.zeros(len(ranked), dtype=bool)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, ranked), len(run) - 1)
            known |= run[place] == ranked
        found = {}
        repeated = known | ~first
        for place, mark in zip(order[repeated].tolist(), ranked[repeated].tolist(), strict=True):
            self._more[mark] += 1
            found[place] = self._more[mark] + 1
        self._keep(ranked[first & ~known])
        return found

    def _keep(self, run: NDArray[np.uint64]) -> None:
        if not len(run):
            return
        self._runs.append(run)
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort()
            self._runs.append(merged)


def _each(read: Callable[[Any], Any], values: Sequence[Any]) -> Cells:
    def one(value: Any) -> Any:
        try:
            return read(value)
        except EventError as error:
            return error

    return [one(value) for value in values]


def _ids(name: str, values: Sequence[Any]) -> Cells:
    if set(map(type, values)) == {str} and _keepable(values, MAX_ID):
        return list(values)
    return _each(lambda value: cells.identifier(name, value), values)


def _types(values: Sequence[Any], kind: str) -> Cells:
    """There are few different ones."""
    read: dict[Any, Any] = {None: kind}
    for value in {value for value in values if isinstance(value, str)}:
        (read[value],) = _each(_type, [value])
    return [read[value] if value is None or isinstance(value, str) else _each(_type, [value])[0] for value in values]


def _keepable(texts: Sequence[str], longest: int) -> bool:
    lengths = list(map(len, texts))
    return min(lengths) > 0 and max(lengths) <= longest and not UNKEEPABLE.search("".join(texts))


def _type(value: object) -> str:
    text = cells.identifier("type", value)
    if len(text) > MAX_TYPE:
        raise EventError(f"type={text!r}: must be a string of 1 to {MAX_TYPE} characters")
    return text


def _value(value: object) -> float | None:
    if value is None:
        return None
    number = cells.number(value, "value")
    if not -MAX_AMOUNT <= number <= MAX_AMOUNT:
        raise EventError(f"value={value!r}: must be a number from {-MAX_AMOUNT:g} to {MAX_AMOUNT:g}")
    return number


def _own_id(value: object) -> str | None:
    return None if value is None else checked_id("event_id", cells.identifier("event_id", value))
