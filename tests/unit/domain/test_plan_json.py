"""A plan that went through JSON decides as before."""

from __future__ import annotations

import json
import random

import pytest

from reclift.domain.plan_json import PlanFormatError, from_json, to_json
from tests.unit.domain.scenarios import a_plan, a_user


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_plan_through_json_decides_the_same(seed):
    chance = random.Random(seed)
    plan = a_plan(chance)
    again = from_json(json.loads(json.dumps(to_json(plan))))
    for number in range(300):
        unit, attributes = a_user(chance, number)
        assert again.decide_all(unit, attributes) == plan.decide_all(unit, attributes)
        for key in plan.experiments:
            assert again.decide(key, unit, attributes) == plan.decide(key, unit, attributes)


def test_what_does_not_run_gives_nothing_away_but_its_arms():
    plan = a_plan(random.Random(4))
    idle = [one for one in to_json(plan)["experiments"] if one["status"] != "running"]
    assert idle
    for one in idle:
        assert one.keys() == {"key", "placement", "status", "phase", "started_at", "arms"}


@pytest.mark.parametrize("body", [{}, {"format": 99}, {"format": 1}, {"format": 1, "experiments": [{}], "version": 1}])
def test_what_is_no_plan_is_refused(body):
    with pytest.raises(PlanFormatError):
        from_json(body)
