"""Ingested events a second, from the first request to the last row, against the database alone in the same run.

    python -m bench.ingest [--quick] [--million]

Production: `reclift serve`, `reclift drain`, PostgreSQL and Redis (fsync at each append), /events with 500 events a
call. The reference: psycopg, COPY of the same 500 rows into a temporary table, INSERT … ON CONFLICT DO NOTHING, commit;
same server, into one plain table of events with the key and the indexes that Reclift had before events were
partitioned. Bar 0.35. Embedded: /events into SQLite against `sqlite3.executemany` with the same synced commits. Bar
0.5. With --million, a million events go through the stream, and the drain's memory is printed.
"""

from __future__ import annotations

import http.client
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from redis import Redis
from sqlalchemy import text

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import accounts, jobs
from reclift.settings import load_settings
from reclift.storage.sinks.redis_stream import RedisStreamSink, waiting_in
from tests.reclift_server import RecliftServer
from tests.services import PostgresServer, RedisServer, wait_until

BATCH, CLIENTS = 500, 4
BARS = {"production": 0.35, "embedded": 0.5}
SECRET = "only-for-benchmarks" * 2
COLUMNS = "event_id, type, unit_id, item_id, recommendation_id, value, at, client_at, received_at, properties"


def rows(count: int, mark: str) -> list[dict[str, Any]]:
    """As the tables hold them."""
    draw = random.Random(mark)
    now = time.time_ns() // 1_000
    return [
        {
            "event_id": f"{mark}-{draw.getrandbits(64):016x}", "type": "click",
            "unit_id": f"user-{draw.randrange(20_000)}", "item_id": f"item-{draw.randrange(5_000)}",
            "recommendation_id": f"{draw.getrandbits(96):024x}",
            "value": 1.0, "at": now - n, "client_at": now - n, "received_at": now, "properties": {"device": "phone"},
        }
        for n in range(count)
    ]  # fmt: skip


def bodies(events: list[dict[str, Any]]) -> list[bytes]:
    """The same events as a shop sends them."""
    sent = [
        {
            **{name: row[name] for name in ("event_id", "type", "item_id", "recommendation_id", "value", "properties")},
            "user_id": row["unit_id"],
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["at"] / 1e6)),
        }
        for row in events
    ]
    return [orjson.dumps({"events": sent[start : start + BATCH]}) for start in range(0, len(sent), BATCH)]


def batches(events: list[dict[str, Any]]) -> Iterator[list[tuple[Any, ...]]]:
    values = [(*list(row.values())[:-1], orjson.dumps(row["properties"]).decode()) for row in events]
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


def post(port: int, key: str, calls: list[bytes], done: Callable[[], bool]) -> float:
    """Seconds from the first call to the moment when `done`."""
    remaining = iter(calls)
    lock = threading.Lock()
    failed: list[str] = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                body = next(remaining, None)
            if body is None:
                return
            connection.request("POST", "/events", body, headers)
            response = connection.getresponse()
            answered = response.read()
            if response.status != 202 or orjson.loads(answered)["rejected"]:
                failed.append(f"{response.status} {answered[:300]!r}")
                return

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not failed and not done():
        time.sleep(0.02)
    if failed:
        raise SystemExit(f"/events failed: {failed[0]}")
    return time.perf_counter() - began


def raw_copy(dsn: str, events: list[dict[str, Any]]) -> float:
    parts = list(batches(events))
    with psycopg.connect(dsn) as connection:
        for statement in (
            "CREATE TABLE IF NOT EXISTS plain_events (LIKE events, PRIMARY KEY (event_id))",
            "CREATE INDEX IF NOT EXISTS plain_unit ON plain_events (unit_id, at)",
            "CREATE INDEX IF NOT EXISTS plain_at ON plain_events (at)",
        ):
            connection.execute(statement)
        connection.execute("CREATE TEMPORARY TABLE raw (LIKE events INCLUDING DEFAULTS) ON COMMIT DELETE ROWS")
        connection.commit()
        began = time.perf_counter()
        for part in parts:
            with connection.cursor() as cursor:
                with cursor.copy(f"COPY raw ({COLUMNS}) FROM STDIN") as copy:
                    for row in part:
                        copy.write_row(row)
                cursor.execute(f"INSERT INTO plain_events ({COLUMNS}) SELECT {COLUMNS} FROM raw ON CONFLICT DO NOTHING")
            connection.commit()
        return time.perf_counter() - began


def raw_executemany(path: Path, events: list[dict[str, Any]]) -> float:
    parts = list(batches(events))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    began = time.perf_counter()
    for part in parts:
        with connection:
            connection.executemany(f"INSERT OR IGNORE INTO events ({COLUMNS}) VALUES ({','.join('?' * 10)})", part)
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


