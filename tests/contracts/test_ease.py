"""EASE keeps the contract, with all weights and with the largest only."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract


class TestEase(StrategyContract):
    key = "ease"


class TestTruncated(TestEase):
    params: ClassVar[dict[str, Any]] = {"k": 8}
