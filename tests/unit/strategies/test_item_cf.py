import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from reclift.strategy import Dataset, Query, StrategyError
from strategies.item_cf import ItemCF
from tests.unit.strategies.helpers import history_of, quiet, scores, shop


def fit(data, **params):
    return ItemCF.fit(data, ItemCF.Parameters(**params), quiet)


@pytest.mark.parametrize("k", [3, 100])
def test_scores_are_history_times_similarities(k):
    data = shop()
    similar = cosine_similarity(data.matrix.T)
    np.fill_diagonal(similar, 0)
    edge = -np.sort(-similar, axis=1)[:, min(k, 39) - 1]
    similar[similar < edge[:, None]] = 0
    for user in (0, 7):
        expected = np.asarray(data.matrix[[user]] @ similar).ravel()
        found = scores(fit(data, weighting="none", k=k).recommend(Query(40, history=history_of(data, user))))
        assert found == pytest.approx({f"i{n}": value for n, value in enumerate(expected) if value > 0}, rel=1e-5)


def test_says_which_item_brought_it():
    rows = [
        (f"u{n}", item_id, 1.0, 0.0) for n, pair in enumerate((("tea", "cup"), ("bed", "lamp"))) for item_id in pair
    ]
    fitted = fit(Dataset.from_rows(rows), weighting="none")
    data = Dataset.from_rows([("x", "tea", 1.0, 0.0), ("x", "bed", 1.0, 1.0)])
    answer = fitted.recommend(Query(2, history=history_of(data, 0), exclude=frozenset({"tea", "bed"})))
    assert {s.item_id: s.reason for s in answer} == {
        "cup": "chosen together with tea",
        "lamp": "chosen together with bed",
    }


def test_pearson_follows_ratings_not_only_choice():
    rows = [
        (f"u{n}", item_id, 1.0, 0.0, float(value))
        for n, values in enumerate([(5, 5, 1), (4, 4, 2), (1, 1, 5), (2, 1, 4), (5, 4, 1)])
        for item_id, value in zip(("film", "alike", "opposite"), values, strict=True)
    ]
    fitted = fit(Dataset.from_rows(rows), similarity="pearson")
    assert [s.item_id for s in fitted.recommend(Query(3, context_items=("film",)))] == ["alike"]


@pytest.mark.parametrize("value", [float("nan"), 3.0])
def test_pearson_without_differing_ratings_says_what_is_missing(value):
    data = Dataset.from_rows([("a", "x", 1.0, 0.0, value), ("b", "x", 1.0, 0.0, value)])
    with pytest.raises(StrategyError, match=r"similarity='pearson'.*ratings"):
        fit(data, similarity="pearson")
