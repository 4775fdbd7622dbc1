"""An audience as rows that people can fill in ("country is one of CN, US"), and the condition that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .backend import JSON, Problem

OPERATORS = {
    "$eq": "is",
    "$ne": "is not",
    "$in": "is one of",
    "$nin": "is none of",
    "$gt": "is over",
    "$gte": "is at least",
    "$lt": "is under",
    "$lte": "is at most",
    "$exists": "is known",
    "!$exists": "is not known",
}
_ORDER = {"$gt", "$gte", "$lt", "$lte"}


def _scalar(text: str) -> Any:
    """`true`, `false` and numbers as such, everything else (and what stands in quotes) as text."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    if text in {"true", "false"}:
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 (only nan differs from itself)
        return text
    return int(number) if number == int(number) and "." not in text and "e" not in text.lower() else number


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if _scalar(value) == value else f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def rows_of(condition: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """The rows that say the same as a condition; `None` when it is more than rows can say."""
    rows: list[dict[str, str]] = []
    for attribute, given in condition.items():
        if attribute.startswith("$"):
            return None
        tests = given if isinstance(given, Mapping) else {"$eq": given}
        for operator, value in tests.items():
            name = "!$exists" if operator == "$exists" and not value else operator
            if name not in OPERATORS:
                return None
            values = value if isinstance(value, list) else [value]
            if any(isinstance(v, Mapping | list) or v is None or (isinstance(v, str) and "," in v) for v in values):
                return None
            if isinstance(value, list) != (name in {"$in", "$nin"}):
                return None
            text = "" if "$exists" in name else ", ".join(_text(v) for v in values)
            rows.append({"attribute": attribute, "op": name, "value": text})
    return rows


def to_condition(rows: Sequence[Mapping[str, str]], written: str = "") -> tuple[JSON, list[Problem]]:
    """The condition of rows that must all hold, or the one written as JSON, which goes first."""
    if written:
        return _written(written)
    condition: JSON = {}
    problems: list[Problem] = []
    for n, row in enumerate(rows):
        if not row["attribute"] and not row["value"]:
            continue
        try:
            _add(condition, row)
        except _Wrong as wrong:
            field = f"audience.{n}.{wrong.part}"
            problems.append({"field": field, "value": row[wrong.part], "rule": wrong.rule})
    return condition, problems


class _Wrong(Exception):  # noqa: N818 (never leaves this file)
    """A part of a row is wrong."""

    def __init__(self, part: str, rule: str) -> None:
        super().__init__(part, rule)
        self.part, self.rule = part, rule


def _add(condition: JSON, row: Mapping[str, str]) -> None:
    attribute, operator, value = _test(row)
    tests = condition.setdefault(attribute, {})
    if operator in tests:
        raise _Wrong("attribute", f"is compared with '{OPERATORS[row['op']]}' twice; join both into one row")
    tests[operator] = value


def _test(row: Mapping[str, str]) -> tuple[str, str, Any]:
    """Attribute, operator and value of a row; `_Wrong` names the part that is not right."""
    attribute, operator, text = row["attribute"], row["op"], row["value"]
    if not attribute or attribute.startswith("$"):
        raise _Wrong("attribute", "must name an attribute that the shop sends, such as country")
    if operator not in OPERATORS:
        raise _Wrong("op", "must be one of the offered comparisons")
    if operator in {"$exists", "!$exists"}:
        return attribute, "$exists", operator == "$exists"
    if not text:
        raise _Wrong("value", "is needed for this comparison")
    if operator in {"$in", "$nin"}:
        return attribute, operator, [_scalar(part.strip()) for part in text.split(",") if part.strip()]
    value = _scalar(text)
    if operator in _ORDER and isinstance(value, str | bool):
        raise _Wrong("value", "must be a number to be compared")
    return attribute, operator, value


def _written(text: str) -> tuple[JSON, list[Problem]]:
    try:
        condition = json.loads(text)
    except ValueError as error:
        return {}, [{"field": "audience", "value": text, "rule": f"must be JSON ({error})"}]
    if not isinstance(condition, dict):
        return {}, [{"field": "audience", "value": text, "rule": "must be an object, such as {}"}]
    return condition, []
