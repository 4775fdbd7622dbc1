"""Calls an RSGI application as granian does, in an event loop of its own, without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any


class FakeHeaders:
    """Names in lower case; a name may come several times."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self._items = [(name.lower(), value) for name, value in items]

    def items(self) -> list[tuple[str, str]]:
        return self._items

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for one, value in self._items if one == name), default)


@dataclass
class FakeScope:
    method: str
    path: str
    headers: FakeHeaders
    query_string: str = ""
    proto: str = "http"
    http_version: str = "1.1"
    scheme: str = "http"
    server: str = "127.0.0.1:8080"
    client: str = "127.0.0.1:50000"
    authority: str | None = None


@dataclass
class FakeProtocol:
    """Notes what is answered. `parts`: how the body comes."""

    parts: list[bytes]
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    asked: bool = False

    async def __call__(self) -> bytes:
        self.asked = True
        return b"".join(self.parts)

    async def _each(self) -> AsyncIterator[bytes]:
        self.asked = True
        for part in self.parts:
            yield part

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._each()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert not self.status, "answered twice"
        self.status, self.headers, self.sent = status, headers, [body]

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> FakeProtocol:
        assert not self.status, "answered twice"
        self.status, self.headers = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)

    @property
    def body(self) -> bytes:
        return b"".join(self.sent)


class RsgiClient:
    """A loop in a thread, and an application in it."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.loop.call_soon_threadsafe(application.__rsgi_init__, self.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | list[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        **scope: Any,
    ) -> FakeProtocol:
        """Answered; a list of bytes comes in chunks, without a length."""
        given = list((headers or {}).items())
        if isinstance(body, list):
            given.append(("Transfer-Encoding", "chunked"))
        elif body and "Content-Length" not in (headers or {}):
            given.append(("Content-Length", str(len(body))))
        protocol = FakeProtocol(body if isinstance(body, list) else [body])
        self.run(
            self.application.__rsgi__(
                FakeScope(method, path, FakeHeaders([("Host", "localhost"), *given]), **scope), protocol
            )
        )
        return protocol

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.application.__rsgi_del__, self.loop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.loop.close()
