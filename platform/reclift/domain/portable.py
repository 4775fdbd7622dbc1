"""Audiences written so that every GrowthBook SDK reads them alike.

The SDKs agree on the published cases less than one would hope: the JavaScript one compares a missing age with a number
as if it were 0 and the text "5" with the number 5 as equal; the Python one (4.0) does neither. Here a condition is
rewritten into operators on which both agree with `targeting`: every comparison names the type that it is for, plain
values become `$eq`, and saved groups are written out.

A list of user ids is never written out. Tests of the unit's id against a list are taken out of the condition as
*memberships* and answered from outside, so that `growthbook` can express them as hashes.

What remains: a number sent as text (`"8"`) is compared with a number by JavaScript and by us, but not by the Python
SDK; and inside of lists ($elemMatch, $all), where types cannot be told apart, so are null and booleans.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from reclift.domain.groups import UNIT_ATTRIBUTE, Groups, group_key
from reclift.domain.jsvalue import to_number
from reclift.domain.operators import LOGICAL
from reclift.domain.targeting import is_operators, list_attribute

Condition = dict[str, Any]
Members = frozenset[str]
Answers = Mapping[Members, bool]
"""For each list of ids, whether the unit is taken to be in it."""

EVERYONE: Condition = {}
NOBODY: Condition = {"$nor": [{}]}

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}
_HARMLESS: Condition = {"_": {"$nin": []}}  # holds always, and makes $elemMatch read what stands beside it as fields


class NotPortableError(ValueError):
    """A condition that cannot be given away without giving a secret away; the message says why."""


def portable(condition: Mapping[str, Any], groups: Groups, answers: Answers) -> Condition:
    """The rewritten condition, memberships being as `answers` has them; `EVERYONE` or `NOBODY` where it is decided.

    `condition` has been checked. Raises `NotPortableError`, and `KeyError` for a membership without an answer.
    """
    return _Writer(groups, answers.__getitem__).condition(condition, on_unit=True)


def memberships(condition: Mapping[str, Any], groups: Groups) -> list[Members]:
    """The lists of ids that a condition tests the unit against, each once, the shortest first."""
    found: set[Members] = set()

    def note(members: Members) -> bool:
        found.add(members)
        return True

    _Writer(groups, note).condition(condition, on_unit=True)
    return sorted(found, key=lambda members: (len(members), sorted(members)))


def all_of(parts: list[Condition]) -> Condition:
    """The conjunction, with what is decided left out."""
    if NOBODY in parts:
        return NOBODY
    kept = [part for part in parts if part != EVERYONE]
    merged: Condition = {}
    for part in kept:
        if merged.keys() & part.keys():
            return {"$and": kept}
        merged.update(part)
    return merged


def none_of(parts: list[Condition]) -> Condition:
    """The negated disjunction."""
    if EVERYONE in parts:
        return NOBODY
    kept = [part for part in parts if part != NOBODY]
    return {"$nor": kept} if kept else EVERYONE


def any_of(parts: list[Condition]) -> Condition:
    """The disjunction; of nothing, it is nobody."""
    if EVERYONE in parts:
        return EVERYONE
    kept = [part for part in parts if part != NOBODY]
    if len(kept) <= 1:
        return kept[0] if kept else NOBODY
    return {"$or": kept}


class _Writer:
    def __init__(self, groups: Groups, answer: Callable[[Members], bool]) -> None:
        self.groups = groups
        self.answer = answer

    def condition(self, condition: Mapping[str, Any], *, on_unit: bool) -> Condition:
        """`on_unit` is False inside of $elemMatch, where `id` is an element's and not the unit's."""
        parts: list[Condition] = []
        for key, value in condition.items():
            if key == "$not":
                parts.append(none_of([self.condition(value, on_unit=on_unit)]))
            elif key == "$savedGroup":
                parts.append(self.saved_group(value, on_unit=on_unit))
            elif key in LOGICAL:
                inner = [self.condition(part, on_unit=on_unit) for part in value]
                if key == "$and":
                    parts.append(all_of(inner))
                elif key == "$or":
                    parts.append(any_of(inner) if inner else EVERYONE)  # an empty $or holds
                else:
                    parts.append(none_of(inner or [EVERYONE]))
            else:
                parts.append(self.at(key, value, on_unit=on_unit))
        return all_of(parts)

    def saved_group(self, reference: Any, *, on_unit: bool) -> Condition:
        group = self.groups[group_key(reference) or ""]
        if group.values is not None:
            return self.listed(list_attribute(group, reference), list(group.values), on_unit=on_unit)
        return self.condition(group.condition or {}, on_unit=on_unit)

    def listed(self, path: str, values: list[Any], *, on_unit: bool) -> Condition:
        """Whether what stands at a path is among values."""
        if on_unit and path == UNIT_ATTRIBUTE:
            members = frozenset(value for value in values if isinstance(value, str))  # an id is text
            return EVERYONE if members and self.answer(members) else NOBODY
        return {path: {"$in": values}}

    def at(self, path: str, operand: Any, *, on_unit: bool) -> Condition:
        """All that is asked of what stands at a path."""
        if not is_operators(operand):
            if on_unit and path == UNIT_ATTRIBUTE:
                return self.listed(path, [operand], on_unit=True)
            return {path: operand} if isinstance(operand, (list, Mapping)) else _equal(path, operand)
        return all_of([self.operator(path, key, part, on_unit=on_unit) for key, part in operand.items()])

    def operator(self, path: str, key: str, operand: Any, *, on_unit: bool) -> Condition:
        listed = self.list_operator(path, key, operand, on_unit=on_unit)
        if listed is not None:
            return listed
        if key in _ORDER:
            return _ordered(path, key, operand)
        if key in ("$eq", "$ne"):
            test = _equal(path, operand)
            return test if key == "$eq" else none_of([test])
        if key == "$vne":
            return none_of([{path: {"$type": "string", "$veq": operand}}])
        if key[:2] == "$v" or key in ("$regex", "$regexi"):
            return {path: {"$type": "string", key: operand}}
        if key in ("$notRegex", "$notRegexi"):
            return none_of([{path: {"$type": "string", key.replace("notR", "r"): operand}}])
        if key == "$not":
            return none_of([self.at(path, operand, on_unit=on_unit)])
        return {path: self.tests({key: operand})}

    def list_operator(self, path: str, key: str, operand: Any, *, on_unit: bool) -> Condition | None:
        """The operators that compare with given values; `None` for the others."""
        unit = on_unit and path == UNIT_ATTRIBUTE
        if key in ("$inGroup", "$notInGroup"):
            test = self.listed(path, list(self.groups[operand].values or ()), on_unit=on_unit)
            return test if key == "$inGroup" else none_of([test])
        if unit and key in ("$in", "$nin", "$eq", "$ne"):
            test = self.listed(path, operand if isinstance(operand, list) else [operand], on_unit=True)
            return test if key in ("$in", "$eq") else none_of([test])
        if unit and key in ("$ini", "$nini"):
            raise NotPortableError(f"{path}.{key}: a list of ids without regard to case cannot be hashed; use $in")
        return None

    def tests(self, operators: Mapping[str, Any]) -> Condition:
        """Operators on a value that has no path: an element of a list, or its size."""
        written: Condition = {}
        for key, operand in operators.items():
            name, part = self.renamed(key, operand)
            if name in written:
                raise NotPortableError(f"{key}: cannot be combined with {name} inside of a list; write them apart")
            written[name] = part
        return written

    def renamed(self, key: str, operand: Any) -> tuple[str, Any]:
        """One such operator as every SDK knows it."""
        if key in ("$all", "$alli"):
            return "$all", [self.folded(part) if key == "$alli" else self.test(part) for part in operand]
        if key == "$elemMatch":
            return key, self.tests(operand) if is_operators(operand) else self.fields(operand)
        if key in ("$not", "$size"):
            return key, self.test(operand)
        if key in ("$inGroup", "$notInGroup"):
            return "$in" if key == "$inGroup" else "$nin", list(self.groups[operand].values or ())
        if key in ("$notRegex", "$notRegexi"):
            return "$not", {"$type": "string", key.replace("notR", "r"): operand}
        return key, operand

    def test(self, operand: Any) -> Any:
        if is_operators(operand):
            return self.tests(operand)
        return operand if isinstance(operand, (list, Mapping)) else {"$eq": operand}

    def folded(self, operand: Any) -> Any:
        return {"$type": "string", "$ini": [operand]} if isinstance(operand, str) else self.test(operand)

    def fields(self, condition: Mapping[str, Any]) -> Condition:
        return {**_HARMLESS, **self.condition(condition, on_unit=False)}


def _equal(path: str, value: Any) -> Condition:
    """Equal by type and value. Null stands plain: Python SDKs before 4.0 raise on `$eq` (and `$ne`) with it."""
    return {path: None if value is None else {"$eq": value}}


def _ordered(path: str, key: str, operand: Any) -> Condition:
    """An order, type by type: numbers, texts, and null and booleans where what they are worth fulfils it."""
    holds, number = _ORDER[key], to_number(operand)
    branches: list[Condition] = [{path: {"$type": "string", key: operand}}]
    if not math.isnan(number):
        # JSON has no infinity: every number is below it, or none is above.
        test: Condition = {key: number} if math.isfinite(number) else {} if holds(0, number) else {"$in": []}
        branches.insert(0, {path: {"$type": "number", **test}})
        scalars = ((None, 0), (False, 0), (True, 1))
        branches += [_equal(path, value) for value, worth in scalars if holds(worth, number)]
    return any_of(branches)
