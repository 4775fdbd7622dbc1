import numpy as np
import pytest

from reclift.strategy import Query
from strategies import ease
from strategies.ease import Ease
from tests.unit.strategies.helpers import history_of, quiet, scores, shop


def fit(data, **params):
    return Ease.fit(data, Ease.Parameters(**params), quiet)


def closed_form(data, share):
    """Steck's formula in float64, over items that somebody chose."""
    X = data.matrix.toarray().astype(float)
    gram = X.T @ X
    P = np.linalg.inv(gram + share * np.linalg.eigvalsh(gram)[-1] * np.eye(len(gram)))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return X, B


@pytest.mark.parametrize("block", [7, 512])
def test_is_the_closed_form(block, monkeypatch):
    monkeypatch.setattr(ease, "BLOCK", block)
    data = shop()
    X, B = closed_form(data, 0.05)
    index = {item_id: n for n, item_id in enumerate(data.item_ids.tolist())}
    user = 6
    found = scores(fit(data, regularization=0.05).recommend(Query(40, history=history_of(data, user))))
    assert set(found) == {item_id for item_id, n in index.items() if X[:, n].any()}
    assert found == pytest.approx({i: (X[user] @ B)[index[i]] for i in found}, abs=1e-4)


def test_keeps_the_largest_weights_of_each_item():
    data = shop()
    dense = fit(data).state().arrays["weights"]
    state = fit(data, k=5).state()
    for row, (columns, weights) in enumerate(zip(state.arrays["columns"], state.arrays["weights"], strict=True)):
        np.testing.assert_array_equal(dense[row, columns], weights)
        assert np.abs(weights).min() >= np.delete(np.abs(dense[row]), columns).max()


def test_item_limit_keeps_the_most_chosen():
    data = shop()
    state = fit(data, max_items=10).state()
    count = np.bincount(data.columns, minlength=data.shape[1])
    best = np.argsort(-count, kind="stable")[:10]
    assert set(state.arrays["item_ids"].tolist()) == set(data.item_ids[best].tolist())
    assert state.arrays["weights"].shape == (10, 10)
