"""An audience as rows that people can fill in ("country is one of CN, US"), and the condition that it stands for.

Two kinds of lists are made of such rows: an audience, whose rows must all hold, and what is left out, where one row is
enough.
"""

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
    "$inGroup": "is in the group",
    "$notInGroup": "is not in the group",
}
_ORDER = {"$gt", "$gte", "$lt", "$lte"}
_GROUP = {"$inGroup", "$notInGroup"}

Rows = list[dict[str, str]]


def scalar(text: str) -> Any:
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


def written(value: Any) -> str:
    """How people write a value so that `scalar` reads the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if scalar(value) == value else f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def rows_of(condition: Mapping[str, Any]) -> Rows | None:
    """The rows that say the same as a condition if all of them hold; `None` when it is more than rows can say."""
    rows: Rows = []
    for attribute, given in condition.items():
        if attribute.startswith("$"):
            groups = _group_rows(attribute, given)
            if groups is None:
                return None
            rows += groups
            continue
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
            text = "" if "$exists" in name else ", ".join(str(v) if name in _GROUP else written(v) for v in values)
            rows.append({"attribute": attribute, "op": name, "value": text})
    return rows


def _group_rows(operator: str, given: Any) -> Rows | None:
    """A reference to a saved group as it stands, refused or not, or several of them."""
    if operator == "$savedGroup":
        key = given.get("id") if isinstance(given, Mapping) and set(given) == {"id"} else given
        return [{"attribute": "", "op": "$inGroup", "value": key}] if isinstance(key, str) else None
    if operator == "$not" and isinstance(given, Mapping) and set(given) == {"$savedGroup"}:
        rows = _group_rows("$savedGroup", given["$savedGroup"])
        return [{**row, "op": "$notInGroup"} for row in rows] if rows else None
    if operator == "$and" and isinstance(given, list) and all(isinstance(part, Mapping) for part in given):
        parts = [rows_of(part) for part in given]
        flat = [row for part in parts for row in part or ()]
        # Rows of one attribute would be merged on the way back, so only groups may stand in such a list.
        return flat if all(part is not None for part in parts) and not any(row["attribute"] for row in flat) else None
    return None


def rows_of_any(condition: Mapping[str, Any]) -> Rows | None:
    """The rows that say the same as a condition if one of them is enough; `None` when it is more than that."""
    if set(condition) == {"$or"} and isinstance(condition["$or"], list):
        parts = [rows_of(part) if isinstance(part, Mapping) else None for part in condition["$or"]]
        return [part[0] for part in parts if part] if all(part and len(part) == 1 for part in parts) else None
    rows = rows_of(condition)
    return rows if rows is None or len(rows) <= 1 else None


def to_condition(
    rows: Sequence[Mapping[str, str]], text: str = "", name: str = "audience", *, enough: bool = False
) -> tuple[JSON, list[Problem]]:
    """The condition of rows, or the one written as JSON (`text`), which goes first.

    All rows must hold; with `enough` one of them does. `name` begins the fields of problems.
    """
    if text:
        return _from_json(text, name)
    condition: JSON = {}
    single: list[JSON] = []
    groups: list[JSON] = []
    problems: list[Problem] = []
    for n, row in enumerate(rows):
        if not row["attribute"] and not row["value"]:
            continue
        try:
            attribute, operator, value = _test(row)
            term = _term(attribute, operator, value)
            single.append(term)
            if not attribute:
                groups.append(term)
            elif operator in condition.setdefault(attribute, {}) and not enough:
                raise _Wrong("attribute", f"is compared with '{OPERATORS[row['op']]}' twice; join both into one row")
            else:
                condition[attribute][operator] = value
        except _Wrong as wrong:
            problems.append({"field": f"{name}.{n}.{wrong.part}", "value": row[wrong.part], "rule": wrong.rule})
    if enough:
        return ({"$or": single} if len(single) > 1 else single[0] if single else {}), problems
    if len(groups) == 1:
        condition |= groups[0]
    elif groups:
        condition["$and"] = groups
    return condition, problems


class _Wrong(Exception):  # noqa: N818 (never leaves this file)
    """A part of a row is wrong."""

    def __init__(self, part: str, rule: str) -> None:
        super().__init__(part, rule)
        self.part, self.rule = part, rule


def _term(attribute: str, operator: str, value: Any) -> JSON:
    if attribute:
        return {attribute: {operator: value}}
    group = {"$savedGroup": {"id": value}}
    return group if operator == "$inGroup" else {"$not": group}


def _test(row: Mapping[str, str]) -> tuple[str, str, Any]:
    """Attribute, operator and value of a row; `_Wrong` names the part that is not right."""
    attribute, operator, text = row["attribute"], row["op"], row["value"]
    if operator not in OPERATORS:
        raise _Wrong("op", "must be one of the offered comparisons")
    if operator in _GROUP:
        if not text or "," in text:
            raise _Wrong("value", "must be one saved group's key")
        return attribute, operator, text
    if not attribute or attribute.startswith("$"):
        raise _Wrong("attribute", "must name an attribute that the shop sends, such as country")
    if operator in {"$exists", "!$exists"}:
        return attribute, "$exists", operator == "$exists"
    if not text:
        raise _Wrong("value", "is needed for this comparison")
    if operator in {"$in", "$nin"}:
        return attribute, operator, [scalar(part.strip()) for part in text.split(",") if part.strip()]
    value = scalar(text)
    if operator in _ORDER and isinstance(value, str | bool):
        raise _Wrong("value", "must be a number to be compared")
    return attribute, operator, value


def _from_json(text: str, name: str) -> tuple[JSON, list[Problem]]:
    try:
        condition = json.loads(text)
    except ValueError as error:
        return {}, [{"field": name, "value": text, "rule": f"must be JSON ({error})"}]
    if not isinstance(condition, dict):
        return {}, [{"field": name, "value": text, "rule": "must be an object, such as {}"}]
    return condition, []
