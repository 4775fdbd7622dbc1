"""Brings items and interactions in from files: millions of rows, each taken or skipped with a reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select

from reclift.domain.events import EventError, checked_id
from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import catalogue, cells
from reclift.flows.clock import now_micros
from reclift.flows.errors import Invalid
from reclift.flows.tables_in import batches, column_names
from reclift.storage import partitions
from reclift.storage.database import Database
from reclift.storage.facts import add_events
from reclift.storage.tables import DirtyUnit, ExposureRow

Told = Callable[[int], None]
"""Told how many more rows were read."""

ITEM_COLUMNS = ("item_id", "title", "description", "category", "price", "image_url", "available", "attributes")
INTERACTION_COLUMNS = ("user_id", "item_id", "type", "value", "timestamp", "event_id")
_MARK_BATCH = 5_000


@dataclass
class Count:
    """What became of the rows: taken, known already, and skipped by reason (with the first row of each)."""

    taken: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str, row: int) -> None:
        """A row that was not taken; `row` counts from 1, without the header."""
        self.skipped[reason] += 1
        self.first_rows.setdefault(reason, row)


class _Seen:
    """How often a line came, in little memory for each of millions: lines are remembered as 64-bit numbers."""

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._more: Counter[int] = Counter()

    def count(self, line: str) -> int:
        """1 the first time, 2 the second, and so on."""
        mark = int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest())
        if mark not in self._once:
            self._once.add(mark)
            return 1
        self._more[mark] += 1
        return self._more[mark] + 1


def columns_for(
    path: Path, wanted: Sequence[str], required: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, str]:
    """Which of our columns comes from which of the file's; `Invalid` when a required one is missing.

    `mapping`: ours -> the file's; columns of the same name map by themselves.
    """
    known = column_names(path)
    for ours, theirs in mapping.items():
        if ours not in wanted:
            raise Invalid.of("map", ours, f"must be one of {', '.join(wanted)}")
        if theirs not in known:
            raise Invalid.of("map", theirs, f"is not in {path.name}; it has {', '.join(known)}")
    result = {name: name for name in wanted if name in known} | dict(mapping)
    for name in required:
        if name not in result:
            raise Invalid.of(
                "column", name, f"is not in {path.name} (it has {', '.join(known)}); map it: --map {name}=COLUMN"
            )
    return result


def import_items(
    database: Database,
    path: Path,
    mapping: Mapping[str, str],
    *,
    attributes: Sequence[str] = (),
    told: Told = lambda _: None,
) -> Count:
    """Add or replace items of a file. `attributes`: further columns that go under the item's attributes."""
    columns = columns_for(path, ITEM_COLUMNS, ("item_id",), mapping)
    count = Count()
    number = 0
    for batch in batches(path, list(dict.fromkeys([*columns.values(), *attributes]))):
        rows = []
        for raw in batch.to_pylist():
            number += 1
            try:
                item = {ours: raw[theirs] for ours, theirs in columns.items() if raw[theirs] is not None}
                extra = {name: raw[name] for name in attributes if raw[name] is not None}
                rows.append(catalogue.parse_item(_typed_item(item, extra), "row"))
            except Invalid as error:
                count.skip("; ".join(f"{p.field.removeprefix('row.')}: {p.rule}" for p in error.problems), number)
        with database.write() as session:
            count.taken += catalogue.put_items(session, rows)
        told(batch.num_rows)
    return count


def _typed_item(item: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of a CSV as what they mean."""
    item["item_id"] = cells.text(item["item_id"]) if item.get("item_id") is not None else None
    if isinstance(item.get("price"), str):
        try:
            item["price"] = float(item["price"])
        except ValueError:
            raise Invalid.of("row.price", item["price"], "must be a number of at least 0") from None
    if isinstance(item.get("available"), str):
        item["available"] = {"true": True, "1": True, "false": False, "0": False}.get(
            item["available"].lower(), item["available"]
        )
    if isinstance(item.get("attributes"), str):
        try:
            item["attributes"] = orjson.loads(item["attributes"])
        except orjson.JSONDecodeError:
            raise Invalid.of("row.attributes", item["attributes"], "must be a JSON object") from None
    if extra and isinstance(item.get("attributes", {}), dict):
        item["attributes"] = {**item.get("attributes", {}), **extra}
    return item


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

    Args:
        database: where they go.
        path: the file.
        mapping: our column -> the file's.
        kind: event type of rows without a `type`.
        pseudonyms: hides user ids, where the settings ask for it.
        told: for a progress bar.
    """
    columns = columns_for(path, INTERACTION_COLUMNS, ("user_id", "item_id"), mapping)
    count = Count()
    hide = pseudonyms or Pseudonyms()
    now = now_micros()
    number = 0
    seen = _Seen()
    for batch in batches(path, list(dict.fromkeys(columns.values()))):
        rows = []
        lists = {ours: batch.column(theirs).to_pylist() for ours, theirs in columns.items()}
        for values in zip(*lists.values(), strict=True):
            number += 1
            try:
                rows.append(_event(dict(zip(lists, values, strict=True)), kind, now, seen, hide))
            except EventError as error:
                count.skip(cells.reason(error), number)
        taken = _write(database, rows)
        count.taken += taken
        count.duplicates += len(rows) - taken
        told(batch.num_rows)
    return count


def _event(raw: dict[str, Any], kind: str, now: int, seen: _Seen, hide: Pseudonyms) -> dict[str, Any]:
    unit = hide(checked_id("user_id", cells.text(raw["user_id"])))
    item = checked_id("item_id", cells.text(raw["item_id"]))
    event_type = cells.text(raw["type"]) if raw.get("type") is not None else kind
    value = cells.number(raw["value"], "value") if raw.get("value") is not None else None
    at = cells.time(raw["timestamp"]) if raw.get("timestamp") is not None else now
    if at > now:
        raise EventError(f"timestamp={raw['timestamp']!r}: must not be in the future")
    if raw.get("event_id") is not None:
        event_id = checked_id("event_id", cells.text(raw["event_id"]))
    else:
        # The same line twice in one file is two events; the same file again is not.
        text = "\x1f".join((unit, item, event_type, repr(value), str(raw.get("timestamp"))))
        times = seen.count(text)
        event_id = "i-" + hashlib.blake2b(f"{text}\x1f{times}".encode(), digest_size=16).hexdigest()
    return {
        "event_id": event_id,
        "type": event_type,
        "unit_id": unit,
        "item_id": item,
        "recommendation_id": None,
        "value": value,
        "at": at,
        "client_at": None,
        "received_at": now,
        "properties": {},
    }


def _write(database: Database, rows: Sequence[dict[str, Any]]) -> int:
    """Write events; afterwards mark those units that are in an experiment.

    The marks come in a second transaction: an exposure that is committed before is seen by it, and one that comes later
    marks its unit itself.
    """
    if not rows:
        return 0
    partitions.ensure_for(database, (row["at"] for row in rows))
    with database.connection() as connection:
        taken = add_events(connection, rows)
    units = sorted({row["unit_id"] for row in rows})
    with database.connection() as connection:
        for start in range(0, len(units), _MARK_BATCH):
            part = units[start : start + _MARK_BATCH]
            exposed = connection.scalars(
                select(ExposureRow.unit_id).where(ExposureRow.unit_id.in_(part)).distinct()
            ).all()
            if exposed:
                connection.execute(insert(DirtyUnit), [{"unit_id": unit} for unit in exposed])
    return taken
