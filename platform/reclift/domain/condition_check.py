"""Whether a condition from people may be saved: everything that is wrong with it, each with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reclift.domain.groups import Groups, SavedGroup, group_key
from reclift.domain.jsvalue import TYPES, is_number
from reclift.domain.operators import BUILDERS, LOGICAL, NESTING, OperandError
from reclift.domain.problem import Problem
from reclift.domain.targeting import MAX_DEPTH, is_operators

MAX_LIST = 1_000
"""Values in a list that is written in a condition. Longer ones belong in a saved group."""
MAX_GROUP_VALUES = 5_000
MAX_ALL = 100
"""What a list may be asked to hold: each is looked for among all of its elements."""
MAX_WHOLE = 2**53
MAX_TEXT = 1_000
MAX_PATH = 200
MAX_NODES = 2_000
"""Operators, attributes and values in one condition, all told."""

_SPECIAL_ATTRIBUTES = frozenset({"$groups"})  # GrowthBook's own attribute for a user's groups
_LISTS = frozenset({"$in", "$nin", "$ini", "$nini"})
_SCALARS = (str, int, float, bool, type(None))


def check_condition(condition: Any, place: str = "audience", groups: Groups | None = None) -> list[Problem]:
    """All that is wrong with `condition`; empty when it may be saved.

    `place` begins each problem's field: `audience.country.$in`. With `groups`, groups that are named must exist.
    """
    checker = _Checker(groups)
    checker.condition(condition, place, 0)
    return checker.problems


def check_group(group: SavedGroup, key: str, groups: Groups) -> list[Problem]:
    """All that is wrong with one saved group, as a `SavedGroup`, among the others (itself included)."""
    place = f"groups.{key}"
    if (group.values is None) == (group.condition is None):
        return [Problem(place, None, "must have either values or a condition")]
    if group.condition is not None:
        checker = _Checker({**groups, key: group})
        checker.inside.append(key)
        checker.condition(group.condition, f"{place}.condition", 0)
        return checker.problems
    problems: list[Problem] = []
    values = group.values or ()
    if len(values) > MAX_GROUP_VALUES:
        problems.append(Problem(f"{place}.values", len(values), f"must have at most {MAX_GROUP_VALUES} values"))
    for i, value in enumerate(values):
        if not isinstance(value, str) and not is_number(value):
            problems.append(Problem(f"{place}.values.{i}", value, "must be text or a number"))
        if len(problems) >= 10:
            break
    return problems


class _Checker:
    def __init__(self, groups: Groups | None) -> None:
        self.groups = groups
        self.problems: list[Problem] = []
        self.nodes = 0
        self.inside: list[str] = []

    def add(self, place: str, value: Any, rule: str) -> None:
        self.problems.append(Problem(place, value, rule))

    def too_much(self, place: str, depth: int) -> bool:
        """Whether to stop here; counts the node."""
        self.nodes += 1
        if depth > MAX_DEPTH:
            self.add(place, None, f"must not nest more than {MAX_DEPTH} deep")
            return True
        if self.nodes == MAX_NODES + 1:
            self.add(place, None, f"makes the condition larger than {MAX_NODES} parts")
        return self.nodes > MAX_NODES

    def condition(self, condition: Any, place: str, depth: int) -> None:
        if self.too_much(place, depth):
            return
        if not isinstance(condition, Mapping):
            self.add(place, condition, "must be an object of attributes and operators")
            return
        for key, value in condition.items():
            here = f"{place}.{key}"
            if not isinstance(key, str) or not key or len(key) > MAX_PATH:
                self.add(place, key, f"attribute names must be text of 1 to {MAX_PATH} characters")
            elif key == "$not":
                self.condition(value, here, depth + 1)
            elif key == "$savedGroup":
                self.saved_group(value, here, depth + 1)
            elif key in LOGICAL:
                self.several(value, here, depth + 1)
            elif key[0] == "$" and key not in _SPECIAL_ATTRIBUTES:
                self.unknown(here, key, value, LOGICAL)
            else:
                self.value(value, here, depth + 1)

    def unknown(self, place: str, key: str, value: Any, known: frozenset[str]) -> None:
        self.add(place, value, f"operator {key} is unknown here; known: {', '.join(sorted(known))}")

    def several(self, value: Any, place: str, depth: int) -> None:
        if not isinstance(value, list):
            self.add(place, value, "must be a list of conditions")
        elif len(value) > MAX_LIST:
            self.add(place, len(value), f"must have at most {MAX_LIST} conditions")
        else:
            for i, part in enumerate(value):
                self.condition(part, f"{place}.{i}", depth)

    def saved_group(self, reference: Any, place: str, depth: int) -> None:
        key = group_key(reference)
        if key is None:
            self.add(place, reference, 'must name a group: {"id": KEY}')
            return
        for name, value in reference.items() if isinstance(reference, Mapping) else ():
            if name not in ("id", "attributeKey") or not isinstance(value, str) or not value:
                self.add(f"{place}.{name}", value, "must be id or attributeKey, as text")
        if self.groups is None:
            return
        if key not in self.groups:
            self.add(place, key, f"must be a saved group; there are: {', '.join(sorted(self.groups)) or 'none'}")
        elif key in self.inside:
            self.add(place, " -> ".join((*self.inside, key)), "must not contain itself, directly or through others")
        elif self.groups[key].condition is not None:
            # What a group holds is part of this condition: it may have broken, or nest too deep here.
            self.inside.append(key)
            self.condition(self.groups[key].condition, f"{place}({key})", depth)
            self.inside.pop()

    def value(self, operand: Any, place: str, depth: int) -> None:
        if self.too_much(place, depth):
            return
        if is_operators(operand):
            for key, part in operand.items():
                self.operator(key, part, f"{place}.{key}", depth)
        elif isinstance(operand, Mapping) and (not operand or any(str(key)[:1] == "$" for key in operand)):
            self.add(place, operand, "must be operators only or a value only, and not empty")
        else:
            self.plain(operand, place, depth)

    def plain(self, operand: Any, place: str, depth: int) -> None:
        """A value to compare with: any JSON within bounds."""
        if isinstance(operand, (list, Mapping)):
            if self.too_much(place, depth):
                return
            if len(operand) > MAX_LIST:
                self.add(place, len(operand), f"must have at most {MAX_LIST} entries")
                return
            pairs = operand.items() if isinstance(operand, Mapping) else enumerate(operand)
            for key, part in pairs:
                self.plain(part, f"{place}.{key}", depth + 1)
        else:
            self.scalar(operand, place)

    def scalar(self, value: Any, place: str) -> None:
        if not isinstance(value, _SCALARS):
            self.add(place, value, "must be text, a number, true, false or null")
        elif isinstance(value, float) and not math.isfinite(value):
            self.add(place, value, "must be a finite number")
        elif isinstance(value, int) and abs(value) > MAX_WHOLE:
            self.add(place, value, "must be between -2^53 and 2^53: JavaScript rounds larger whole numbers")
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            self.add(place, value, f"must have at most {MAX_TEXT} characters")

    def operator(self, key: str, operand: Any, place: str, depth: int) -> None:
        if key in _LISTS:
            self.values(operand, place)
        elif key in BUILDERS:
            self.simple(key, operand, place)
        elif key == "$not":
            self.value(operand, place, depth + 1)
        elif key in ("$inGroup", "$notInGroup"):
            self.in_group(operand, place)
        elif key == "$size":
            self.size(operand, place, depth)
        elif key in ("$all", "$alli"):
            self.every(operand, place, depth)
        elif key == "$elemMatch":
            self.elem_match(operand, place, depth)
        else:
            self.unknown(place, key, operand, frozenset(BUILDERS) | NESTING)

    def simple(self, key: str, operand: Any, place: str) -> None:
        """An operator with one plain operand."""
        if key in ("$eq", "$ne") and isinstance(operand, (list, Mapping)):
            self.add(place, operand, "must be text, a number, true, false or null (a list never equals another)")
        elif key == "$exists" and not isinstance(operand, bool):
            self.add(place, operand, "must be true or false")
        elif key == "$type" and operand not in TYPES:
            self.add(place, operand, f"must be one of {', '.join(TYPES)}")
        elif key in ("$lt", "$lte", "$gt", "$gte") and isinstance(operand, bool):
            self.add(place, operand, "must be a number or text")
        else:
            self.scalar_operand(key, operand, place)

    def scalar_operand(self, key: str, operand: Any, place: str) -> None:
        before = len(self.problems)
        self.scalar(operand, place)
        if len(self.problems) == before:
            try:
                BUILDERS[key](operand)
            except OperandError as error:
                self.add(place, operand, str(error))

    def values(self, operand: Any, place: str) -> None:
        if not isinstance(operand, list):
            self.add(place, operand, "must be a list")
        elif len(operand) > MAX_LIST:
            self.add(place, len(operand), f"must have at most {MAX_LIST} values; make a saved group of longer lists")
        else:
            for i, value in enumerate(operand):
                self.scalar(value, f"{place}.{i}")

    def in_group(self, name: Any, place: str) -> None:
        if not isinstance(name, str):
            self.add(place, name, "must be a saved group's key")
        elif self.groups is not None:
            group = self.groups.get(name)
            if group is None:
                self.add(place, name, f"must be a saved group; there are: {', '.join(sorted(self.groups)) or 'none'}")
            elif group.values is None:
                self.add(place, name, 'must be a group of values; a group that is a condition goes in "$savedGroup"')

    def size(self, operand: Any, place: str, depth: int) -> None:
        if is_operators(operand):
            self.value(operand, place, depth + 1)
        elif not is_number(operand) or not 0 <= operand <= MAX_GROUP_VALUES or not float(operand).is_integer():
            self.add(place, operand, f"must be a whole number, 0 to {MAX_GROUP_VALUES}, or operators on one")

    def every(self, operand: Any, place: str, depth: int) -> None:
        if not isinstance(operand, list):
            self.add(place, operand, "must be a list")
        elif len(operand) > MAX_ALL:
            self.add(place, len(operand), f"must have at most {MAX_ALL} values")
        else:
            for i, part in enumerate(operand):
                self.value(part, f"{place}.{i}", depth + 1)

    def elem_match(self, operand: Any, place: str, depth: int) -> None:
        if not isinstance(operand, Mapping) or not operand:
            self.add(place, operand, "must be operators on an element or a condition on its fields")
        elif is_operators(operand):
            # $not is an operator on a value as well; the others would need a field to stand beside them.
            for key in (LOGICAL - {"$not"}) & operand.keys():
                self.add(
                    f"{place}.{key}", operand[key], "must stand outside of $elemMatch, or beside a field inside it"
                )
            for key in operand.keys() - (LOGICAL - {"$not"}):
                self.operator(key, operand[key], f"{place}.{key}", depth + 1)
        else:
            self.condition(operand, place, depth + 1)
