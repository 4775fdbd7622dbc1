"""Reads what was sent: JSON bodies and their fields, each with a clear refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from flask import Response, request

from reclift.domain.events import EventError, checked_id
from reclift.web.problems import Refused, bad_field


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status=status, mimetype="application/json")


def json_object() -> dict[str, Any]:
    """The request's body as an object; 400 when it is not JSON, 422 when it is something else."""
    raw = request.get_data(cache=False)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "Malformed JSON", f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise bad_field("body", body, "must be a JSON object")
    return body


def known_fields(body: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse fields that mean nothing here: a misspelt one must not be ignored in silence."""
    for name in body:
        if name not in allowed:
            raise bad_field(name, body[name], f"is not a field here; fields: {', '.join(sorted(allowed))}")


def identifier(body: Mapping[str, Any], name: str) -> str:
    """A required id."""
    try:
        return checked_id(name, body.get(name))
    except EventError as error:
        raise bad_field(name, body.get(name), str(error).split(": ", 1)[1]) from None


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


def whole(body: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A whole number within bounds."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad_field(name, value, f"must be a whole number from {low} to {high}")
    return value


def query_whole(name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query string."""
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise bad_field(name, text, f"must be a whole number from {low} to {high}")
    return int(text)
