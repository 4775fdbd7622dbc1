"""How many /assign calls a server answers, against a bare Flask route on the same server in the same run.

    python -m bench.assign_http [--quick]

Twenty experiments run, with audiences, weights and traffic. The bar: 0.75 of the bare route.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench._http import Call, compare, server
from reclift import wiring
from reclift.flows import accounts, experiments, jobs
from reclift.settings import load_settings

BAR = 0.75
EXPERIMENTS = 20


def prepare(folder: Path) -> str:
    """A set-up installation with running experiments; returns a shop's key."""
    here = wiring.build(load_settings(data_dir=folder), queue=jobs.NullQueue())
    here.set_up()
    with here.database.write() as session:
        for number in range(EXPERIMENTS):
            row = experiments.create(session, here.registry, experiment(number), "bench")
            experiments.act(session, here.registry, here.queue, row.key, "start", "bench")
        _, key = accounts.create_key(session, "bench", ["shop"], "bench")
    here.close()
    return key


def experiment(number: int) -> dict:
    return {
        "key": f"experiment-{number}",
        "placement": ("home", "product-page", "cart")[number % 3],
        "traffic": 0.5 + number / 40,
        "audience": {"country": {"$in": ["CN", "US", "DE"]}, "age": {"$gte": 18}},
        "arms": [
            {"key": "control", "strategy": "popularity", "weight": 0.4, "control": True},
            {"key": "item-cf", "strategy": "item_cf", "weight": 0.4},
            {"key": "half", "strategy": "item_cf", "params": {"k": 50}, "weight": 0.2},
        ],
    }


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    attributes = '"attributes": {"country": "CN", "age": 30}'
    with tempfile.TemporaryDirectory() as name:
        key = prepare(Path(name))
        one = f'{{"user_id": "user-{{}}", "experiment": "experiment-7", {attributes}}}'
        every = f'{{"user_id": "user-{{}}", {attributes}}}'
        calls = [
            Call("POST /assign, one experiment", "POST", "/assign", one, key),
            Call("GET /assign, one experiment", "GET", "/assign?user_id=user-{}&experiment=experiment-7", "", key),
            Call(f"POST /assign, all {EXPERIMENTS} experiments", "POST", "/assign", every, key),
        ]
        with server(Path(name)) as port:
            ratios = compare(port, calls, seconds=1 if quick else 3, rounds=3 if quick else 5)
    worst = min(ratios[calls[0].name], ratios[calls[1].name])
    print(f"\nbar: one experiment of {EXPERIMENTS} at least {BAR} of the bare route; found {worst:.2f}")
    return 0 if worst >= BAR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
