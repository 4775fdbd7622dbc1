"""Whom a model answers for."""

from __future__ import annotations

import pytest

from reclift.flows import catalogue, models, placements
from reclift.flows.model_uses import Uses
from reclift.wiring import Runtime
from tests.unit.flows.conftest import start, train_one
from tests.unit.flows.toys import draft


@pytest.fixture
def stocked(here: Runtime) -> Runtime:
    with here.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": f"i{number}"}) for number in range(4)])
    return here


def used(here: Runtime) -> dict[str, list[str]]:
    with here.database.read() as session:
        uses = Uses(session, here.registry)
        return {
            view["model"]: [use.get("placement") or f"{use['arm']}{' pinned' * use['pinned']}" for use in uses.of(view)]
            for view in models.all_models(session)
        }


def test_an_active_model_answers_for_who_asks_with_its_parameters_and_a_pinned_one_for_its_arm(stocked: Runtime):
    for boost in (1.0, 1.0, 2.0):
        train_one(stocked, "toy", boost=boost)
    with stocked.database.write() as session:
        chain = ["toy", {"strategy": "toy", "params": {"boost": 2.0}}]
        placements.put(session, stocked.registry, "cart", {"strategy": "other", "fallback": chain}, "tests")
        for key in ("home", "product-page"):
            placements.put(session, stocked.registry, key, {"strategy": "other", "fallback": []}, "tests")
    assert used(stocked) == {"toy@3": ["cart"], "toy@2": ["cart"], "toy@1": []}
    arms = draft("pins")["arms"]
    arms[0] |= {"strategy": "toy", "params": {}}
    arms[1] |= {"strategy": "toy", "params": {}, "model": 1}
    start(stocked, "pins", arms=arms)
    after = used(stocked)
    assert after["toy@1"] == [f"{arms[1]['key']} pinned"]
    assert after["toy@2"] == ["cart", arms[0]["key"]]
