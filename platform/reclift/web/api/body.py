"""Reads what was sent, each part with a clear refusal, and answers in JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from reclift.flows.errors import NotFound
from reclift.web.api.fields import json_body
from reclift.web.auth import runtime
from reclift.web.problems import Refused, bad_field

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

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
    return sent(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status)


def sent(body: bytes, status: int = 200) -> Response:
    """A response of JSON that is written already."""
    return _Json(body, status=status, content_type=_JSON)


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
        return json_body(raw, nul=nul)
    except orjson.JSONDecodeError as error:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(415, "Unsupported content", "the body is compressed: send it as it is") from None
        if declared == _FORM:
            raise _not_json(declared) from None
        raise Refused(400, "Malformed request", f"the body is not JSON: {error}") from None


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
