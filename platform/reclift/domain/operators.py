"""The operators that test one value, compiled: each builder turns an operand into a test that cannot raise.

A builder raises `OperandError` for an operand it cannot use. `targeting` turns that into "matches nobody", and
`condition_check` into a problem with its place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from reclift.domain.jsvalue import is_number, sort_key, strictly_equal, to_number, type_of
from reclift.domain.regex import regex_test
from reclift.domain.regex_check import RegexError
from reclift.domain.versions import padded_version

Test = Callable[[Any], bool]
Builder = Callable[[Any], Test]


class OperandError(ValueError):
    """An operand of the wrong type or shape; the message is the rule."""


def negated(test: Test) -> Test:
    """The opposite of a test."""
    return lambda value: not test(value)


def membership(values: list[Any], *, ignore_case: bool = False) -> Test:
    """Whether the value, or for a list any of its elements, is among `values`, by type and value.

    Lists and objects among `values` are never equal to anything.
    """
    texts = frozenset(_folded(value, ignore_case) for value in values if isinstance(value, str))
    # Apart from the numbers, because to Python True is 1.
    truths = frozenset(value for value in values if isinstance(value, bool))
    numbers = frozenset(value for value in values if is_number(value))
    null = None in values

    def rare(value: Any) -> bool:
        if isinstance(value, list):
            # An element that is itself a list is no member, whatever is in it.
            return any(test(part) for part in value if not isinstance(part, list))
        if value is None:
            return null
        if isinstance(value, bool):
            return value in truths
        return isinstance(value, (int, float)) and value in numbers

    if ignore_case:

        def test(value: Any) -> bool:
            return value.lower() in texts if isinstance(value, str) else rare(value)
    else:

        def test(value: Any) -> bool:
            return value in texts if isinstance(value, str) else rare(value)

    return test


def _folded(text: str, ignore_case: bool) -> str:
    return text.lower() if ignore_case else text


def _ordering(compare: Callable[[Any, Any], bool]) -> Builder:
    def build(operand: Any) -> Test:
        if not isinstance(operand, (str, int, float)):
            raise OperandError("must be a number or text")
        number = to_number(operand)
        text = operand if isinstance(operand, str) else None
        plain = text is not None and text.isascii()

        def test(value: Any) -> bool:
            if isinstance(value, (int, float)):
                return compare(value, number)
            if isinstance(value, str) and text is not None:
                # Python sorts by code points, JavaScript by UTF-16 units; they differ only where neither is ASCII.
                if plain or value.isascii():
                    return compare(value, text)
                return compare(sort_key(value), sort_key(text))
            return not isinstance(value, (list, Mapping)) and compare(to_number(value), number)

        return test

    return build


def _version(compare: Callable[[Any, Any], bool]) -> Builder:
    def build(operand: Any) -> Test:
        if not isinstance(operand, str):
            raise OperandError("must be a version as text, such as '1.12.0'")
        expected = padded_version(operand)
        return lambda value: isinstance(value, str) and compare(padded_version(value), expected)

    return build


def _not_version(operand: Any) -> Test:
    return negated(_version(operator.eq)(operand))


def _members(*, ignore_case: bool, wanted: bool) -> Builder:
    def build(operand: Any) -> Test:
        if not isinstance(operand, list):
            raise OperandError("must be a list")
        test = membership(operand, ignore_case=ignore_case)
        return test if wanted else negated(test)

    return build


def _regex(*, ignore_case: bool, wanted: bool) -> Builder:
    def build(operand: Any) -> Test:
        if not isinstance(operand, str):
            raise OperandError("must be a regular expression as text")
        try:
            test = regex_test(operand, ignore_case=ignore_case)
        except RegexError as error:
            raise OperandError(str(error)) from error
        return test if wanted else negated(test)

    return build


def _exists(operand: Any) -> Test:
    return (lambda value: value is not None) if operand else (lambda value: value is None)


def _type(operand: Any) -> Test:
    return lambda value: type_of(value) == operand


def _ne(operand: Any) -> Test:
    if isinstance(operand, str):
        return lambda value: value != operand
    return negated(strictly_equal(operand))


BUILDERS: Mapping[str, Builder] = {
    "$eq": strictly_equal,
    "$ne": _ne,
    "$lt": _ordering(operator.lt),
    "$lte": _ordering(operator.le),
    "$gt": _ordering(operator.gt),
    "$gte": _ordering(operator.ge),
    "$veq": _version(operator.eq),
    "$vne": _not_version,
    "$vlt": _version(operator.lt),
    "$vlte": _version(operator.le),
    "$vgt": _version(operator.gt),
    "$vgte": _version(operator.ge),
    "$in": _members(ignore_case=False, wanted=True),
    "$nin": _members(ignore_case=False, wanted=False),
    "$ini": _members(ignore_case=True, wanted=True),
    "$nini": _members(ignore_case=True, wanted=False),
    "$regex": _regex(ignore_case=False, wanted=True),
    "$regexi": _regex(ignore_case=True, wanted=True),
    "$notRegex": _regex(ignore_case=False, wanted=False),
    "$notRegexi": _regex(ignore_case=True, wanted=False),
    "$exists": _exists,
    "$type": _type,
}
"""Operators whose operand is plain data, each with its builder."""

NESTING = frozenset({"$not", "$size", "$all", "$alli", "$elemMatch", "$inGroup", "$notInGroup"})
"""Operators on a value whose operand is itself a condition or names a group; `targeting` compiles them."""
LOGICAL = frozenset({"$and", "$or", "$nor", "$not", "$savedGroup"})
"""Keys of a condition that are not attributes."""
