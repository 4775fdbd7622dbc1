"""What an evaluation is of: names, and what fills short lists."""

from __future__ import annotations

import pytest

from reclift.flows import evaluations, models, placements
from reclift.strategy import Registry
from reclift.wiring import Runtime
from strategies.popularity import Popularity
from tests.unit.flows.toys import Toy

REGISTRY = Registry({"toy": Toy, "popularity": Popularity})


@pytest.mark.parametrize(("given", "names"), [
    ([{}], ["popularity"]), ([{"window_days": 30}], ["popularity"]),
    ([{}, {"per_category": True}], ["popularity", "popularity per_category=true"]),
    ([{"segment": "c"}, {"segment": "c" * 60}], ['popularity segment="c"', "popularity"]),
    ([{"segment": "c" * 60}, {"segment": "d" * 60}], ["popularity", "popularity (2)"]),
])  # fmt: skip
def test_a_strategy_that_is_there_twice_is_told_apart_by_its_parameters(given, names):
    wanted = [("popularity", models.complete(REGISTRY, "popularity", params)) for params in given]
    assert [candidate.name for candidate in evaluations.candidates(REGISTRY, wanted)] == names


def test_short_lists_are_filled_as_on_most_placements_unless_somebody_says_otherwise(here: Runtime):
    with here.database.write() as session:
        for key in ("cart", "home", "product-page"):
            placements.put(session, here.registry, key, {"strategy": "toy", "fallback": []}, "tests")
        assert evaluations.usual_fallback(session, here.registry) is None
        placements.put(session, here.registry, "cart", {"fallback": ["other", "toy"]}, "tests")
        placements.put(session, here.registry, "home", {"fallback": ["toy"]}, "tests")
        chained = {"fallback": [{"strategy": "toy", "params": {"boost": 2.0}}]}
        placements.put(session, here.registry, "product-page", chained, "tests")
        assert evaluations.usual_fallback(session, here.registry) == "toy"
        for payload, fallback in (({}, "toy"), ({"fallback": None}, None), ({"fallback": "other"}, "other")):
            run = evaluations.request(session, here.queue, here.registry, payload, "tests")
            assert run.arguments["fallback"] == fallback
