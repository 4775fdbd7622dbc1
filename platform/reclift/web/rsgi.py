"""Reclift as granian's event loop calls it: what needs no waiting is answered there, everything else in threads.

In a server of threads each call passes the interpreter's lock from thread to thread several times, and that takes
longer than the answer of a list that is known already. The loop answers such calls one after the other and lets their
impressions be made durable together. Whatever has to wait (a user never met, a strategy to be asked, a page) is
answered by Flask as ever, in one of the threads.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import structlog
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # the documented name, imported there under it

from reclift.storage.eventlog import SinkUnavailable
from reclift.storage.hurry import Hurry
from reclift.web.api.visits import Answer
from reclift.web.application import Application
from reclift.web.environ import environ_of
from reclift.web.keeper import Keeper
from reclift.web.lanes import JSON, Lanes, Opened
from reclift.web.threads import Threads
from reclift.wiring import Runtime

log = structlog.get_logger(__name__)

_AT_ONCE = 1_000_000
"""A response of a known length up to so many bytes is sent as one."""
_SMALL = 65_536
"""A longer body is not parsed in the loop, where everybody else would wait for it."""
_FAILED = b"Internal Server Error"


class _Response(NamedTuple):
    """`rest`: what is still to be made and sent, piece by piece; None: `body` is all."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    rest: Iterator[bytes] | None = None
    close: Callable[[], object] | None = None


class Rsgi:
    """An RSGI application over the Flask application."""

    def __init__(self, application: Application, runtime: Runtime) -> None:
        """The application must have lanes."""
        self._application = application
        self._runtime = runtime
        self._lanes = Lanes(runtime)
        self._most = runtime.settings.max_body_bytes

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called when the server's loop is there."""
        self._threads = Threads(loop, self._runtime.settings.threads)
        self._keeper = Keeper(self._runtime.event_log, loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Called before the server's loop ends."""
        self._keeper.close()
        self._threads.close()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer a call; nobody is answered who hung up meanwhile."""
        try:
            await self._answer(scope, protocol)
        except ProtocolClosed:
            log.debug("caller_hung_up", path=scope.path)

    async def _answer(self, scope: Any, protocol: Any) -> None:
        headers = scope.headers
        length: str = headers.get("content-length") or ""
        opened = self._lanes.opened(
            scope.method, scope.path, headers.get("content-type"), headers.get("authorization") or "", length
        )
        if opened is None or int(length) > _SMALL:
            raw = await self._body(protocol, length, headers.get("transfer-encoding"))
        else:
            raw = await protocol()
            answer = await self._quickly(opened, raw)
            if answer is not None:
                fields = [("Content-Type", JSON), ("Content-Length", str(len(answer.body)))]
                protocol.response_bytes(answer.status, fields, answer.body)
                return
        await self._by_thread(scope, protocol, raw)

    async def _quickly(self, opened: Opened, raw: bytes) -> Answer | None:
        """The answer, when what it says is durable; None: a thread does all of it again, and says what is wrong."""
        answered = self._hurried(opened, raw)
        if answered is None:
            return None
        answer, hurry = answered
        if not hurry.facts:
            return answer
        try:
            outcome = await self._keeper.keep(hurry.facts)
        except SinkUnavailable:
            return None
        if isinstance(outcome, Exception):
            return None
        for action in hurry.after:
            action()
        settled = opened.lane.settled
        return answer if settled is None else settled(answer, outcome.duplicates or 0)

    def _hurried(self, opened: Opened, raw: bytes) -> tuple[Answer, Hurry] | None:
        """The answer, and what is to be done before it leaves; None: it cannot be made without waiting.

        Whatever else is raised is left to the thread that does it again: it says what is wrong in Flask's words.
        """
        try:
            with Hurry() as hurry:
                answer = self._lanes.call(opened, raw)
        except Exception:  # noqa: BLE001 (see above)
            return None
        return None if answer is None else (answer, hurry)

    async def _body(self, protocol: Any, length: str, encoding: str | None) -> bytes:
        """The body, unless it is longer than any may be: then Flask refuses it by its length."""
        if length.isascii() and length.isdigit():
            return await protocol() if len(length) < 20 and 0 < int(length) <= self._most else b""
        if encoding is None:
            return b""
        body = io.BytesIO()
        async for part in protocol:
            body.write(part)
            if body.tell() > self._most:
                break
        return body.getvalue()

    async def _by_thread(self, scope: Any, protocol: Any, raw: bytes) -> None:
        environ = environ_of(scope, raw)
        response = await self._threads.run(partial(self._respond, environ))
        if response.rest is None:
            protocol.response_bytes(response.status, response.headers, response.body)
            return
        try:
            transport = protocol.response_stream(response.status, response.headers)
            part: bytes | None = response.body
            while part is not None:
                if part:
                    await transport.send_bytes(part)
                part = await self._threads.run(partial(next, response.rest, None))
        finally:
            if response.close is not None:
                await self._threads.run(response.close)

    def _respond(self, environ: dict[str, Any]) -> _Response:
        """Flask's response, in a thread. Its errors are Flask's; what is raised beyond it is logged, and a 500."""
        status, fields = 500, [("Content-Type", "text/plain; charset=utf-8")]

        def start_response(line: str, given: list[tuple[str, str]], _exc_info: Any = None) -> Callable[..., None]:
            nonlocal status, fields
            status, fields = int(line.split(" ", 1)[0]), given
            return _no_write

        try:
            parts = self._application(environ, start_response)
            if not isinstance(parts, list):
                return _response(status, fields, parts)
            return _Response(status, fields, b"".join(parts))
        except Exception:
            log.exception("response_failed", path=environ["PATH_INFO"])
            return _Response(500, [("Content-Type", "text/plain; charset=utf-8")], _FAILED)


def _response(status: int, fields: list[tuple[str, str]], parts: Iterable[bytes]) -> _Response:
    """All at once where the length is known and small, else the first piece, and the rest as it is made."""
    close: Callable[[], object] | None = getattr(parts, "close", None)
    length = next((value for name, value in fields if name.lower() == "content-length"), "")
    if length.isdigit() and int(length) <= _AT_ONCE:
        try:
            return _Response(status, fields, b"".join(parts))
        finally:
            if close is not None:
                close()
    try:
        rest = iter(parts)
        return _Response(status, fields, next(rest, b""), rest, close)
    except BaseException:
        if close is not None:
            close()
        raise


def _no_write(*_: Any) -> None:
    raise RuntimeError("write() of start_response is not offered: it is older than iterables, and nothing here uses it")
