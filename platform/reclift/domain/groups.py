"""Saved groups: a named list of values (users, countries …) or a named condition, for use in many audiences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def references(condition: Any) -> Iterator[str]:
    """The keys of all groups that a condition names, in order, without recursion (however deep it is)."""
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            for name, value in node.items():
                if name in ("$inGroup", "$notInGroup") and isinstance(value, str):
                    yield value
                elif name == "$savedGroup":
                    key = group_key(value)
                    if key is not None:
                        yield key
                else:
                    stack.append(value)
        elif isinstance(node, list):
            stack.extend(node)


def group_key(reference: Any) -> str | None:
    """The key in `{"$savedGroup": {"id": KEY}}` or the shorter `{"$savedGroup": KEY}`."""
    key = reference.get("id") if isinstance(reference, Mapping) else reference
    return key if isinstance(key, str) else None


def find_cycle(groups: Groups) -> list[str] | None:
    """A chain of groups that comes back to its beginning (`[a, b, a]`), or `None`."""
    done: set[str] = set()
    for root in groups:
        path: list[str] = [root]
        branches = [_targets(root, groups)]
        while branches and root not in done:
            child = next(branches[-1], None)
            if child is None:
                done.add(path.pop())
                branches.pop()
            elif child in path:
                return [*path[path.index(child) :], child]
            elif child not in done:
                path.append(child)
                branches.append(_targets(child, groups))
    return None


def _targets(key: str, groups: Groups) -> Iterator[str]:
    return (name for name in references(groups[key].condition) if name in groups)