@contextmanager
def drain_process(settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **{f"RECLIFT_{name}": value for name, value in settings.items()}}
    process = subprocess.Popen([sys.executable, "-m", "reclift", "drain"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def peak_memory(process: subprocess.Popen[bytes]) -> float:
    """Most megabytes it ever held in memory (RSS)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1_000


def key_of(here: wiring.Runtime) -> str:
    with here.database.write() as session:
        return accounts.create_key(session, "bench", ["shop"], "bench")[1]


def compare(name: str, events: int, rounds: int, ours: Callable[[str], float], raw: Callable[[str], float]) -> float:
    """The median ratio of rounds in which both take turns."""
    found = []
    for number in range(rounds):
        first, here, second = raw(f"a{number}"), ours(f"b{number}"), raw(f"c{number}")
        reference = (first + second) / 2
        found.append(reference / here)
        print(
            f"  {name:10} {events / here:8,.0f} events/s, reference {events / reference:8,.0f}: {found[-1]:.2f}",
            flush=True,
        )
    return statistics.median(found)


def production(folder: Path, events: int, rounds: int, million: bool) -> float:
    postgres, redis = PostgresServer(), RedisServer(durable=True)
    postgres.start()
    redis.start()
    dsn, url = postgres.dsn("bench"), postgres.create_database("bench")
    settings = {
        "DATA_DIR": str(folder), "SECRET_KEY": SECRET, "DATABASE_URL": url, "REDIS_URL": redis.url(),
        "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    given: Any = {name.lower(): value for name, value in settings.items()}
    here = wiring.build(load_settings(**given), queue=jobs.NullQueue())
    here.set_up()
    key = key_of(here)
    server = RecliftServer(settings)
    client = Redis.from_url(redis.url())
    try:
        server.start()
        with drain_process(settings) as drain:
            watch = psycopg.connect(dsn, autocommit=True)

            def all_there(mark: str) -> bool:
                query = "SELECT count(*) FROM event_ids WHERE event_id >= %s AND event_id < %s"
                return waiting_in(client)["batches"] == 0 and watch.execute(
                    query, (f"{mark}-", f"{mark}-g")
                ).fetchone() == (events,)

            post(server.port, key, bodies(rows(BATCH * 4, "warm")), lambda: waiting_in(client)["batches"] == 0)
            ratio = compare(
                "production", events, rounds,
                lambda mark: post(server.port, key, bodies(rows(events, mark)), lambda: all_there(mark)),
                lambda mark: raw_copy(dsn, rows(events, mark)),
            )  # fmt: skip
            taken = server.get("/metrics").body
            for line in taken.splitlines():
                if line.startswith(("reclift_facts_taken_total", "reclift_stream")):
                    print(f"    {line}")
            print(f"  the drain's memory at most: {peak_memory(drain):.0f} MB after {events * rounds:,} events")
            if million:
                a_million(client, drain, here)
        return ratio
    finally:
        server.close()
        here.close()
        redis.close()
        postgres.close()


def a_million(client: Redis, drain: subprocess.Popen[bytes], here: wiring.Runtime) -> None:
    """A backlog of a million events, put into the stream as fast as it takes them."""
    sink = RedisStreamSink(client, max_bytes=1_000_000_000)
    before = peak_memory(drain)
    began = time.perf_counter()
    for part in range(200):
        events = rows(5_000, f"m{part}")
        for start in range(0, len(events), BATCH):
            sink.append(Facts(events[start : start + BATCH]))
    filled = time.perf_counter() - began
    state = waiting_in(client)
    print(f"  a million events: in the stream after {filled:.0f} s, waiting then {state}", flush=True)
    wait_until(lambda: waiting_in(client)["batches"] == 0, 900)
    with here.database.engine.connect() as connection:
        there = connection.execute(text("SELECT count(*) FROM events WHERE event_id LIKE 'm%'")).scalar()
    print(
        f"  in the tables after {time.perf_counter() - began:.0f} s: {there:,}; stream {waiting_in(client)}; "
        f"the drain's memory at most {peak_memory(drain):.0f} MB ({before:.0f} MB before)",
        flush=True,
    )
    if there != 1_000_000:
        raise SystemExit(f"{there} of a million events are in the tables")


def embedded(folder: Path, events: int, rounds: int) -> float:
    settings = {"DATA_DIR": str(folder), "SECRET_KEY": SECRET, "LOG_LEVEL": "WARNING"}
    given: Any = {name.lower(): value for name, value in settings.items()}
    here = wiring.build(load_settings(**given), queue=jobs.NullQueue())
    here.set_up()
    key = key_of(here)
    reference = folder.with_name("reference")
    other = wiring.build(load_settings(**{**given, "data_dir": str(reference)}), queue=jobs.NullQueue())
    other.set_up()
    other.close()
    server = RecliftServer(settings)
    try:
        server.start()
        post(server.port, key, bodies(rows(BATCH * 4, "warm")), lambda: True)
        return compare(
            "embedded", events, rounds,
            lambda mark: post(server.port, key, bodies(rows(events, mark)), lambda: True),
            lambda mark: raw_executemany(reference / "reclift.db", rows(events, mark)),
        )  # fmt: skip
    finally:
        server.close()
        here.close()


def main() -> int:
    quick = "--quick" in sys.argv
    events, rounds = (10_000, 1) if quick else (30_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        ratios = {
            "production": production(Path(folder) / "production", events, rounds, "--million" in sys.argv),
            "embedded": embedded(Path(folder) / "embedded", events, rounds),
        }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} of the reference (bar {BARS[name]})")
    return 0 if all(ratio >= BARS[name] for name, ratio in ratios.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
