"""Chances of exploration: those that are noted are those that happen."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclift.domain.exploration import explore


@given(st.integers(0, 30), st.integers(0, 60), st.floats(0, 1), st.integers())
def test_chances_of_a_slot_add_up_and_nothing_comes_twice(slots: int, new: int, share: float, seed: int) -> None:
    drawn = explore(slots, new, share, seed)
    assert len(drawn.places) == slots
    found = [place for place in drawn.places if place is not None]
    assert len(set(found)) == len(found)
    assert all(0 <= place < new for place in found)
    if slots:
        assert drawn.kept + new * drawn.drawn == pytest.approx(1.0)
    assert drawn == explore(slots, new, share, seed)


@pytest.mark.parametrize(("slots", "new"), [(3, 2), (2, 5), (4, 4)])
def test_the_chances_that_are_noted_are_those_that_happen(slots: int, new: int) -> None:
    rounds = 6_000
    met = Counter[tuple[int, int | None]]()
    for seed in range(rounds):
        drawn = explore(slots, new, 0.4, seed)
        met.update(enumerate(drawn.places))
    for slot in range(slots):
        assert met[slot, None] / rounds == pytest.approx(drawn.kept, abs=0.03)
        for place in range(new):
            assert met[slot, place] / rounds == pytest.approx(drawn.drawn, abs=0.02)


def test_a_share_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"share=1\.5: must be between 0 and 1"):
        explore(3, 3, 1.5, 0)
