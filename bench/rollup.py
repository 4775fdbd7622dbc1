"""The rollup's time after a few new events: it follows what is new, not what is old.

    python -m bench.rollup [--quick] [--postgres]

The same number of new events (1 % of the small history: 1 % of its people do as much again) arrives in a history of
some people, and in histories that are ten times as long in three ways:
- ten times as many people;
- ten times as much each, the more of it in the year before the experiment (events and lists): bar 1.3, as before;
- ten times as much each, all of it after the exposure and within the window of the metrics: those are the facts that
  totals are made of, and an exact total of a person who came back is made from all of them. Printed without a bar.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import experiments, jobs, rollup
from reclift.flows.clock import now_micros
from reclift.settings import load_settings
from reclift.wiring import Runtime
from tests.services import PostgresServer

BAR = 1.3
PEOPLE, EACH = 2_000, 10
SHARE = 0.01
DAY = 86_400_000_000


def event(event_id: str, unit: str, at: int, shown: str | None) -> dict[str, Any]:
    return {
        "event_id": event_id, "type": "click", "unit_id": unit, "item_id": "i1", "recommendation_id": shown,
        "value": 1.0, "at": at, "client_at": at, "received_at": at, "properties": {},
    }  # fmt: skip


def impression(name: str, unit: str, arm: str, at: int) -> dict[str, Any]:
    return {
        "recommendation_id": name, "unit_id": unit, "at": at, "received_at": at, "placement": "home",
        "experiment": "home-recs", "phase": 1, "arm": arm, "strategy": "popularity", "model": None, "fallback": None,
        "latency_ms": 1.0, "items": [{"item_id": f"i{n}", "position": n, "arm": arm} for n in range(1, 6)],
    }  # fmt: skip


def history(folder: Path, people: int, each: int, older: int, url: str) -> Runtime:
    """An installation in which so many people saw a list and did so much, before and after, all rolled up."""
    given = {"data_dir": folder, "secret_key": "x" * 40, "database_url": url}
    here = wiring.build(load_settings(**given), queue=jobs.NullQueue())
    here.set_up()
    with here.database.write() as session:
        arms = [
            {"key": "control", "strategy": "popularity", "weight": 0.5, "control": True},
            {"key": "other", "strategy": "random", "weight": 0.5},
        ]
        experiments.create(session, here.registry, {"key": "home-recs", "placement": "home", "arms": arms}, "bench")
        experiments.act(session, here.registry, here.queue, "home-recs", "start", "bench")
    start = now_micros()
    for first in range(0, people, 500):
        facts = Facts()
        for number in range(first, min(first + 500, people)):
            unit, arm = f"u{number}", ("control", "other")[number % 2]
            facts.exposures.append(
                {"experiment": "home-recs", "phase": 1, "unit_id": unit, "arm": arm, "at": start, "source": "assign",
                 "attributes": {}}
            )  # fmt: skip
            facts.impressions.append(impression(f"r{number}", unit, arm, start))
            facts.events += [event(f"e{number}-{n}", unit, start + n, f"r{number}") for n in range(each)]
            for n in range(older):
                at = start - 30 * DAY - n * 335 * DAY // older
                facts.events.append(event(f"o{number}-{n}", unit, at, f"o{number}-{n - n % 10}"))
                if n % 10 == 0:
                    facts.impressions.append({**impression(f"o{number}-{n}", unit, arm, at), "experiment": None})
        here.direct.append(facts)
    rollup.roll_up(here.database)
    return here


def after_new_events(here: Runtime, people: int, mark: str) -> float:
    """Seconds that the rollup takes after the new events."""
    new = round(PEOPLE * SHARE)
    at = now_micros()
    units = random.Random(mark).sample(range(people), new)
    here.direct.append(
        Facts([event(f"{mark}-{unit}-{n}", f"u{unit}", at, f"r{unit}") for unit in units for n in range(EACH)])
    )
    began = time.perf_counter()
    if rollup.roll_up(here.database) != new:
        raise SystemExit("the rollup did not do what was marked")
    return time.perf_counter() - began


def main() -> int:
    rounds = 5 if "--quick" in sys.argv else 15
    sizes = {
        "1 x": (PEOPLE, EACH, 0),
        "10 x people": (PEOPLE * 10, EACH, 0),
        "10 x older": (PEOPLE, EACH, EACH * 9),
        "10 x inside": (PEOPLE, EACH * 10, 0),
    }
    postgres = PostgresServer() if "--postgres" in sys.argv else None
    if postgres is not None:
        postgres.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measure(Path(folder), sizes, rounds, postgres)
    finally:
        if postgres is not None:
            postgres.close()


def measure(folder: Path, sizes: dict[str, tuple[int, int, int]], rounds: int, postgres: PostgresServer | None) -> int:
    runtimes = {}
    for number, (name, size) in enumerate(sizes.items()):
        url = postgres.create_database(f"bench{number}") if postgres is not None else ""
        runtimes[name] = history(folder / str(number), *size, url)
        if postgres is not None:
            with runtimes[name].database.connection() as connection:
                connection.execute(text("ANALYZE"))
    times: dict[str, list[float]] = {name: [] for name in sizes}
    for number in range(rounds + 1):
        for name, here in runtimes.items():
            seconds = after_new_events(here, sizes[name][0], f"n{number}")
            if number:  # the first round warms up
                times[name].append(seconds)
    for here in runtimes.values():
        here.close()
    ratios = {}
    for name, found in times.items():
        # Round by round: a busy machine slows neighbours alike.
        ratios[name] = statistics.median(one / other for one, other in zip(found, times["1 x"], strict=True))
        events = sizes[name][0] * (sizes[name][1] + sizes[name][2])
        print(f"{name:12} {events:9,} events: {statistics.median(found) * 1e3:7.1f} ms, ratio {ratios[name]:.2f}")
    held = ("10 x people", "10 x older")
    print(f"ten times the history: {' and '.join(f'{ratios[name]:.2f}' for name in held)} (bar {BAR})")
    return 0 if all(ratios[name] <= BAR for name in held) else 1


if __name__ == "__main__":
    sys.exit(main())
