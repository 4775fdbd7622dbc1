"""JSON values as JavaScript compares them, since the condition language is GrowthBook's and that is JavaScript's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_DECIMAL = re.compile(r"[+-]?(?:Infinity|[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)", re.ASCII)
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_SPACE = (
    " \t\n\r\v\f\u00a0\ufeff\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LONGEST_NUMBER = 400  # more digits than any double needs; keeps conversion cheap whatever is sent

TYPES = ("string", "number", "boolean", "array", "object", "null")


def is_number(value: Any) -> bool:
    """Whether it is a number in JSON; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def type_of(value: Any) -> str:
    """The type's name as `$type` knows it; `unknown` for what JSON cannot hold."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, Mapping) else "unknown"


def to_number(value: Any) -> float | int:
    """What a scalar is worth in a comparison: null 0, booleans 0 and 1, text the number that it spells, else NaN."""
    if value is None:
        return 0
    if isinstance(value, (int, float)):
        return value
    return _spelled(value.strip(_SPACE)) if isinstance(value, str) else math.nan


def _spelled(text: str) -> float | int:
    if not text:
        return 0
    if len(text) <= _LONGEST_NUMBER:
        if _DECIMAL.fullmatch(text):
            return float(text.replace("Infinity", "inf"))
        if _PREFIXED.fullmatch(text):
            return int(text, 0)
    return math.nan


def sort_key(text: str) -> bytes:
    """Orders strings by UTF-16 code units, as JavaScript does."""
    return text.encode("utf-16-be", "surrogatepass")


def strictly_equal(expected: Any) -> Callable[[Any], bool]:
    """A test for `=== expected`: same type, same value. Lists and objects equal only themselves, so never."""
    if expected is None:
        return lambda value: value is None
    if isinstance(expected, bool):
        return lambda value: value is expected
    if isinstance(expected, str):
        return lambda value: bool(value == expected)  # nothing but text equals text
    if isinstance(expected, (int, float)):
        return lambda value: is_number(value) and value == expected
    return lambda _: False


def same_json(expected: Any, value: Any) -> bool:
    """Whether both would be written as the same JSON, the order of keys included. Goes as deep as `expected` does."""
    kind = type_of(expected)
    if kind != type_of(value):
        return False
    if kind == "array":
        return len(expected) == len(value) and all(map(same_json, expected, value))
    if kind == "object":
        same_keys = _key_order(expected) == _key_order(value)
        return same_keys and all(same_json(expected[key], value[key]) for key in expected)
    return bool(expected == value)


def _key_order(mapping: Mapping[Any, Any]) -> list[Any]:
    """Keys as JavaScript walks them: whole numbers first and ascending, then the others as they were written."""
    numbers = [key for key in mapping if _is_index(key)]
    return sorted(numbers, key=int) + [key for key in mapping if not _is_index(key)]


def _is_index(key: Any) -> bool:
    # At most ten digits, so that int() is never given a huge string.
    return isinstance(key, str) and len(key) <= 10 and key.isascii() and key.isdigit() and (key == "0" or key[0] != "0")


def reach(value: Any, step: str) -> Any:
    """One step of a dotted path: a key of an object, an index or `length` of a list; `None` where there is nothing."""
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list):
        if step == "length":
            return len(value)
        if _is_index(step) and int(step) < len(value):
            return value[int(step)]
    return None
