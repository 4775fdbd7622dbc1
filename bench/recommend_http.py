"""How many /recommend calls a server answers, against a bare Flask route on a server of its own in the same run.

    python -m bench.recommend_http [--quick] [--production]

5,000 users with histories as long as MovieLens-100k's, catalogues of 10,000 and 100,000 items, one running experiment
(popularity against item_cf), then each strategy alone. Each impression is durable before its answer leaves: in SQLite,
synced to disk, or with `--production` in Redis (`appendfsync always`), from where a worker moves it to PostgreSQL. The
benchmark counts them afterwards: as many as answers, or it fails.

The bars: 0.35 of the bare route with 10,000 items, and 0.8 of that ratio with 100,000.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, select

from bench import _http
from bench._http import Call, compare, server, throughput
from bench._shop import stock
from reclift import wiring
from reclift.flows import jobs
from reclift.settings import Settings, load_settings
from reclift.storage.tables import ImpressionRow
from tests.services import PostgresServer, RedisServer

BAR, BIG_BAR = 0.35, 0.8
ITEMS = (10_000, 100_000)
THREADS: int = Settings.model_fields["threads"].default
"""As many as `reclift serve` has unless told otherwise; the bare route has the same."""

CONNECTIONS = 64
"""So that somebody always waits for a thread."""

WARM_SECONDS = 30
"""Enough to meet each of the 5,000 users, whose histories are read at the first meeting."""


def impressions(folder: Path, settings: dict[str, str]) -> tuple[int, int]:
    """How many are in the tables, after everything that waits was moved there, and how many of them a fallback filled.

    A late strategy costs no answer, but its list is a cheap one.
    """
    here = wiring.build(load_settings(data_dir=folder, **settings), queue=jobs.NullQueue())
    drain = here.stream_drain()
    if drain is not None:
        drain.until_done(300)
    with here.database.read() as session:
        count = session.scalar(select(func.count()).select_from(ImpressionRow)) or 0
        filled = session.scalars(select(ImpressionRow.fallback).where(ImpressionRow.fallback.is_not(None)))
        late = sum(1 for fallback in filled if fallback is not None)
    here.close()
    return count, late


def measure(folder: Path, items: int, settings: dict[str, str], *, quick: bool) -> float:
    """Stock a shop, measure, count; the experiment's ratio to the bare route as it is served.

    Beside it the same with every list asked for anew (`RECLIFT_ANSWERS_KEPT=0`): as if every user did something between
    any two of their visits. Between the two lies a real shop.
    """
    key = stock(folder, items, **settings)
    body = '{"user_id": "user-{}", "placement": "%s", "k": 10}'
    home = Call(f"experiment, {items:,} items", "POST", "/recommend", body % "home", key)
    seconds, rounds = (2, 2) if quick else (4, 4)
    given = {name.upper(): value for name, value in settings.items()}
    _http.ANSWERED.clear()
    with server(folder, threads=THREADS, **given, ANSWERS_KEPT="0") as port:
        cold = throughput(port, replace(home, name="cold"), 1)
        print(f"{'  users not in memory, first second':40} {cold:8,.0f} requests/s", flush=True)
        throughput(port, home, WARM_SECONDS)  # every user once, so that the rest is how it goes on
        compare(port, [replace(home, name="  every list asked for anew")], seconds=seconds, rounds=rounds)
        for strategy in ("popularity", "item_cf"):
            alone = Call(f"    {strategy} alone", "POST", "/recommend", body % f"only-{strategy}", key)
            compare(port, [alone], seconds=seconds, rounds=1)
    with server(folder, threads=THREADS, **given) as port:
        throughput(port, home, WARM_SECONDS)
        ratio = compare(port, [home], seconds=seconds, rounds=rounds)[home.name]
    answered = sum(count for path, count in _http.ANSWERED.items() if path == "/recommend")
    kept, late = impressions(folder, settings)
    print(f"  {answered:,} answers, {kept:,} impressions in the tables, {late:,} filled by the fallback", flush=True)
    # The load ends with calls under way: their impressions are kept and nobody counted their answers.
    if not answered <= kept <= answered + CONNECTIONS * 60:
        raise SystemExit(f"{answered} answers but {kept} impressions")
    return ratio


def main(arguments: list[str]) -> int:
    _http.CONNECTIONS = CONNECTIONS
    ratios = []
    for items in ITEMS:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = {}
            if "--production" in arguments:
                postgres, redis = PostgresServer(), RedisServer(durable=True)
                for service in (postgres, redis):
                    stack.callback(service.close)
                    service.start()
                settings = {"database_url": postgres.create_database("bench"), "redis_url": redis.url()}
            ratios.append(measure(folder, items, settings, quick="--quick" in arguments))
    share = ratios[1] / ratios[0]
    print(f"\nbar: at least {BAR} of the bare route with {ITEMS[0]:,} items; found {ratios[0]:.2f}")
    print(f"bar: at least {BIG_BAR} of that with {ITEMS[1]:,} items; found {share:.2f}")
    return 0 if ratios[0] >= BAR and share >= BIG_BAR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
