"""User neighbours keep the contract, with each similarity."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract


class TestUserCF(StrategyContract):
    key = "user_cf"
    params: ClassVar[dict[str, Any]] = {"k": 8}


class TestPlainCosine(TestUserCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "none", "k": 8, "shrinkage": 2, "min_overlap": 1}


class TestBM25(TestUserCF):
    params: ClassVar[dict[str, Any]] = {"weighting": "bm25", "k": 8}


class TestJaccard(TestUserCF):
    params: ClassVar[dict[str, Any]] = {"similarity": "jaccard", "shrinkage": 1, "k": 8}
