"""Reads what was sent: JSON bodies and their fields, each with a clear refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from reclift.domain.events import EventError, checked_id, has_nul
from reclift.flows.errors import NotFound
from reclift.web.auth import runtime
from reclift.web.problems import Refused, bad_field

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_DEPTH = 64
"""Objects and lists within each other, at most: what comes after the parser may walk them by recursion."""

MOST_CATEGORIES = 100
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_LARGEST_ROW = 2**31 - 1


class _Json(Response):
    """A whole body with its length and nothing to correct: goes out as it is."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in {204, 304}:
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        body: Iterable[bytes] = self.response  # type: ignore[assignment]  # bytes, as `answer` gave them
        return body


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return _Json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status=status, content_type=_JSON)


def json_object(*, nul: bool = False) -> dict[str, Any]:
    """The request's body as an object.

    415 when it says to be something else, 400 when it is not JSON, 422 when it is another kind of value, or holds a
    NUL character, which PostgreSQL cannot keep. `nul`: the caller looks for these itself.
    """
    # Parsing the header is left out where it is what nearly all send.
    environ = request.environ
    declared = _JSON if environ.get("CONTENT_TYPE") == _JSON else request.mimetype
    # Form data is what curl and urllib declare unless told otherwise; if it is JSON nevertheless, it is taken.
    if declared and declared not in {_JSON, _FORM} and not declared.endswith("+json"):
        raise _not_json(declared)
    raw = _read(environ)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(415, "Unsupported content", "the body is compressed: send it as it is") from None
        if declared == _FORM:
            raise _not_json(declared) from None
        raise Refused(400, "Malformed request", f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise bad_field("body", body if not isinstance(body, list) else "[...]", "must be a JSON object")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check_depth(body)
    if not nul and b"\\u0000" in raw:
        _check_nul(body)
    return body


def _read(environ: WSGIEnvironment) -> bytes:
    """The whole body. One of a known, allowed length is read at once; the rest is Werkzeug's to read or refuse."""
    most = runtime().settings.max_body_bytes
    length = environ.get("CONTENT_LENGTH", "")
    if length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= most:
        raw: bytes = environ["wsgi.input"].read(int(length))
        return raw
    raw = request.get_data(cache=False)
    if len(raw) >= most:  # in chunks, of which no more were read
        raise RequestEntityTooLarge
    return raw


def _not_json(declared: str) -> Refused:
    return Refused(415, "Unsupported content", f"the body is {declared}: send JSON, with Content-Type: {_JSON}")


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


def query_whole(name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query string."""
    text = request.args.get(name)
    if text is None:
        return default
    # Ten digits at most: Python refuses to read thousands.
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not low <= int(text) <= high:
        raise bad_field(name, text, f"must be a whole number from {low} to {high}")
    return int(text)


def query_number(name: str, default: float, low: float, high: float) -> float:
    """A number of the query string."""
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise bad_field(name, text, f"must be a number from {low:g} to {high:g}")
    return value


def query_flag(name: str, *, default: bool) -> bool:
    """`true` or `false` in the query string."""
    text = request.args.get(name)
    if text is None:
        return default
    if text not in {"true", "false"}:
        raise bad_field(name, text, "must be true or false")
    return text == "true"


def query_text(name: str) -> str | None:
    """A text of the query string."""
    text = request.args.get(name)
    if text is not None and "\x00" in text:
        raise bad_field(name, text, "must not contain NUL characters")
    return text


def row_id(kind: str, text: str) -> int:
    """The number of a row as it stands in an address; `NotFound` for what can be none."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > _LARGEST_ROW:
        raise NotFound(kind, text[:100])
    return int(text)
