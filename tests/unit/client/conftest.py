"""A server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reclift.client import Reclift


@dataclass
class Told:
    """Answers in turn, the last one for ever: (status, body), or a function of the request's body."""

    answers: list[Any] = field(default_factory=lambda: [(200, {})])
    asked: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    gate: threading.Event = field(default_factory=threading.Event)

    def events(self) -> list[dict[str, Any]]:
        """All events that came, in order."""
        return [event for _, path, body, _ in self.asked if path == "/events" for event in body["events"]]


@pytest.fixture
def server() -> Iterator[Told]:
    told = Told()
    told.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(raw) if raw else None
            told.asked.append((self.command, self.path, body, dict(self.headers)))
            told.gate.wait(20)
            answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            status, sent, *more = answer(body) if callable(answer) else answer
            data = sent if isinstance(sent, bytes) else json.dumps(sent).encode() if sent is not None else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 (the library's names)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    told.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield told
    told.gate.set()
    http.shutdown()
    http.server_close()


Make = Callable[..., Reclift]


@pytest.fixture
def make(server: Told) -> Iterator[Make]:
    made: list[Reclift] = []

    def client(**settings: Any) -> Reclift:
        made.append(Reclift(server.url, "rl_key", **{"timeout": 5.0, "flush_seconds": 0.02, **settings}))
        return made[-1]

    yield client
    for one in made:
        one.close()
