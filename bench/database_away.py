"""How long /assign, /recommend and /events take while PostgreSQL hangs or is down, and while Redis is down as well.

    python -m bench.database_away [--quick]

A server in production mode; every impression is durable before its answer leaves. Several visitors at once, each a user
of whom nothing is in memory. It hangs behind a network that swallows what is sent: the first requests wait, and how
long they do is printed; from then on the bar holds. The bar: 99 of 100 answers within 250 ms while PostgreSQL hangs or
is down; the figures with everything up are printed beside them.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.crash import prepare
from tests.platform_fixtures import SECRET, build_runtime
from tests.reclift_server import RecliftServer
from tests.services import PostgresServer, RedisServer
from tests.tcp_proxy import TcpProxy

BAR_MS = 250.0
VISITORS = 4
CALLS: dict[str, dict[str, object]] = {
    "/recommend": {"placement": "home", "k": 3},
    "/assign": {},
    "/events": {"type": "click", "item_id": "i1"},
}


def latencies(port: int, key: str, path: str, calls: int, mark: str) -> list[float]:
    """Milliseconds of each call, sorted; ends at the first answer that is not 200."""
    found: list[float] = []
    wrong: list[str] = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def visit(visitor: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(calls // VISITORS):
            wish = {"user_id": f"{mark}-{visitor}-{number}", **CALLS[path]}
            body = json.dumps({"events": [wish]} if path == "/events" else wish)
            began = time.perf_counter()
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            text = response.read()
            found.append((time.perf_counter() - began) * 1e3)
            if response.status not in {200, 202}:
                wrong.append(f"{path}: {response.status} {text[:300]!r}")
                return

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit(wrong[0])
    return sorted(found)


def main() -> int:
    calls = 400 if "--quick" in sys.argv else 4_000
    postgres, redis = PostgresServer(), RedisServer(durable=True)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        postgres.start()
        redis.start()
        url = postgres.create_database("bench")
        here = build_runtime(Path(folder), database_url=url)
        key = prepare(here)
        here.close()
        proxy = TcpProxy(postgres.port)
        behind = url.replace(f":{postgres.port}/", f":{proxy.port}/")
        settings = {"DATA_DIR": folder, "SECRET_KEY": SECRET, "DATABASE_URL": behind, "REDIS_URL": redis.url()}
        server = RecliftServer(settings)

        def down() -> None:
            proxy.go_on()
            postgres.stop()

        def up_and_hanging_without_redis() -> None:
            postgres.start()
            time.sleep(3)  # everybody has noticed
            proxy.fall_silent()
            redis.kill()

        states: tuple[tuple[str, Callable[[], object] | None], ...] = (
            ("all up", None),
            ("PostgreSQL hangs", proxy.fall_silent),
            ("PostgreSQL down", down),
            ("hangs, no Redis", up_and_hanging_without_redis),
            ("both down", down),
        )
        try:
            proxy.__enter__()
            server.start()
            for state, change in states:
                if change is not None:
                    change()
                    first = latencies(server.port, key, "/recommend", VISITORS, f"{state} first")
                    print(f"{state:16} the first {VISITORS} requests: {', '.join(f'{ms:.0f}' for ms in first)} ms")
                for path in CALLS:
                    times = latencies(server.port, key, path, calls, state)
                    p99 = times[int(len(times) * 0.99)]
                    middle = times[len(times) // 2]
                    print(f"{state:16} {path:10} p50 {middle:6.1f} ms, p99 {p99:6.1f} ms, worst {times[-1]:6.1f} ms")
                    missed += change is not None and p99 > BAR_MS
        finally:
            server.close()
            proxy.__exit__()
            redis.close()
            postgres.close()
    print(f"bar: p99 at most {BAR_MS:.0f} ms while the database is away")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
