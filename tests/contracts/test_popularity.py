"""Popularity keeps the contract, in each of its modes."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract


class TestPopularity(StrategyContract):
    key = "popularity"
    personal = False
    complete = True
    cold_items = True


class TestUsers(TestPopularity):
    params: ClassVar[dict[str, Any]] = {"count": "users", "half_life_days": 10}


class TestTrending(TestPopularity):
    params: ClassVar[dict[str, Any]] = {"trending": True}


class TestPerCategory(TestPopularity):
    params: ClassVar[dict[str, Any]] = {"per_category": True}
    personal = True


class TestPerSegment(TestPopularity):
    params: ClassVar[dict[str, Any]] = {"segment": "country", "window_days": 20}
