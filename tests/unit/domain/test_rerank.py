import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclift.domain.rerank import Diversity, cap_categories, maximal_marginal_relevance, rerank

FEATURES = st.lists(st.frozensets(st.sampled_from("abcd"), max_size=3), max_size=15)


def brute_mmr(scores, features, k, balance):
    """By the definition, in plain Python."""
    if not scores:
        return []
    low, high = min(scores), max(scores)
    relevance = [(s - low) / (high - low) if high > low else 0.0 for s in scores]

    def cosine(a, b):
        return len(a & b) / (len(a) * len(b)) ** 0.5 if a and b else 0.0

    taken: list[int] = []
    while len(taken) < min(k, len(scores)):
        free = [place for place in range(len(scores)) if place not in taken]
        worth = {
            place: (1 - balance) * relevance[place]
            - balance * max((cosine(features[place], features[other]) for other in taken), default=0.0)
            for place in free
        }
        taken.append(min(free, key=lambda place: (-round(worth[place], 9), place)))
    return taken


@given(FEATURES, st.integers(0, 20), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_mmr_is_its_definition(features, k, balance):
    scores = [float(len(features) - place) for place in range(len(features))]
    found = maximal_marginal_relevance(scores, features, k, balance)
    expected = brute_mmr(scores, features, k, balance)
    assert len(found) == len(expected)
    assert len(set(found)) == len(found)
    if balance == 0:
        assert found == list(range(min(k, len(features))))
    elif found != expected:  # only rounding may decide between equals
        place = next(n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        again = brute_mmr(scores, features, place, balance)
        assert found[:place] == again


def test_mmr_brings_the_other_kind_forward():
    features = [frozenset({"red"}), frozenset({"red"}), frozenset({"blue"})]
    assert maximal_marginal_relevance([3.0, 2.9, 2.0], features, 3, 0.5) == [0, 2, 1]


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=20), st.integers(0, 10), st.integers(1, 4))
def test_cap_keeps_order_fills_up_and_holds_where_it_can(categories, k, cap):
    found = cap_categories(categories, k, cap)
    assert len(found) == min(k, len(categories))
    assert len(set(found)) == len(found)
    possible = sum(min(cap, categories.count(name)) for name in ("a", "b")) + categories.count(None)
    kept = found[: min(k, possible)]
    assert kept == sorted(kept)
    for name in ("a", "b"):
        assert sum(categories[place] == name for place in kept) <= cap


def test_both_together():
    features = [frozenset({"red"}), frozenset({"red"}), frozenset({"blue"}), frozenset({"red"})]
    categories = ["x", "x", "x", "y"]
    found = rerank(Diversity(0.5, 2), [4.0, 3.9, 3.5, 1.0], features, categories, 3)
    assert found == [0, 2, 3]
    assert rerank(Diversity(), [4.0, 3.9, 3.5, 1.0], features, categories, 2) == [0, 1]
    assert Diversity().changes_nothing
    assert not Diversity(category_cap=1).changes_nothing


@pytest.mark.parametrize(
    ("options", "name"), [({"balance": 1.5}, "balance=1.5"), ({"category_cap": 0}, "category_cap=0")]
)
def test_bad_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        Diversity(**options)


def test_uneven_input_is_named():
    with pytest.raises(ValueError, match="2 scores, 1 features, 2 categories"):
        rerank(Diversity(), [1.0, 2.0], [frozenset()], [None, None], 2)
