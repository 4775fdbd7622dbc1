"""The condition language of audiences, compiled once into predicates: GrowthBook's, as its JavaScript SDK reads it.

A condition is a JSON object: attribute paths (`country`, `device.os`) with a value or with operators, joined by all
having to hold, and `$and`, `$or`, `$nor`, `$not` and `$savedGroup` around them. All 248 published cases hold. Where
the published cases leave a choice, we take the strict one that every SDK can be made to share (see docs/assignment.md):
a plain value is compared by type and value, and versions are compared only between texts.

A compiled predicate never raises, whatever the attributes are. A part that cannot be compiled (which validation does
not let in) makes what it belongs to fail, and `$not` around it does not turn that into a match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reclift.domain.groups import UNIT_ATTRIBUTE, Groups, SavedGroup, group_key, groups_from
from reclift.domain.jsvalue import reach, same_json, strictly_equal
from reclift.domain.operators import BUILDERS, LOGICAL, OperandError, Test, membership, negated

Predicate = Callable[[Mapping[str, Any]], bool]

MAX_DEPTH = 12
"""How deep a condition may nest. The compiler fails what is deeper; validation refuses it with its place."""


def evaluate(condition: Mapping[str, Any], attributes: Any, groups: Mapping[str, Any] | None = None) -> bool:
    """Compile and apply a condition at once: for trying one out. `groups` is JSON (see `groups_from`)."""
    return compile_condition(condition, groups_from(groups or {}))(
        attributes if isinstance(attributes, Mapping) else {}
    )


def compile_condition(
    condition: Any, groups: Groups | None = None, members: dict[str, Test] | None = None
) -> Predicate:
    """The predicate of a condition. Attributes that are missing count as null.

    `members` keeps the compiled lists of `groups`, by group, for the next condition: lists can be long.
    """
    return _Compiler(groups or {}, {} if members is None else members).condition(condition, True, 0, ())


def mentions_unit(condition: Any, groups: Groups | None = None) -> bool:
    """Whether a condition looks at the unit's id, so that the plan must lay it among the attributes."""
    stack, seen = [condition], set[str]()
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        if not isinstance(node, Mapping):
            continue
        for key, value in node.items():
            if key.partition(".")[0] == UNIT_ATTRIBUTE:
                return True
            if key != "$savedGroup":
                stack.append(value)
                continue
            name = group_key(value)
            group = (groups or {}).get(name) if name is not None and name not in seen else None
            if group is not None:
                seen.add(group.key)
                stack.append(group.condition)
                if group.values is not None and list_attribute(group, value) == UNIT_ATTRIBUTE:
                    return True
    return False


def list_attribute(group: SavedGroup, reference: Any) -> str:
    """Whose values a list is tested on: the reference's word goes before the group's."""
    attribute = reference.get("attributeKey") if isinstance(reference, Mapping) else None
    return attribute if isinstance(attribute, str) else group.attribute


def always(answer: bool) -> Callable[[Any], bool]:
    """A predicate or test with a fixed answer."""
    return lambda _: answer


