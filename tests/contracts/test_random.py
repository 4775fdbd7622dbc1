"""The random strategy keeps the contract, and its propensities are its frequencies."""

from collections import Counter

import numpy as np
import pytest

from reclift.strategy import Query
from reclift.testing import StrategyContract


class TestRandom(StrategyContract):
    key = "random"
    personal = False
    complete = True
    cold_items = True

    @pytest.mark.parametrize("candidates", [None, frozenset(f"i{n:02}" for n in range(8))])
    def test_propensities_are_frequencies_at_every_position(self, candidates):
        fitted = self.fit()
        barred = frozenset({"i01", "i02"})
        draws = 4000
        counts = [Counter() for _ in range(3)]
        for seed in range(draws):
            answer = fitted.recommend(Query(3, exclude=barred, candidates=candidates, seed=seed))
            for count, scored in zip(counts, answer, strict=True):
                count[scored.item_id] += 1
        allowed = (set(candidates) if candidates else {item.item_id for item in self.items()}) - barred
        for count in counts:
            assert set(count) == allowed
            expected = draws / len(allowed)
            chi_square = sum((n - expected) ** 2 / expected for n in count.values())
            # far beyond the 99.9 % point of chi-square with at most 17 degrees of freedom
            assert chi_square < 45
        assert {scored.propensity for scored in answer} == {1 / len(allowed)}

    def test_other_seed_other_list(self):
        fitted = self.fit()
        lists = {tuple(s.item_id for s in fitted.recommend(Query(5, seed=seed))) for seed in range(50)}
        assert len(lists) > 45

    def test_scores_count_down(self):
        assert np.diff([s.score for s in self.fit().recommend(Query(5, seed=1))]).tolist() == [-1.0] * 4
