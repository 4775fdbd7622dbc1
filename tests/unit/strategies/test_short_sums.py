import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reclift.strategy import Dataset, Item, Query, Signal
from reclift.testing.shop import load_through_files
from strategies import search_effort, short_sums
from strategies.content import Content
from strategies.search_effort import recall
from strategies.short_sums import ShortSums
from tests.unit.strategies.helpers import quiet

ALL = 10**9


def index_of(seed, items=300, features=40, effort=ALL):
    """An index of random sparse items, their dense form, and what they have without features; some may not be found."""
    random = np.random.default_rng(seed)
    dense = random.random((items, features)) * (random.random((items, features)) < random.random(features) ** 3)
    dense = dense.astype(np.float32)
    owned = dense.T > 0
    base = random.normal(0, 0.2, items)
    allowed = np.flatnonzero(random.random(items) < 0.9)
    starts = np.concatenate([[0], np.cumsum(owned.sum(axis=1))])
    index = ShortSums(
        starts, np.nonzero(owned)[1].astype(np.int32), dense.T[owned], dense.max(axis=0), base, allowed, effort
    )
    return index, dense, base, allowed


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**16),
    k=st.integers(1, 40),
    barred=st.integers(0, 300),
    known=st.sampled_from([1, 5, 50, 4096]),
)
def test_with_all_features_the_best_are_among_the_promising(seed, k, barred, known):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(short_sums, "SPARE", 0)
        patch.setattr(short_sums, "PER_WANTED", 1)
        patch.setattr(short_sums, "UNTOUCHED", known)
        index, dense, base, allowed = index_of(seed)
        random = np.random.default_rng(seed)
        features = random.permutation(40)[: random.integers(1, 16)]
        for _ in range(2):  # what was lent to an answer is given back as it was
            weights = random.normal(size=len(features))
            out = random.permutation(300)[:barred].tolist()
            found = index.promising(features, weights, k, out)
            scores = base + dense[:, features] @ weights
            wanted = np.setdiff1d(allowed, out)
            assert found.tolist() == sorted(set(found.tolist()))
            assert set(found.tolist()) <= set(wanted.tolist())
            best = np.sort(scores[wanted])[::-1][:k]
            np.testing.assert_allclose(np.sort(scores[found])[::-1][: len(best)], best, atol=1e-4)


def test_of_items_without_a_feature_the_first_are_looked_at(monkeypatch):
    monkeypatch.setattr(short_sums, "SPARE", 100)
    monkeypatch.setattr(short_sums, "PER_WANTED", 3)
    index = ShortSums(
        np.array([0, 1]), np.array([999]), np.ones(1, np.float32), np.ones(1), np.zeros(1000), np.arange(1000), ALL
    )
    for _ in range(2):
        assert index.promising(np.array([0]), np.array([1.0]), 1, []).tolist() == [*range(103), 999]
        assert index.promising(np.array([0]), np.array([1.0]), 1, [999, 5]).tolist() == [*range(5), *range(6, 104)]


def test_of_very_many_equal_items_only_the_first_are_looked_at_and_all_that_are_better(monkeypatch):
    monkeypatch.setattr(short_sums, "SPARE", 0)
    monkeypatch.setattr(short_sums, "PER_WANTED", 10)
    values = np.full(1000, 0.5, dtype=np.float32)
    values[[700, 800]] = 1
    index = ShortSums(np.array([0, 1000]), np.arange(1000), values, np.ones(1), np.zeros(1000), np.arange(1000), ALL)
    found = index.promising(np.array([0]), np.array([1.0]), 1, [3])
    assert found.tolist() == [0, 1, 2, *range(4, 11), 700, 800]


def test_the_weightiest_features_come_first_and_the_effort_bounds_the_work():
    index, dense, *_ = index_of(1)
    features, weights = np.arange(40), np.random.default_rng(0).normal(size=40)
    say = np.abs(weights) * dense.max(axis=0)
    lengths = (dense > 0).sum(axis=0)
    for effort in (1, 50, 400):
        index.effort = effort
        chosen, taken = index.chosen(features, weights)
        assert say[chosen].min() >= np.delete(say, chosen).max()
        assert taken.tolist() == lengths[chosen].tolist()
        assert len(chosen) == 1 or taken.sum() <= effort
        assert index.share(features, weights) == pytest.approx(lengths[chosen].sum() / lengths.sum())


def described_shop(items=1500, users=200):
    random = np.random.default_rng(0)
    kinds = random.integers(0, 30, items)
    catalogue = [
        Item(
            f"i{n}",
            title=f"w{kinds[n]}x{random.integers(12)} v{int(400 * random.random() ** 2)}",
            category=f"c{kinds[n]}",
            price=float(random.integers(1, 200)),
        )
        if n % 50
        else Item(f"i{n}")
        for n in range(items)
    ]
    rows = []
    for user in range(users):
        own = np.flatnonzero(np.isin(kinds, random.integers(0, 30, 2)))
        rows += [(f"u{user}", f"i{n}", 1.0, float(at)) for at, n in enumerate(random.choice(own, 12))]
    return Dataset.from_rows(rows, catalogue), rows


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(short_sums, "SPARE", 30)
    monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 1.0)
    monkeypatch.setattr("strategies.content.BUDGETS", (100, 200, 400, 800, 1600, 3200))


def test_content_finds_what_it_promises_through_its_index(small, tmp_path):
    data, rows = described_shop()
    exact = Content.fit(data, Content.Parameters(), quiet)
    params = Content.Parameters(exact_up_to=100)
    indexed = Content.fit(data, params, quiet)
    assert exact.index is None
    search = indexed.state().meta["search"]
    assert search["looked_at"] < 0.9
    assert search["recall@10"] > 0.97
    assert search["recall@50"] > 0.97
    loaded = Content.restore(load_through_files(indexed.state(), tmp_path), params)
    again = Content.fit(data, params, quiet)
    recalls = []
    for user in range(0, 200, 4):
        history = tuple(Signal(item, weight, at) for name, item, weight, at in rows if name == f"u{user}")
        query = Query(50, history=history, exclude=frozenset(signal.item_id for signal in history))
        answer = indexed.recommend(query)
        assert loaded.recommend(query) == answer == again.recommend(query)
        recalls.append(recall(answer, exact.recommend(query), 50))
        everything = {s.item_id: (s.score, s.reason) for s in exact.recommend(Query(1500, history=history))}
        for scored in answer:
            score, reason = everything[scored.item_id]
            assert scored.score == pytest.approx(score, abs=1e-5)
            assert scored.reason == reason
        among = Query(20, history=history, candidates=frozenset(f"i{n}" for n in range(0, 1500, 7)))
        assert [s.item_id for s in indexed.recommend(among)] == [s.item_id for s in exact.recommend(among)]
    assert np.mean(recalls) > 0.97


def test_content_answers_in_full_when_all_that_is_alike_is_excluded(small):
    data, rows = described_shop()
    indexed = Content.fit(data, Content.Parameters(exact_up_to=100), quiet)
    history = tuple(Signal(item, weight, at) for name, item, weight, at in rows if name == "u3")
    best = indexed.recommend(Query(1400, history=history))
    assert len(best) == 1400
    out = frozenset(s.item_id for s in best[:1400])
    rest = indexed.recommend(Query(30, history=history, exclude=out))
    assert len(rest) == 30
    assert not {s.item_id for s in rest} & out
    assert len(indexed.recommend(Query(200, history=history, exclude=out))) == 1500 - 30 - 1400  # 30 have no features
