from dataclasses import replace

import numpy as np
import pytest

from reclift.strategy import Dataset, Query, Signal, StrategyError
from strategies import matrix_factorization
from strategies.factors import largest_singular_value
from strategies.matrix_factorization import MatrixFactorization
from strategies.ratings import rating_matrix
from tests.unit.strategies.helpers import history_of, quiet, scores, shop


def fit(data, **params):
    return MatrixFactorization.fit(data, MatrixFactorization.Parameters(**params), quiet)


def test_penalty_follows_the_strongest_pattern():
    matrix = shop().matrix
    assert largest_singular_value(matrix) == pytest.approx(np.linalg.norm(matrix.toarray(), 2), rel=1e-3)


def test_folding_in_solves_the_user_s_weighted_least_squares():
    data = shop()
    fitted = fit(data, factors=6, alpha=2.0)
    state = fitted.state()
    Y, penalty = state.arrays["factors"].astype(float), state.meta["penalty"]
    row = data.matrix[[3]].toarray().ravel()[[int(item_id[1:]) for item_id in state.arrays["item_ids"]]]
    confidence, wanted = 1 + 2.0 * row, (row > 0).astype(float)
    taste = np.linalg.solve(Y.T @ (Y * confidence[:, None]) + penalty * np.eye(6), Y.T @ (confidence * wanted))
    found = scores(fitted.recommend(Query(40, history=history_of(data, 3))))
    expected = dict(zip(state.arrays["item_ids"].tolist(), (Y @ taste).tolist(), strict=True))
    assert found == pytest.approx(expected, abs=1e-5)


def test_alternating_converges_to_a_minimum_of_the_objective():
    """Fold-in of a training user changes nothing at the end: the factors are each other's solutions."""
    data = shop()
    fitted = fit(data, factors=4, iterations=100)
    state = fitted.state()
    Y, penalty = state.arrays["factors"].astype(float), state.meta["penalty"]
    order = [int(item_id[1:]) for item_id in state.arrays["item_ids"]]
    rows = data.matrix.toarray()[:, order]
    X = np.array(
        [np.linalg.solve(Y.T @ (Y * (1 + r)[:, None]) + penalty * np.eye(4), Y.T @ ((1 + r) * (r > 0))) for r in rows]
    )
    again = np.array(
        [np.linalg.solve(X.T @ (X * (1 + c)[:, None]) + penalty * np.eye(4), X.T @ ((1 + c) * (c > 0))) for c in rows.T]
    )
    np.testing.assert_allclose(X @ again.T, X @ Y.T, atol=0.02)


def test_no_user_is_in_the_model():
    state = fit(shop()).state()
    assert set(state.arrays) == {"item_ids", "factors", "offsets", "gram"}
    assert all(array.shape[0] != 60 for array in state.arrays.values())


def rated(seed=0, users=80, items=50):
    """Ratings out of a known low-rank truth."""
    rng = np.random.default_rng(seed)
    truth = 3 + rng.normal(0, 0.4, users)[:, None] + rng.normal(0, 0.4, items)
    truth = truth + rng.normal(0, 0.7, (users, 2)) @ rng.normal(0, 0.7, (2, items))
    seen = rng.random((users, items)) < 0.5
    rows = [(f"u{u}", f"i{i}", 1.0, 0.0, float(truth[u, i])) for u, i in zip(*seen.nonzero(), strict=True)]
    return truth, seen, Dataset.from_rows(rows)


def test_rating_predictor_finds_a_low_rank_truth():
    truth, seen, data = rated()
    fitted = fit(data, objective="rating", factors=4, iterations=150, rating_regularization=0.005, learning_rate=0.03)
    errors, baseline = [], []
    for user in range(80):
        hidden = np.flatnonzero(~seen[user])
        index = data.user_ids.tolist().index(f"u{user}")
        predicted = fitted.predict(Query(1, history=history_of(data, index)), [f"i{n}" for n in hidden])
        errors.extend(predicted - truth[user, hidden])
        baseline.extend(truth[user, hidden] - truth[seen].mean())
    assert np.std(errors) < 0.35 * np.std(baseline)


