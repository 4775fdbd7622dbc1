"""An SDK that evaluates our payload decides as the plan does: the real one from PyPI, in this process."""

from __future__ import annotations

import json
import os
import random

import pytest
from growthbook import GrowthBook

from reclift.domain.experiment import Arm, Experiment, Holdout, LayerSlot, Status
from reclift.domain.groups import SavedGroup
from reclift.domain.growthbook import MAX_HASHED, features_payload, left_out
from reclift.domain.plan import Plan
from tests.unit.domain.scenarios import a_plan, a_user

ARMS = (Arm("control", "popularity", control=True), Arm("item-cf", "item_cf"))
UPDATED = "2024-11-25T00:00:00Z"
USERS = int(os.environ.get("RECLIFT_AGREEMENT_USERS", "1000"))
"""20,000 for the full run; see docs/assignment.md."""


def experiment(key="home-recs", **fields):
    return Experiment(key, "home", fields.pop("arms", ARMS), **fields)


def payload_of(plan):
    return json.loads(json.dumps(features_payload(plan, updated=UPDATED)))


def sdk_arms(payload, users):
    """What the SDK answers, for each user and each feature."""
    book = GrowthBook(features=payload["features"], enabled=True)
    for unit, attributes in users:
        book.set_attributes({**attributes, "id": unit})
        yield {key: book.get_feature_value(key, None) for key in payload["features"]}
    book.destroy()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_sdk_agrees_on_every_user_and_every_experiment(seed):
    chance = random.Random(seed)
    plan = a_plan(chance)
    assert not plan.problems
    payload = payload_of(plan)
    assert payload["features"].keys() == {one.key for one in plan.running} - left_out(plan).keys()
    assert len(left_out(plan)) <= 2
    users = [a_user(chance, i) for i in range(USERS)]
    compared = 0
    for (unit, attributes), arms in zip(users, sdk_arms(payload, users), strict=True):
        ours = {key: plan.decide(key, unit, attributes).arm for key in payload["features"]}
        assert arms == ours, (unit, attributes)
        compared += len(ours)
    assert compared >= USERS * 14


def test_nothing_secret_is_in_the_payload():
    plan = Plan(
        [
            experiment(overrides={"qa-anna": "item-cf"}, audience={"id": {"$in": ["vip-1", "vip-2"]}}),
            experiment("grouped", audience={"id": {"$inGroup": "people"}}, exclude={"$savedGroup": {"id": "people"}}),
            experiment("secret-draft", status=Status.DRAFT),
            experiment("secret-paused", status=Status.PAUSED),
        ],
        groups=[SavedGroup("people", values=("person-1", "person-2"))],
    )
    text = json.dumps(features_payload(plan, updated=UPDATED))
    for secret in ("qa-anna", "vip-", "person-", "secret-", "popularity", "item_cf", "people"):
        assert secret not in text


def test_the_shape_is_the_sdks():
    payload = payload_of(Plan([experiment(audience={"country": "CN"}, traffic=0.5, slot=LayerSlot("l", 0, 0.8))],
                              holdouts=[Holdout("all", 0.1)]))  # fmt: skip
    assert payload.keys() == {"status", "features", "dateUpdated"}
    assert (payload["status"], payload["dateUpdated"]) == (200, UPDATED)
    feature = payload["features"]["home-recs"]
    assert feature["defaultValue"] == "control"
    [rule] = feature["rules"]
    assert rule == {
        "key": "home-recs", "seed": "home-recs", "hashAttribute": "id", "hashVersion": 2,
        "variations": ["control", "item-cf"], "meta": [{"key": "control"}, {"key": "item-cf"}],
        "coverage": 0.625, "weights": [0.5, 0.5], "ranges": [[0, 0.3125], [0.5, 0.8125]],
        "phase": "1", "bucketVersion": 1, "disableStickyBucketing": True,
        "condition": {"country": {"$eq": "CN"}},
        "filters": [
            {"seed": "holdout:all", "attribute": "id", "hashVersion": 2, "ranges": [[0.1, 1.0]]},
            {"seed": "layer:l", "attribute": "id", "hashVersion": 2, "ranges": [[0, 0.8]]},
        ],
    }  # fmt: skip


def test_a_feature_without_an_id_is_the_control():
    book = GrowthBook(features=payload_of(Plan([experiment()]))["features"], attributes={"country": "CN"})
    assert book.get_feature_value("home-recs", None) == "control"


def test_the_sdk_reports_the_experiment_and_the_arm_it_saw():
    seen = []
    book = GrowthBook(
        features=payload_of(Plan([experiment(phase=2)]))["features"],
        attributes={"id": "user-1"},
        on_experiment_viewed=lambda experiment, result, **_: seen.append((experiment.key, result.key)),
    )
    value = book.get_feature_value("home-recs", None)
    assert seen == [("home-recs", value)]


def test_an_experiment_whose_audience_broke_is_the_control_for_all():
    plan = Plan([experiment(audience={"id": {"$inGroup": "deleted"}})])
    assert payload_of(plan)["features"]["home-recs"] == {"defaultValue": "control", "rules": []}


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        ({"id": {"$inGroup": "crowd"}}, f"a list of {MAX_HASHED + 1} ids; at most {MAX_HASHED} can be hashed"),
        ({"id": {"$ini": ["U1"]}}, "without regard to case"),
        ({"$or": [{"id": f"u{i}"} for i in range(4)]}, "4 different lists of ids"),
        ({"tags": {"$elemMatch": {"$in": ["a"], "$inGroup": "crowd"}}}, "cannot be combined"),
    ],
)
def test_what_cannot_be_given_away_is_left_out_with_the_reason(audience, reason):
    plan = Plan(
        [experiment(audience=audience), experiment("fine")],
        groups=[SavedGroup("crowd", values=tuple(f"u{i}" for i in range(MAX_HASHED + 1)))],
    )
    assert reason in left_out(plan)["home-recs"]
    assert payload_of(plan)["features"].keys() == {"fine"}


def test_a_hashed_list_lets_members_in_and_nobody_else():
    members = tuple(f"user-{i}" for i in range(0, MAX_HASHED * 3, 3))
    plan = Plan([experiment(audience={"id": {"$inGroup": "many"}})], groups=[SavedGroup("many", values=members)])
    payload = payload_of(plan)
    users = [(f"user-{i}", {}) for i in range(3 * MAX_HASHED)]
    for (unit, _), arms in zip(users, sdk_arms(payload, users), strict=True):
        assert arms["home-recs"] == plan.decide("home-recs", unit).arm
