"""HTTP with time limits, and retries with jitter where a repeated call changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from reclift.client.errors import ApiError, RecliftError, Unreachable
from reclift.client.fork import renew_after_fork

BUSY = frozenset({429, 502, 503, 504})
"""Statuses that another attempt may mend."""


class Answer(NamedTuple):
    """A good answer; `body` None: it has none (204, 304)."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Transport:
    """One server, one key, one pool of connections; used by many threads at once."""

    def __init__(self, base_url: str, key: str, *, timeout: float, retries: int) -> None:
        """`timeout`: seconds for an attempt; `retries`: attempts beyond the first, of safe calls."""
        self._base = base_url.rstrip("/")
        self._timeout = Timeout(total=timeout)
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": "reclift-python"}
        self._once = Retry(total=0, redirect=0, raise_on_status=False)
        # The server may say when to come back (Retry-After), but a page does not wait that long for it.
        self._again = Retry(
            total=retries,
            redirect=0,
            status_forcelist=BUSY,
            allowed_methods=None,
            backoff_factor=0.1,
            backoff_jitter=0.2,
            backoff_max=2.0,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Connections of its own."""
        self._pool = urllib3.PoolManager(maxsize=16, block=False)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        safe: bool,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask. `body` is sent as JSON (bytes as they are); `safe`: it may be sent again when the first try failed.

        Raises `ApiError` when the server refuses, `Unreachable` when there is no answer; both are `RecliftError`.
        """
        sent = {**self._headers, **(headers or {})}
        data = None
        if body is not None:
            try:
                data = body if isinstance(body, bytes) else orjson.dumps(body)
            except TypeError as error:
                raise RecliftError(f"{method} {path}: what was given cannot be written as JSON: {error}") from error
            sent["Content-Type"] = "application/json"
        try:
            response = self._pool.request(
                method,
                self._base + path,
                body=data,
                headers=sent,
                timeout=self._timeout,
                retries=self._again if safe else self._once,
            )
        except HTTPError as error:
            raise Unreachable(f"{method} {self._base}{path}: {error}") from error
        return _read(response, f"{method} {path}")

    def close(self) -> None:
        """Let the connections go."""
        self._pool.clear()


def _read(response: urllib3.BaseHTTPResponse, asked: str) -> Answer:
    body: Any = None
    if response.data:
        try:
            body = orjson.loads(response.data)
        except orjson.JSONDecodeError:
            # Something between us and the server answered in its place.
            what = f"{asked} was answered by something else than JSON ({response.headers.get('Content-Type')})"
            if response.status < 400:
                raise Unreachable(what) from None
            raise ApiError(response.status, "Not from Reclift", what) from None
    if response.status < 400:
        return Answer(response.status, response.headers, body)
    problem = body if isinstance(body, dict) else {}
    detail = str(problem.get("detail", response.reason or ""))
    raise ApiError(response.status, str(problem.get("title", "Refused")), detail, problem.get("errors") or ())