def test_rating_predictor_answers_for_strangers_by_mean_and_offset():
    _, _, data = rated()
    fitted = fit(data, objective="rating", iterations=5)
    known, unknown = fitted.predict(Query(1), ["i3", "no such item"])
    assert unknown == pytest.approx(data.values.mean(), rel=1e-5)
    assert known == pytest.approx(
        unknown + fitted.state().arrays["offsets"][fitted.state().arrays["item_ids"] == "i3"][0]
    )


def test_rating_predictor_needs_ratings():
    data = Dataset.from_rows([("a", "x", 1.0, 0.0)])
    with pytest.raises(StrategyError, match=r"objective='rating'.*none of the 1 interactions"):
        fit(data, objective="rating")


def test_a_ranking_is_no_rating():
    with pytest.raises(StrategyError, match="predict needs objective='rating'"):
        fit(shop()).predict(Query(1, history=(Signal("i1", 1.0, 0.0),)), ["i2"])


def test_the_latest_rating_counts_and_zero_is_a_rating():
    rows = [("a", "x", 1.0, 5.0, 0.0), ("a", "x", 1.0, 1.0, 4.0), ("b", "y", 1.0, 2.0, 3.0), ("b", "x", 1.0, 2.0)]
    matrix = rating_matrix(Dataset.from_rows(rows))
    assert sorted(zip(*matrix.nonzero(), strict=True)) == [(1, 1)]
    assert matrix.nnz == 2
    assert matrix[0, 0] == 0.0


@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("barred", [0, 35])
def test_stopping_early_gives_the_exact_answer(k, barred, monkeypatch):
    monkeypatch.setattr(matrix_factorization, "FIRST_BLOCK", 4)
    data = shop(seed=4, users=200, items=80, events=3000)
    fitted = fit(data, factors=5)
    factors = fitted.state().arrays["factors"]
    lengths = np.linalg.norm(factors, axis=1)
    assert (lengths[:-1] >= lengths[1:]).all()
    for user in range(20):
        history = history_of(data, user)
        exclude = frozenset(f"i{n}" for n in range(barred))
        query = Query(k, history=history, exclude=exclude)
        everything = fitted.recommend(Query(1000, history=history))
        expected = [scored.item_id for scored in everything if scored.item_id not in exclude][:k]
        assert [scored.item_id for scored in fitted.recommend(query)] == expected


def test_stopping_early_looks_at_a_part_only(monkeypatch):
    monkeypatch.setattr(matrix_factorization, "FIRST_BLOCK", 4)
    data = shop(seed=4, users=200, items=80, events=3000)
    fitted = fit(data, factors=5)
    asked: list[int] = []
    reach = MatrixFactorization._reach
    monkeypatch.setattr(MatrixFactorization, "_reach", lambda self, place: asked.append(place) or reach(self, place))
    fitted.recommend(Query(1, history=history_of(data, 1)))
    assert asked
    assert max(asked) < len(fitted.state().arrays["item_ids"]) / 2


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_ratings_may_have_any_unit(unit):
    """Percents, euros or stars: the same data in another unit is predicted the same in that unit."""
    _, _, data = rated()
    other = replace(data, values=(data.values * unit).astype(np.float32))
    in_stars, in_units = fit(data, objective="rating"), fit(other, objective="rating")
    asked = [f"i{n}" for n in range(10)]
    stars = in_stars.predict(Query(1, history=history_of(data, 0)), asked)
    assert np.ptp(stars) > 0.1
    np.testing.assert_allclose(in_units.predict(Query(1, history=history_of(other, 0)), asked), stars * unit, rtol=1e-3)


def test_a_descent_that_runs_away_says_so():
    _, _, data = rated()
    with pytest.raises(StrategyError, match=r"learning_rate=1: the descent ran away"):
        fit(data, objective="rating", learning_rate=1.0, rating_regularization=10.0)