def is_operators(value: Any) -> bool:
    """Whether a value is an object of operators only, so that it is a test and not a value to compare with."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(key, str) and key[:1] == "$" for key in value)


def _conjunction(parts: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if not parts:
        return always(True)
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda value: first(value) and second(value)
    if len(parts) == 3:
        first, second, third = parts
        return lambda value: first(value) and second(value) and third(value)
    fixed = tuple(parts)

    def test(value: Any) -> bool:
        for part in fixed:  # noqa: SIM110 (all() with a generator takes twice the time, and this is hot)
            if not part(value):
                return False
        return True

    return test


def _disjunction(parts: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if not parts:
        return always(True)  # so the language has it: an empty $or holds
    fixed = tuple(parts)

    def test(value: Any) -> bool:
        for part in fixed:  # noqa: SIM110 (likewise)
            if part(value):
                return True
        return False

    return test


class _Compiler:
    """Walks a condition. `wanted` is whether the part counts as it is (True) or under an odd number of negations.

    A part that cannot be compiled answers `not wanted`, so that after all negations it fails.
    """

    def __init__(self, groups: Groups, members: dict[str, Test]) -> None:
        self.groups = groups
        self.members = members

    def members_of(self, group: SavedGroup) -> Test:
        """Whether a value is in a group of values."""
        if group.key not in self.members:
            self.members[group.key] = membership(list(group.values or ()))
        return self.members[group.key]

    def condition(self, condition: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Predicate:
        """A condition on attributes; `inside` are the groups being resolved, which stops cycles."""
        if not isinstance(condition, Mapping) or depth > MAX_DEPTH:
            return always(not wanted)
        parts: list[Predicate] = []
        for key, value in condition.items():
            if key == "$not":
                parts.append(negated(self.condition(value, not wanted, depth + 1, inside)))
            elif key == "$savedGroup":
                parts.append(self.saved_group(value, wanted, depth + 1, inside))
            elif key in LOGICAL:
                parts.append(self.several(key, value, wanted, depth + 1, inside))
            else:
                parts.append(_on_path(str(key), self.value(value, wanted, depth + 1, inside)))
        return _conjunction(parts)

    def several(self, key: str, value: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Predicate:
        """`$and`, `$or` and `$nor`."""
        if not isinstance(value, list):
            return always(not wanted)
        nor = key == "$nor"
        parts = [self.condition(part, wanted is not nor, depth, inside) for part in value]
        joined = _conjunction(parts) if key == "$and" else _disjunction(parts)
        return negated(joined) if nor else joined

    def saved_group(self, reference: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Predicate:
        """`$savedGroup`: a list tested against its attribute, or a condition. An unknown group has no members."""
        key = group_key(reference)
        if key is None or key in inside or key not in self.groups:
            return always(not wanted) if key is None or key in inside else always(False)
        group = self.groups[key]
        if group.values is not None:
            return _on_path(list_attribute(group, reference), self.members_of(group))
        return self.condition(group.condition, wanted, depth, (*inside, key))

    def value(self, operand: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Test:
        """What stands beside an attribute: a value to be equal to, or operators that must all hold."""
        if depth > MAX_DEPTH:
            return always(not wanted)
        if is_operators(operand):
            return _conjunction([self.operator(key, part, wanted, depth, inside) for key, part in operand.items()])
        if isinstance(operand, (list, Mapping)):
            return lambda value: same_json(operand, value)
        return strictly_equal(operand)

    def operator(self, key: str, operand: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Test:
        """One operator with its operand."""
        if key in BUILDERS:
            try:
                return BUILDERS[key](operand)
            except OperandError:
                return always(not wanted)
        if key == "$not":
            return negated(self.value(operand, not wanted, depth + 1, inside))
        if key in ("$inGroup", "$notInGroup"):
            return self.in_group(key, operand, wanted)
        if key == "$size":
            size = self.value(operand, wanted, depth + 1, inside)
            return lambda value: isinstance(value, list) and size(len(value))
        if key in ("$all", "$alli") and isinstance(operand, list):
            tests = [self.element(key, part, wanted, depth + 1, inside) for part in operand]
            return lambda value: isinstance(value, list) and all(any(map(test, value)) for test in tests)
        if key == "$elemMatch" and isinstance(operand, Mapping):
            return self.elem_match(operand, wanted, depth + 1, inside)
        return always(not wanted)

    def in_group(self, key: str, name: Any, wanted: bool) -> Test:
        """`$inGroup` and `$notInGroup`; an unknown group is an empty one, a group that is a condition has no values."""
        group = self.groups.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or (group is not None and group.values is None):
            return always(not wanted)
        test = always(False) if group is None else self.members_of(group)
        return test if key == "$inGroup" else negated(test)

    def element(self, key: str, operand: Any, wanted: bool, depth: int, inside: tuple[str, ...]) -> Test:
        """What one element must be for `$all`; `$alli` leaves the case of texts out."""
        if key == "$alli" and isinstance(operand, str):
            folded = operand.lower()
            return lambda value: isinstance(value, str) and value.lower() == folded
        return self.value(operand, wanted, depth, inside)

    def elem_match(self, operand: Mapping[str, Any], wanted: bool, depth: int, inside: tuple[str, ...]) -> Test:
        """Some element fulfils operators on itself, or a condition on its fields. Null elements do not count."""
        if is_operators(operand) and not (LOGICAL - {"$not"}) & operand.keys():
            test = self.value(operand, wanted, depth, inside)
        else:
            on_fields = self.condition(operand, wanted, depth, inside)

            def test(element: Any) -> bool:
                return on_fields(element if isinstance(element, Mapping) else _Elements(element))

        return lambda value: isinstance(value, list) and any(one is not None and test(one) for one in value)


class _Elements(dict[str, Any]):
    """What is not an object, read as one: a list has its indices and its `length`, anything else has nothing."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def get(self, key: str, default: Any = None) -> Any:
        found = reach(self._value, key)
        return default if found is None else found


def _on_path(path: str, test: Test) -> Predicate:
    """A test on what stands at a dotted path."""
    if "." not in path:
        return lambda attributes: test(attributes.get(path))
    head, *steps = path.split(".")
    last = steps.pop()

    def predicate(attributes: Mapping[str, Any]) -> bool:
        value = attributes.get(head)
        for step in steps:
            value = reach(value, step)
        return test(value.get(last) if isinstance(value, dict) else reach(value, last))

    return predicate
