"""How many /recommend calls a server answers, against a bare Flask route on the same server in the same run.

    python -m bench.recommend_http [--quick]

A catalogue of 10,000 items, 5,000 users with a history, one running experiment (popularity against item_cf). Each
impression is durable (SQLite, synced to disk) before its answer leaves. The bar: 0.35 of the bare route.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bench._http import Call, compare, server
from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import accounts, catalogue, experiments, jobs
from reclift.flows.clock import now_micros
from reclift.settings import load_settings
from reclift.storage.tables import JobRun
from reclift.worker import run_job

BAR = 0.35
ITEMS, USERS, EVENTS = 10_000, 5_000, 100_000


def prepare(folder: Path) -> str:
    """A stocked installation with trained models and a running experiment; returns a shop's key."""
    here = wiring.build(load_settings(data_dir=folder), queue=jobs.NullQueue())
    here.set_up()
    with here.database.write() as session:
        catalogue.put_items(session, (catalogue.parse_item({"item_id": f"item-{n}"}) for n in range(ITEMS)))
    draw = np.random.default_rng(7)
    users = draw.integers(0, USERS, EVENTS)
    # Popular items are chosen more, and users keep to a part of the catalogue, so that neighbours can be learnt.
    items = (users % 50 * 200 + (draw.pareto(1.0, EVENTS) * 20).astype(int)) % ITEMS
    at = now_micros()
    for start in range(0, EVENTS, 10_000):
        rows = [
            {
                "event_id": f"h{n}", "type": "click", "unit_id": f"user-{users[n]}", "item_id": f"item-{items[n]}",
                "recommendation_id": None, "value": None, "at": at - (EVENTS - n) * 1_000_000, "client_at": None,
                "received_at": at, "properties": {},
            }
            for n in range(start, start + 10_000)
        ]  # fmt: skip
        here.direct.append(Facts(events=rows))
    with here.database.write() as session:
        arms = [
            {"key": "control", "strategy": "popularity", "weight": 0.5, "control": True},
            {"key": "item-cf", "strategy": "item_cf", "weight": 0.5},
        ]
        experiments.create(session, here.registry, {"key": "home-recs", "placement": "home", "arms": arms}, "bench")
        experiments.act(session, here.registry, here.queue, "home-recs", "start", "bench")
        _, key = accounts.create_key(session, "bench", ["shop"], "bench")
    with here.database.read() as session:
        waiting = [run.id for run in session.query(JobRun).filter_by(state="queued")]
    for job_id in waiting:
        run_job(here, job_id)
    here.close()
    return key


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    with tempfile.TemporaryDirectory() as name:
        key = prepare(Path(name))
        call = Call(
            "POST /recommend, 10 of 10,000 items", "POST", "/recommend",
            '{"user_id": "user-{}", "placement": "home", "k": 10}', key,
        )  # fmt: skip
        with server(Path(name)) as port:
            found = compare(port, [call], seconds=2 if quick else 4, rounds=3 if quick else 5)[call.name]
    print(f"\nbar: at least {BAR} of the bare route; found {found:.2f}")
    return 0 if found >= BAR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
