import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reclift.strategy import Query, Scored, State
from reclift.testing.shop import load_through_files
from strategies import item_lists, item_lists_fit, search_effort
from strategies.item_lists import Best, VectorLists
from strategies.item_lists_fit import grouped, vector_lists
from strategies.matrix_factorization import MatrixFactorization
from strategies.search_effort import questions, recall
from tests.unit.strategies.helpers import history_of, quiet, shop

EVERYTHING = 1e6
"""A slack with which each list may hold the best item."""


def clustered(seed, items=400, width=6, centres=9):
    random = np.random.default_rng(seed)
    middle = random.normal(0, 2, (centres, width))
    return (middle[random.integers(0, centres, items)] + random.normal(0, 0.4, (items, width))).astype(np.float32)


def lists_of(vectors, slack, head=16):
    """Lists, and the vectors in their order."""
    by_length = vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_lists_fit, "HEAD", head)
        order, arrays = vector_lists(by_length, 1)
    assert sorted(order.tolist()) == list(range(len(vectors)))
    arranged = by_length[order]
    return VectorLists.of(arranged, State(arrays, {"search": {"effort": slack}})), arranged


def best_of_all(vectors, wanted, k, barred):
    scores = vectors @ wanted.astype(np.float32)
    scores[list(barred)] = -np.inf
    return np.sort(scores[np.isfinite(scores)])[::-1][:k]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    k=st.integers(1, 60),
    barred=st.integers(0, 399),
    first=st.sampled_from([1, 4, 32]),
    head=st.sampled_from([0, 16, 399]),
)
def test_with_slack_for_everything_the_answer_is_exact(seed, k, barred, first, head):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_lists, "FIRST_LISTS", first)
        lists, vectors = lists_of(clustered(seed), EVERYTHING, head)
        random = np.random.default_rng(seed + 1)
        wanted = random.normal(size=6)
        out = random.permutation(len(vectors))[:barred].tolist()
        found = lists.search(wanted, k, out).pairs()
    assert not {place for place, _ in found} & set(out)
    np.testing.assert_allclose(
        [score for _, score in found], best_of_all(vectors, wanted, k, out), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        [score for _, score in found], vectors[[place for place, _ in found]] @ wanted, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("slack", [0.0, 0.2, EVERYTHING])
def test_when_all_that_is_near_is_excluded_the_next_lists_are_looked_at(slack):
    lists, vectors = lists_of(clustered(3), slack)
    wanted = vectors[200].astype(float)
    scores = vectors @ wanted.astype(np.float32)
    near = np.argsort(-scores)[:380].tolist()
    found = lists.search(wanted, 15, near).pairs()
    assert len(found) == 15
    assert not {place for place, _ in found} & set(near)
    assert len(lists.search(wanted, 30, near).pairs()) == 20  # all that are left


def test_a_small_slack_looks_at_a_part_and_finds_most():
    lists, vectors = lists_of(clustered(5, items=4000, centres=40), 0.5)
    random = np.random.default_rng(0)
    shares, found = [], []
    for wanted in vectors[random.integers(0, 4000, 50)].astype(float):
        best = lists.search(wanted, 10)
        shares.append(best.looked_at / 4000)
        edge = best_of_all(vectors, wanted, 10, [])[-1]
        found.append(np.mean([score >= edge - 1e-4 for _, score in best.pairs()]))
    assert np.mean(shares) < 0.2
    assert np.mean(found) > 0.97


def test_equal_scores_stand_in_the_order_of_places():
    best = Best(4, barred=[2])
    best.add(np.array([1.0, 2.0, 1.0]), np.array([5]), np.array([3]))
    best.add(np.array([1.0, 2.0, 1.0, 2.0]), np.array([0]), np.array([4]))
    assert [place for place, _ in best.pairs()] == [1, 3, 6, 0]


def test_groups_are_those_that_are_there():
    vectors = np.repeat(np.eye(4, dtype=np.float32) * 10, 50, axis=0)
    lists = grouped(vectors + np.random.default_rng(0).normal(0, 0.1, vectors.shape).astype(np.float32), 25, 3)
    kinds = np.repeat(np.arange(4), 50)
    assert all(len(set(kinds[lists == number].tolist())) == 1 for number in set(lists.tolist()))


def test_recall_takes_equal_scores_for_equal():
    exact = [Scored("a", 3.0), Scored("b", 2.0), Scored("c", 2.0)]
    assert recall([Scored("a", 3.0), Scored("c", 2.0)], exact, 2) == 1
    assert recall([Scored("a", 3.0), Scored("x", 1.0)], exact, 2) == 0.5
    assert recall([], exact, 3) == 0
    assert recall([], [], 3) == 1


def test_questions_are_pasts_of_users_short_and_long():
    data = shop(users=300, items=60, events=6000)
    asked = questions(data, 1)
    assert len(asked) == 300
    assert {query.history for query in map(frozen, asked)} != {
        query.history for query in map(frozen, questions(data, 2))
    }
    assert [len(query.history) <= 5 for query in asked[::2]] == [True] * 150
    assert np.mean([len(query.history) for query in asked[1::2]]) == pytest.approx(20, rel=0.1)
    for query in asked:
        assert query.exclude == {signal.item_id for signal in query.history}
        assert list(query.history) == sorted(query.history, key=lambda signal: signal.at)


def frozen(query):
    return Query(query.k, history=tuple(query.history))


@pytest.fixture
def small(monkeypatch):
    """Lists in a small shop, even where most of it is looked at."""
    monkeypatch.setattr(item_lists_fit, "HEAD", 40)
    monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 1.0)


