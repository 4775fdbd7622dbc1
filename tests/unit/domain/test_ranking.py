import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from reclift.domain import ranking

K = 6


@st.composite
def lists_of_users(draw):
    """Lists of distinct items, some short, and what each user wanted."""
    users = draw(st.integers(1, 6))
    lists, wanted = [], []
    for _ in range(users):
        items = draw(st.lists(st.integers(0, 14), unique=True, max_size=K))
        lists.append(items + [-1] * (K - len(items)))
        wanted.append(draw(st.frozensets(st.integers(0, 14), min_size=1)))
    return np.array(lists), wanted


@given(lists_of_users(), st.integers(1, K))
def test_metrics_are_their_definitions(given_lists, k):
    lists, wanted = given_lists
    hits, relevant = ranking.hit_table(lists, wanted)
    for user, (items, want) in enumerate(zip(lists.tolist(), wanted, strict=True)):
        top = items[:k]
        found = [item in want for item in top]
        ranks = [rank for rank, hit in enumerate(found, start=1) if hit]
        dcg = sum(1 / np.log2(rank + 1) for rank in ranks)
        ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(want)) + 1))
        precisions = [sum(found[:rank]) / rank for rank in ranks]
        expected = {
            "precision": len(ranks) / k,
            "recall": len(ranks) / len(want),
            "hit_rate": float(bool(ranks)),
            "mrr": 1 / ranks[0] if ranks else 0.0,
            "ndcg": dcg / ideal,
            "map": sum(precisions) / min(k, len(want)),
        }
        for name, compute in ranking.ACCURACY.items():
            assert compute(hits, relevant, k)[user] == pytest.approx(expected[name])


def test_ndcg_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    truth = rng.random((20, 30)) < 0.2
    truth[:, 0] = True
    scores = rng.random((20, 30))
    lists = np.argsort(-scores, axis=1)[:, :10]
    hits, relevant = ranking.hit_table(lists, [frozenset(np.flatnonzero(row).tolist()) for row in truth])
    assert ranking.ndcg(hits, relevant, 10).mean() == pytest.approx(ndcg_score(truth, scores, k=10))


def test_a_perfect_list_has_one_and_an_empty_one_nothing():
    hits, relevant = ranking.hit_table(np.array([[3, 1, -1], [-1, -1, -1]]), [frozenset({1, 3}), frozenset({2})])
    for name in ("ndcg", "map", "mrr", "recall", "hit_rate"):
        assert ranking.ACCURACY[name](hits, relevant, 3).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("k", [0, 4])
def test_impossible_k_is_named(k):
    hits, relevant = ranking.hit_table(np.array([[1, 2, 3]]), [frozenset({1})])
    with pytest.raises(ValueError, match=f"k={k}"):
        ranking.ndcg(hits, relevant, k)


def test_users_with_nothing_to_find_are_refused():
    hits, relevant = ranking.hit_table(np.array([[1]]), [frozenset()])
    with pytest.raises(ValueError, match="at least 1 for every user"):
        ranking.recall(hits, relevant, 1)


def test_coverage_and_gini():
    even = np.array([[0, 1], [2, 3]])
    assert ranking.coverage(even, 4) == 1.0
    assert ranking.gini(even, 4) == pytest.approx(0.0)
    one = np.array([[0, -1], [0, -1]])
    assert ranking.coverage(one, 4) == 0.25
    assert ranking.gini(one, 4) == pytest.approx(0.75)
    assert ranking.gini(np.array([[-1, -1]]), 4) is None
    with pytest.raises(ValueError, match="catalogue=0"):
        ranking.coverage(even, 0)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_gini_is_half_the_relative_mean_difference(slots):
    counts = np.bincount(slots, minlength=10)
    expected = np.abs(counts[:, None] - counts[None, :]).mean() / (2 * counts.mean())
    assert ranking.gini(np.array([slots]), 10) == pytest.approx(expected)


def test_novelty_is_self_information():
    lists = np.array([[0, 1], [1, -1], [-1, -1]])
    found = ranking.novelty(lists, np.array([7, 0]), 7)
    assert found[0] == pytest.approx((0 + 3) / 2)
    assert found[1] == pytest.approx(3.0)
    assert np.isnan(found[2])


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), min_size=5, max_size=5))
def test_diversity_is_the_mean_distance_of_pairs(features):
    found = ranking.intra_list_diversity(np.array([[0, 1, 2, 3, 4, -1]]), features)[0]
    described = [set(own) for own in features if own]
    pairs = [1 - len(a & b) / (len(a) * len(b)) ** 0.5 for n, a in enumerate(described) for b in described[n + 1 :]]
    if pairs:
        assert found == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(found)
