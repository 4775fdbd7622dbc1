"""Random experiments and random users, for trying that others decide as the plan does."""

from __future__ import annotations

import random
from typing import Any

from reclift.domain.experiment import Arm, Experiment, Holdout, LayerSlot, Status
from reclift.domain.groups import SavedGroup
from reclift.domain.plan import Plan

COUNTRIES = ["CN", "US", "DE", "FR", "br", "us"]
GROUPS = [
    SavedGroup("beta", values=tuple(f"user-{i}" for i in range(0, 400, 7))),
    SavedGroup("staff", values=tuple(f"user-{i}" for i in range(3, 60, 5))),
    SavedGroup("europe", values=("DE", "FR"), attribute="country"),
    SavedGroup("grown-up", condition={"age": {"$gte": 18}}),
    SavedGroup("grown-up-europe", condition={"$savedGroup": {"id": "grown-up"}, "country": {"$inGroup": "europe"}}),
]

TESTS: list[dict[str, Any]] = [
    {"country": "CN"},
    {"country": {"$in": ["CN", "US", None]}},
    {"country": {"$nin": ["CN"]}},
    {"country": {"$ini": ["US", "BR"]}},
    {"country": {"$inGroup": "europe"}},
    {"country": {"$not": {"$regex": "^[A-D]"}}},
    {"country": {"$gt": "CN", "$lte": "US"}},
    {"country": {"$exists": False}},
    {"age": {"$gt": 30}},
    {"age": {"$lt": 40}},
    {"age": {"$gte": -3, "$lt": 65}},
    {"age": {"$ne": 30}},
    {"age": {"$not": {"$lte": 20}}},
    {"age": {"$lt": "45"}},
    {"age": {"$type": "number"}},
    {"age": 30},
    {"premium": True},
    {"premium": {"$ne": False}},
    {"premium": None},
    {"premium": {"$gte": 0}},
    {"device.os": {"$regexi": "^(ios|android)$"}},
    {"device.os": {"$notRegex": "o"}},
    {"device.version": {"$vgte": "12.1.0"}},
    {"device.version": {"$vlt": "2.10.0-rc.1"}},
    {"device.version": {"$vne": "12.1.0"}},
    {"device": {"os": "ios", "version": "12.1.0"}},
    {"tags": {"$all": ["a", "b"]}},
    {"tags": {"$alli": ["A"]}},
    {"tags": {"$in": ["c", 1]}},
    {"tags": {"$size": {"$gt": 1}}},
    {"tags": {"$size": 0}},
    {"tags": ["a", "b"]},
    {"tags": {"$elemMatch": {"$regex": "^a"}}},
    {"tags.0": "a"},
    {"orders": {"$elemMatch": {"total": {"$gt": 100}, "paid": True}}},
    {"orders": {"$elemMatch": {"total": {"$lt": 100}}}},
    {"$savedGroup": {"id": "grown-up-europe"}},
    {"$savedGroup": {"id": "beta"}},
    {"id": {"$inGroup": "beta"}},
    {"id": {"$notInGroup": "staff"}},
    {"id": {"$nin": ["user-1", "user-2"]}},
    {"id": {"$regex": "[02468]$"}},
    {"id": "user-9"},
]


def a_condition(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    if depth < 2 and chance.random() < 0.4:
        joined = [a_condition(chance, depth + 1) for _ in range(chance.randint(1, 3))]
        return chance.choice([{"$or": joined}, {"$and": joined}, {"$nor": joined}, {"$not": joined[0]}])
    if chance.random() < 0.2:
        return {**chance.choice(TESTS), **chance.choice(TESTS)}
    return chance.choice(TESTS)


def a_plan(chance: random.Random, count: int = 20) -> Plan:
    """Experiments with every kind of weight, traffic, audience, layer, override and phase, under two holdouts."""
    taken = {"ranking": 0.0, "design": 0.0}
    experiments = []
    for i in range(count):
        layer = chance.choice([None, None, *taken])
        slot = None
        if layer is not None and taken[layer] < 0.9:
            end = round(min(1.0, taken[layer] + chance.uniform(0.05, 0.5)), 4)
            slot = LayerSlot(layer, taken[layer], end)
            taken[layer] = end
        arms = [
            Arm(f"arm-{j}", "s", weight=chance.choice([1, 0.5, 3, chance.uniform(0.1, 5)]))
            for j in range(chance.randint(2, 5))
        ]
        control = chance.randrange(len(arms))
        arms[control] = Arm(arms[control].key, "s", weight=arms[control].weight, control=True)
        chance.shuffle(arms)
        testers = {
            f"user-{chance.randrange(500)}": f"arm-{chance.randrange(6)}" for _ in range(chance.choice([0, 0, 5]))
        }
        experiments.append(
            Experiment(
                f"exp-{i}",
                chance.choice(["home", "cart"]),
                tuple(arms),
                traffic=chance.choice([1.0, 0.5, 0.07, chance.random()]),
                audience=chance.choice([{}, a_condition(chance), a_condition(chance)]),
                slot=slot,
                status=chance.choice([Status.RUNNING] * 9 + [Status.PAUSED]),
                phase=chance.choice([1, 1, 2]),
                overrides=testers,
                exclude=chance.choice([{}, {"bot": True}, {"id": {"$inGroup": "staff"}}]),
            )
        )
    holdouts = [Holdout("all", 0.05), Holdout("cart-only", 0.1, "cart"), Holdout("over", 0.5, status=Status.STOPPED)]
    return Plan(experiments, groups=GROUPS, holdouts=holdouts)


def a_user(chance: random.Random, i: int) -> tuple[str, dict[str, Any]]:
    """A unit with attributes of which some are missing, null or of an unexpected type."""
    unit = f"user-{i}" if i % 10 else chance.choice(["日本-", "é", "😀", "A B/", str(i)]) + str(i)
    attributes: dict[str, Any] = {
        "country": chance.choice([*COUNTRIES, None, 7, True]),
        "age": chance.choice([chance.randint(-5, 90), 30, 30.5, None, True, False, [40], {"years": 30}, "unknown"]),
        "premium": chance.choice([True, False, None, 1, 0, "yes"]),
        "device": chance.choice(
            [
                {"os": "ios", "version": "12.1.0"},
                {"version": "2.10.0", "os": "Android"},
                {"os": "web", "version": "2.9"},
                {"version": None},
                "phone",
                None,
            ]
        ),
        "tags": chance.choice([["a", "b"], ["b", "a"], ["A"], [], ["c"], [1], [True, None], "a", None]),
        "orders": chance.choice(
            [[], [{"total": 150, "paid": True}, {"total": 5}], [{"total": 150}], [{"paid": True}], [None, 7], None]
        ),
        "bot": chance.random() < 0.05,
        "id": "what the shop sent is of no account",
    }
    for name in chance.sample(sorted(attributes), chance.randint(0, 3)):
        del attributes[name]
    return unit, attributes
