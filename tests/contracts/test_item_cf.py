"""Item neighbours keep the contract, with each similarity."""

from typing import Any, ClassVar

import pytest

from reclift.strategy import StrategyError
from reclift.testing import StrategyContract
from reclift.testing.shop import DAY


class TestItemCF(StrategyContract):
    key = "item_cf"


class TestPlainCosine(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "none", "k": 5}


class TestBM25(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "bm25", "min_overlap": 2, "shrinkage": 3}


class TestJaccard(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"similarity": "jaccard", "shrinkage": 1}


class TestPearson(TestItemCF):
    """Correlations need dislikes too: each user also rates the other side low."""

    params: ClassVar[dict[str, Any]] = {"similarity": "pearson", "k": 9}

    def rows(self):
        likes = [(user, item, weight, at, 5.0 - n % 2) for n, (user, item, weight, at, _) in enumerate(super().rows())]
        dislikes = [
            (f"u{user}", f"i{2 * step + 1 - user % 2:02}", 1.0, DAY * step, 1.0 + step % 2)
            for user in range(24)
            for step in range(10)
            if step != user % 10
        ]
        return likes + dislikes

    def test_one_interaction(self, tmp_path):
        with pytest.raises(StrategyError, match="ratings which differ"):
            super().test_one_interaction(tmp_path)

    def test_two_items_one_of_them_chosen(self, tmp_path):
        with pytest.raises(StrategyError, match="ratings which differ"):
            super().test_two_items_one_of_them_chosen(tmp_path)
