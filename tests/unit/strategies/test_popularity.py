import numpy as np
import pytest

from reclift.strategy import Dataset, Item, Query, Signal
from strategies.popularity import DAY, Popularity
from tests.unit.strategies.helpers import quiet, scores, shop


def fit(data, **params):
    return Popularity.fit(data, Popularity.Parameters(**params), quiet)


def test_counts_weights():
    data = shop()
    expected: dict[str, float] = {}
    for column, weight in zip(data.columns, data.weights, strict=True):
        item_id = str(data.item_ids[column])
        expected[item_id] = expected.get(item_id, 0.0) + float(weight)
    found = scores(fit(data).recommend(Query(40)))
    assert {item_id: score for item_id, score in found.items() if score} == pytest.approx(expected)


def test_counts_users_once():
    rows = [("robot", "x", 1.0, 0.0)] * 50 + [("a", "y", 1.0, 0.0), ("b", "y", 1.0, 0.0)]
    assert [s.item_id for s in fit(Dataset.from_rows(rows)).recommend(Query(2))] == ["x", "y"]
    by_users = fit(Dataset.from_rows(rows), count="users").recommend(Query(2))
    assert [(s.item_id, s.score) for s in by_users] == [("y", 2.0), ("x", 1.0)]


def test_window_and_half_life():
    rows = [("a", "old", 8.0, 0.0), ("a", "new", 1.0, 30 * DAY), ("b", "mid", 2.0, 20 * DAY)]
    data = Dataset.from_rows(rows)
    assert scores(fit(data, window_days=5).recommend(Query(3))) == {"new": 1.0, "old": 0.0, "mid": 0.0}
    assert [s.item_id for s in fit(data, window_days=5).recommend(Query(3))] == ["new", "old", "mid"]
    decayed = scores(fit(data, half_life_days=10).recommend(Query(3)))
    assert decayed == pytest.approx({"new": 1.0, "mid": 1.0, "old": 1.0})


def test_trending_is_a_z_score_of_the_recent_count():
    rows = [("a", "steady", 1.0, day * DAY) for day in range(71)]
    rows += [("b", "rising", 1.0, day * DAY) for day in (65, 66, 67, 68)]
    found = fit(Dataset.from_rows(rows), trending=True, window_days=7).recommend(Query(2))
    steady, rising = 71 * 7 / 70, 4 * 7 / 70
    assert [s.item_id for s in found] == ["rising", "steady"]
    assert found[0].score == pytest.approx((4 - rising) / np.sqrt(rising + 1))
    assert found[1].score == pytest.approx((8 - steady) / np.sqrt(steady + 1))


def test_per_category_prefers_what_the_page_is_about():
    items = [Item("a1", category="a"), Item("a2", category="a"), Item("b1", category="b"), Item("b2", category="b")]
    rows = [("u", item_id, weight, 0.0) for item_id, weight in (("b1", 9.0), ("b2", 8.0), ("a1", 2.0), ("a2", 1.0))]
    fitted = fit(Dataset.from_rows(rows, items), per_category=True)
    assert [s.item_id for s in fitted.recommend(Query(4))] == ["b1", "b2", "a1", "a2"]
    assert [s.item_id for s in fitted.recommend(Query(3, context_items=("a2",)))] == ["a1", "b1", "b2"]
    assert fitted.recommend(Query(1, history=(Signal("a1", 1.0, 0.0),)))[0].item_id == "a1"


def test_segments_have_their_own_order_and_strangers_everybody_s():
    rows = [(f"c{n}", "tea", 1.0, 0.0) for n in range(80)] + [(f"u{n}", "coffee", 1.0, 0.0) for n in range(100)]
    people = {f"c{n}": {"country": "CN"} for n in range(80)} | {f"u{n}": {"country": "US"} for n in range(100)}
    fitted = fit(Dataset.from_rows(rows, user_attributes=people), segment="country")
    assert fitted.recommend(Query(1, attributes={"country": "CN"}))[0].item_id == "tea"
    assert fitted.recommend(Query(1, attributes={"country": "US"}))[0].item_id == "coffee"
    assert fitted.recommend(Query(1, attributes={"country": "FR"}))[0].item_id == "coffee"
    assert fitted.recommend(Query(1))[0].item_id == "coffee"
