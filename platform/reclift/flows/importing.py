"""Brings items in from files: each row is taken or skipped with a reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from reclift.domain.events import EventError, has_nul
from reclift.flows import catalogue, cells
from reclift.flows.errors import Invalid
from reclift.flows.tables_in import Broken, Torn, batches, column_names
from reclift.storage.database import Database

Told = Callable[[int], None]
"""Told how many more rows were read."""

ITEM_COLUMNS = ("item_id", "title", "description", "category", "price", "image_url", "available", "attributes")


@dataclass
class Count:
    """What became of the rows: taken, known already, and skipped by reason (with the first row of each).

    `replaced`: items that came again further down in the file, where the last row counts.
    `types`: event types that came.
    """

    taken: int = 0
    duplicates: int = 0
    replaced: int = 0
    types: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str, row: int) -> None:
        """A row that was not taken; `row` counts from 1, without the header."""
        self.skipped[reason] += 1
        self.first_rows.setdefault(reason, row)

    def skip_torn(self, torn: Torn) -> None:
        """Lines of a CSV with too few or too many cells."""
        if torn.rows:
            reason = f"row: must have {torn.columns} cells, as the header has"
            self.skipped[reason] += len(torn.rows)
            self.first_rows[reason] = torn.rows[0]


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
    torn = Torn()
    number = 0
    wanted = list(dict.fromkeys([*columns.values(), *attributes]))
    nothing = {columns[name] for name in ("item_id", "price", "available") if name in columns}
    for batch in batches(path, wanted, torn=torn, nothing=nothing):
        rows = []
        before = number
        for cells_of_row in zip(*batch.values(), strict=True):
            number += 1
            raw = dict(zip(batch, cells_of_row, strict=True))
            try:
                item = {ours: raw[theirs] for ours, theirs in columns.items() if raw[theirs] is not None}
                extra = {name: raw[name] for name in attributes if raw[name] is not None}
                rows.append(catalogue.parse_item(_typed_item(item, extra), "row"))
            except Invalid as error:
                reason = "; ".join(f"{p.field.removeprefix('row.')}: {p.rule}" for p in error.problems)
                count.skip(reason, torn.row(number))
        with database.write() as session:
            taken = catalogue.put_items(session, rows)
        count.taken += taken
        count.replaced += len(rows) - taken
        told(number - before)
    count.skip_torn(torn)
    return count


def _typed_item(item: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of a CSV, and types of Parquet that JSON does not have, as what they mean."""
    for name, value in (item | dict(extra)).items():
        if isinstance(value, Broken):
            raise Invalid.of(f"row.{name}", repr(value.content), "must be UTF-8 text")
    item["item_id"] = cells.text(item["item_id"]) if item.get("item_id") is not None else None
    if item.get("price") is not None:
        try:
            item["price"] = cells.number(item["price"], "price")
        except EventError:
            raise Invalid.of("row.price", item["price"], "must be a number of at least 0") from None
    for name in ("title", "category"):
        if isinstance(item.get(name), int | float | Decimal) and not isinstance(item[name], bool):
            item[name] = cells.text(item[name])
    if isinstance(item.get("available"), int) and item["available"] in {0, 1}:
        item["available"] = bool(item["available"])
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
    if "attributes" in item:
        item["attributes"] = _plain(item["attributes"])
        if has_nul(item["attributes"]):
            raise Invalid.of("row.attributes", item["attributes"], "must not contain NUL characters")
    return item


def _plain(value: Any) -> Any:
    """As JSON has it: numbers, texts, lists and mappings."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        raise Invalid.of("row.attributes", repr(value), "must be UTF-8 text")
    return value.isoformat() if isinstance(value, date | clock_time) else str(value)
