"""How long one decision takes in process, against the `growthbook` SDK in the same run.

    python bench/decide.py [--quick]

Prints ratios, since absolute times depend on the machine: the plan against `GrowthBook.run` and `get_feature_value` for
one experiment with an audience and for 100 running ones, and the plan against itself with 1 and with 1,000 experiments
on other placements. The bars are at least 5 x the SDK's `run`, and flat.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable

from growthbook import Experiment as SdkExperiment
from growthbook import GrowthBook

from reclift.domain.experiment import Arm, Experiment
from reclift.domain.growthbook import features_payload
from reclift.domain.plan import Plan

AUDIENCE = {"country": {"$in": ["CN", "US", "DE"]}, "age": {"$gte": 18}, "device.os": {"$ne": "web"}}
ARMS = (Arm("control", "popularity", control=True), Arm("item-cf", "item_cf"))


def users(ids: list[str]) -> list[tuple[str, dict]]:
    """Everybody is in the audience, so that all of the work is done."""
    return [
        (unit, {"id": unit, "country": ["CN", "US", "DE"][i % 3], "age": 18 + i % 70, "device": {"os": "ios"}})
        for i, unit in enumerate(ids)
    ]


USERS = users([f"user-{i:06d}" for i in range(2_000)])
UUIDS = users([str(uuid.UUID(int=i * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)) for i in range(2_000)])


def experiment(key: str, placement: str = "home") -> Experiment:
    return Experiment(key, placement, ARMS, traffic=0.9, audience=AUDIENCE)


def rule_of(plan: Plan, key: str) -> dict:
    return features_payload(plan, updated="")["features"][key]["rules"][0]


def sdk_experiment(rule: dict) -> SdkExperiment:
    """The same experiment for the SDK's `run`, with the audience as a person writes it."""
    return SdkExperiment(
        key=rule["key"], seed=rule["seed"], variations=rule["variations"], weights=rule["weights"],
        coverage=rule["coverage"], hashVersion=2, condition=AUDIENCE,
    )  # fmt: skip


def rounds(work: dict[str, Callable[[], int]], repeats: int) -> dict[str, float]:
    """The least seconds a decision for each kind of work: what a busy machine disturbs least; the kinds take turns."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, run in work.items():
            start = time.perf_counter()
            decisions = run()
            taken[name].append((time.perf_counter() - start) / decisions)
    return {name: min(times) for name, times in taken.items()}


def report(found: dict[str, float]) -> None:
    for name, seconds in found.items():
        print(f"{name:32} {seconds * 1e6:8.2f} us a decision")
    print()
    for title, one, other in (
        ("1 experiment: sdk run / plan (bar 5)", "sdk run, 1 experiment", "plan, 1 experiment"),
        ("1 experiment, users met before: sdk run / plan", "sdk run, 1 experiment", "plan, 1 experiment, met before"),
        ("1 experiment: sdk feature / plan", "sdk feature, 1 experiment", "plan, 1 experiment"),
        ("1 experiment, uuids: sdk run / plan", "sdk run, uuids", "plan, uuids"),
        ("100 experiments: sdk run / plan (bar 5)", "sdk run, 100 experiments", "plan, 100 experiments"),
        ("decide: 999 elsewhere / none (flat: 1)", "plan, 1 + 999 elsewhere", "plan, 1 experiment, met before"),
        ("for_placement: 999 elsewhere / none (flat: 1)", "placement, 1 + 999 elsewhere", "placement, 1 experiment"),
    ):
        print(f"{title:46} {found[one] / found[other]:6.2f}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    repeats = 5 if parser.parse_args().quick else 15

    one = Plan([experiment("home-recs")])
    hundred = Plan([experiment(f"exp-{i}", f"place-{i % 10}") for i in range(100)])
    crowded = Plan([experiment("home-recs"), *(experiment(f"exp-{i}", f"place-{i}") for i in range(999))])

    sdk_one = sdk_experiment(rule_of(one, "home-recs"))
    sdk_hundred = [sdk_experiment(rule_of(hundred, f"exp-{i}")) for i in range(100)]
    book = GrowthBook(features=features_payload(one, updated="")["features"])

    def sdk_run(experiments: list[SdkExperiment], users: list) -> int:
        for _, attributes in users:
            book.set_attributes(attributes)
            for sdk in experiments:
                book.run(sdk)
        return len(users) * len(experiments)

    def sdk_feature(users: list) -> int:
        for _, attributes in users:
            book.set_attributes(attributes)
            book.get_feature_value("home-recs", None)
        return len(users)

    def decide(plan: Plan, key: str, users: list) -> int:
        for unit, attributes in users:
            plan.decide(key, unit, attributes)
        return len(users)

    def decide_all(plan: Plan, users: list) -> int:
        return sum(len(plan.decide_all(unit, attributes)) for unit, attributes in users)

    def for_placement(plan: Plan, users: list) -> int:
        for unit, attributes in users:
            plan.for_placement("home", unit, attributes)
        return len(users)

    # A plan remembers the units that it met last; these have met none.
    fresh = [Plan([experiment("home-recs")]) for _ in range(2 * repeats)]
    few = USERS[:40]
    found = rounds(
        {
            "sdk run, 1 experiment": lambda: sdk_run([sdk_one], USERS),
            "sdk feature, 1 experiment": lambda: sdk_feature(USERS),
            "plan, 1 experiment": lambda: decide(fresh.pop(), "home-recs", USERS),
            "plan, 1 experiment, met before": lambda: decide(one, "home-recs", USERS),
            "sdk run, uuids": lambda: sdk_run([sdk_one], UUIDS),
            "plan, uuids": lambda: decide(fresh.pop(), "home-recs", UUIDS),
            "sdk run, 100 experiments": lambda: sdk_run(sdk_hundred, few),
            "plan, 100 experiments": lambda: decide_all(hundred, few),
            "plan, 1 + 999 elsewhere": lambda: decide(crowded, "home-recs", USERS),
            "placement, 1 experiment": lambda: for_placement(one, USERS),
            "placement, 1 + 999 elsewhere": lambda: for_placement(crowded, USERS),
        },
        repeats,
    )
    report(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
