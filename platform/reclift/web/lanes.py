"""The short way past Flask for the calls that each visit of a shop makes.

Flask's contexts, routing and responses cost more than most answers. A call that is just as nearly all are (an API
key in its header, JSON of a known length) needs none of them; every other one goes through Flask, which says what is
wrong with it. So a lane decides nothing of its own: it serves what the view of the same address would.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from reclift.flows.accounts import digest
from reclift.flows.serving import Key
from reclift.web.api import visits
from reclift.web.api.fields import json_body
from reclift.wiring import Runtime

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

JSON = "application/json"
_SCOPE = "shop"
_STATUS = {200: "200 OK", 202: "202 ACCEPTED"}


class Lane(NamedTuple):
    """What answers; `nul`: it looks for NUL characters itself; `settled`: puts the number of duplicates in later."""

    answer: Callable[[visits.Ask], visits.Answer]
    nul: bool = False
    settled: Callable[[visits.Answer, int], visits.Answer] | None = None


class Opened(NamedTuple):
    """A lane, and the key that may use it."""

    lane: Lane
    key: Key


LANES: Mapping[tuple[str, str], Lane] = {
    ("POST", "/assign"): Lane(visits.assign),
    ("POST", "/recommend"): Lane(visits.recommend),
    ("POST", "/events"): Lane(visits.events, nul=True, settled=visits.settled),
}
"""Method and path -> lane. Each has a view at the same address, for scope `shop`."""


class Lanes:
    """The lanes over a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        """The runtime of the application that they belong to."""
        self._runtime = runtime
        self._most = runtime.settings.max_body_bytes

    def answer(self, environ: WSGIEnvironment) -> visits.Answer | None:
        """The answer; None: Flask's to answer, and its body can still be read. Raises what the view would."""
        length: str = environ.get("CONTENT_LENGTH", "")
        opened = self.opened(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("CONTENT_TYPE"),
            environ.get("HTTP_AUTHORIZATION", ""),
            length,
        )
        if opened is None:
            return None
        raw: bytes = environ["wsgi.input"].read(int(length))
        answer = self.call(opened, raw)
        if answer is None:
            environ["wsgi.input"] = io.BytesIO(raw)
        return answer

    def opened(
        self, method: str, path: str, content_type: str | None, authorization: str, length: str
    ) -> Opened | None:
        """The lane of a call that is as nearly all are, by what is known before its body; None: Flask's to answer."""
        lane = LANES.get((method, path))
        if (
            lane is None
            or content_type != JSON
            or not authorization.startswith("Bearer ")
            or not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= self._most)
        ):
            return None
        # A key that the snapshot has not heard of may be a new one: Flask's way asks the database.
        key = self._runtime.live.current.keys.get(digest(authorization[7:].strip()))
        return None if key is None or _SCOPE not in key.scopes else Opened(lane, key)

    def call(self, opened: Opened, raw: bytes) -> visits.Answer | None:
        """The answer to a body; None: it is no JSON, and Flask says so. Raises what the view would."""
        try:
            body: dict[str, Any] = json_body(raw, nul=opened.lane.nul)
        except orjson.JSONDecodeError:
            return None
        return opened.lane.answer(visits.Ask(self._runtime, opened.key, body))


def headers(answer: visits.Answer) -> tuple[str, list[tuple[str, str]]]:
    """Status line and headers."""
    return _STATUS[answer.status], [("Content-Type", JSON), ("Content-Length", str(len(answer.body)))]
