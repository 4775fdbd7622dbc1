"""Matrix factorization keeps the contract, for ranking and as a rating predictor."""

from typing import Any, ClassVar

import pytest

from reclift.testing import StrategyContract
from reclift.testing.shop import DAY
from strategies import item_lists_fit, search_effort


class TestRanking(StrategyContract):
    key = "matrix_factorization"


class TestRating(StrategyContract):
    """A rating predictor learns from dislikes too, so each user also rates the other side low."""

    key = "matrix_factorization"
    params: ClassVar[dict[str, Any]] = {
        "objective": "rating",
        "factors": 4,
        "iterations": 60,
        "rating_regularization": 0.02,
        "learning_rate": 0.05,
    }

    def rows(self):
        likes = [(user, item_id, weight, at, 5.0) for user, item_id, weight, at, _ in super().rows()]
        dislikes = [
            (f"u{user}", f"i{2 * step + 1 - user % 2:02}", 1.0, DAY * step, 1.0)
            for user in range(24)
            for step in range(10)
            if step != user % 10
        ]
        return likes + dislikes


class InLists:
    """As with catalogues of more items than `exact_up_to`."""

    @pytest.fixture(autouse=True)
    def lists_at_any_price(self, monkeypatch):
        monkeypatch.setattr(item_lists_fit, "HEAD", 4)
        monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 1.0)
        monkeypatch.setattr(search_effort, "FEWEST_QUESTIONS", 8)

    def test_has_lists(self):
        assert self.fit().index is not None


class TestRankingInLists(InLists, TestRanking):
    params: ClassVar[dict[str, Any]] = {"exact_up_to": 0}


class TestRatingInLists(InLists, TestRating):
    params: ClassVar[dict[str, Any]] = {**TestRating.params, "exact_up_to": 0}
