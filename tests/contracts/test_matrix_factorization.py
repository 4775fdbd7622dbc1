"""Matrix factorization keeps the contract, for ranking and as a rating predictor."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract
from reclift.testing.shop import DAY


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
