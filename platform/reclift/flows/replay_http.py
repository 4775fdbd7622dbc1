"""A replay's connection to the server: one keep-alive HTTP connection a thread, and errors that say what happened."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

TRIES = 5
TIMEOUT_SECONDS = 30.0
_AGAIN = frozenset({429, 502, 503, 504})


class ReplayError(Exception):
    """The server did not take what the replay sent; the message has the call, the status and the answer."""


class HttpApi:
    """`/recommend` and `/events` over HTTP. Not shared between threads.

    Every call carries ids that make it safe to repeat, so a call without an answer is made again, a few times.
    """

    def __init__(self, url: str, key: str) -> None:
        """`url` is the server's, `key` an API key that may recommend and send events. Nothing connects yet."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ReplayError(f"url={url!r}: must be http://host:port")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def recommend(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """POST /recommend."""
        answer: Mapping[str, Any] = self._post("/recommend", body)
        return answer

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """POST /events."""
        answer = self._post("/events", {"events": events})
        if answer["rejected"]:
            first = answer["rejected"][0]
            raise ReplayError(f"/events refused {len(answer['rejected'])} of {len(events)} events, the first: {first}")

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        data = orjson.dumps(body)
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                self._connection.request("POST", path, data, self._headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()  # the next request opens a new one
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status < 300:
                return orjson.loads(answer)
            problem = f"{response.status} {answer[:500].decode(errors='replace')}"
            if response.status not in _AGAIN:
                break
        raise ReplayError(f"POST {path}: {problem}")
