"""A shop for the benchmarks over HTTP: a catalogue, users with histories like MovieLens', a running experiment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import accounts, catalogue, experiments, jobs, placements
from reclift.flows.clock import now_micros
from reclift.settings import load_settings
from reclift.storage.tables import JobRun
from reclift.worker import run_job

USERS = 5_000
GROUPS = 50
_AT_ONCE = 10_000


def histories(items: int, users: int = USERS) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of events, each shape (N,), in the order of time.

    Lengths are as in MovieLens-100k: 20 at least, 65 in the middle, 106 on average, some of many hundreds. Popular
    items are chosen more, and users keep to a part of the catalogue, so that neighbours can be learnt.
    """
    draw = np.random.default_rng(7)
    lengths = np.clip(np.exp(draw.normal(np.log(65), 0.98, users)), 20, 737).astype(int)
    who = draw.permutation(np.repeat(np.arange(users), lengths))
    rank = np.floor(items ** draw.random(len(who))).astype(int) - 1
    own = draw.random(len(who)) < 0.7
    return who, np.where(own, (rank * GROUPS + who % GROUPS) % items, rank)


def stock(folder: Path, items: int, **settings: str) -> str:
    """An installation with trained models and a running experiment (popularity against item_cf) on `home`.

    The placements `only-popularity` and `only-item_cf` answer by one strategy alone. Returns a shop's key.
    """
    here = wiring.build(load_settings(data_dir=folder, **settings), queue=jobs.NullQueue())
    here.set_up()
    with here.database.write() as session:
        catalogue.put_items(session, (catalogue.parse_item({"item_id": f"item-{n}"}) for n in range(items)))
    users, chosen = histories(items)
    at, count = now_micros(), len(users)
    for start in range(0, count, _AT_ONCE):
        rows = [
            {
                "event_id": f"h{n}", "type": "purchase" if n % 10 == 0 else "click", "unit_id": f"user-{users[n]}",
                "item_id": f"item-{chosen[n]}", "recommendation_id": None, "value": None,
                "at": at - (count - n) * 1_000_000, "client_at": None, "received_at": at, "properties": {},
            }
            for n in range(start, min(start + _AT_ONCE, count))
        ]  # fmt: skip
        here.direct.append(Facts(events=rows))
    with here.database.write() as session:
        arms = [
            {"key": "control", "strategy": "popularity", "weight": 0.5, "control": True},
            {"key": "item-cf", "strategy": "item_cf", "weight": 0.5},
        ]
        experiments.create(session, here.registry, {"key": "home-recs", "placement": "home", "arms": arms}, "bench")
        experiments.act(session, here.registry, here.queue, "home-recs", "start", "bench")
        for strategy in ("popularity", "item_cf"):
            placements.put(session, here.registry, f"only-{strategy}", {"strategy": strategy}, "bench")
        _, key = accounts.create_key(session, "bench", ["shop"], "bench")
    with here.database.read() as session:
        waiting = [run.id for run in session.query(JobRun).filter_by(state="queued")]
    for job_id in waiting:
        run_job(here, job_id)
    here.close()
    return key
