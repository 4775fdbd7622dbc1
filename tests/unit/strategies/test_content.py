import numpy as np
import pytest

from reclift.strategy import Dataset, Item, Query, Signal
from strategies import content
from strategies.content import Content
from strategies.content_features import BANDS, item_vectors, words
from tests.unit.strategies.helpers import quiet, scores

FIELDS = {"title": 1.0, "description": 1.0, "category": 1.0, "attributes": 1.0, "price": 1.0}


def features(items, **weights):
    matrix, names = item_vectors(items, FIELDS | weights, 1000)
    return [{str(names[c]): float(row[c]) for c in np.flatnonzero(row)} for row in matrix.toarray()]


def test_words_of_any_language():
    assert list(words("Blue Tea-Pots, 2 for ÉCLAIR!")) == ["blue", "tea", "pots", "for", "éclair"]
    assert list(words("红色茶壶 teapot")) == ["红色", "色茶", "茶壶", "teapot"]


def test_every_field_weighs_the_same_however_long():
    items = [
        Item(f"i{n}", title="red", description="very long text about many things", category="cups") for n in (1, 2)
    ]
    found = features(items)[0]
    for field in ("title", "description", "category"):
        assert sum(v * v for name, v in found.items() if name.startswith(field)) == pytest.approx(1 / 3, rel=1e-5)


def test_features_of_one_item_alone_are_dropped():
    assert features([Item("a", title="red cup"), Item("b", title="red pot")]) == [
        {"title: red": 1.0},
        {"title: red": 1.0},
    ]


def test_categories_above_count_too():
    found = features([Item("a", category="shoes > boots"), Item("b", category="shoes > sandals")])
    assert found == [{"category: shoes": 1.0}, {"category: shoes": 1.0}]


def test_lists_numbers_and_words_among_attributes():
    items = [
        Item(
            f"i{n}",
            attributes={"genre": ["drama", "war"], "year": 1990 + n, "dubbed": True, "none": None, "deep": {"a": 1}},
        )
        for n in range(40)
    ]
    names = set().union(*features(items))
    assert {"genre: drama", "genre: war", "dubbed: True"} <= names
    bands = {name for name in names if name.startswith("year: ")}
    assert len(bands) == BANDS
    assert names == {"genre: drama", "genre: war", "dubbed: True"} | bands


def test_prices_close_to_each_other_share_a_band():
    items = [Item(f"i{n}", price=float(n)) for n in range(100)]
    rows, names = item_vectors(items, FIELDS, 100)
    similar = (rows @ rows.T).toarray()
    assert len(names) == BANDS
    assert similar[9, 10] > 0.5
    assert similar[5, 95] == 0
    assert "price: below 9.9" in names.tolist()


def test_unknown_prices_and_odd_numbers_are_no_feature():
    items = [Item("a", price=float("nan")), Item("b", price=None), Item("c", price=float("inf"))]
    assert features(items) == [{}, {}, {}]


ITEMS = [
    Item(f"{colour}-{kind}-{n}", title=f"{colour} {kind}", category=kind)
    for colour in ("red", "blue", "green")
    for kind in ("cup", "pot", "plate")
    for n in range(4)
]


def fit(rows=(), items=ITEMS, **params):
    return Content.fit(Dataset.from_rows(rows, items), Content.Parameters(**params), quiet)


def test_is_a_ridge_regression_on_the_history():
    rows = [(f"u{n}", ITEMS[n % 11].item_id, 1.0, 0.0) for n in range(30)]
    fitted = fit(rows, regularization=0.7, background=0.2, prior=0.5)
    arrays = fitted.state().arrays
    X = np.zeros((len(ITEMS), len(arrays["features"])))
    for place in range(len(ITEMS)):
        part = slice(arrays["row_starts"][place], arrays["row_starts"][place + 1])
        X[place, arrays["row_features"][part]] = arrays["row_values"][part]
    prior = 0.5 * X @ arrays["prior_coefficients"]
    history = (Signal("red-cup-0", 1.0, 0.0), Signal("red-pot-1", 2.0, 1.0))
    own, weights = [0, 5], np.array([1.0, 2.0])
    penalty = np.diag(0.7 + 0.2 * (X**2).sum(axis=0))
    W = np.diag(weights)
    deviation = np.linalg.solve(X[own].T @ W @ X[own] + penalty, X[own].T @ W @ (1 - prior[own]))
    found = scores(fitted.recommend(Query(100, history=history)))
    expected = dict(zip([item.item_id for item in ITEMS], prior + X @ deviation, strict=True))
    assert found == pytest.approx(expected, abs=1e-5)


def test_reasons_are_the_features_that_decided():
    answer = fit().recommend(Query(3, history=(Signal("red-cup-0", 1.0, 0.0),), exclude=frozenset({"red-cup-0"})))
    assert {s.item_id for s in answer} == {"red-cup-1", "red-cup-2", "red-cup-3"}
    assert all("cup" in s.reason for s in answer)
    reds = tuple(Signal(f"red-{kind}-0", 1.0, 0.0) for kind in ("cup", "pot", "plate"))
    assert "title: red" in fit().recommend(Query(1, history=reds))[0].reason


def test_thin_histories_lean_on_what_everybody_likes():
    rows = [(f"u{n}", f"blue-{kind}-{n % 4}", 1.0, 0.0) for n in range(40) for kind in ("cup", "pot", "plate")]
    rows += [("v", "red-cup-0", 1.0, 0.0), ("v", "green-cup-0", 1.0, 0.0)]
    one = (Signal("green-plate-0", 1.0, 0.0),)
    seen = frozenset(item.item_id for item in ITEMS if item.item_id.startswith("green") or "plate" in item.item_id)
    answer = fit(rows, prior=1.0).recommend(Query(4, history=one, exclude=seen))
    assert all(s.item_id.startswith("blue") for s in answer)


def test_common_features_count_as_much_in_full_columns_as_in_sparse_ones(monkeypatch):
    history = (Signal("red-cup-0", 1.0, 0.0), Signal("blue-pot-1", 2.0, 1.0))
    answers = []
    for most in (0, 3, 64):
        monkeypatch.setattr(content, "MOST_COMMON", most)
        fitted = fit()
        assert len(fitted.state().arrays["common"]) == min(most, len(fitted.state().arrays["features"]))
        answers.append(scores(fitted.recommend(Query(100, history=history))))
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    assert answers[0] == pytest.approx(answers[2], abs=1e-6)


def test_numbers_of_any_length_are_described():
    """JSON may hold whole numbers that no float can."""
    items = [
        Item(f"i{n}", title="tea", attributes={"size": 10**400 if n else 10**30, "odd": float("inf")}) for n in (0, 1)
    ]
    data = Dataset.from_rows([("u", "i0", 1.0, 0.0), ("v", "i1", 1.0, 0.0)], items)
    fitted = Content.fit(data, Content.Parameters(), quiet)
    history = (Signal("i0", 1.0, 0.0),)
    assert [one.item_id for one in fitted.recommend(Query(1, "u", history, exclude=frozenset({"i0"})))] == ["i1"]
