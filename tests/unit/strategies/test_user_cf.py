import numpy as np
import pytest
from scipy.sparse import diags_array
from sklearn.metrics.pairwise import cosine_similarity

from reclift.strategy import Dataset, Query, StrategyError
from strategies.neighbours import rarity
from strategies.ratings import rating_matrix
from strategies.user_cf import UserCF
from tests.unit.strategies.helpers import history_of, quiet, scores, shop


def fit(data, **params):
    return UserCF.fit(data, UserCF.Parameters(**params), quiet)


def expected(data, similar, user, k):
    """Scores from all similarities of one user, the k best neighbours only."""
    best = np.argsort(-similar, kind="stable")[:k]
    kept = np.zeros_like(similar)
    kept[best] = np.maximum(similar[best], 0)
    found = np.asarray(kept @ data.matrix).ravel()
    return {f"i{n}": value for n, value in enumerate(found) if value > 0}


@pytest.mark.parametrize("k", [5, 60])
@pytest.mark.parametrize("weighting", ["none", "tfidf"])
def test_cosine_is_a_brute_force_neighbour_search(k, weighting):
    data = shop()
    rows = data.matrix.astype(float)
    if weighting == "tfidf":
        rows = rows.sqrt() @ diags_array(rarity(data.matrix).astype(float))
    similar = cosine_similarity(rows)
    for user in (0, 11):
        found = scores(fit(data, k=k, weighting=weighting).recommend(Query(40, history=history_of(data, user))))
        assert found == pytest.approx(expected(data, similar[user], user, k), rel=1e-4)


def test_jaccard_shrinkage_and_overlap():
    data = shop(events=300)
    owns = (data.matrix.toarray() > 0).astype(float)
    shared = owns @ owns.T
    sizes = owns.sum(axis=1)
    similar = shared / np.maximum(1, sizes[:, None] + sizes[None, :] - shared) * shared / (shared + 2)
    similar[shared < 2] = 0
    fitted = fit(data, similarity="jaccard", shrinkage=2, min_overlap=2, k=200)
    found = scores(fitted.recommend(Query(40, history=history_of(data, 4))))
    assert found == pytest.approx(expected(data, similar[4], 4, 200), rel=1e-5)


def test_pearson_correlates_the_ratings_that_both_gave():
    data = shop(seed=2)
    dense = rating_matrix(data).toarray()
    user = 3
    similar = np.zeros(len(dense))
    for other in range(len(dense)):
        both = (dense[user] > 0) & (dense[other] > 0)
        if both.sum() >= 3 and np.ptp(dense[user][both]) > 0 and np.ptp(dense[other][both]) > 0:
            n = both.sum()
            similar[other] = np.corrcoef(dense[user][both], dense[other][both])[0, 1] * n / (n + 5)
    fitted = fit(data, similarity="pearson", min_overlap=3, shrinkage=5, k=500)
    found = scores(fitted.recommend(Query(40, history=history_of(data, user))))
    assert found == pytest.approx(expected(data, similar, user, 500), rel=1e-3)


def test_a_guest_is_answered_like_a_user_of_the_same_history():
    data = shop()
    fitted = fit(data)
    history = history_of(data, 5)
    known = fitted.recommend(Query(10, "u5", history))
    assert known == fitted.recommend(Query(10, "guest", history))


def test_no_user_id_is_in_the_model():
    arrays = fit(shop()).state().arrays
    assert [name for name, array in arrays.items() if array.dtype.kind == "U"] == ["item_ids"]


def test_pearson_without_ratings_says_what_is_missing():
    with pytest.raises(StrategyError, match=r"user_cf: parameter similarity='pearson'"):
        fit(Dataset.from_rows([("a", "x", 1.0, 0.0), ("b", "x", 1.0, 0.0)]), similarity="pearson")
