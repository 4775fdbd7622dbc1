import pytest

from reclift.strategy import Query, Registry, Signal, StrategyError, parse_parameters
from strategies import search_effort
from strategies.hybrid import RANK_OFFSET, Hybrid
from tests.unit.strategies.helpers import history_of, quiet, scores, shop

REGISTRY = Registry.installed()


def params(**given):
    return parse_parameters("hybrid", Hybrid, given)


def alone(data, key, **given):
    strategy = REGISTRY.get(key)
    return strategy.fit(data, parse_parameters(key, strategy, given), quiet)


def test_reciprocal_rank_fusion():
    data = shop()
    components = [{"strategy": "item_cf", "weight": 2, "params": {"k": 9}}, {"strategy": "popularity"}]
    fitted = Hybrid.fit(data, params(components=components), quiet)
    query = Query(40, history=history_of(data, 2))
    expected: dict[str, float] = {}
    for key, weight, given in (("item_cf", 2, {"k": 9}), ("popularity", 1, {})):
        for rank, scored in enumerate(alone(data, key, **given).recommend(query), start=1):
            expected[scored.item_id] = expected.get(scored.item_id, 0) + weight / (RANK_OFFSET + rank)
    assert scores(fitted.recommend(query)) == pytest.approx(expected)


def test_weighted_blend_scales_scores():
    data = shop()
    components = [{"strategy": "item_cf", "weight": 3}, {"strategy": "popularity"}]
    fitted = Hybrid.fit(data, params(method="weighted", components=components), quiet)
    query = Query(40, history=history_of(data, 2))
    found = scores(fitted.recommend(query))
    expected: dict[str, float] = {}
    for key, weight in (("item_cf", 3), ("popularity", 1)):
        answer = alone(data, key).recommend(query)
        low, high, least = answer[-1].score, answer[0].score, 1 / len(answer)
        for s in answer:
            part = least + (1 - least) * (s.score - low) / (high - low)
            expected[s.item_id] = expected.get(s.item_id, 0) + weight * part
    assert found == pytest.approx(expected)


def test_switching_by_length_of_history():
    data = shop()
    components = [
        {"strategy": "popularity"},
        {"strategy": "item_cf", "min_history": 2},
        {"strategy": "matrix_factorization", "min_history": 5},
    ]
    fitted = Hybrid.fit(data, params(method="switch", components=components), quiet)
    history = history_of(data, 2)
    for length, key in (
        (0, "popularity"),
        (1, "popularity"),
        (2, "item_cf"),
        (4, "item_cf"),
        (5, "matrix_factorization"),
    ):
        query = Query(5, history=history[:length])
        assert [s.item_id for s in fitted.recommend(query)] == [s.item_id for s in alone(data, key).recommend(query)]


def test_switch_keeps_propensities():
    data = shop()
    fitted = Hybrid.fit(data, params(method="switch", components=[{"strategy": "random"}]), quiet)
    assert {s.propensity for s in fitted.recommend(Query(3, seed=4))} == {1 / 40}


def test_reasons_come_from_the_component_that_said_most():
    data = shop()
    components = [{"strategy": "item_cf", "weight": 3}, {"strategy": "popularity"}]
    fitted = Hybrid.fit(data, params(components=components), quiet)
    answer = fitted.recommend(Query(3, history=(Signal("i1", 1.0, 0.0),)))
    assert {s.reason for s in answer} == {"chosen together with i1"}


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([{"strategy": "no_such"}], r"hybrid: parameter components\.0: strategy 'no_such' is not installed"),
        (
            [{"strategy": "popularity"}, {"strategy": "item_cf", "params": {"k": 0}}],
            r"hybrid: parameter components\.1: item_cf: parameter k=0",
        ),
    ],
)
def test_wrong_components_are_named(components, message):
    with pytest.raises(StrategyError, match=message):
        Hybrid.fit(shop(), params(components=components), quiet)


def test_hybrids_do_not_nest_and_are_never_empty():
    with pytest.raises(StrategyError, match="may not be hybrids"):
        params(components=[{"strategy": "hybrid"}])
    with pytest.raises(StrategyError, match="components"):
        params(components=[])


def test_says_the_least_that_its_components_find(monkeypatch):
    monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 1.0)
    data = shop(seed=2, users=400, items=900, events=16_000)
    listed = {"factors": 8, "iterations": 5, "exact_up_to": 100}
    components = [
        {"strategy": "matrix_factorization", "params": listed},
        {"strategy": "matrix_factorization", "params": listed | {"seed": 2, "recall": 0.7}},
        {"strategy": "popularity"},
    ]
    state = Hybrid.fit(data, params(components=components), quiet).state()
    parts = [part["search"] for part in state.meta["components"][:2]]
    assert state.meta["search"] == {name: min(part[name] for part in parts) for name in ("recall@10", "recall@50")}
    alone_exact = Hybrid.fit(data, params(components=components[2:]), quiet)
    assert "search" not in alone_exact.state().meta
