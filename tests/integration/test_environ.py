"""The environ of an RSGI call against the one that granian's own WSGI server gives, both asked over the network."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services import free_port, wait_until

PROBE = """
import json, os, sys
from granian.constants import Interfaces
from granian.server import Server
from reclift.web.environ import environ_of

def told(environ, body):
    of_wsgi = {"wsgi.url_scheme", "wsgi.version", "wsgi.input_terminated", "wsgi.multithread", "wsgi.run_once"}
    kept = {name: value for name, value in environ.items() if name.isupper() or name in of_wsgi}
    return json.dumps({**kept, "body": body.decode("latin-1")}).encode()

def wsgi(environ, start_response):
    own = {name: value for name, value in environ.items() if name not in os.environ}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [told(own, environ["wsgi.input"].read())]

async def rsgi(scope, protocol):
    body = await protocol()
    environ = environ_of(scope, body)
    assert environ["wsgi.input"].read() == body
    protocol.response_bytes(200, [("Content-Type", "application/json")], told(environ, body))

if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    served = {"address": "127.0.0.1", "port": port, "interface": Interfaces(kind), "workers": 1, "websockets": False}
    Server(f"probe:{kind}", **served).serve()
"""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A server of either kind that tells its environ."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE)
    ports = free_port(), free_port()
    command = [sys.executable, "probe.py"]
    servers = [
        subprocess.Popen([*command, kind, str(port)], cwd=folder, stdout=subprocess.DEVNULL)
        for kind, port in zip(("wsgi", "rsgi"), ports, strict=True)
    ]

    def listens() -> bool:
        try:
            for port in ports:
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    try:
        wait_until(listens, 60)
        yield ports
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)


def ask(port: int, method: str, path: str, body: Any, headers: list[tuple[str, str]]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if isinstance(body, list):
        connection.putheader("Transfer-Encoding", "chunked")
    elif body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(iter(body) if isinstance(body, list) else body, encode_chunked=isinstance(body, list))
    response = connection.getresponse()
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.read())
    connection.close()
    return {name: str(value).replace(str(port), "PORT") for name, value in found.items()}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/", None, []),
        ("GET", "/users/%C3%A9%20%2F%3Fa?x=%20&y=%C3%A9+1", None, [("X-A", "1"), ("X-A", "2"), ("Accept", "*/*")]),
        ("POST", "/events", b'{"a": 1}', [("Content-Type", "application/json"), ("Authorization", "Bearer x")]),
        ("PUT", "/items", [b"ab", b"c"], [("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Forwarded-For", "1.2.3.4")]),
        ("DELETE", "/users/%E2%82%AC", b"", [("If-None-Match", '"a"')]),
        ("OPTIONS", "/health/live", None, []),
    ],
)
def test_it_is_what_granian_gives(
    ports: tuple[int, int], method: str, path: str, body: Any, headers: list[tuple[str, str]]
) -> None:
    wsgi, rsgi = (ask(port, method, path, body, headers) for port in ports)
    assert rsgi == wsgi
