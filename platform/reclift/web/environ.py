"""A WSGI environ of an RSGI scope, just as granian's own WSGI server makes it."""

from __future__ import annotations

import io
import sys
from typing import Any

_ALWAYS: dict[str, Any] = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}
_WITHOUT_PREFIX = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def environ_of(scope: Any, body: bytes) -> dict[str, Any]:
    """`scope`: of an HTTP call, RSGI 1; `body`: what came with it."""
    server, _, port = scope.server.rpartition(":")
    version = scope.http_version
    environ = {
        **_ALWAYS,
        "SERVER_PROTOCOL": f"HTTP/{version}",
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "REQUEST_METHOD": scope.method,
        # As bytes of UTF-8 that pass for Latin-1: PEP 3333.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    }
    for name, value in scope.headers.items():
        key = _WITHOUT_PREFIX.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
        if key in environ:
            environ[key] += f"{';' if name == 'cookie' else ','}{value}"
        else:
            environ[key] = value
    if scope.authority is not None:
        environ.setdefault("HTTP_HOST", scope.authority)
    return environ
