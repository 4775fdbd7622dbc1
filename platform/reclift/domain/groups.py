"""Saved groups: a named list of values (users, countries …) or a named condition, for use in many audiences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNIT_ATTRIBUTE = "id"
"""The attribute that is always the unit itself, whatever the shop sent under this name."""


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A named list of values of one attribute, or a named condition; exactly one of both.

    Attributes:
        values: the list; `{"country": {"$inGroup": KEY}}` tests any attribute against it, and
            `{"$savedGroup": {"id": KEY}}` tests `attribute`.
        condition: the condition; used as `{"$savedGroup": {"id": KEY}}`.
        attribute: whose values the list holds: the unit's id where nothing else is said.
    """

    key: str
    values: tuple[Any, ...] | None = None
    condition: Mapping[str, Any] | None = None
    attribute: str = UNIT_ATTRIBUTE


Groups = Mapping[str, SavedGroup]


def groups_from(payload: Mapping[str, Any]) -> dict[str, SavedGroup]:
    """Groups as JSON has them: a bare list, or GrowthBook's `{"type": "list" | "condition", …}`; no others."""
    found: dict[str, SavedGroup] = {}
    for key, entry in payload.items():
        if isinstance(entry, list):
            found[key] = SavedGroup(key, values=tuple(entry))
        elif isinstance(entry, Mapping) and isinstance(entry.get("values"), list):
            attribute = entry.get("attributeKey")
            found[key] = SavedGroup(
                key,
                values=tuple(entry["values"]),
                attribute=attribute if isinstance(attribute, str) else UNIT_ATTRIBUTE,
            )
        elif isinstance(entry, Mapping) and isinstance(entry.get("condition"), Mapping):
            found[key] = SavedGroup(key, condition=entry["condition"])
    return found


def group_key(reference: Any) -> str | None:
    """The key in `{"$savedGroup": {"id": KEY}}` or the shorter `{"$savedGroup": KEY}`."""
    key = reference.get("id") if isinstance(reference, Mapping) else reference
    return key if isinstance(key, str) else None