PLAIN = {"factors": 8, "iterations": 10}


def fit(data, **params):
    return MatrixFactorization.fit(data, MatrixFactorization.Parameters(**PLAIN, **params), quiet)


@pytest.mark.parametrize("objective", ["ranking", "rating"])
def test_a_fitted_model_finds_what_it_promises(small, objective, tmp_path):
    data = shop(seed=2, users=400, items=900, events=16_000)
    exact = fit(data, objective=objective)
    listed = fit(data, objective=objective, exact_up_to=100, recall=0.98)
    assert "search" not in exact.state().meta
    search = listed.state().meta["search"]
    assert search["questions"] == 200
    assert 0 < search["looked_at"] < 1
    assert search["recall@10"] > 0.97
    assert search["recall@50"] > 0.97
    loaded = MatrixFactorization.restore(
        load_through_files(listed.state(), tmp_path),
        MatrixFactorization.Parameters(**PLAIN, objective=objective, exact_up_to=100),
    )
    recalls = {10: [], 50: []}
    for user in range(0, 400, 3):
        history = history_of(data, user)
        query = Query(50, history=history, exclude=frozenset(signal.item_id for signal in history))
        answer, wanted = listed.recommend(query), exact.recommend(query)
        for k, found in recalls.items():
            found.append(recall(answer, wanted, k))
        assert loaded.recommend(query) == answer
        score = {scored.item_id: scored.score for scored in exact.recommend(Query(900, history=history))}
        for scored in answer:
            assert scored.score == pytest.approx(score[scored.item_id], abs=1e-4)
        chosen = frozenset(f"i{n}" for n in range(0, 900, 7))
        among = Query(20, history=history, candidates=chosen)
        assert [s.item_id for s in listed.recommend(among)] == [s.item_id for s in exact.recommend(among)]
    assert np.mean(recalls[10]) > 0.96
    assert np.mean(recalls[50]) > 0.96


def test_the_same_data_make_the_same_lists(small):
    data = shop(seed=2, users=400, items=900, events=16_000)
    first, second = (fit(data, exact_up_to=100).state() for _ in range(2))
    assert first.meta == second.meta
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_predictions_do_not_depend_on_the_search(small):
    data = shop(seed=2, users=400, items=900, events=16_000)
    query = Query(1, history=history_of(data, 5))
    asked = [*(f"i{n}" for n in range(0, 900, 50)), "no such item"]
    exact, listed = (fit(data, objective="rating", exact_up_to=n).predict(query, asked) for n in (10_000, 100))
    np.testing.assert_allclose(exact, listed, atol=1e-5)


def test_small_catalogues_and_fruitless_lists_stay_exact(monkeypatch):
    data = shop(seed=2, users=400, items=900, events=16_000)
    assert fit(data).index is None
    monkeypatch.setattr(item_lists_fit, "HEAD", 40)
    monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 0.01)
    kept = fit(data, exact_up_to=100)
    assert kept.index is None
    assert "of the work would have to be done" in kept.state().meta["search"]["exact"]
    query = Query(30, history=history_of(data, 4))
    assert kept.recommend(query) == fit(data).recommend(query)


def test_too_few_users_to_measure_leave_it_exact():
    assert "12 users could be asked" in fit(shop(users=12, items=50), exact_up_to=10).state().meta["search"]["exact"]
