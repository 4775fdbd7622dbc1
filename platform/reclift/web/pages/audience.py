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
        attribute, operator, text = row["attribute"], row["op"], row["value"]
        if not attribute and not text:
            continue
        path = f"audience.{n}."
        if not attribute or attribute.startswith("$"):
            rule = "must name an attribute that the shop sends, such as country"
            problems.append({"field": path + "attribute", "value": attribute, "rule": rule})
            continue
        if operator not in OPERATORS:
            problems.append({"field": path + "op", "value": operator, "rule": "must be one of the offered comparisons"})
            continue
        if "$exists" in operator:
            value: Any = operator == "$exists"
            operator = "$exists"
        elif not text:
            problems.append({"field": path + "value", "value": "", "rule": "is needed for this comparison"})
            continue
        elif operator in {"$in", "$nin"}:
            value = [_scalar(part.strip()) for part in text.split(",") if part.strip()]
        else:
            value = _scalar(text)
            if operator in _ORDER and isinstance(value, str | bool):
                problems.append({"field": path + "value", "value": text, "rule": "must be a number to be compared"})
                continue
        tests = condition.setdefault(attribute, {})
        if operator in tests:
            rule = f"is compared with '{OPERATORS[operator]}' twice; join both into one row"
            problems.append({"field": path + "attribute", "value": attribute, "rule": rule})
        tests[operator] = value
    return condition, problems


def _written(text: str) -> tuple[JSON, list[Problem]]:
    try:
        condition = json.loads(text)
    except ValueError as error:
        return {}, [{"field": "audience", "value": text, "rule": f"must be JSON ({error})"}]
    if not isinstance(condition, dict):
        return {}, [{"field": "audience", "value": text, "rule": "must be an object, such as {}"}]
    return condition, []
