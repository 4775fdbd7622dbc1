"""Item neighbours keep the contract, with each similarity."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract


class TestItemCF(StrategyContract):
    key = "item_cf"


class TestPlainCosine(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "none", "k": 5}


class TestBM25(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "bm25", "min_overlap": 2, "shrinkage": 3}


class TestJaccard(TestItemCF):
    params: ClassVar[dict[str, Any]] = {"similarity": "jaccard", "shrinkage": 1}
