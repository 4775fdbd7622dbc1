"""Reads the fields of a JSON body, each with a clear refusal. Knows nothing of how the body came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from reclift.domain.events import EventError, checked_id, has_nul
from reclift.web.problems import Refused, bad_field

MAX_DEPTH = 64
"""Objects and lists within each other, at most: what comes after the parser may walk them by recursion."""

MOST_CATEGORIES = 100


def json_body(raw: bytes, *, nul: bool = False) -> dict[str, Any]:
    """The object that a body holds; `orjson.JSONDecodeError` when it is not JSON.

    400 when it is nested too deeply, 422 when it is another kind of value, or holds a NUL character, which PostgreSQL
    cannot keep. `nul`: the caller looks for these itself.
    """
    body = orjson.loads(raw)
    if not isinstance(body, dict):
        raise bad_field("body", body if not isinstance(body, list) else "[...]", "must be a JSON object")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check_depth(body)
    if not nul and b"\\u0000" in raw:
        _check_nul(body)
    return body


def _check_depth(body: Any) -> None:
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in {dict, list}
        ]
        if not level:
            return
    raise Refused(400, "Malformed request", f"the body is nested deeper than {MAX_DEPTH} levels")


def _check_nul(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if has_nul(name) or has_nul(value):
            raise bad_field(name, value, "must not contain NUL characters")


def known_fields(body: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse fields that mean nothing here: a misspelt one must not be ignored in silence."""
    if body.keys() <= allowed:
        return
    name = next(name for name in body if name not in allowed)
    raise bad_field(name, body[name], f"is not a field here; fields: {', '.join(sorted(allowed))}")


def identifier(body: Mapping[str, Any], name: str) -> str:
    """A required id."""
    try:
        return checked_id(name, body.get(name))
    except EventError as error:
        raise bad_field(name, body.get(name), str(error).rsplit(": ", 1)[1]) from None


def optional_identifier(body: Mapping[str, Any], name: str) -> str | None:
    """An id that may be left out."""
    return None if body.get(name) is None else identifier(body, name)


def mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object that may be left out."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_field(name, value, "must be an object")
    return value


def mapping_of_query(text: str, name: str) -> Mapping[str, Any]:
    """An object that stands as JSON in the query string."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise bad_field(name, text, "must be a JSON object") from None
    if not isinstance(value, dict):
        raise bad_field(name, text, "must be a JSON object")
    _check_depth(value)
    _check_nul({name: value})
    return value


def identifiers(body: Mapping[str, Any], name: str, most: int) -> Sequence[str] | None:
    """A list of ids that may be left out."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > most:
        raise bad_field(name, value, f"must be a list of at most {most} ids")
    for entry in value:
        if not isinstance(entry, str) or not entry:
            raise bad_field(name, entry, "must be a list of non-empty strings")
    return value


def categories(body: Mapping[str, Any]) -> frozenset[str] | None:
    """The categories of `filters`; None: any."""
    filters = mapping(body, "filters")
    for name in filters:
        if name != "category":
            raise bad_field(f"filters.{name}", filters[name], "is no filter; there is category")
    wanted = filters.get("category")
    if wanted is None:
        return None
    if (
        not isinstance(wanted, list)
        or not 1 <= len(wanted) <= MOST_CATEGORIES
        or not all(isinstance(one, str) and one for one in wanted)
    ):
        raise bad_field("filters.category", wanted, f"must be a list of 1 to {MOST_CATEGORIES} categories")
    return frozenset(wanted)


def whole(body: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A whole number within bounds."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad_field(name, value, f"must be a whole number from {low} to {high}")
    return value
