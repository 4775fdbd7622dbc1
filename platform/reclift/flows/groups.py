"""Saved groups: named lists of users (or values) and named conditions, for use in many audiences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.condition_check import check_condition
from reclift.domain.groups import UNIT_ATTRIBUTE, Groups, SavedGroup
from reclift.domain.problem import Problem
from reclift.domain.validation import KEY, KEY_RULE
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.storage.tables import ExperimentRow, SavedGroupRow

MAX_VALUES = 5_000
_FIELDS = frozenset({"key", "name", "values", "attribute", "condition", "created_at", "updated_at", "size"})


def to_domain(row: SavedGroupRow) -> SavedGroup:
    """The group as the plan sees it."""
    values = row.definition.get("values")
    return SavedGroup(
        row.key,
        values=tuple(values) if values is not None else None,
        condition=row.definition.get("condition"),
        attribute=row.definition.get("attribute") or UNIT_ATTRIBUTE,
    )


def all_groups(session: Session) -> Groups:
    """All groups by key."""
    return {row.key: to_domain(row) for row in session.scalars(select(SavedGroupRow).order_by(SavedGroupRow.key))}


def view(row: SavedGroupRow) -> dict[str, Any]:
    """A group as the API and pages show it."""
    values = row.definition.get("values")
    return {
        "key": row.key,
        "name": row.name,
        "values": values,
        "attribute": row.definition.get("attribute"),
        "condition": row.definition.get("condition"),
        "size": len(values) if values is not None else None,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def views(session: Session) -> list[dict[str, Any]]:
    """All groups by key."""
    return [view(row) for row in session.scalars(select(SavedGroupRow).order_by(SavedGroupRow.key))]


def find(session: Session, key: str) -> SavedGroupRow:
    """The row of a key; `NotFound`."""
    row = session.get(SavedGroupRow, key)
    if row is None:
        raise NotFound("group", key)
    return row


def put(session: Session, key: str, payload: Mapping[str, Any], actor: str) -> dict[str, Any]:
    """Make or replace a group: `values` (of `attribute`, the user's id by default), or a `condition`."""
    problems = [
        Problem(str(name), payload[name], f"is not a field of a group; fields: {', '.join(sorted(_FIELDS))}")
        for name in payload.keys() - _FIELDS
    ]
    if KEY.fullmatch(key) is None or payload.get("key", key) != key:
        problems.append(Problem("key", payload.get("key", key), f"must be the address's; {KEY_RULE}"))
    values, condition = payload.get("values"), payload.get("condition")
    if (values is None) == (condition is None):
        problems.append(Problem("values", values, "must be there or `condition`, and not both"))
    if values is not None and (
        not isinstance(values, list)
        or len(values) > MAX_VALUES
        or any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in values)
    ):
        problems.append(Problem("values", values, f"must be a list of at most {MAX_VALUES} strings or numbers"))
    attribute = payload.get("attribute")
    if attribute is not None and (not isinstance(attribute, str) or not 1 <= len(attribute) <= 64):
        problems.append(Problem("attribute", attribute, "must be an attribute's name of 1 to 64 characters"))
    name = payload.get("name", key)
    if not isinstance(name, str) or len(name) > 200:
        problems.append(Problem("name", name, "must be a string of at most 200 characters"))
    if problems:
        raise Invalid(problems)
    definition = {"values": values, "attribute": attribute, "condition": condition}
    group = SavedGroup(
        key, tuple(values) if values is not None else None, condition, attribute=attribute or UNIT_ATTRIBUTE
    )
    groups = {**all_groups(session), key: group}
    if condition is not None:
        problems += check_condition(condition, "condition", groups)
    for user in _users(session, key):
        # A change here must not break an audience somewhere else (a cycle, for example).
        problems += check_condition(user.audience, f"used by experiment {user.key}: audience", groups)
        problems += check_condition(user.exclude, f"used by experiment {user.key}: exclude", groups)
    for other in _nesting(session, key):
        problems += check_condition(other.definition["condition"], f"used by group {other.key}: condition", groups)
    if problems:
        raise Invalid(problems)
    row = session.get(SavedGroupRow, key)
    before = view(row) if row is not None else None
    at = now()
    if row is None:
        row = SavedGroupRow(key=key, created_at=at)
        session.add(row)
    row.name, row.definition, row.updated_at = name, definition, at
    session.flush()
    bump(session)
    after = view(row)
    record(session, actor, "change" if before else "create", "group", key, before, after)
    return after


def remove(session: Session, key: str, actor: str) -> None:
    """Delete a group that nothing uses; `Conflict` names what does."""
    row = find(session, key)
    users = [user.key for user in _users(session, key)]
    others = [other.key for other in _nesting(session, key)]
    if users or others:
        raise Conflict(f"group {key!r} is used by {', '.join(users + others)}")
    session.delete(row)
    bump(session)
    record(session, actor, "delete", "group", key, view(row), None)


def _nesting(session: Session, key: str) -> list[SavedGroupRow]:
    """Other groups whose condition names this one."""
    rows = session.scalars(select(SavedGroupRow).where(SavedGroupRow.key != key).order_by(SavedGroupRow.key))
    return [other for other in rows if _mentions(other.definition.get("condition"), key)]


def _users(session: Session, key: str) -> list[ExperimentRow]:
    rows = session.scalars(select(ExperimentRow).where(ExperimentRow.status.in_(["draft", "running", "paused"])))
    return [row for row in rows if _mentions(row.audience, key) or _mentions(row.exclude, key)]


def _mentions(condition: Any, key: str) -> bool:
    """Whether a condition names a group anywhere; names of attributes never begin with `$`, so this is exact enough."""
    if isinstance(condition, Mapping):
        for name, value in condition.items():
            if name in {"$inGroup", "$notInGroup"} and value == key:
                return True
            if name in {"$savedGroup", "$savedGroups"} and (
                value == key or (isinstance(value, Mapping) and value.get("id") == key)
            ):
                return True
            if _mentions(value, key):
                return True
    if isinstance(condition, list):
        return any(_mentions(entry, key) for entry in condition)
    return False
