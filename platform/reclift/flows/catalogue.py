"""Items and users, as the shop tells of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reclift.domain.events import EventError, checked_id
from reclift.domain.problem import Problem
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import aliases_changed, take_turns
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.flows.identity import merge
from reclift.storage import profiles
from reclift.storage.database import rows_changed
from reclift.storage.persons import change_alone
from reclift.storage.tables import Alias, Configuration, ItemRow

MAX_ITEMS = 10_000
MOST_ATTRIBUTES_BYTES = 16_000
"""What the shop may tell of one user, as JSON: it lies in memory, and enters each training."""

_FIELDS = frozenset({"item_id", "title", "description", "category", "price", "image_url", "available", "attributes"})


def parse_item(raw: object, place: str = "items") -> dict[str, Any]:
    """One item as sent -> its row; `Invalid` names every field that breaks a rule."""
    if not isinstance(raw, Mapping):
        raise Invalid.of(place, raw, "must be an object")
    problems: list[Problem] = []

    def refuse(name: str, rule: str) -> None:
        problems.append(Problem(f"{place}.{name}", raw.get(name), rule))

    try:
        checked_id("item_id", raw.get("item_id"))
    except EventError:
        refuse("item_id", "must be a string of 1 to 200 characters")
    for name in raw.keys() - _FIELDS:
        refuse(str(name), f"is not a field of an item; put it under attributes (fields: {', '.join(sorted(_FIELDS))})")
    for name, longest in (("title", 1_000), ("description", 20_000), ("category", 200), ("image_url", 2_000)):
        value = raw.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > longest or "\x00" in value):
            refuse(name, f"must be a string of at most {longest} characters")
    price = raw.get("price")
    if price is not None and (
        isinstance(price, bool) or not isinstance(price, int | float) or not math.isfinite(price) or price < 0
    ):
        refuse("price", "must be a number of at least 0")
    if not isinstance(raw.get("available", True), bool):
        refuse("available", "must be true or false")
    if raw.get("attributes") is not None and not isinstance(raw["attributes"], dict):
        refuse("attributes", "must be an object")
    if problems:
        raise Invalid(problems)
    return {
        "item_id": raw["item_id"],
        "title": raw.get("title") or "",
        "description": raw.get("description") or "",
        "category": raw.get("category"),
        "price": float(price) if price is not None else None,
        "image_url": raw.get("image_url"),
        "available": raw.get("available", True),
        "attributes": raw.get("attributes") or {},
        "updated_at": now(),
    }


def _upsert(session: Session, table: Any, rows: list[dict[str, Any]], key: str) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    names = [name for name in rows[0] if name != key]
    session.execute(
        statement.on_conflict_do_update(index_elements=[key], set_={name: statement.excluded[name] for name in names}),
        rows,
    )


def put_items(session: Session, items: Iterable[dict[str, Any]]) -> int:
    """Add or replace items by id; the last of equal ids wins. Returns how many there were."""
    rows = {row["item_id"]: row for row in items}
    if rows:
        _upsert(session, ItemRow, list(rows.values()), "item_id")
        changed(session)
    return len(rows)


def delete_item(session: Session, item_id: str) -> None:
    """Remove an item: it is never shown again."""
    if not rows_changed(session.execute(delete(ItemRow).where(ItemRow.item_id == item_id))):
        raise NotFound("item", item_id)
    changed(session)


def changed(session: Session) -> None:
    """Tell every process that the catalogue is another one."""
    session.execute(
        update(Configuration).where(Configuration.id == 1).values(catalogue_version=Configuration.catalogue_version + 1)
    )


def item_view(row: ItemRow) -> dict[str, Any]:
    """An item as the API and pages show it."""
    return {
        "item_id": row.item_id,
        "title": row.title,
        "description": row.description,
        "category": row.category,
        "price": row.price,
        "image_url": row.image_url,
        "available": row.available,
        "attributes": row.attributes,
        "updated_at": rfc3339(row.updated_at),
    }


def search_items(
    session: Session, text: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Items whose id, title or category contains the text; and how many there are in all."""
    query = select(ItemRow)
    if text:
        like = f"%{text.replace('%', '').replace('_', '')}%"
        query = query.where(or_(ItemRow.item_id.ilike(like), ItemRow.title.ilike(like), ItemRow.category.ilike(like)))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = session.scalars(query.order_by(ItemRow.item_id).limit(limit).offset(offset))
    return [item_view(row) for row in rows], total


def titles(session: Session, item_ids: Iterable[str]) -> dict[str, str]:
    """The titles of some items."""
    rows = session.execute(select(ItemRow.item_id, ItemRow.title).where(ItemRow.item_id.in_(list(item_ids))))
    return {str(item_id): str(title) for item_id, title in rows}


def put_profile(session: Session, unit_id: str, attributes: object) -> str:
    """Keep what the shop tells of a user, in place of what it told before; returns the person's canonical id."""
    if not isinstance(attributes, dict):
        raise Invalid.of("attributes", attributes, "must be an object")
    text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_ATTRIBUTES_BYTES:
        rule = f"must take at most {MOST_ATTRIBUTES_BYTES:,} bytes as JSON; these take {size:,}"
        raise Invalid.of("attributes", attributes, rule)
    return profiles.put(session.connection(), unit_id, attributes, now())


def add_alias(session: Session, unit_id: str, alias: str) -> bool:
    """Let `alias` mean the person `unit_id`; False when it did already. An alias never changes its person.

    What was known under the alias becomes the person's: see `reclift.flows.identity`.
    """
    if alias == unit_id:
        raise Invalid.of("alias", alias, "must differ from the user's own id")
    change_alone(session)
    # In turn: what follows are rules about what others have added.
    take_turns(session)
    target = session.scalar(select(Alias.unit_id).where(Alias.alias == unit_id)) or unit_id
    known = session.scalar(select(Alias).where(Alias.alias == alias))
    if known is not None:
        if known.unit_id == target:
            return False
        raise Conflict(f"alias {alias!r} belongs to another user already")
    if session.scalar(select(Alias.id).where(Alias.unit_id == alias).limit(1)) is not None:
        raise Conflict(f"alias {alias!r} is itself a user with aliases")
    session.add(Alias(alias=alias, unit_id=target, created_at=now()))
    merge(session, alias, target)
    aliases_changed(session)
    return True
