"""What the benchmarks over HTTP share: Reclift as it is served, a bare Flask route beside it, and a load."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flask import Flask, Response

from tests.services import free_port, wait_until

CONNECTIONS = 16
BARE = "/bare"
ANSWERED: Counter[str] = Counter()
"""Answers by path, of all calls so far."""

_bare_ports: dict[int, int] = {}
"""Reclift's port -> the bare route's beside it."""


def bare_flask() -> Flask:
    """The reference: a Flask application with one route that answers a few bytes of JSON."""
    app = Flask("bare")

    @app.route(BARE, methods=["GET", "POST"])
    def bare() -> Response:
        return Response(b'{"ok":true}', mimetype="application/json")

    return app


def serve_bare(port: int, threads: int) -> None:
    """The bare route as granian serves a Flask application, in a process of its own."""
    from granian.constants import Interfaces
    from granian.server import Server

    Server(
        "bench._http:bare_flask", factory=True, address="127.0.0.1", port=port, interface=Interfaces.WSGI, workers=1,
        blocking_threads=threads, backpressure=128, log_access=False,
    ).serve()  # fmt: skip


def serve(port: int) -> None:
    """Reclift as `reclift serve` serves it, in a process of its own, without the worker."""
    from reclift.cli.serve import run_server
    from reclift.settings import load_settings

    run_server(load_settings(), "127.0.0.1", port, 1)


@contextmanager
def server(folder: Path, threads: int = 16, **settings: str) -> Iterator[int]:
    """Reclift on a free port, over the data in `folder`, and the bare route on another, in as many threads.

    Only one of them is asked at a time: the other takes no time away.
    """
    port, bare = free_port(), free_port()
    given = {
        "DATA_DIR": str(folder),
        "SECRET_KEY": "only-for-benchmarks" * 2,
        "LOG_LEVEL": "WARNING",
        "THREADS": str(threads),
    }
    given |= settings
    environment = {**os.environ, **{f"RECLIFT_{name}": value for name, value in given.items()}}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"import bench._http; bench._http.{call}"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for call in (f"serve({port})", f"serve_bare({bare}, {threads})")
    ]

    def ended() -> str | None:
        return "a server ended" if any(process.poll() is not None for process in processes) else None

    try:
        wait_until(lambda: answers(port) and answers(bare, BARE), 60, ended)
        _bare_ports[port] = bare
        yield port
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def answers(port: int, path: str = "/health/ready") -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


@dataclass(frozen=True)
class Call:
    """One kind of request; `{}` in path or body is a user's number."""

    name: str
    method: str
    path: str
    body: str = ""
    key: str = ""


def throughput(port: int, call: Call, seconds: float) -> float:
    """Requests a second, after a check that the call succeeds."""
    check(port, call)
    return with_wrk(port, call, seconds) if shutil.which("wrk") else with_threads(port, call, seconds)


def headers(call: Call) -> dict[str, str]:
    sent = {"Content-Type": "application/json"} if call.body else {}
    return {**sent, "Authorization": f"Bearer {call.key}"} if call.key else sent


def check(port: int, call: Call) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(call.method, call.path.replace("{}", "1"), call.body.replace("{}", "1") or None, headers(call))
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{call.name}: {response.status} {body[:300]!r}")
    ANSWERED[call.path] += 1


LUA = """
local n = 0
local path, body = %s, %s
request = function()
  n = n + 1
  local user = tostring((n * 7919) %% 5000)
  return wrk.format(%s, (path:gsub("{}", user)), %s, body ~= "" and (body:gsub("{}", user)) or nil)
end
"""


def with_wrk(port: int, call: Call, seconds: float) -> float:
    fields = ", ".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in headers(call).items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % (json.dumps(call.path), json.dumps(call.body), json.dumps(call.method), f"{{{fields}}}"))
        script.flush()
        address = f"http://127.0.0.1:{port}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, address]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        raise SystemExit(f"{call.name}: some calls failed\n{printed}")
    ANSWERED[call.path] += int(re.search(r"(\d+) requests in", printed)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])


def with_threads(port: int, call: Call, seconds: float) -> float:
    """Where there is no wrk: slower, but the same for all that are compared."""
    counts = [0] * 4
    end = time.monotonic() + seconds

    def client(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < end:
            user = str(counts[place] * 7919 % 5000)
            connection.request(
                call.method, call.path.replace("{}", user), call.body.replace("{}", user) or None, headers(call)
            )
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"{call.name}: {response.status}")
            counts[place] += 1

    threads = [threading.Thread(target=client, args=(place,)) for place in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ANSWERED[call.path] += sum(counts)
    return sum(counts) / seconds


def compare(port: int, calls: list[Call], *, seconds: float, rounds: int) -> dict[str, float]:
    """Each call's throughput as a ratio to the bare route's, the median of rounds in which they take turns.

    The bare route gets the very same request, headers and body included, at its own address.
    """
    result = {}
    for call in calls:
        query = call.path.partition("?")[2]
        reference = replace(call, name="bare Flask route", path=f"{BARE}?{query}" if query else BARE)
        bare_port = _bare_ports[port]
        throughput(bare_port, reference, 1)
        throughput(port, call, 1)
        rates, bares, ratios = [], [throughput(bare_port, reference, seconds)], []
        for _ in range(rounds):
            rates.append(throughput(port, call, seconds))
            bares.append(throughput(bare_port, reference, seconds))
            # The reference just before and just after: a busy machine slows all three down.
            ratios.append(2 * rates[-1] / (bares[-1] + bares[-2]))
        rate, bare, found = (statistics.median(values) for values in (rates, bares, ratios))
        print(f"{call.name:40} {rate:8,.0f} requests/s, bare Flask route {bare:8,.0f}", end="")
        print(f": ratio {found:.2f}  ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
        result[call.name] = found
    return result
