import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclift.strategy import Query, Signal
from strategies.serving import CONTEXT_SHARE, Catalogue, best_first

CATALOGUE = Catalogue(np.array(["a", "b", "c", "d"]))


def test_profile_adds_up_repeated_signals_and_skips_what_is_unknown():
    history = (Signal("a", 1, 0), Signal("x", 9, 1), Signal("b", 2, 2), Signal("a", 3, 3), Signal("c", 0, 4))
    places, weights = CATALOGUE.profile(Query(3, history=history))
    assert dict(zip(places.tolist(), weights.tolist(), strict=True)) == {0: 4.0, 1: 2.0}


def test_profile_reads_the_latest_signals_only():
    history = tuple(Signal(item_id, 1, at) for at, item_id in enumerate("aabbcc"))
    places, weights = CATALOGUE.profile(Query(3, history=history), limit=3)
    assert dict(zip(places.tolist(), weights.tolist(), strict=True)) == {1: 1.0, 2: 2.0}


def test_a_page_takes_most_of_the_profile():
    places, weights = CATALOGUE.profile(Query(3, history=(Signal("a", 3, 0),), context_items=("b", "c")))
    shares = dict(zip(places.tolist(), (weights / weights.sum()).tolist(), strict=True))
    assert shares == pytest.approx({0: 1 - CONTEXT_SHARE, 1: CONTEXT_SHARE / 2, 2: CONTEXT_SHARE / 2})


def test_a_page_alone_is_a_profile():
    places, weights = CATALOGUE.profile(Query(3, context_items=("b",)))
    assert places.tolist() == [1]
    assert weights[0] == pytest.approx(1.0)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.integers(0, 70),
    st.sets(st.integers(0, 59)),
    st.none() | st.sets(st.integers(0, 65)),
    st.booleans(),
)
def test_pick_is_a_filtered_sort(numbers, k, barred, candidates, partly):
    ids = [f"i{n}" for n in range(len(numbers))]
    catalogue = Catalogue(np.array(ids))
    values = np.array(numbers, dtype=float)
    places = np.flatnonzero(values > 1) if partly else None
    query = Query(
        k,
        exclude=frozenset(f"i{n}" for n in barred),
        candidates=None if candidates is None else frozenset(f"i{n}" for n in candidates),
        context_items=("i0",),
    )
    expected = sorted(
        ((-value, place) for place, value in enumerate(numbers) if not partly or value > 1),
    )
    expected = [(place, -value) for value, place in expected if query.allows(ids[place]) and place != 0][:k]
    given_scores = values if places is None else values[places]
    assert catalogue.pick(query, given_scores, places) == expected


@given(st.lists(st.floats(-5, 5, width=32), max_size=50), st.integers(1, 60))
def test_best_first_is_a_stable_sort(numbers, count):
    scores = np.array(numbers, dtype=np.float32)
    assert best_first(scores, count).tolist() == np.argsort(-scores, kind="stable")[:count].tolist()
